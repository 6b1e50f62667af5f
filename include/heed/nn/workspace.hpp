// The memory of one forward call: the caller's workspace, or one allocation.
//
// A module carves its own tensors from the front; its parts, which run one after the other, share
// the rest. So a module needs its own bytes and the most that any part needs.
#pragma once

#include <cstddef>

#include "heed/core/overlap.hpp"
#include "heed/core/scratch.hpp"
#include "heed/nn/options.hpp"
#include "heed/nn/tokens.hpp"

namespace heed::nn {

inline namespace HEED_ABI {

class Workspace {
 public:
  // own    bytes of the module itself, as a Carver counts them
  // parts  bytes of the part that needs most
  // Throws heed::Error where options.workspace is too small.
  Workspace(std::size_t own, std::size_t parts, const Options& options)
      : scratch_(own + parts, options.workspace), parts_(options) {
    parts_.workspace = {scratch_.begin() + own, parts};
  }

  std::byte* begin() const { return scratch_.begin(); }
  const Options& parts() const { return parts_; }  // the options of the module's parts

 private:
  Scratch scratch_;
  Options parts_;
};

// [B, L, features], packed; no data from a Carver that counts.
template <class T>
View<T, 3> carve_tokens(Carver& carver, Index B, Index L, Index features) {
  View<T, 3> tokens = view(static_cast<T*>(nullptr), {B, L, features});
  tokens.data = carver.array<T>(checked_size(tokens));
  return tokens;
}

template <class A, class B>
bool same_view(const View<A, 3>& out, const View<B, 3>& x) {
  bool same = out.data == x.data;
  for (int d = 0; d < 3; ++d) {
    same = same && out.extent[d] == x.extent[d] && out.stride[d] == x.stride[d];
  }
  return same;
}

// Throws heed::Error where out or the workspace shares memory with x, or one with the other;
// `in_place` allows out to be x itself.
template <class T>
void check_apart(const char* call, const View<T, 3>& out, const View<const T, 3>& x,
                 const char* name, const Options& options, bool in_place) {
  const auto shapes = [&] { return "out " + to_string(out) + ", " + name + " " + to_string(x); };
  const View<const std::byte, 1> room{
      options.workspace.data(), {static_cast<Index>(options.workspace.size())}, {1}};
  require((in_place && same_view(out, x)) || !may_overlap(out, x), call, "out overlaps an input",
          shapes);
  require(!may_overlap(out, room), call, "the workspace overlaps out", shapes);
  require(!may_overlap(room, x), call, "the workspace overlaps an input", shapes);
}

// Throws heed::Error unless out is [B, L, features] of x, and as check_apart does.
template <class T>
void check_out(const char* call, const View<T, 3>& out, const View<const T, 3>& x, const char* name,
               Index features, const Options& options, bool in_place) {
  const auto shapes = [&] { return "out " + to_string(out) + ", " + name + " " + to_string(x); };
  require_sane(out, call, "out");
  if (out.extent[0] != x.extent[0] || out.extent[1] != x.extent[1] || out.extent[2] != features) {
    const View<T, 3> wanted{nullptr, {x.extent[0], x.extent[1], features}, {}};
    throw Error(std::string(call) + ": out is not " + to_string(wanted) + " (" + shapes() + ")");
  }
  require(!repeats_elements(out), call, "out repeats elements (a stride of 0)", shapes);
  check_apart(call, out, x, name, options, in_place);
}

// The writable [B, L, features] view of a caller's out, which must have x's rank and element type.
template <Tokens X, class Out>
View<ScalarOf<X>, 3> out_view(Out&& out) {
  static_assert(TensorLike<Out>, "heed::nn: out is not a tensor that heed can view");
  const auto to = mutable_view_of(out);
  static_assert(std::is_same_v<decltype(to.data), ScalarOf<X>*> && rank_of<Out> == rank_of<X>,
                "heed::nn: out must be writable and have x's rank and element type");
  return as_batch(to);
}

}  // namespace HEED_ABI
}  // namespace heed::nn
