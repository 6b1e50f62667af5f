// The law that every mask and every composition obeys, over every tile of small score matrices and
// over tiles as kernels cut them; and the proof that the law's checker sees a mask that lies.
#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "heed/core/eigen.hpp"
#include "heed/mask/any.hpp"
#include "heed/mask/at.hpp"
#include "heed/mask/bigbird.hpp"
#include "heed/mask/blocks.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/dense.hpp"
#include "heed/mask/document.hpp"
#include "heed/mask/longformer.hpp"
#include "heed/mask/packed.hpp"
#include "heed/mask/padding.hpp"
#include "heed/mask/per_head.hpp"
#include "heed/mask/prefix.hpp"
#include "heed/mask/ragged.hpp"
#include "heed/mask/sinks.hpp"
#include "heed/mask/sparse_transformer.hpp"
#include "heed/mask/strided.hpp"
#include "heed/mask/tree.hpp"
#include "support/catch.hpp"
#include "support/law.hpp"
#include "support/scores.hpp"

namespace {

using heed::Index;
using heed::Shape;
using heed::mask::align;
using heed::mask::Coverage;
using heed::mask::Tile;
using heed::test::ContainsSubstring;
using heed::test::law_of;
using heed::test::Promise;
using heed::test::scores_shape;
namespace mask = heed::mask;

// A user's mask with a coverage of its own: the block diagonal.
struct SameBlock {
  int block;

  bool allows(int i, int j) const { return i / block == j / block; }
  Coverage coverage(Tile tile) const {
    const int first_query = tile.q_begin / block, last_query = (tile.q_end - 1) / block;
    const int first_key = tile.k_begin / block, last_key = (tile.k_end - 1) / block;
    if (last_query < first_key || last_key < first_query) return Coverage::Empty;
    const bool one = first_query == last_query && first_key == last_key;
    return one ? Coverage::Full : Coverage::Partial;
  }
};

struct Named {
  std::string name;
  mask::any any;
  Promise promise;
};

// Every built-in mask that fits a shape, and the tensors they refer to.
class Roster {
 public:
  explicit Roster(const Shape& shape)
      : pairs_(shape.B, shape.Hq, shape.Lq, shape.Lk),
        keys_(shape.B, shape.Lk),
        blocks_(shape.Lq, shape.Lk),
        columns_(shape.Lq, shape.Lk),
        layout_((shape.Lq + 4) / 5, (shape.Lk + 2) / 3) {
    std::mt19937 bits(7);
    for (Index b = 0; b < shape.B; ++b)
      lengths_.push_back(static_cast<int>((b + 1) * shape.Lk / 2));
    for (Index n = 0; n < pairs_.size(); ++n) pairs_.data()[n] = bits() % 8 != 0;
    for (Index n = 0; n < keys_.size(); ++n) keys_.data()[n] = static_cast<float>(bits() % 2);
    for (Index i = 0; i < shape.Lq; ++i) {
      for (Index j = 0; j < shape.Lk; ++j) {
        blocks_(i, j) = ((i / 20 + j / 50) % 2 == 0) != ((i * shape.Lk + j) % 331 == 5);
        columns_(i, j) = blocks_(i, j);
      }
    }
    for (Index n = 0; n < layout_.size(); ++n) layout_.data()[n] = bits() % 3 != 0;
    add_lengths(shape, bits);
    add("none", mask::None{});
    for (const align to : {align::end, align::start}) {
      add("causal", mask::causal(to));
      add("window(0, 0)", mask::window(0, 0, to));
      add("window(3, 1)", mask::window(3, 1, to));
      add("window(0, 70)", mask::window(0, 70, to));
      add("window(2^40, 2)", mask::window(Index{1} << 40, 2, to));
    }
    add("local(5)", mask::local(5));
    for (const int stride : {1, 2, 7, 64, 1000}) add("strided", mask::strided(stride));
    for (const int count : {0, 1, 4, 65, 1000}) add("global", mask::global(count));
    for (const int count : {0, 1, 3, 64, 1000}) {
      add("random", mask::random(count, 11), Promise::legal);
    }
    add("padding", mask::padding(lengths_));
    add("dense [B, H, Lq, Lk]", mask::dense(pairs_));
    add("dense [B, Lk]", mask::dense(keys_, mask::axes::keys));
    add("dense blocks", mask::dense(blocks_));
    add("dense blocks, by columns", mask::dense(columns_));
    add("bigbird", mask::bigbird(4, 1, 2, 5), Promise::legal);
    for (const align to : {align::end, align::start}) {
      for (const int n : {0, 1, 5, 64, 1000}) add("prefix", mask::prefix(n, to));
      for (const int dilation : {1, 2, 3, 7, 64, 1000}) {
        add("dilated(3, 1)", mask::dilated(3, 1, dilation, to));
        add("dilated(0, 70)", mask::dilated(0, 70, dilation, to));
      }
    }
    add("blocks", mask::blocks(layout_, 5, 3));
    for (const int dilation : {1, 3}) {
      add("longformer", mask::longformer(8, 2, dilation), Promise::legal);
    }
    for (const int size : {1, 2, 3, 8, 64, 1000}) {
      add("sparse_strided", mask::sparse_strided(size));
      for (const int summary : {0, 1, 2, size}) {
        if (summary <= size) add("sparse_fixed", mask::sparse_fixed(size, summary));
      }
    }
    for (Index h = 0; h < shape.Hq; ++h) {
      windows_.push_back(mask::window(h + 1, h));
      heads_.push_back(h % 2 == 0 ? mask::any(mask::causal()) : mask::any(mask::strided(3)));
    }
    add("strided & causal", mask::strided(3) & mask::causal(), Promise::legal);
    add("strided | strided", mask::strided(4) | (mask::strided(6) & mask::any(mask::strided(2))),
        Promise::legal);
    add("per head, of one type", mask::per_head(windows_));
    add("per head", mask::per_head(heads_));
    add("user's type", SameBlock{3});
    add(
        "lambda (i, j)", [](int i, int j) { return (i ^ j) % 3 == 0; }, Promise::legal);
    add(
        "lambda (b, h, i, j)", [](int b, int h, int i, int j) { return (b + h + i * j) % 2 == 0; },
        Promise::legal);
  }

  const std::vector<Named>& masks() const { return masks_; }

 private:
  void add(const char* name, const mask::any& any, Promise promise = Promise::exact) {
    masks_.push_back({name, any, promise});
  }

  // Documents: `length` ids in runs; where `spread`, later runs take ids up again.
  static std::vector<int> ids(Index length, bool spread, std::mt19937& bits) {
    std::vector<int> result;
    int id = -3;
    for (Index n = 0; n < length; ++n) {
      if (bits() % 4 == 0) id = spread ? static_cast<int>(bits() % 4) : id + 1;
      result.push_back(id);
    }
    return result;
  }

  // The ends of `count` sequences, some of them empty, in `length` positions.
  static std::vector<int> ends(Index length, int count, std::mt19937& bits) {
    std::vector<int> result{0, static_cast<int>(length)};
    for (int n = 1; n < count; ++n)
      result.push_back(static_cast<int>(bits() % static_cast<unsigned>(length + 1)));
    std::sort(result.begin(), result.end());
    return result;
  }

  void add_lengths(const Shape& shape, std::mt19937& bits) {
    for (const bool spread : {false, true}) {
      key_ids_[spread ? 1 : 0] = ids(shape.B * shape.Lk, spread, bits);
      query_ids_[spread ? 1 : 0] = ids(shape.Lq, spread, bits);
      add("document", mask::document(query_ids_[spread ? 1 : 0], key_ids_[spread ? 1 : 0]));
      if (shape.Lq > shape.Lk) continue;
      add("document, shared ids", mask::document(key_ids_[spread ? 1 : 0]));
    }
    query_ends_ = ends(shape.Lq, 4, bits);
    key_ends_ = ends(shape.Lk, 4, bits);
    add("packed", mask::packed(query_ends_, key_ends_));
    add("packed, causal", mask::packed(query_ends_, key_ends_, mask::causal()));
    add("packed, any", mask::packed(query_ends_, key_ends_, ~mask::any(mask::window(2, 1))));
    if (shape.Lq == shape.Lk) add("packed, shared", mask::packed(key_ends_));
    for (Index b = 0; b < shape.B; ++b) prompts_.push_back(static_cast<int>((3 * b + 1) % 7));
    add("prefix of each batch", mask::prefix(prompts_));
    for (Index b = 0; b < shape.B; ++b) {
      query_lengths_.push_back(static_cast<short>(shape.Lq - shape.Lq / 4));
      key_lengths_.push_back(static_cast<std::size_t>(shape.Lk - shape.Lk / (b + 3)));
    }
    add("ragged, causal", mask::ragged(query_lengths_, key_lengths_, mask::causal()));
    add("ragged in front",
        mask::ragged(query_lengths_, key_lengths_, mask::window(2, 1), mask::pad::front));
    for (const Index offset : {-3, 0, 5, 90}) {
      add("causal at", mask::at(offset, mask::causal()));
      add("dilated at", mask::at(offset, mask::dilated(3, 1, 2)));
      add("global at", mask::at(offset, mask::global(4)));
      add("sparse_fixed at", mask::at(offset, mask::sparse_fixed(4, 1)), Promise::legal);
    }
    for (int n = 0; n < shape.Lk && n < 40; ++n) {
      parents_.push_back(n % 7 == 0 ? -1 : static_cast<int>(bits() % static_cast<unsigned>(n)));
    }
    add("tree", mask::tree(parents_));
    for (Index n = 0; n < shape.B * (shape.Lk / 2); ++n) {
      const Index token = n % (shape.Lk / 2);
      drafted_.push_back(token % 3 == 0 ? -1
                                        : static_cast<int>(bits() % static_cast<unsigned>(token)));
    }
    add("trees behind a text", mask::tree(drafted_, shape.Lk / 2));
    add("sinks", mask::causal() & (mask::window(3, 0) | mask::sinks(2)), Promise::legal);
  }

  std::vector<int> lengths_, parents_, drafted_;
  std::vector<std::size_t> key_lengths_;
  std::vector<short> query_lengths_;
  std::vector<int> key_ids_[2], query_ids_[2], query_ends_, key_ends_, prompts_;
  std::vector<mask::Window> windows_;
  std::vector<mask::any> heads_;
  heed::Tensor4<bool> pairs_;
  heed::Tensor2<float> keys_;
  heed::Tensor2<bool> blocks_;  // long runs of the same, here and there one that is not
  Eigen::Tensor<bool, 2> columns_;
  heed::Tensor2<bool> layout_;
  std::vector<Named> masks_;
};

// A random expression of & | ~ over the roster, `depth` levels deep.
mask::any compose(const Roster& roster, int depth, std::mt19937& random) {
  if (depth == 0) return roster.masks()[random() % roster.masks().size()].any;
  const mask::any a = compose(roster, depth - 1, random);
  switch (random() % 3) {
    case 0:
      return a & compose(roster, depth - 1, random);
    case 1:
      return a | compose(roster, depth - 1, random);
    default:
      return ~a;
  }
}

std::string check_heads(const mask::any& any, const Shape& shape, Promise promise,
                        const std::vector<int>& cuts) {
  any.check(shape);
  for (Index b = 0; b < shape.B; ++b) {
    for (Index h = 0; h < shape.Hq; ++h) {
      const std::string wrong = law_of(any, shape, b, h).check(cuts, promise);
      if (!wrong.empty()) return wrong;
    }
  }
  return {};
}

const std::vector<int> every_cut = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
const std::vector<int> tile_cuts = {0, 1, 3, 62, 63, 64, 65, 66, 126, 127, 128, 129, 130};
constexpr Index around_tiles[][2] = {{63, 65},   {64, 64},  {65, 63}, {127, 130},
                                     {130, 127}, {128, 64}, {64, 129}};

}  // namespace

TEST_CASE("every mask and its complement tell the truth about every tile of small shapes") {
  for (Index Lq = 0; Lq <= 12; ++Lq) {
    for (Index Lk = 0; Lk <= 12; ++Lk) {
      const Shape shape = scores_shape(Lq == 7 ? 2 : 1, Lk == 5 ? 3 : 1, Lq, Lk);
      const Roster roster(shape);
      for (const Named& named : roster.masks()) {
        INFO(named.name << ", " << Lq << " by " << Lk);
        REQUIRE(check_heads(named.any, shape, named.promise, every_cut) == "");
        REQUIRE(check_heads(~named.any, shape, named.promise, every_cut) == "");
      }
    }
  }
}

TEST_CASE("compositions tell the truth about every tile of small shapes") {
  std::mt19937 random(3);
  for (const Index Lq : {1, 2, 5, 12}) {
    for (const Index Lk : {1, 3, 8, 11}) {
      const Shape shape = scores_shape(2, 2, Lq, Lk);
      const Roster roster(shape);
      for (int n = 0; n < 60; ++n) {
        INFO("composition " << n << ", " << Lq << " by " << Lk);
        const mask::any any = compose(roster, 1 + n % 3, random);
        REQUIRE(check_heads(any, shape, Promise::legal, every_cut) == "");
      }
    }
  }
}

TEST_CASE("masks and compositions tell the truth about tiles as kernels cut them") {
  std::mt19937 random(4);
  for (const auto& lengths : around_tiles) {
    const Shape shape = scores_shape(lengths[0], lengths[1]);
    const Roster roster(shape);
    for (const Named& named : roster.masks()) {
      INFO(named.name << ", " << shape.Lq << " by " << shape.Lk);
      REQUIRE(check_heads(named.any, shape, named.promise, tile_cuts) == "");
    }
    for (int n = 0; n < 8; ++n) {
      INFO("composition " << n << ", " << shape.Lq << " by " << shape.Lk);
      REQUIRE(check_heads(compose(roster, 2, random), shape, Promise::legal, tile_cuts) == "");
    }
  }
}

TEST_CASE("a composition of types is the composition of what they allow") {
  const Shape shape = scores_shape(1, 2, 9, 11);
  const auto odd = [](int i, int j) { return (i + j) % 2 == 1; };
  const auto composed =
      (mask::causal() & ~mask::window(1, 0)) | (mask::global(2) & odd) | ~(odd | mask::strided(3));
  const auto bound = mask::bind(composed, shape, 0, 1);
  const auto causal = mask::bind(mask::causal(), shape, 0, 1);
  const auto window = mask::bind(mask::window(1, 0), shape, 0, 1);
  const auto global = mask::bind(mask::global(2), shape, 0, 1);
  for (int i = 0; i < 9; ++i) {
    for (int j = 0; j < 11; ++j) {
      const bool expected = (causal.allows(i, j) && !window.allows(i, j)) ||
                            (global.allows(i, j) && odd(i, j)) || !(odd(i, j) || j % 3 == 0);
      REQUIRE(bound.allows(i, j) == expected);
    }
  }
  CHECK(law_of(composed, shape, 0, 1).check_all() == "");
}

TEST_CASE("a random mask is exact wherever its keys are fewer than a tile is wide") {
  for (const int count : {0, 1, 2, 3, 5}) {
    const Shape shape = scores_shape(9, 12);
    const auto law = law_of(mask::random(count, 9), shape);
    for (int q = 0; q < 9; ++q) {
      for (int k = 0; k + count <= 12; ++k) {
        for (int rows = 1; q + rows <= 9; ++rows) {
          const int width = count == 0 ? 1 : count;
          if (k + width > 12) continue;
          REQUIRE(law.check_coverage({q, q + rows, k, k + width}, Promise::exact) == "");
        }
      }
    }
  }
}

namespace {

// Masks that lie, each in its own way.
struct FullTooEarly {
  bool allows(int i, int j) const { return j <= i; }
  Coverage coverage(Tile tile) const {
    if (tile.k_begin >= tile.q_end) return Coverage::Empty;
    return tile.k_end - 1 <= tile.q_begin + 1 ? Coverage::Full : Coverage::Partial;
  }
};

struct EmptyTooEarly {
  bool allows(int i, int j) const { return j <= i; }
  Coverage coverage(Tile tile) const {
    return tile.k_begin >= tile.q_end - 1 ? Coverage::Empty : Coverage::Partial;
  }
};

struct NeverSure {
  bool allows(int i, int j) const { return j <= i; }
  Coverage coverage(Tile) const { return Coverage::Partial; }
};

struct CoversTooLittle {
  bool allows(int i, int j) const { return j <= i; }
  Coverage coverage(Tile) const { return Coverage::Partial; }
  void cover(const mask::CoverageGrid& cells, std::uint8_t* found, Index stride) const {
    for (int r = 0; r < cells.rows(); ++r, found += stride) {
      for (int c = 0; c < cells.columns(); ++c) found[c] = c == 0 ? 1 : 0;
    }
  }
};

struct StepsTooFar {
  bool allows(int, int j) const { return j % 2 == 0; }
  Coverage coverage(Tile) const { return Coverage::Partial; }
  int key_stride() const { return 4; }
};

struct StepsBesideKeys {
  bool allows(int, int j) const { return j % 2 == 0; }
  Coverage coverage(Tile) const { return Coverage::Partial; }
  Coverage coverage_of_every(int, Tile) const { return Coverage::Full; }
};

struct FillsTransposed {
  bool allows(int i, int j) const { return j <= i; }
  Coverage coverage(Tile) const { return Coverage::Partial; }
  void fill(Tile tile, std::uint8_t* allowed, Index stride) const {
    for (int i = tile.q_begin; i < tile.q_end; ++i, allowed += stride) {
      for (int j = tile.k_begin; j < tile.k_end; ++j) allowed[j - tile.k_begin] = i <= j;
    }
  }
};

struct FillsTooWide {
  bool allows(int, int) const { return true; }
  Coverage coverage(Tile) const { return Coverage::Full; }
  void fill(Tile tile, std::uint8_t* allowed, Index stride) const {
    for (int i = tile.q_begin; i < tile.q_end; ++i, allowed += stride) {
      for (int j = tile.k_begin; j <= tile.k_end; ++j) allowed[j - tile.k_begin] = 1;
    }
  }
};

}  // namespace

TEST_CASE("the law's checker sees masks that lie") {
  const Shape shape = scores_shape(4, 4);
  CHECK_THAT(law_of(FullTooEarly{}, shape).check_all(), ContainsSubstring("Full is wrong"));
  CHECK_THAT(law_of(EmptyTooEarly{}, shape).check_all(), ContainsSubstring("Empty is wrong"));
  CHECK_THAT(law_of(NeverSure{}, shape).check_all(Promise::exact), ContainsSubstring("should be"));
  CHECK(law_of(NeverSure{}, shape).check_all() == "");
  CHECK_THAT(law_of(FillsTransposed{}, shape).check_all(), ContainsSubstring("fill differs"));
  CHECK_THAT(law_of(CoversTooLittle{}, shape).check_all(), ContainsSubstring("cover's Empty"));
  CHECK_THAT(law_of(StepsTooFar{}, shape).check_all(), ContainsSubstring("leaves out a key"));
  CHECK_THAT(law_of(StepsBesideKeys{}, shape).check_all(),
             ContainsSubstring("Full of every step-th key"));
  CHECK_THAT(law_of(FillsTooWide{}, shape).check_all(), ContainsSubstring("beside the tile"));
  CHECK_THAT(law_of(mask::any(FullTooEarly{}) & mask::None{}, shape).check_all(),
             ContainsSubstring("Full is wrong"));
}
