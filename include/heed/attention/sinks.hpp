// Learned sinks: a number a query head, which joins the softmax of its rows as a score whose value
// is 0, so that a row's weights may sum to less than 1.
// OpenAI, "gpt-oss-120b & gpt-oss-20b Model Card" (2025), section 2.3.
#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "heed/core/error.hpp"
#include "heed/core/overlap.hpp"
#include "heed/core/span.hpp"
#include "heed/core/view.hpp"

namespace heed {

// [Hq] numbers of float or of double in the caller's memory: a vector, array or span. None by
// default.
template <bool Writable>
class HeadNumbers {
  template <class P>
  using Span = std::span<std::conditional_t<Writable, P, const P>>;
  template <class X, class P>
  static constexpr bool holds = Borrowed<X>&& std::constructible_from<Span<P>, X>;

 public:
  HeadNumbers() = default;
  template <class X>
  // NOLINTNEXTLINE(google-explicit-constructor, bugprone-forwarding-reference-overload)
  requires holds<X, float> HeadNumbers(X&& x) : floats_(std::forward<X>(x)) {}
  template <class X>
  // NOLINTNEXTLINE(google-explicit-constructor, bugprone-forwarding-reference-overload)
  requires holds<X, double> HeadNumbers(X&& x) : doubles_(std::forward<X>(x)) {}

  Index size() const { return static_cast<Index>(floats_.size() + doubles_.size()); }
  bool empty() const { return size() == 0; }
  double at(Index h) const {
    const auto n = static_cast<std::size_t>(h);
    return doubles_.empty() ? static_cast<double>(floats_[n]) : doubles_[n];
  }
  void set(Index h, double x) const requires Writable {
    const auto n = static_cast<std::size_t>(h);
    if (doubles_.empty()) {
      floats_[n] = static_cast<float>(x);
    } else {
      doubles_[n] = x;
    }
  }
  View<const std::byte, 1> bytes() const {
    const auto all = doubles_.empty() ? std::as_bytes(floats_) : std::as_bytes(doubles_);
    return {all.data(), {static_cast<Index>(all.size())}, {1}};
  }

 private:
  Span<float> floats_;
  Span<double> doubles_;
};

inline namespace HEED_ABI {

// Throws heed::Error where there are numbers, but not one for each query head.
template <bool Writable>
void check_head_numbers(const char* call, const char* name, const HeadNumbers<Writable>& numbers,
                        Index Hq) {
  if (numbers.empty()) return;
  if (numbers.size() != Hq) {
    refuse({call, ": ", name, " has ", numbers.size(), " numbers but q has ", Hq, " heads"});
  }
  if (numbers.bytes().data == nullptr) refuse({call, ": ", name, " has no data"});
}

// Throws heed::Error where options.d_sinks has another shape than options.sinks, or overlaps those,
// options.workspace, or one of `others`, which have names.
template <class Options, class... Others>
void check_d_sinks(const char* call, Index Hq, const Options& options,
                   const std::pair<const char*, Others>&... others) {
  if (options.d_sinks.empty()) return;
  check_head_numbers(call, "options.d_sinks", options.d_sinks, Hq);
  const auto apart = [&](const char* name, const auto& x) {
    if (x.data != nullptr && may_overlap(options.d_sinks.bytes(), x)) {
      refuse({call, ": options.d_sinks overlaps ", name, " ", extents_of(x)});
    }
  };
  if (options.sinks.empty()) {
    refuse({call, ": options.d_sinks is the gradient of options.sinks, which is empty"});
  }
  apart("options.sinks", options.sinks.bytes());
  const auto& scratch = options.workspace;
  apart("options.workspace",
        View<const std::byte, 1>{scratch.data(), {static_cast<Index>(scratch.size())}, {1}});
  (apart(others.first, others.second), ...);
}

}  // namespace HEED_ABI
}  // namespace heed
