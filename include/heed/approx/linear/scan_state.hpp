// The sum of the keys before a chunk of queries, on its way through the keys of a head.
//
// It is the sum of the spans before its own, plus that of its own span so far. So it has the same
// bits whether it came all the way or began at a span whose sum of all keys before was known.
#pragma once

#include <algorithm>
#include <utility>

#include "heed/approx/linear/scan_keys.hpp"

namespace heed::approx {
inline namespace HEED_ABI {

// The sums of each key head, [heads, spans + 1]: number n is that of the keys before span n. None
// at all where each head is one task.
template <class R>
struct KvStates {
  R* exponents = nullptr;
  R* sums = nullptr;
  Index spans = 0, size = 0;

  KvStates(Carver& carver, const ScanPlan& plan, Index heads)
      : exponents(carver.array<R>(checked_product(heads, plan.spans + 1))),
        sums(carver.array<R>(checked_product(heads * (plan.spans + 1), plan.state()))),
        spans(plan.spans),
        size(plan.state()) {}

  KvState<R> get(Index head, Index n) const {
    const Index at = head * (spans + 1) + n;
    return {sums + at * size, exponents[at]};
  }
  void set_exponent(Index head, Index n, R exponent) const {
    exponents[head * (spans + 1) + n] = exponent;
  }
};

// published = before + own under the larger of their exponents, an accumulator become a PackedB.
template <class R>
struct PublishState {
  const KvState<R>& before;
  const KvState<R>& own;

  template <int Panel>
  [[gnu::always_inline]] inline void operator()(R* published, const ScanPlan& plan) const {
    const R top = std::max(before.exponent, own.exponent);
    const R factor = whole_power_of_2(before.exponent - top);
    const R own_factor = whole_power_of_2(own.exponent - top);
    const auto sums = plan.accumulator(before.sum), more = plan.accumulator(own.sum);
    for (Index p = 0; p < sums.panels(); ++p) {
      const Index stride = sums.width(p);
      for (Index f = 0; f < plan.features; ++f, published += stride) {
        const R* a = sums.row(f, p);
        const R* b = more.row(f, p);
        if (stride == Panel) {  // apart, since only a fixed length is vectorised
          for (int c = 0; c < Panel; ++c) published[c] = a[c] * factor + b[c] * own_factor;
        } else {
          for (Index c = 0; c < stride; ++c) published[c] = a[c] * factor + b[c] * own_factor;
        }
      }
    }
  }
};

// The sum of the keys [0, end) of a head: absorbed, or of what `states` hold.
template <class T, class Map>
class RunningState {
 public:
  using R = Accum<T>;

  // Without `states` every key is absorbed once, without gaps.
  RunningState(const ScanCall<T>& plan, const ScanScratch<R>& scratch, const KvStates<R>* states,
               Index head)
      : plan_(plan),
        states_(states),
        head_(head),
        published_(scratch.published),
        before_{scratch.before, no_exponent<R>},
        own_{scratch.own, no_exponent<R>} {
    clear(before_);
    clear(own_);
  }

  R exponent() const { return std::max(before_.exponent, own_.exponent); }

  // Goes on to `end`: a whole number of chunks, or all the keys there are, of which there are
  // `length`. The chunk behind the state may be what `keys` holds already.
  void advance(Index end, Index length, ScanKeys<T, Map>& keys) {
    constexpr Index chunk = ScanPlan::chunk, span = ScanPlan::span;
    if (end == shown_end_) return;
    const Index spans = end == length ? (end + span - 1) / span : end / span;
    if (states_ != nullptr && end_ < spans * span) jump(spans, std::min(spans * span, end));
    while (end_ < end) {
      const Index next = std::min(end_ + chunk, end);
      if (!keys.holds(end_, next)) keys.load(end_, next);
      keys.absorb_into(own_);
      end_ = next;
      if (end_ % span == 0) close_span();
    }
    shown_end_ = end;
    plan_.template compiled<PublishState<R>, R*, ScanPlan>()({before_, own_}, published_, plan_);
  }

 private:
  void clear(KvState<R>& state) {
    std::fill_n(state.sum, plan_.state(), R(0));
    state.exponent = no_exponent<R>;
  }

  void jump(Index n, Index end) {
    const KvState<R> state = states_->get(head_, n);
    std::copy_n(state.sum, plan_.state(), before_.sum);
    before_.exponent = state.exponent;
    clear(own_);
    end_ = end;
  }

  void close_span() {
    merge_into(plan_, own_, before_);
    std::swap(own_, before_);
    clear(own_);
  }

  const ScanCall<T>& plan_;
  const KvStates<R>* states_;
  Index head_;
  R* published_;
  KvState<R> before_, own_;
  Index end_ = 0, shown_end_ = -1;
};

}  // namespace HEED_ABI
}  // namespace heed::approx
