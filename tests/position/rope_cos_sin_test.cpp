// Rotary positions by the caller's own cosines and sines.
#include "heed/position/rope_cos_sin.hpp"

#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/random.hpp"

using heed::Index;
using heed::Tensor2;
using heed::Tensor3;
using heed::Tensor4;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::random4;
namespace position = heed::position;
using position::RopePairs;

namespace {

// Cosines and sines of `count` positions, [count, pairs].
struct Tables {
  Tensor2<float> cos, sin;

  Tables(Index count, const position::RopeFrequencies& frequencies)
      : cos(count, static_cast<Index>(frequencies.step.size())), sin(cos) {
    for (Index p = 0; p < count; ++p) {
      for (Index n = 0; n < cos.dimension(1); ++n) {
        const double angle = static_cast<double>(p) * frequencies.step[static_cast<std::size_t>(n)];
        cos(p, n) = static_cast<float>(frequencies.magnitude * std::cos(angle));
        sin(p, n) = static_cast<float>(frequencies.magnitude * std::sin(angle));
      }
    }
  }
};

template <class A, class B>
int differing(const A& a, const B& b) {
  int count = 0;
  for (Index n = 0; n < a.size(); ++n) count += a.data()[n] != b.data()[n] ? 1 : 0;
  return count;
}

}  // namespace

TEMPLATE_TEST_CASE("rope: own tables give the bits of a RopeTable with the same numbers", "", float,
                   heed::BFloat16) {
  const Index B = 2, H = 3, D = 20, dim = 16;
  const auto frequencies = position::rope_frequencies(dim, 500, position::yarn(4, 64));
  const Tables own(90, frequencies);
  const position::RopeTable<float> table(90, frequencies);
  for (const Index L : {1, 7, 40}) {  // below and above what is loaded at a time
    for (const auto pairs : {RopePairs::half_split, RopePairs::interleaved}) {
      CAPTURE(L, static_cast<int>(pairs));
      const auto x = random4<TestType>(B, H, L, D);
      std::vector<Index> ids;
      for (Index n = 0; n < B * L; ++n) ids.push_back(n * 37 % 80);
      const position::RopeTokens tokens{.offset = 9, .ids = ids};
      const auto expected = position::rope(x, table, tokens, pairs);
      CHECK(differing(position::rope(x, own.cos, own.sin, tokens, pairs), expected) == 0);
      CHECK(differing(position::rope(x, own.cos, own.sin, {.offset = 3}, pairs),
                      position::rope(x, table, {.offset = 3}, pairs)) == 0);
      Tensor3<float> cos(B, L, dim / 2), sin(B, L, dim / 2);  // ONNX's form without position_ids
      for (Index b = 0; b < B; ++b) {
        for (Index i = 0; i < L; ++i) {
          for (Index n = 0; n < dim / 2; ++n) {
            const Index row = 9 + ids[static_cast<std::size_t>(b * L + i)];
            cos(b, i, n) = own.cos(row, n);
            sin(b, i, n) = own.sin(row, n);
          }
        }
      }
      auto in_place = x;
      position::rope_into(in_place, in_place, cos, sin, {}, pairs);
      CHECK(differing(in_place, expected) == 0);
    }
  }
}

// Hugging Face's tables have every number twice: [cos, cos] in the order of the features.
TEST_CASE("rope: own tables of any strides, type and batch") {
  const auto x = random4<float>(2, 2, 6, 8);
  const auto frequencies = position::rope_frequencies(8);
  const Tables own(6, frequencies);
  const auto expected = position::rope(x, position::RopeTable<float>(6, frequencies));
  Tensor3<float> cos(1, 6, 8), sin(1, 6, 8);
  Eigen::MatrixXd wide_cos(6, 4), wide_sin(6, 4);  // column after column
  for (Index i = 0; i < 6; ++i) {
    for (Index d = 0; d < 8; ++d) {
      cos(0, i, d) = own.cos(i, d % 4);
      sin(0, i, d) = own.sin(i, d % 4);
      wide_cos(i, d % 4) = static_cast<double>(own.cos(i, d % 4));
      wide_sin(i, d % 4) = static_cast<double>(own.sin(i, d % 4));
    }
  }
  const auto half = [](const Tensor3<float>& table) {
    return heed::view(table.data(), {1, 6, 4}, {48, 8, 1});
  };
  CHECK(differing(position::rope(x, half(cos), half(sin)), expected) == 0);
  CHECK(differing(position::rope(x, wide_cos, wide_sin), expected) == 0);
}

TEST_CASE("rope: own tables that do not fit are refused") {
  const auto x = random4<float>(2, 1, 5, 8);
  Tensor2<float> table(6, 4), narrow(6, 3), wide(6, 5), none(6, 0);
  table.setZero();
  narrow.setZero();
  wide.setZero();
  Tensor3<float> by_token(2, 5, 4), three(3, 5, 4), short_text(2, 4, 4);
  by_token.setZero();
  three.setZero();
  short_text.setZero();
  CHECK_THAT(error_of([&] { position::rope(x, table, narrow); }),
             ContainsSubstring("heed::position::rope: sin must have the shape of cos"));
  CHECK_THAT(error_of([&] { position::rope(x, wide, wide); }),
             ContainsSubstring("10 features to rotate must be even and at most the dim 8"));
  CHECK_THAT(error_of([&] { position::rope(x, none, none); }), ContainsSubstring("have no pairs"));
  CHECK(error_of([&] { position::rope(x, table, table, {.offset = 2}); }) ==
        "heed::position::rope: position 6 of token 4 is not among the table's 6 from 0 on");
  CHECK_THAT(error_of([&] { position::rope(x, table, table, {.offset = -1}); }),
             ContainsSubstring("position -1 of token 0"));
  CHECK(error_of([&] { position::rope(x, by_token, by_token); }).empty());
  CHECK_THAT(error_of([&] { position::rope(x, by_token, by_token, {.offset = 1}); }),
             ContainsSubstring("there are no positions to give"));
  CHECK_THAT(error_of([&] { position::rope(x, three, three); }),
             ContainsSubstring("cos and sin must be [B or 1, L, pairs] (cos [3,5,4]"));
  CHECK_THAT(error_of([&] { position::rope(x, short_text, short_text); }),
             ContainsSubstring("cos and sin must be [B or 1, L, pairs]"));
  auto y = x;
  const auto inside = heed::view(y.data(), {6, 4});
  CHECK_THAT(error_of([&] { position::rope_into(y, y, inside, inside); }),
             ContainsSubstring("out overlaps cos or sin"));
  CHECK(differing(x, y) == 0);
  CHECK(position::rope(Tensor4<float>(2, 1, 0, 8), table, table).size() == 0);
}

// More rows than can be counted one by one, all without features or heads.
TEST_CASE("rope: empty tensors take no time") {
  const float nothing = 0;
  constexpr Index most = heed::max_length;
  const heed::View<const float, 4> x{&nothing, {most, 0, 2, 8}, {0, 16, 8, 1}};
  const heed::View<const float, 4> no_features{&nothing, {most, 1 << 20, 2, 0}, {0, 0, 0, 1}};
  CHECK(position::rope(x).size() == 0);
  CHECK(position::rope(no_features).size() == 0);
}
