// Before many forward calls with the same weights: packs them once instead of in every call.
#pragma once

#include <memory>
#include <string>

#include "heed/nn/options.hpp"
#include "heed/nn/parameter.hpp"

namespace heed::nn {
inline namespace HEED_ABI {

// Packs the weights of all linear maps of a module, which then has them twice in memory. No bit of
// a result changes; calls become faster, the more so the fewer tokens they have (measured, AVX2,
// 384 → 1536: 2.7 × for 1 token, 1.7 × for 8, 1.03 × for 512). options.compute is that of the
// calls; others pack as before.
//
// A weight goes back to being packed in each call when each_parameter hands out the module's
// parameters to be changed, as load, initialise and optimisers do: results always follow the
// weights. Only a change through a reference that was kept from before prepare goes unseen.
template <class Module>
void prepare(Module& module, const Options& options = {}) {
  each_parameter(module, [&](const std::string&, auto& parameter) {
    using T = typename std::remove_reference_t<decltype(parameter.value)>::Scalar;
    if (!parameter.is_map()) return;
    parameter.packed = std::make_shared<const PackedWeight<T>>(parameter.view(), options);
  });
}

}  // namespace HEED_ABI
}  // namespace heed::nn
