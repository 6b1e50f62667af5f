// Masks that hold memory answer the same from a copy of it, as a kernel on a device asks them.
#include "heed/mask/to_device.hpp"

#include <type_traits>
#include <vector>

#include "heed/core/eigen.hpp"
#include "heed/mask/blocks.hpp"
#include "heed/mask/document.hpp"
#include "heed/mask/packed.hpp"
#include "heed/mask/padding.hpp"
#include "heed/mask/per_head.hpp"
#include "heed/mask/prefix.hpp"
#include "heed/mask/sparse_transformer.hpp"
#include "heed/mask/tree.hpp"
#include "support/catch.hpp"
#include "support/copies.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::test::Copies;
using heed::test::scores_shape;
namespace mask = heed::mask;

// Checks that the mask of `make` is the same from a copy, once the memory it referred to has
// changed.
template <class Make, class Spoil>
void check_copy(const Make& make, const Spoil& spoil, std::size_t blocks) {
  const auto shape = scores_shape(2, 3, 6, 6);
  std::vector<bool> before;
  Copies arena;
  const auto original = make();
  const auto there = mask::to_device(original, arena);
  using Bound = decltype(mask::bind(there, shape, 0, 0));
  static_assert(std::is_trivially_copyable_v<std::remove_const_t<decltype(there)>>);
  static_assert(std::is_trivially_copyable_v<Bound>);
  const auto answers = [&](const auto& any) {
    std::vector<bool> all;
    for (Index b = 0; b < 2; ++b) {
      for (Index h = 0; h < 3; ++h) {
        const auto bound = mask::bind(any, shape, b, h);
        for (int i = 0; i < 6; ++i) {
          for (int j = 0; j < 6; ++j) {
            all.push_back(bound.allows(i, j));
            all.push_back(bound.coverage({i, 6, 0, j + 1}) == mask::Coverage::Full);
          }
        }
      }
    }
    return all;
  };
  const auto expected = answers(original);
  spoil();
  CHECK(answers(original) != expected);
  CHECK(answers(there) == expected);
  CHECK(arena.count() == blocks);
}

}  // namespace

TEST_CASE("masks answer the same from copied memory") {
  std::vector<int> ids = {0, 0, 1, 1, 1, 4}, other = {4, 1, 1, 1, 0, 0};
  std::vector<int> parents = {-1, 0, 1};
  check_copy([&] { return mask::document(ids); }, [&] { ids[0] = 9; }, 1);
  check_copy([&] { return mask::tree(parents); }, [&] { parents[1] = -1; }, 1);
  check_copy([&] { return mask::document(other, ids); }, [&] { other[0] = 9; }, 2);
  std::vector<int> ends = {0, 2, 5, 6}, key_ends = {0, 1, 4, 6};
  check_copy([&] { return mask::packed(ends, mask::causal()); }, [&] { ends[1] = 1; }, 1);
  check_copy([&] { return mask::packed(ends, key_ends); }, [&] { key_ends[1] = 3; }, 2);
  std::vector<int> lengths = {3, 5};
  check_copy([&] { return mask::padding(lengths); }, [&] { lengths[1] = 2; }, 1);
  check_copy([&] { return mask::prefix(lengths); }, [&] { lengths[0] = 1; }, 1);
  heed::Tensor2<bool> layout(3, 2);
  for (Index n = 0; n < 6; ++n) layout.data()[n] = n % 2 == 0;
  check_copy([&] { return mask::blocks(layout, 2, 3); }, [&] { layout(0, 0) = false; }, 1);
  std::vector<mask::Window> windows = {mask::window(0), mask::window(1), mask::window(0, 5)};
  check_copy([&] { return mask::per_head(windows); }, [&] { windows[2] = mask::window(0); }, 1);
  check_copy([&] { return mask::document(ids) & ~mask::packed(ends, mask::padding(lengths)); },
             [&] { ids[3] = 0; }, 3);
}

TEST_CASE("masks without memory go as they are") {
  Copies arena;
  const auto there = mask::to_device(mask::sparse_fixed(3, 1) | mask::sparse_strided(2), arena);
  CHECK(mask::bind(there, scores_shape(6, 6), 0, 0).allows(5, 2));
  CHECK(arena.count() == 0);
}
