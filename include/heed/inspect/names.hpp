// The names of plot are names of inspect too: inspect::heatmap is plot::heatmap.
#pragma once

namespace heed::plot {}

namespace heed::inspect {
using namespace plot;
}
