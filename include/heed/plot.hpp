// heed::plot: numbers in, pictures out: heat maps, scatter plots, line charts, animations, PNG
// files. Needs stb (Debian and Ubuntu: libstb-dev), and of heed only core.
#pragma once

#include "heed/core/abi.hpp"
#include "heed/core/set_macros_aside.inl"

#include "heed/plot/animation.hpp"
#include "heed/plot/canvas.hpp"
#include "heed/plot/cells.hpp"
#include "heed/plot/colormap.hpp"
#include "heed/plot/file.hpp"
#include "heed/plot/heatmap.hpp"
#include "heed/plot/heatmap_grid.hpp"
#include "heed/plot/image.hpp"
#include "heed/plot/line_chart.hpp"
#include "heed/plot/png.hpp"
#include "heed/plot/scatter.hpp"

#include "heed/core/restore_macros.inl"
