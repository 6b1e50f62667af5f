// Memory of a cache: tokens of several heads, in elements or in codes.
#pragma once

#include <type_traits>
#include <vector>

#include "heed/core/zeros.hpp"
#include "heed/kv/code_panels.hpp"
#include "heed/kv/format.hpp"
#include "heed/kv/large_pages.hpp"
#include "heed/kv/panels.hpp"
#include "heed/simd/kernels.hpp"

namespace heed::kv {

inline namespace HEED_ABI {

template <class T>
Index panel_width() {
  return simd::element_kernels<T>(isa()).tile_shape.nr;
}

// Columns of the panels of pages: a page has panels of its own where it can.
//   page  tokens; 0 where there are no pages
template <class T>
Index panel_width(Index page) {
  const simd::TileShape& shape = simd::element_kernels<T>(isa()).tile_shape;
  return !shape.begins_panel(page) && page % shape.vl == 0 ? shape.vl : shape.nr;
}

// Tokens [0, tokens) of `heads` heads. A number that is appended becomes a T.
//   rotated  rows are rotated before they are stored, of codes
//   page     tokens that lie together; 0: all of a head's
template <class F>
class Memory {
  using T = typename NumberOf<F>::Type;

 public:
  Memory() = default;
  Memory(Index heads, Index tokens, const Extents& of, bool, Index page = 0)
      : D_(of.D),
        Dv_(of.Dv),
        width_(panel_width<T>(is_latent<F> ? 0 : page)),
        keys_(Panels<T>::size(tokens, of.D, width_)),
        values_(is_latent<F> ? 0 : checked_product(tokens, of.Dv)),
        tokens_(tokens),
        k_(zeros<T, LargePages<T>>(checked_product(heads, keys_))),
        v_(zeros<T, LargePages<T>>(checked_product(heads, values_))) {}

  Index tokens() const { return tokens_; }
  std::size_t bytes() const { return sizeof(T) * (k_.size() + v_.size()); }

  Panels<T> head(Index n) { return panels<T>(*this, n); }
  Panels<const T> head(Index n) const { return panels<const T>(*this, n); }

 private:
  template <class To, class Self>
  static Panels<To> panels(Self& of, Index n) {
    To* v = is_latent<F> ? nullptr : of.v_.data() + n * of.values_;
    return {of.k_.data() + n * of.keys_, v, of.D_, of.Dv_, of.width_};
  }

  Index D_ = 0, Dv_ = 0, width_ = panel_width<T>();  // width_: columns of a panel of keys
  Index keys_ = 0, values_ = 0;  // numbers of the keys of a head, and of its values
  Index tokens_ = 0;
  std::vector<T, LargePages<T>> k_;  // [heads, panels, D, width]
  std::vector<T, LargePages<T>> v_;  // [heads, tokens, Dv], or nothing where the keys hold them
};

template <CodeFormat F>
class Memory<F> {
  using Panels = CodePanels<F>;
  using Word = std::uint32_t;

 public:
  Memory() = default;
  Memory(Index heads, Index tokens, const Extents& of, bool rotated, Index = 0)
      : D_(of.D),
        Dv_(of.Dv),
        tokens_(tokens),
        room_((tokens + Panels::group - 1) / Panels::group * Panels::group),
        rotated_(rotated),
        k_(zeros<Word, LargePages<Word>>(checked_product(heads, Panels::key_room(room_, of.D)))),
        v_(zeros<Word, LargePages<Word>>(checked_product(heads, Panels::value_room(room_, of.Dv)))),
        k_scales_(zeros<float>(checked_product(heads, room_))),
        v_scales_(zeros<float>(checked_product(heads, room_))),
        row_(zeros<float>(std::max(of.D, of.Dv))) {}

  Index tokens() const { return tokens_; }
  std::size_t bytes() const {
    return sizeof(float) * (k_.size() + v_.size() + k_scales_.size() + v_scales_.size());
  }

  Panels head(Index n) { return panels<Panels>(*this, n); }
  auto head(Index n) const {
    return panels<CodePanels<F, const std::uint32_t, const float>>(*this, n);
  }

 private:
  template <class To, class Self>
  static To panels(Self& of, Index n) {
    return {of.k_.data() + n * Panels::key_room(of.room_, of.D_),
            of.v_.data() + n * Panels::value_room(of.room_, of.Dv_),
            of.k_scales_.data() + n * of.room_,
            of.v_scales_.data() + n * of.room_,
            of.D_,
            of.Dv_,
            of.nr_,
            of.rotated_,
            of.row_.data(),
            *of.kernels_};
  }

  Index D_ = 0, Dv_ = 0, nr_ = panel_width<float>();
  Index tokens_ = 0, room_ = 0;  // room_: tokens in whole groups
  bool rotated_ = false;
  std::vector<Word, LargePages<Word>> k_;  // [heads, panels, words of D, NR]
  std::vector<Word, LargePages<Word>> v_;  // [heads, words of tokens, columns of Dv]
  std::vector<float> k_scales_;            // [heads, room]
  std::vector<float> v_scales_;            // [heads, room]
  std::vector<float> row_;                 // [max(D, Dv)], room of a row that is stored
  const simd::CodeKernels* kernels_ = &simd::code_kernels<float>(isa());
};

// Tokens of a head, bound: a PanelSource of elements, a CodeSource of codes.
template <class F>
struct BoundMemory {
  static constexpr bool values_in_keys = is_latent<F>;

  Panels<const typename NumberOf<F>::Type> panels;

  template <class Visitor>
  void for_each_panel_run(Index begin, Index end, Visitor&& f) const {
    f(begin, panels.keys(begin, end - begin), panels.values(begin, end - begin));
  }
};
template <CodeFormat F>
struct BoundMemory<F> {
  CodePanels<F, const std::uint32_t, const float> panels;

  using Format = F;

  bool rotated() const { return panels.rotated; }
  const simd::CodeKernels& kernels() const { return panels.kernels; }
  template <class Visitor>
  void for_each_code_panel(Index begin, Index end, Visitor&& f) const {
    panels.for_each_panel(begin, end - begin, f);
  }
  void widen(Index begin, Index end, float* k, float* v) const {
    panels.widen(begin, end - begin, k, v);
  }
};

}  // namespace HEED_ABI
}  // namespace heed::kv
