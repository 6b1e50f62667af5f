// heed::inspect: looking at attention, with the pictures of <heed/plot.hpp> under its name too.
// Those need stb; all that prints text comes with <heed/heed.hpp>, which needs no stb.
#pragma once

#include "heed/core/abi.hpp"
#include "heed/core/set_macros_aside.inl"

#include "heed/inspect/attends.hpp"
#include "heed/inspect/compare_patterns.hpp"
#include "heed/inspect/complexity.hpp"
#include "heed/inspect/describe.hpp"
#include "heed/inspect/explain_output.hpp"
#include "heed/inspect/explain_weights.hpp"
#include "heed/inspect/gradient_flow.hpp"
#include "heed/inspect/gradient_picture.hpp"
#include "heed/inspect/highlight.hpp"
#include "heed/inspect/matrix_of.hpp"
#include "heed/inspect/names.hpp"
#include "heed/inspect/report.hpp"
#include "heed/plot.hpp"
#include "heed/train/loss_curve.hpp"

#include "heed/core/restore_macros.inl"
