// The law of masks: coverage tells the truth about every tile, and fill says what allows says.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "heed/core/shape.hpp"
#include "heed/mask/coverage_grid.hpp"
#include "heed/mask/key_stride.hpp"
#include "heed/mask/mask.hpp"

namespace heed::test {

// A mask's promise: `legal` may answer Partial for any tile, `exact` may not.
enum class Promise { legal, exact };

// Asked of `allows` once for all tiles, then of `coverage` and `fill` tile by tile.
template <mask::BoundMask M>
class Law {
 public:
  // step: what the mask says its keys are multiples of
  Law(const M& mask, int Lq, int Lk, int step)
      : mask_(mask),
        Lq_(Lq),
        Lk_(Lk),
        step_(step),
        sums_(std::size_t(Lq + 1) * std::size_t(Lk + 1)) {
    for (int i = 0; i < Lq; ++i) {
      for (int j = 0; j < Lk; ++j) {
        sum(i + 1, j + 1) = sum(i, j + 1) + sum(i + 1, j) - sum(i, j) + (mask.allows(i, j) ? 1 : 0);
      }
    }
  }

  // Pairs of the tile that may attend.
  int allowed(mask::Tile t) const {
    return sum(t.q_end, t.k_end) - sum(t.q_begin, t.k_end) - sum(t.q_end, t.k_begin) +
           sum(t.q_begin, t.k_begin);
  }
  int allowed() const { return sum(Lq_, Lk_); }

  // Empty, or how `coverage` breaks the law for this tile.
  std::string check_coverage(mask::Tile tile, Promise promise = Promise::legal) const {
    const int count = allowed(tile);
    const int area = (tile.q_end - tile.q_begin) * (tile.k_end - tile.k_begin);
    const mask::Coverage claimed = mask_.coverage(tile);
    if (claimed == mask::Coverage::Full && count < area) return text(tile, "Full is wrong");
    if (claimed == mask::Coverage::Empty && count > 0) return text(tile, "Empty is wrong");
    if (promise == Promise::exact && claimed == mask::Coverage::Partial) {
      if (count == area) return text(tile, "Partial should be Full");
      if (count == 0) return text(tile, "Partial should be Empty");
    }
    return {};
  }

  // Empty, or where `fill` differs from `allows` or writes beside the tile.
  std::string check_fill(mask::Tile tile) const {
    constexpr std::uint8_t untouched = 0xa5;
    const int rows = tile.q_end - tile.q_begin;
    const int cols = tile.k_end - tile.k_begin;
    const Index stride = cols + 3;
    std::vector<std::uint8_t> filled(std::size_t(rows * stride), untouched);
    mask::fill(mask_, tile, filled.data(), stride);
    for (int r = 0; r < rows; ++r) {
      for (int c = 0; c < stride; ++c) {
        const std::uint8_t got = filled[std::size_t(r * stride + c)];
        const bool inside = c < cols;
        if (!inside && got != untouched) return text(tile, "fill writes beside the tile");
        if (!inside) continue;
        const bool allows = allowed({tile.q_begin + r, tile.q_begin + r + 1, tile.k_begin + c,
                                     tile.k_begin + c + 1}) == 1;
        if (got != (allows ? 1 : 0)) return text(tile, "fill differs from allows");
      }
    }
    return {};
  }

  // Empty, or how `cover` breaks the law for a tile of the grid.
  std::string check_cover(mask::CoverageGrid grid) const {
    constexpr std::uint8_t untouched = 0xa5;
    const int columns = grid.columns();
    const Index stride = columns + 2;
    std::vector<std::uint8_t> found(std::size_t(grid.rows() * stride), untouched);
    mask::cover(mask_, grid, found.data(), stride);
    for (int r = 0; r < grid.rows(); ++r) {
      const std::uint8_t* row = found.data() + r * stride;
      if (row[columns] != untouched) return text(grid.tile(), "cover writes beside the grid");
      for (int c = 0; c < columns; ++c) {
        const mask::Tile tile = grid.of_rows(r, r + 1).of_columns(c, c + 1).tile();
        const int area = (tile.q_end - tile.q_begin) * (tile.k_end - tile.k_begin);
        const int seen = allowed(tile);
        const bool full = row[c] == static_cast<std::uint8_t>(mask::Coverage::Full);
        if (row[c] > 2 || (full && seen < area)) return text(tile, "cover's Full is wrong");
        if (row[c] == 0 && seen > 0) return text(tile, "cover's Empty is wrong");
      }
    }
    return {};
  }

  // Empty, or how every step-th key of the tile breaks the law.
  std::string check_every(int step, mask::Tile tile) const {
    tile.k_end = tile.k_begin + (tile.k_end - 1 - tile.k_begin) / step * step + 1;
    int seen = 0, area = 0;
    for (int i = tile.q_begin; i < tile.q_end; ++i) {
      for (int j = tile.k_begin; j < tile.k_end; j += step) {
        seen += allowed({i, i + 1, j, j + 1});
        ++area;
      }
    }
    const mask::Coverage claimed = mask::coverage_of_every(step, mask_, tile);
    if (claimed == mask::Coverage::Full && seen < area)
      return text(tile, "Full of every step-th key is wrong");
    if (claimed == mask::Coverage::Empty && seen > 0)
      return text(tile, "Empty of every step-th key is wrong");
    return {};
  }

  // Empty, or a key that is seen though the mask steps over it.
  std::string check_step() const {
    for (int j = 0; j < Lk_; ++j) {
      if (j % step_ != 0 && Lq_ > 0 && allowed({0, Lq_, j, j + 1}) > 0) {
        return text({0, Lq_, j, j + 1}, "key_stride leaves out a key");
      }
    }
    return {};
  }

  // Every tile whose sides are in `cuts`, ascending positions; those beyond a length are left out.
  std::string check(const std::vector<int>& cuts, Promise promise = Promise::legal) const {
    std::string wrong;
    for_each_span(cuts, Lq_, [&](int q_begin, int q_end) {
      for_each_span(cuts, Lk_, [&](int k_begin, int k_end) {
        if (wrong.empty()) wrong = check_coverage({q_begin, q_end, k_begin, k_end}, promise);
      });
    });
    if (wrong.empty() && Lq_ > 0 && Lk_ > 0) wrong = check_fill({0, Lq_, 0, Lk_});
    if (wrong.empty() && Lq_ > 2 && Lk_ > 2) wrong = check_fill({1, Lq_ - 1, 2, Lk_});
    for (const int n : {1, 2, 3, 7, 16}) {
      if (wrong.empty() && Lq_ > 0 && Lk_ > 0) wrong = check_cover({0, Lq_, 3, 0, Lk_, n});
      if (wrong.empty() && Lq_ > 2 && Lk_ > 2) wrong = check_cover({1, Lq_ - 1, n, 2, Lk_, 8});
      if (wrong.empty() && Lq_ > 0 && Lk_ > 0) wrong = check_every(n, {0, Lq_, 0, Lk_});
      if (wrong.empty() && Lq_ > 2 && Lk_ > 2) wrong = check_every(n, {1, 2, 2, Lk_ - 1});
    }
    if (wrong.empty()) wrong = check_step();
    return wrong;
  }

  // Every tile there is.
  std::string check_all(Promise promise = Promise::legal) const {
    std::vector<int> cuts;
    for (int at = 0; at <= (Lq_ > Lk_ ? Lq_ : Lk_); ++at) cuts.push_back(at);
    return check(cuts, promise);
  }

 private:
  int& sum(int i, int j) { return sums_[std::size_t(i) * std::size_t(Lk_ + 1) + std::size_t(j)]; }
  int sum(int i, int j) const {
    return sums_[std::size_t(i) * std::size_t(Lk_ + 1) + std::size_t(j)];
  }

  template <class Visit>
  static void for_each_span(const std::vector<int>& cuts, int length, const Visit& visit) {
    for (const int begin : cuts) {
      for (const int end : cuts) {
        if (begin < end && end <= length) visit(begin, end);
      }
    }
  }

  std::string text(mask::Tile t, const char* what) const {
    return std::string(what) + " for queries [" + std::to_string(t.q_begin) + "," +
           std::to_string(t.q_end) + ") by keys [" + std::to_string(t.k_begin) + "," +
           std::to_string(t.k_end) + ") of " + std::to_string(Lq_) + " by " + std::to_string(Lk_) +
           ": " + std::to_string(allowed(t)) + " allowed";
  }

  M mask_;
  int Lq_, Lk_, step_;
  std::vector<int> sums_;  // [Lq + 1, Lk + 1], allowed pairs above and left of a corner
};

// The law of any mask for one head of a call.
template <mask::MaskLike M>
auto law_of(const M& mask, const Shape& shape, Index b = 0, Index h = 0) {
  return Law(mask::bind(mask, shape, b, h), static_cast<int>(shape.Lq), static_cast<int>(shape.Lk),
             mask::key_stride(mask::as_mask(mask)));
}

}  // namespace heed::test
