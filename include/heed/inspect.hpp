// heed::inspect: looking at attention. Pictures need stb (Debian and Ubuntu: libstb-dev); all that
// prints text comes with <heed/heed.hpp> too, which needs no stb.
#pragma once

#include "heed/core/abi.hpp"
#include "heed/core/set_macros_aside.inl"

#include "heed/inspect/animation.hpp"
#include "heed/inspect/attends.hpp"
#include "heed/inspect/canvas.hpp"
#include "heed/inspect/cells.hpp"
#include "heed/inspect/colormap.hpp"
#include "heed/inspect/compare_patterns.hpp"
#include "heed/inspect/complexity.hpp"
#include "heed/inspect/describe.hpp"
#include "heed/inspect/explain_output.hpp"
#include "heed/inspect/explain_weights.hpp"
#include "heed/inspect/file.hpp"
#include "heed/inspect/heatmap.hpp"
#include "heed/inspect/heatmap_grid.hpp"
#include "heed/inspect/highlight.hpp"
#include "heed/inspect/image.hpp"
#include "heed/inspect/matrix_of.hpp"
#include "heed/inspect/png.hpp"
#include "heed/inspect/report.hpp"
#include "heed/inspect/scatter.hpp"

#include "heed/core/restore_macros.inl"
