// Rotary positions whose pairs turn by several axes: Qwen2-VL's and Qwen3-VL's.
#include "heed/position/rope_sections.hpp"

#include <cmath>
#include <vector>

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
using position::SectionPlaces;

namespace {

// A text of 3 tokens, then a picture of 2 × 3 patches, as Qwen2-VL counts them: text goes on all
// axes at once, patches stay at one time.
std::vector<std::vector<Index>> text_and_picture() {
  return {{0, 1, 2, 3, 3, 3, 3, 3, 3}, {0, 1, 2, 3, 3, 3, 4, 4, 4}, {0, 1, 2, 3, 4, 5, 3, 4, 5}};
}

}  // namespace

// Both lists are of the models' configurations: mrope_section of a head of 128 features.
TEST_CASE("sections: Qwen2-VL's beside each other, Qwen3-VL's taking turns") {
  const auto blocks = position::sections({16, 24, 24});
  const auto turns = position::interleaved_sections({24, 20, 20});
  REQUIRE(blocks.size() == 64);
  REQUIRE(turns.size() == 64);
  for (std::size_t n = 0; n < 64; ++n) {
    CAPTURE(n);
    CHECK(blocks[n] == (n < 16 ? 0 : n < 40 ? 1 : 2));
    CHECK(turns[n] == (n < 60 ? static_cast<int>(n % 3) : 0));
  }
  CHECK_THAT(error_of([] {
               position::sections({2, -1});
             }),
             ContainsSubstring("heed::position::sections: a section of -1 pairs"));
  CHECK_THAT(error_of([] {
               position::interleaved_sections({1, 5, 1});
             }),
             ContainsSubstring("axis 1 has 5 pairs, more than its turns among 7"));
}

TEST_CASE("rope_sections: each pair turns at the position of its axis") {
  const Index B = 2, H = 2, L = 9, D = 36, dim = 32;
  const auto x = random4<double>(B, H, L, D);
  SectionPlaces places{text_and_picture(), position::sections({4, 6, 6})};
  for (auto& ids : places.ids) {  // the second batch stands elsewhere
    for (std::size_t i = 0; i < 9; ++i) ids.push_back(ids[i] * 3 + 1);
  }
  for (const auto pairs : {RopePairs::half_split, RopePairs::interleaved}) {
    const auto y =
        position::rope_sections(x, places, {.pairs = pairs, .dim = dim, .offset = 7, .base = 1e6});
    double gap = 0;
    for (Index b = 0; b < B; ++b) {
      for (Index h = 0; h < H; ++h) {
        for (Index i = 0; i < L; ++i) {
          for (Index n = 0; n < dim / 2; ++n) {
            const std::size_t axis = n < 4 ? 0 : n < 10 ? 1 : 2;
            const auto place =
                static_cast<double>(7 + places.ids[axis][static_cast<std::size_t>(b * L + i)]);
            const double angle = place / std::pow(1e6, 2 * static_cast<double>(n) / 32);
            const Index first = pairs == RopePairs::half_split ? n : 2 * n;
            const Index second = pairs == RopePairs::half_split ? n + dim / 2 : 2 * n + 1;
            const double p = x(b, h, i, first), q = x(b, h, i, second);
            gap = std::max(
                gap, std::abs(y(b, h, i, first) - (p * std::cos(angle) - q * std::sin(angle))));
            gap = std::max(
                gap, std::abs(y(b, h, i, second) - (q * std::cos(angle) + p * std::sin(angle))));
          }
          for (Index d = dim; d < D; ++d)
            gap = std::max(gap, std::abs(y(b, h, i, d) - x(b, h, i, d)));
        }
      }
    }
    CAPTURE(static_cast<int>(pairs));
    CHECK(gap < 1e-13);
  }
}

TEST_CASE("rope_sections: text, at the same position on every axis, has rope's bits") {
  const auto x = random4<double>(2, 2, 40, 16);
  std::vector<Index> ids;
  for (Index i = 0; i < 40; ++i) ids.push_back(i * i % 91);
  const auto scaling = position::yarn(4, 64);
  const auto expected = position::rope(x, {.scaling = scaling, .ids = ids});
  auto y = x;
  position::rope_sections_into(y, y, {{ids, ids, ids}, position::interleaved_sections({4, 2, 2})},
                               {.scaling = scaling});
  for (Index n = 0; n < y.size(); ++n) REQUIRE(y.data()[n] == expected.data()[n]);
}

TEST_CASE("rope_sections: what does not fit is refused and nothing written") {
  auto x = random4<double>(1, 1, 9, 8);
  const auto before = x;
  const auto ids = text_and_picture();
  const auto refused = [&](const SectionPlaces& places, const position::RopeOptions& options = {}) {
    return error_of([&] { position::rope_sections_into(x, x, places, options); });
  };
  CHECK_THAT(refused({{}, {0, 0, 0, 0}}),
             ContainsSubstring("heed::position::rope_sections: no axes (x [1,1,9,8])"));
  CHECK_THAT(refused({ids, {0, 1, 2}}), ContainsSubstring("3 pairs have an axis, of 4"));
  CHECK_THAT(refused({ids, {0, 1, 2, 3}}), ContainsSubstring("axis 3 of 3"));
  CHECK_THAT(refused({ids, {0, 1, 2, -1}}), ContainsSubstring("axis -1 of 3"));
  CHECK_THAT(refused({{ids[0], {1, 2}}, {0, 1, 0, 1}}),
             ContainsSubstring("2 ids for a length of 9"));
  CHECK_THAT(refused({{ids[0], {}}, {0, 1, 0, 1}}), ContainsSubstring("not as many places each"));
  CHECK_THAT(refused({{{}, {}}, {0, 1, 0, 1}}), ContainsSubstring("no places"));
  CHECK_THAT(refused({ids, {0, 1, 2, 0}}, {.ids = ids[0]}),
             ContainsSubstring("ids beside places (9 ids)"));
  CHECK_THAT(refused({ids, {0, 1, 2, 0}}, {.base = -1}), ContainsSubstring("base -1"));
  for (Index n = 0; n < x.size(); ++n) CHECK(x.data()[n] == before.data()[n]);
  CHECK(position::rope_sections(Tensor4<double>(1, 1, 0, 8), {{{}}, {0, 0, 0, 0}}).size() == 0);
}
