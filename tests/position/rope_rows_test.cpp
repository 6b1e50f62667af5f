// Rotary positions by ids and from tables: the same numbers as by offset, token by token.
#include "heed/position/rope_rows.hpp"

#include <vector>

#include "heed/position/rope.hpp"
#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/random.hpp"

using heed::Index;
using heed::Tensor4;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::random4;
namespace position = heed::position;
using position::RopePairs;
using position::RopeTable;

namespace {

// Token i of batch b of x, turned alone at `place`.
template <class T>
Tensor4<T> token(const Tensor4<T>& x, Index b, Index i, Index place,
                 position::RopeOptions options) {
  const Index H = x.dimension(1), D = x.dimension(3);
  Tensor4<T> one(1, H, 1, D);
  for (Index h = 0; h < H; ++h) {
    for (Index d = 0; d < D; ++d) one(0, h, 0, d) = x(b, h, i, d);
  }
  options.offset = place;
  options.ids = {};
  return position::rope(one, options);
}

// True where y is x with each token turned alone at place(b, i).
template <class T, class Place>
bool is_turned(const Tensor4<T>& y, const Tensor4<T>& x, const position::RopeOptions& options,
               const Place& place) {
  for (Index b = 0; b < x.dimension(0); ++b) {
    for (Index i = 0; i < x.dimension(2); ++i) {
      const auto expected = token(x, b, i, place(b, i), options);
      for (Index h = 0; h < x.dimension(1); ++h) {
        for (Index d = 0; d < x.dimension(3); ++d) {
          if (static_cast<double>(y(b, h, i, d)) != static_cast<double>(expected(0, h, 0, d))) {
            return false;
          }
        }
      }
    }
  }
  return true;
}

std::vector<Index> scattered(Index count) {
  std::vector<Index> ids;
  for (Index n = 0; n < count; ++n) ids.push_back(n * 37 % 101);
  return ids;
}

}  // namespace

TEMPLATE_TEST_CASE("rope: ids place each token, for all batches or each", "", float, double,
                   heed::BFloat16) {
  for (const Index L : {1, 7, 40, 70}) {  // below and above what is computed at a time
    for (const auto pairs : {RopePairs::half_split, RopePairs::interleaved}) {
      const auto x = random4<TestType>(2, 3, L, 12);
      const auto one = scattered(L);
      const auto each = scattered(2 * L);
      const position::RopeOptions shared{.pairs = pairs, .dim = 10, .offset = 5, .ids = one};
      const position::RopeOptions own{.pairs = pairs, .dim = 10, .offset = -9, .ids = each};
      CAPTURE(L, static_cast<int>(pairs));
      CHECK(is_turned(position::rope(x, shared), x, shared,
                      [&](Index, Index i) { return 5 + one[std::size_t(i)]; }));
      CHECK(is_turned(position::rope(x, own), x, own,
                      [&](Index b, Index i) { return each[std::size_t(b * L + i)] - 9; }));
    }
  }
}

TEMPLATE_TEST_CASE("rope: a table gives the bits that are computed without it", "", float, double,
                   heed::Half) {
  const auto scaling = position::yarn(4, 64);
  for (const Index L : {1, 33, 70}) {
    for (const Index D : {6, 40, 64, 72}) {  // no run of pairs, some, and a rest
      for (const auto pairs : {RopePairs::half_split, RopePairs::interleaved}) {
        const auto x = random4<TestType>(2, 3, L, D);
        const auto ids = scattered(2 * L);
        const Index dim = D - 2;
        const RopeTable<heed::Accum<TestType>> table(
            150, position::rope_frequencies(dim, 500, scaling), -20);
        position::RopeOptions options{
            .pairs = pairs, .dim = dim, .offset = 13, .base = 500, .scaling = scaling};
        const auto by_offset = position::rope(x, options);
        options.ids = ids;
        const auto by_id = position::rope(x, options);
        const auto tabled = position::rope(x, table, {.offset = 13}, pairs);
        auto in_place = x;
        position::rope_into(in_place, in_place, table, {.offset = 13, .ids = ids}, pairs);
        CAPTURE(L, D, static_cast<int>(pairs));
        int differing = 0;
        for (Index n = 0; n < x.size(); ++n) {
          differing += tabled.data()[n] != by_offset.data()[n] ? 1 : 0;
          differing += in_place.data()[n] != by_id.data()[n] ? 1 : 0;
        }
        CHECK(differing == 0);
        CHECK(is_turned(by_offset, x, options, [](Index, Index i) { return 13 + i; }));
      }
    }
  }
}

TEST_CASE("rope: a table serves [B, L, H, D] in place") {
  const Index B = 2, H = 3, L = 40, D = 32;
  const auto x = random4<float>(B, H, L, D);
  Tensor4<float> blhd(B, L, H, D);
  for (Index b = 0; b < B; ++b) {
    for (Index i = 0; i < L; ++i) {
      for (Index h = 0; h < H; ++h) {
        for (Index d = 0; d < D; ++d) blhd(b, i, h, d) = x(b, h, i, d);
      }
    }
  }
  const RopeTable<float> table(L, position::rope_frequencies(D));
  const auto expected = position::rope(x, table);
  position::rope_into(heed::blhd(blhd), heed::blhd(blhd), table);
  for (Index b = 0; b < B; ++b) {
    for (Index i = 0; i < L; ++i) {
      for (Index h = 0; h < H; ++h) {
        for (Index d = 0; d < D; ++d) REQUIRE(blhd(b, i, h, d) == expected(b, h, i, d));
      }
    }
  }
}

TEST_CASE("rope: YaRN's magnitude scales the turned pairs, and them alone") {
  const auto x = random4<double>(1, 1, 9, 8);
  const auto y = position::rope(x, {.dim = 6, .scaling = position::yarn(8, 32)});
  const double magnitude = 0.1 * std::log(8.0) + 1;
  for (Index i = 0; i < 9; ++i) {
    double before = 0, after = 0;
    for (Index d = 0; d < 6; ++d) {
      before += x(0, 0, i, d) * x(0, 0, i, d);
      after += y(0, 0, i, d) * y(0, 0, i, d);
    }
    CHECK(after == Approx(before * magnitude * magnitude).epsilon(1e-13));
    for (Index d = 6; d < 8; ++d) CHECK(y(0, 0, i, d) == x(0, 0, i, d));
  }
}

TEST_CASE("rope: wrong numbers of ids, and positions that a table does not have") {
  const auto x = random4<float>(2, 1, 5, 8);
  const auto six = scattered(6);
  const std::vector<Index> far = {0, 1, 2, 3, 10};
  const std::vector<Index> huge = {0, 1, 2, 3, std::numeric_limits<Index>::max()};
  const RopeTable<float> table(10, position::rope_frequencies(8));
  CHECK(error_of([&] { position::rope(x, {.ids = six}); }) ==
        "heed::position::rope: 6 ids for a length of 5 and a batch of 2");
  CHECK_THAT(error_of([&] { position::rope(x, table, {.ids = six}); }),
             ContainsSubstring("6 ids for a length of 5"));
  CHECK(error_of([&] { position::rope(x, table, {.offset = 5}); }).empty());
  CHECK(error_of([&] { position::rope(x, table, {.offset = 6}); }) ==
        "heed::position::rope: position 10 of token 4 is not among the table's 10 from 0 on");
  CHECK_THAT(error_of([&] { position::rope(x, table, {.offset = -1}); }),
             ContainsSubstring("position -1 of token 0"));
  CHECK_THAT(error_of([&] { position::rope(x, table, {.ids = far}); }),
             ContainsSubstring("position 10 of token 4"));
  CHECK_FALSE(error_of([&] { position::rope(x, table, {.offset = 1, .ids = huge}); }).empty());
  CHECK_THAT(
      error_of([&] { position::rope(x, RopeTable<float>(10, position::rope_frequencies(10))); }),
      ContainsSubstring("10 features to rotate must be even and at most the dim 8"));
  CHECK_THAT(error_of([] { RopeTable<float>(-1, position::rope_frequencies(8)); }),
             ContainsSubstring("a table of -1 positions by 4 pairs"));
  CHECK_THAT(error_of([] { RopeTable<float>(3, position::rope_frequencies(0)); }),
             ContainsSubstring("3 positions by 0 pairs"));
  CHECK(
      position::rope(Tensor4<float>(2, 1, 0, 8), RopeTable<float>(0, position::rope_frequencies(8)))
          .size() == 0);
}

TEST_CASE("rope: the gradient is turned back, as the transpose of the rotation") {
  for (const RopePairs pairs : {RopePairs::half_split, RopePairs::interleaved}) {
    const position::RopeFrequencies frequencies =
        position::rope_frequencies(6, 100, position::yarn(8, 4));
    const RopeTable<double> table(90, frequencies);
    const auto ids = scattered(2 * 40);  // of each batch, all below 90 with the offset
    std::vector<Index> small;
    for (const Index id : ids) small.push_back(id % 80);
    const position::RopeTokens tokens{7, small};
    const auto x = random4<double>(2, 3, 40, 8, 1), d_out = random4<double>(2, 3, 40, 8, 2);
    const auto y = position::rope(x, table, tokens, pairs);
    Tensor4<double> d_x = d_out;
    position::rope_gradient_into(d_x, d_x, table, tokens, pairs);
    double forward = 0, back = 0;
    for (Index n = 0; n < x.size(); ++n) {
      forward += d_out.data()[n] * y.data()[n];
      back += d_x.data()[n] * x.data()[n];
    }
    CHECK(back == Approx(forward).epsilon(1e-12));
    CHECK(frequencies.magnitude > 1);
  }
}
