// heed: attention. The whole CPU library; needs Eigen, links nothing.
#pragma once

#include "heed/attention/attention.hpp"
#include "heed/mask/any.hpp"
#include "heed/mask/bigbird.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/dense.hpp"
#include "heed/mask/padding.hpp"
#include "heed/mask/strided.hpp"
#include "heed/position/learned.hpp"
#include "heed/position/rope.hpp"
#include "heed/position/sinusoidal.hpp"
#include "heed/score/alibi.hpp"
#include "heed/score/bias.hpp"
#include "heed/score/soft_cap.hpp"
#include "heed/version.hpp"
