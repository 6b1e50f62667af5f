// heed's approximations, all of them: those of <heed/heed.hpp>, and low_rank, whose eigenvalues
// take a compiler long enough to stay out of there.
#pragma once

#include "heed/approx/compare.hpp"
#include "heed/approx/linear.hpp"
#include "heed/approx/linear_state.hpp"
#include "heed/approx/linformer.hpp"
#include "heed/approx/low_rank.hpp"
#include "heed/approx/lsh.hpp"
#include "heed/approx/nystrom.hpp"
#include "heed/approx/performer.hpp"
#include "heed/approx/top_k.hpp"
