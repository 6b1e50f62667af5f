#include "heed/mask/ragged.hpp"

#include <cstdint>
#include <vector>

#include "heed/mask/any.hpp"
#include "heed/mask/at.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/dilated.hpp"
#include "heed/mask/sinks.hpp"
#include "heed/mask/window.hpp"
#include "support/catch.hpp"
#include "support/copies.hpp"
#include "support/error.hpp"
#include "support/law.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::Shape;
using heed::mask::pad;
using heed::mask::ragged;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::law_of;
using heed::test::Promise;
using heed::test::scores_shape;
namespace mask = heed::mask;
using Lengths = std::vector<std::int64_t>;

// True where each entry of `whole` over [B, Lq, Lk] is `inside` for a call of its
// lengths, padded as `where` says, and nothing else is seen.
template <class Whole, class Inside>
bool is_each_call(const Whole& whole, const Shape& shape, const Lengths& queries,
                  const Lengths& keys, const Inside& inside, pad where,
                  Promise promise = Promise::exact) {
  mask::check(whole, shape);
  for (Index b = 0; b < shape.B; ++b) {
    const auto n = static_cast<std::size_t>(b);
    const auto bound = mask::bind(whole, shape, b, 0);
    const auto own = mask::bind(inside, scores_shape(shape.B, 1, queries[n], keys[n]), b, 0);
    const Index q0 = where == pad::back ? 0 : shape.Lq - queries[n];
    const Index k0 = where == pad::back ? 0 : shape.Lk - keys[n];
    for (Index i = 0; i < shape.Lq; ++i) {
      for (Index j = 0; j < shape.Lk; ++j) {
        const bool exists = i >= q0 && i < q0 + queries[n] && j >= k0 && j < k0 + keys[n];
        const bool seen = exists && own.allows(static_cast<int>(i - q0), static_cast<int>(j - k0));
        if (bound.allows(static_cast<int>(i), static_cast<int>(j)) != seen) return false;
      }
    }
    if (!law_of(whole, shape, b, 0).check_all(promise).empty()) return false;
  }
  return true;
}

template <class Mask>
std::string complaint(const Mask& mask, Index Lq, Index Lk) {
  return error_of([&] { heed::mask::check(mask, scores_shape(2, 3, Lq, Lk)); });
}

}  // namespace

TEST_CASE("each ragged entry is a call of its own lengths") {
  const Shape shape = scores_shape(4, 1, 3, 9);
  const Lengths keys = {9, 3, 6, 0}, all = {3, 3, 3, 3};
  const auto streaming = mask::causal() & (mask::window(2, 0) | mask::sinks(1));
  for (const pad where : {pad::back, pad::front}) {
    CHECK(
        is_each_call(ragged(keys, mask::causal(), where), shape, all, keys, mask::causal(), where));
    CHECK(is_each_call(ragged(keys, mask::window(2, 1), where), shape, all, keys,
                       mask::window(2, 1), where));
    CHECK(is_each_call(ragged(keys, mask::any(streaming), where), shape, all, keys, streaming,
                       where, Promise::legal));
    const Lengths padded_keys = {7, 2, 5, 0}, queries = {2, 3, 0, 1};
    CHECK(is_each_call(ragged(queries, padded_keys, mask::causal(), where), shape, queries,
                       padded_keys, mask::causal(), where));
    CHECK(is_each_call(ragged(queries, padded_keys, mask::None{}, where), shape, queries,
                       padded_keys, mask::None{}, where));
  }
}

TEST_CASE("padded prompts: queries and keys of the same lengths") {
  const Shape shape = scores_shape(3, 1, 6, 6);
  const std::vector<int> lengths = {6, 1, 4};
  const auto bound = mask::bind(ragged(lengths, lengths, mask::causal()), shape, 2, 0);
  for (int i = 0; i < 6; ++i) {
    for (int j = 0; j < 6; ++j) CHECK(bound.allows(i, j) == (i < 4 && j <= i));
  }
}

TEST_CASE("a braced list of lengths is kept, and goes to the device") {
  const auto kept = ragged({4, 9}, mask::causal());
  const Shape shape = scores_shape(2, 1, 1, 9);
  CHECK(law_of(kept, shape, 0, 0).allowed() == 4);
  CHECK(law_of(ragged({1, 0}, {4, 9}), shape, 1, 0).allowed() == 0);
  heed::test::Copies arena;
  const auto there = mask::to_device(kept, arena);
  static_assert(std::is_trivially_copyable_v<std::remove_const_t<decltype(there)>>);
  CHECK(law_of(there, shape, 0, 0).allowed() == 4);
  std::vector<short> lengths = {4, 9};
  const auto copied = mask::to_device(ragged(lengths, mask::causal()), arena);
  lengths[0] = 7;
  CHECK(law_of(copied, shape, 0, 0).allowed() == 4);
  CHECK(arena.count() == 2);
}

TEST_CASE("lengths outside the call are refused, and queries that must be padded too") {
  const std::vector<int> good = {5, 8}, few = {5, 2}, three = {1, 2, 3}, far = {5, 9};
  const std::vector<std::uint64_t> huge = {5, ~std::uint64_t{0}};
  CHECK(complaint(ragged(good, mask::causal()), 5, 8).empty());
  CHECK_THAT(complaint(ragged(few, mask::causal()), 5, 8),
             ContainsSubstring("batch entry 1 has 2 keys but 5 queries; where queries are padded"));
  CHECK(complaint(ragged(few, few, mask::causal()), 5, 8).empty());
  CHECK_THAT(complaint(ragged(three, mask::causal()), 1, 8),
             ContainsSubstring("heed::mask::ragged: 3 lengths for a batch of 2"));
  CHECK_THAT(complaint(ragged(far, mask::causal()), 1, 8),
             ContainsSubstring("length 9 is outside 0 … 8 keys"));
  CHECK_THAT(complaint(ragged(huge, mask::causal()), 1, 8),
             ContainsSubstring("length 18446744073709551615 is outside 0 … 8 keys"));
  CHECK_THAT(complaint(ragged(far, good, mask::causal()), 8, 8),
             ContainsSubstring("length 9 is outside 0 … 8 queries"));
  CHECK_THAT(error_of([] { mask::sinks(-1); }), ContainsSubstring("heed::mask::sinks: count -1"));
}

TEST_CASE("a mask at an offset is the mask with the queries there") {
  const Lengths offsets = {-2, 0, 4, 20};
  const Shape shape = scores_shape(4, 1, 3, 9);
  const auto causal = mask::at(offsets, mask::causal());
  const auto window = mask::at(offsets, mask::window(2, 1));
  const auto dilated = mask::at(offsets, mask::any(mask::dilated(3, 1, 2)));
  mask::check(causal, shape);
  for (Index b = 0; b < 4; ++b) {
    const Index first = offsets[static_cast<std::size_t>(b)];
    const auto one = mask::bind(mask::at(first, mask::causal()), shape, 0, 0);
    for (int i = 0; i < 3; ++i) {
      for (int j = 0; j < 9; ++j) {
        const Index p = first + i;
        CAPTURE(b, i, j);
        CHECK(mask::bind(causal, shape, b, 0).allows(i, j) == (j <= p));
        CHECK(one.allows(i, j) == (j <= p));
        CHECK(mask::bind(window, shape, b, 0).allows(i, j) == (j >= p - 2 && j <= p + 1));
        CHECK(mask::bind(dilated, shape, b, 0).allows(i, j) ==
              (j >= p - 6 && j <= p + 2 && (j - p) % 2 == 0));
      }
    }
    CHECK(law_of(causal, shape, b, 0).check_all(Promise::exact) == "");
    CHECK(law_of(window, shape, b, 0).check_all(Promise::exact) == "");
    CHECK(law_of(dilated, shape, b, 0).check_all() == "");
  }
  const auto start = mask::at(3, mask::causal(mask::align::start));
  CHECK(law_of(start, shape).allowed({0, 1, 0, 9}) == 1);
  heed::test::Copies arena;
  CHECK(law_of(mask::to_device(causal, arena), shape, 2, 0).allowed() == 5 + 6 + 7);
  CHECK(law_of(mask::to_device(mask::at({0, 7}, mask::causal()), arena), shape, 1, 0).allowed() ==
        8 + 9 + 9);
}

TEST_CASE("offsets beyond any position are refused, those at the ends are not") {
  const Shape shape = scores_shape(1, 1, 2, heed::test::longest);
  const Lengths last = {heed::test::longest}, past = {Index{1} << 31};
  const auto bound = mask::bind(mask::at(last, mask::window(0)), shape, 0, 0);
  CHECK(bound.coverage({0, 2, heed::test::longest - 9, heed::test::longest}) ==
        mask::Coverage::Empty);
  const auto lowest = mask::bind(mask::at(-last[0], mask::window(last[0])), shape, 0, 0);
  CHECK(lowest.allows(0, 0));
  CHECK_FALSE(lowest.allows(0, 1));
  CHECK_THAT(complaint(mask::at(past, mask::causal()), 2, 2), ContainsSubstring("1 offsets"));
  CHECK_THAT(error_of([&] { mask::check(mask::at(past, mask::causal()), shape); }),
             ContainsSubstring("heed::mask::at: offset 2147483648 is outside"));
  CHECK_THAT(error_of([&] { mask::check(mask::at(-(Index{1} << 40), mask::causal()), shape); }),
             ContainsSubstring("heed::mask::at: offset -1099511627776"));
}
