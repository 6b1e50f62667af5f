// Where a backward call writes its gradients, checked: shapes, overlaps.
#pragma once

#include <string>
#include <type_traits>
#include <utility>

#include "heed/attention/operands.hpp"
#include "heed/attention/score_gradients.hpp"

namespace heed {

inline namespace HEED_ABI {

// The views of a call's gradients.
template <class T>
struct GradientViews {
  View<T, 4> d_q, d_k, d_v;
};

// The view of a tensor that belongs to X, an input of a call: in X's order of dimensions where it
// has the type that a call makes for X, as blhd(q) makes a plain tensor; else as the tensor says.
template <class X, class Made>
auto view_like(Made& made) {
  using S = ScalarOf<Made>;
  using Plain = std::remove_const_t<Made>;
  if constexpr (std::is_same_v<Plain, typename TraitsOf<X>::template Owned<S>>) {
    const auto view = TraitsOf<X>::template owned_view<S>(const_cast<Plain&>(made));
    if constexpr (std::is_const_v<Made>) {
      return view.as_const();
    } else {
      return view;
    }
  } else if constexpr (std::is_const_v<Made> && !refers_to_memory<Plain>) {
    return view_of(made);
  } else {
    return mutable_view_of(made);
  }
}

// The view of lse [B, Hq, Lq] of a result for Q.
template <class Q, class Lse>
auto rows_like(const Lse& lse) {
  using R = Accum<ScalarOf<Q>>;
  auto& rows = const_cast<Lse&>(lse);
  if constexpr (std::is_same_v<Lse, typename TraitsOf<Q>::template Rows<R>>) {
    return lift_rows(TraitsOf<Q>::template rows_view<R>(rows));
  } else {
    return lift_rows(rows_view(rows));
  }
}

// Of a Gradients, or another type with members d_q, d_k and d_v.
template <class Q, class K, class V, class G>
GradientViews<ScalarOf<Q>> gradient_views(G& gradients) {
  return {lift(view_like<Q>(gradients.d_q)), lift(view_like<K>(gradients.d_k)),
          lift(view_like<V>(gradients.d_v))};
}

// Throws heed::Error where `gradient` has another shape than its input, or overlaps what is read.
template <class T, class Out>
void check_gradient(const char* call, const char* name, const View<T, 4>& gradient,
                    const View<const T, 4>& input, const Problem<T>& forward,
                    const View<const Out, 4>& out, const View<const T, 4>& d_out,
                    const Options& options) {
  require_sane(gradient, call, name);
  bool same = true;
  for (int n = 0; n < 4; ++n) same = same && gradient.extent[n] == input.extent[n];
  const auto shapes = [&] {
    return std::string(name) + " " + to_string(gradient) + ", its input " + to_string(input);
  };
  require(same, call, "a gradient must have the shape of its input", shapes);
  require_distinct(gradient, call, name);
  check_workspace(options, name, gradient);
  const auto apart = [&](const char* other, const auto& x) {
    require(!may_overlap(gradient, x), call, "a gradient overlaps what is read",
            [&] { return shapes() + "; " + other + " " + to_string(x); });
  };
  apart("q", forward.q);
  apart("k", forward.k);
  apart("v", forward.v);
  apart("out", out);
  apart("lse", forward.lse);
  apart("d_out", d_out);
  apart("options.sinks", forward.sinks.bytes());
}

template <class T, class Out, class S>
void check_gradients(const char* call, const GradientViews<T>& g, const Problem<T>& forward,
                     const View<const Out, 4>& out, const View<const T, 4>& d_out, const S& score,
                     const Options& options) {
  check_workspace(forward, options);
  check_workspace(options, "out", out);
  check_workspace(options, "d_out", d_out);
  check_gradient(call, "d_q", g.d_q, forward.q, forward, out, d_out, options);
  check_gradient(call, "d_k", g.d_k, forward.k, forward, out, d_out, options);
  check_gradient(call, "d_v", g.d_v, forward.v, forward, out, d_out, options);
  const auto apart = [&](const char* both, const View<T, 4>& a, const View<T, 4>& b) {
    require(!may_overlap(a, b), call, "two gradients overlap",
            [&] { return std::string(both) + ": " + to_string(a) + " and " + to_string(b); });
  };
  apart("d_q and d_k", g.d_q, g.d_k);
  apart("d_q and d_v", g.d_q, g.d_v);
  apart("d_k and d_v", g.d_k, g.d_v);
  check_score_gradients(call, score, forward.shape, options, std::pair{"q", forward.q},
                        std::pair{"k", forward.k}, std::pair{"v", forward.v}, std::pair{"out", out},
                        std::pair{"lse", forward.lse}, std::pair{"d_out", d_out},
                        std::pair{"d_q", g.d_q}, std::pair{"d_k", g.d_k}, std::pair{"d_v", g.d_v},
                        std::pair{"options.sinks", options.sinks.bytes()},
                        std::pair{"options.d_sinks", options.d_sinks.bytes()});
  check_d_sinks(call, forward.shape.Hq, options, std::pair{"q", forward.q},
                std::pair{"k", forward.k}, std::pair{"v", forward.v}, std::pair{"out", out},
                std::pair{"lse", forward.lse}, std::pair{"d_out", d_out}, std::pair{"d_q", g.d_q},
                std::pair{"d_k", g.d_k}, std::pair{"d_v", g.d_v});
}

}  // namespace HEED_ABI
}  // namespace heed
