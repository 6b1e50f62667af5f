// The decoder on a small model of random weights, and on SmolLM2 where it is there, against the
// obvious one in double.
#include <sys/resource.h>

#include "models/llama.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <new>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "heed/core/error.hpp"
#include "llama_reference.hpp"
#include "models/byte_pair_tokenizer.hpp"
#include "models/cached_tokens.hpp"
#include "models/layer_caches.hpp"
#include "models/model_folder.hpp"
#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/temporary_file.hpp"
#include "tiny_llama.hpp"

namespace {

using heed::Index;
using heed::Tensor2;
using heed::Tensor4;
using heed::models::CacheFormat;
using heed::models::Gguf;
using heed::models::Llama;
using heed::models::LlamaOptions;
using heed::models::LlamaSequence;
using heed::models::TokenId;
using heed::models::WeightFormat;
using heed::models::test::GgufFile;
using heed::models::test::LlamaReference;
using heed::models::test::TinyLlama;
using heed::test::ContainsSubstring;
using heed::test::error_of;
using heed::test::TemporaryFile;
using namespace std::string_literals;
using Ids = std::vector<TokenId>;

const Gguf& tiny_file() {
  static const TemporaryFile on_disk(TinyLlama().bytes());
  static const Gguf read(on_disk.path());
  return read;
}
const Llama& tiny() {
  static const Llama made(tiny_file(), {.threads = 2});
  return made;
}

Ids some_ids(std::size_t n) {
  Ids ids;
  for (std::size_t i = 0; i < n; ++i) ids.push_back(static_cast<TokenId>((i * 37 + 11) % 90));
  return ids;
}

Index best_of(const double* logits, Index size) {
  return std::max_element(logits, logits + size) - logits;
}

// Logits are near the reference's; the best is the same where it leads by more than 0.01.
void check_logits(const Tensor2<float>& logits, const std::vector<std::vector<double>>& expected,
                  double tolerance) {
  REQUIRE(logits.dimension(0) == static_cast<Index>(expected.size()));
  for (Index i = 0; i < logits.dimension(0); ++i) {
    const std::vector<double>& row = expected[static_cast<std::size_t>(i)];
    double worst = 0;
    std::vector<double> own;
    for (Index j = 0; j < logits.dimension(1); ++j) {
      own.push_back(static_cast<double>(logits(i, j)));
      worst = std::max(worst, std::abs(own.back() - row[static_cast<std::size_t>(j)]));
    }
    INFO("token " << i);
    CHECK(worst < tolerance);
    std::vector<double> sorted = row;
    std::ranges::sort(sorted, std::greater<>());
    if (sorted[0] - sorted[1] <= 0.01) continue;
    CHECK(best_of(own.data(), logits.dimension(1)) == best_of(row.data(), logits.dimension(1)));
  }
}

bool same(const Tensor2<float>& a, Index row_a, const Tensor2<float>& b, Index row_b) {
  const float* x = a.data() + row_a * a.dimension(1);
  return std::equal(x, x + a.dimension(1), b.data() + row_b * b.dimension(1));
}

// The distance from logits of the reference, as a share of theirs.
double distance(const Tensor2<float>& logits, const std::vector<std::vector<double>>& expected,
                std::size_t first = 0) {
  double squares = 0, of_reference = 0;
  for (Index i = 0; i < logits.dimension(0); ++i) {
    const std::vector<double>& row = expected[first + static_cast<std::size_t>(i)];
    for (Index j = 0; j < logits.dimension(1); ++j) {
      const double wanted = row[static_cast<std::size_t>(j)];
      squares += std::pow(static_cast<double>(logits(i, j)) - wanted, 2);
      of_reference += wanted * wanted;
    }
  }
  return std::sqrt(squares / of_reference);
}

// Formats of a cache, and how far they may move the logits of the tiny model, as a share of them.
struct FormatCase {
  CacheFormat format;
  double tolerance;
};
constexpr FormatCase formats[] = {{CacheFormat::float32, 1e-5}, {CacheFormat::paged, 1e-5},
                                  {CacheFormat::half, 4e-3},    {CacheFormat::bfloat16, 3e-2},
                                  {CacheFormat::k8v8, 6e-2},    {CacheFormat::k8v4, 0.4},
                                  {CacheFormat::k4v4, 0.6}};

// [1, 2, n, 16], not periodic in any extent.
Tensor4<float> wavy(Index n, float phase) {
  Tensor4<float> x(1, 2, n, 16);
  for (Index i = 0; i < x.size(); ++i)
    x.data()[i] = std::sin(phase + static_cast<float>(i * i % 9973));
  return x;
}

float largest_difference(const Tensor4<float>& a, const Tensor4<float>& b) {
  float largest = 0;
  for (Index i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(a.data()[i] - b.data()[i]));
  }
  return largest;
}

// Tokens of x at `places`.
Tensor4<float> tokens_at(const Tensor4<float>& x, const std::vector<Index>& places) {
  Tensor4<float> some(1, x.dimension(1), std::ssize(places), x.dimension(3));
  for (std::size_t n = 0; n < places.size(); ++n) {
    some.chip(static_cast<Index>(n), 2) = x.chip(places[n], 2);
  }
  return some;
}

// The most memory that this process has had.
long peak_kilobytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

}  // namespace

TEST_CASE("logits are the reference's, of codes and of floats") {
  const Ids ids = some_ids(40);
  const auto expected = LlamaReference(tiny_file()).forward(ids);
  LlamaSequence sequence = tiny().start();
  check_logits(tiny().forward(ids, sequence, 40), expected, 2e-4);
  CHECK(sequence.length() == 40);
  const Llama floats(tiny_file(), {.weights = WeightFormat::floats, .threads = 1});
  LlamaSequence of_floats = floats.start();
  check_logits(floats.forward(ids, of_floats, 40), expected, 2e-4);
  CHECK(floats.weight_bytes() > 2 * tiny().weight_bytes());
}

TEST_CASE("weights in bfloat16 have the logits of floats that are rounded to it") {
  TinyLlama rounded;
  rounded.rounded = true;
  const TemporaryFile on_disk(rounded.bytes());
  const Gguf file(on_disk.path());
  const Ids ids = some_ids(40);
  const auto expected = LlamaReference(file).forward(ids);
  const Llama floats(file, {.weights = WeightFormat::floats, .threads = 1});
  const Llama kept(file, {.threads = 2});
  const Llama made(tiny_file(), {.weights = WeightFormat::bfloat16, .threads = 2});
  LlamaSequence whole = kept.start(), of_made = made.start(), of_floats = floats.start();
  const Tensor2<float> logits = kept.forward(ids, whole, 40);
  check_logits(logits, expected, 2e-4);
  const Tensor2<float> made_logits = made.forward(ids, of_made, 40);
  const Tensor2<float> float_logits = floats.forward(ids, of_floats, 40);
  for (Index i = 0; i < 40; ++i) {
    CHECK(same(made_logits, i, logits, i));
    CHECK(same(float_logits, i, logits, i));
  }
  CHECK(distance(logits, LlamaReference(tiny_file()).forward(ids)) > 1e-4);
  CHECK(2 * kept.weight_bytes() == floats.weight_bytes());
  CHECK(made.weight_bytes() == kept.weight_bytes());
  LlamaSequence single = kept.start();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    check_logits(kept.forward(std::span(ids).subspan(i, 1), single), {expected[i]}, 2e-4);
  }
}

TEST_CASE("a weight in bfloat16 is refused beyond its largest, and of odd rows stays in floats") {
  const auto file_of = [](std::uint64_t in, float last) {
    std::string data;
    for (std::uint64_t n = 1; n < in; ++n) data += heed::models::test::bytes_of(0.3F);
    GgufFile file;
    file.tensor("w", {in, 1}, 0, data + heed::models::test::bytes_of(last));
    return TemporaryFile(file.bytes());
  };
  const auto weight_of = [](const TemporaryFile& on_disk, Index in) {
    return heed::models::ModelWeight(Gguf(on_disk.path()), {{"w", 1}}, in, WeightFormat::bfloat16);
  };
  std::vector<float> row(40);
  weight_of(file_of(32, 3.3e38F), 32).row_into(0, row.data());
  CHECK(row[0] == static_cast<float>(heed::BFloat16(0.3F)));
  CHECK(row[31] == static_cast<float>(heed::BFloat16(3.3e38F)));
  CHECK_THAT(error_of([&] { weight_of(file_of(32, 3.4e38F), 32); }),
             ContainsSubstring("\"w\" has elements beyond the largest bfloat16"));
  weight_of(file_of(40, 3.4e38F), 40).row_into(0, row.data());
  CHECK(row[0] == 0.3F);
  CHECK(row[39] == 3.4e38F);
}

TEST_CASE("tokens one by one, in pieces and after a rollback have the logits of one call") {
  const Ids ids = some_ids(30);
  LlamaSequence whole = tiny().start(), single = tiny().start();
  const Tensor2<float> expected = tiny().forward(ids, whole, 30);
  const auto near = [&](const Tensor2<float>& logits, std::size_t token) {
    for (Index j = 0; j < logits.dimension(1); ++j) {
      const float wanted = expected(static_cast<Index>(token), j);
      if (std::abs(logits(logits.dimension(0) - 1, j) - wanted) > 1e-4F) return false;
    }
    return true;
  };
  for (std::size_t i = 0; i < ids.size(); ++i) {
    CHECK(near(tiny().forward(std::span(ids).subspan(i, 1), single), i));
  }
  single.truncate(11);
  CHECK(near(tiny().forward(std::span(ids).subspan(11, 3), single), 13));
  CHECK(near(tiny().forward(std::span(ids).subspan(14, 16), single), 29));
}

TEST_CASE("each cache has the reference's logits, and the same bits however a text is cut") {
  const Ids ids = some_ids(70);
  const auto expected = LlamaReference(tiny_file()).forward(ids);
  for (const FormatCase& of : formats) {
    INFO(std::string(name_of(of.format)));
    LlamaSequence whole = tiny().start(of.format), cut = tiny().start(of.format);
    const Tensor2<float> logits = tiny().forward(ids, whole, 70);
    CHECK(distance(logits, expected) < of.tolerance);
    CHECK(whole.format() == of.format);
    CHECK(whole.bytes() <= whole.allocated_bytes());
    // Products with weights have an order for more than 12 tokens a call, and one for fewer.
    tiny().forward(std::span(ids).first(33), cut);
    CHECK(same(tiny().forward(std::span(ids).subspan(33), cut, 37), 36, logits, 69));
    cut.truncate(41);
    CHECK(same(tiny().forward(std::span(ids).subspan(41), cut, 29), 28, logits, 69));
    LlamaSequence single = tiny().start(of.format), few = tiny().start(of.format);
    for (std::size_t i = 0; i < 30; i += 10) {
      const auto piece = tiny().forward(std::span(ids).subspan(i, 10), few, 10);
      for (std::size_t j = 0; j < 10; ++j) {
        const auto one = tiny().forward(std::span(ids).subspan(i + j, 1), single);
        CHECK(same(one, 0, piece, static_cast<Index>(j)));
      }
    }
  }
}

TEST_CASE("a format that is none is refused") {
  const auto make = [] { heed::models::make_layer_caches(CacheFormat{77}, 1, {1, 1, 16, 16}); };
  CHECK_THAT(error_of(make), ContainsSubstring("there is no cache format 77"));
}

TEST_CASE("tokens of a cache are read, kept, replaced and given more room") {
  const Index n = 70;
  const Tensor4<float> k = wavy(n, 1), v = wavy(n, 2);
  const float bounds[] = {0, 0, 5e-4F, 4e-3F, 0.02F, 0.3F, 0.3F};
  const std::vector<Index> kept{1, 2, 37}, left{0, 1, 2, 4, 5, 40};
  for (std::size_t c = 0; c < std::size(formats); ++c) {
    INFO(std::string(name_of(formats[c].format)));
    const auto caches = heed::models::make_layer_caches(formats[c].format, 2, {1, 2, 16, 16});
    const auto read = [&](Index first, Index count) {
      std::pair<Tensor4<float>, Tensor4<float>> tokens(Tensor4<float>(1, 2, count, 16),
                                                       Tensor4<float>(1, 2, count, 16));
      caches->read(1, first, tokens.first, tokens.second);
      return tokens;
    };
    const auto append = [&] {
      for (const Index layer : {0, 1}) caches->append(layer, heed::view_of(k), heed::view_of(v));
    };
    append();
    const auto before = read(0, n);
    CHECK(largest_difference(before.first, k) <= bounds[c]);
    CHECK(largest_difference(before.second, v) <= bounds[c]);
    CHECK(largest_difference(read(37, 20).first, tokens_at(before.first, [] {
                               std::vector<Index> places(20);
                               std::iota(places.begin(), places.end(), 37);
                               return places;
                             }())) == 0);
    for (const Index tokens : {300, 600}) caches->make_room(tokens, 600);  // pages move to a pool
    if (formats[c].format == CacheFormat::paged) {  // of 3 pages a layer, not of 4
      CHECK(caches->allocated_bytes() == 3 * 256 * caches->token_bytes());
    }
    caches->keep(3, kept);
    CHECK(caches->length(0) == 6);
    const auto after = read(0, 6);
    CHECK(largest_difference(after.first, tokens_at(before.first, left)) == 0);
    CHECK(largest_difference(after.second, tokens_at(before.second, left)) == 0);
    caches->replace(1, 2, tokens_at(after.first, {3, 4}), tokens_at(after.second, {3, 4}));
    CHECK(caches->length(1) == 4);
    CHECK(largest_difference(read(2, 2).first, tokens_at(after.first, {3, 4})) <= bounds[c] / 100);
    for (int times = 0; times < 8; ++times) append();
    CHECK(largest_difference(read(4 + 7 * n, n).second, before.second) == 0);
    caches->truncate(0);
    CHECK(caches->allocated_bytes() >= 500 * caches->token_bytes());
  }
}

TEST_CASE("a drafted tree has the logits of each of its paths, and one of them is kept") {
  const Ids ids = some_ids(20), tree{31, 32, 33, 34, 35, 36};
  const std::vector<int> parents{-1, 0, 0, -1, 3, 2};
  const FormatCase of = formats[GENERATE(range(0, 7))];
  LlamaSequence sequence = tiny().start(of.format);
  tiny().forward(std::span(ids).first(19), sequence);
  Ids call{ids.back()};
  call.insert(call.end(), tree.begin(), tree.end());
  const Tensor2<float> logits = tiny().forward(call, sequence, 7, parents);
  // Right ancestors are within 4e-6 in every format, wrong ones 0.3 away.
  const auto near = [](const Tensor2<float>& a, Index row_a, const Tensor2<float>& b, Index row_b) {
    std::vector<double> wanted;
    for (Index j = 0; j < b.dimension(1); ++j) wanted.push_back(static_cast<double>(b(row_b, j)));
    const Tensor2<float> row =
        a.slice(Eigen::array<Index, 2>{row_a, 0}, Eigen::array<Index, 2>{1, a.dimension(1)});
    return distance(row, {wanted}) < 1e-4;
  };
  Ids path = ids;
  for (const std::size_t node : {0U, 2U, 5U}) {  // 31, 33, 36
    path.push_back(tree[node]);
    LlamaSequence plain = tiny().start(of.format);
    CHECK(near(logits, static_cast<Index>(node) + 1, tiny().forward(path, plain), 0));
  }
  LlamaSequence other = tiny().start(of.format);
  Ids second = ids;
  second.insert(second.end(), {34, 35});
  CHECK(near(logits, 5, tiny().forward(second, other), 0));

  CHECK_THROWS_AS(sequence.keep(20, std::vector<Index>{2, 0}), heed::Error);
  CHECK_THROWS_AS(sequence.keep(20, std::vector<Index>{6}), heed::Error);
  sequence.keep(20, std::vector<Index>{0, 2, 5});
  CHECK(sequence.length() == 23);
  path.push_back(40);
  LlamaSequence plain = tiny().start(of.format);
  CHECK(near(tiny().forward(Ids{40}, sequence), 0, tiny().forward(path, plain), 0));
  sequence.keep(20, {});
  CHECK(sequence.length() == 20);
  CHECK_THROWS_AS(tiny().forward(Ids{1, 2}, sequence, 1, std::vector<int>{1}), heed::Error);
  CHECK_THROWS_AS(tiny().forward(Ids{1}, sequence, 1, std::vector<int>{-1, 0}), heed::Error);
}

TEST_CASE("forks of a sequence go on as ones that were never forked, whatever the others do") {
  const CacheFormat format = formats[GENERATE(range(0, 7))].format;
  INFO(std::string(name_of(format)));
  const Ids prefix = some_ids(40), texts[] = {{5, 6, 7, 8, 9, 10}, {50, 40, 30, 20, 10, 5}};
  const auto read = [&] {
    LlamaSequence sequence = tiny().start(format);
    tiny().forward(prefix, sequence);
    return sequence;
  };
  LlamaSequence plain[] = {read(), read()}, whole = read();
  std::vector<LlamaSequence> forks;
  for (int n = 0; n < 5; ++n) forks.push_back(whole.fork());
  forks.push_back(forks[1].fork());
  CHECK(forks[0].format() == format);
  CHECK(forks[0].length() == 40);
  if (format == CacheFormat::paged) {
    CHECK(forks[4].allocated_bytes() == whole.allocated_bytes());  // one pool
  }
  for (std::size_t i = 0; i < 6; ++i) {
    Tensor2<float> expected[2];
    for (const std::size_t t : {0U, 1U}) {
      expected[t] = tiny().forward(std::span(texts[t]).subspan(i, 1), plain[t]);
    }
    CHECK_FALSE(same(expected[0], 0, expected[1], 0));
    for (std::size_t n = 0; n < forks.size(); ++n) {
      const auto logits = tiny().forward(std::span(texts[n % 2]).subspan(i, 1), forks[n]);
      CHECK(same(logits, 0, expected[n % 2], 0));
    }
  }
  CHECK(whole.length() == 40);
  // A fork that forgets or keeps a path leaves the others their tokens.
  LlamaSequence forgetful = whole.fork(), drafting = whole.fork(), fresh = read();
  tiny().forget(forgetful, 4, 16);
  tiny().forget(fresh, 4, 16);
  CHECK(same(tiny().forward(texts[0], forgetful), 0, tiny().forward(texts[0], fresh), 0));
  tiny().forward(Ids{3, 4, 5, 6}, drafting, 4, std::vector<int>{-1, -1, 0});
  drafting.keep(41, std::vector<Index>{1});
  plain[0].truncate(40);
  const auto expected = tiny().forward(texts[0], plain[0]);
  CHECK(same(tiny().forward(texts[0], whole), 0, expected, 0));
  drafting.truncate(40);
  CHECK(same(tiny().forward(texts[0], drafting), 0, expected, 0));
}

TEST_CASE("a sequence that shares the pages of a full pool can be written") {
  const auto whole = heed::models::make_layer_caches(CacheFormat::paged, 1, {1, 2, 16, 16});
  const Tensor4<float> k = wavy(40, 1), v = wavy(40, 2), more = wavy(1240, 3);
  whole->append(0, heed::view_of(k), heed::view_of(v));
  const auto early = whole->fork(), greedy = whole->fork(), late = whole->fork();
  const auto holds_on = whole->fork();
  greedy->make_room(1280, 4096);
  greedy->append(0, heed::view_of(more), heed::view_of(more));
  REQUIRE(greedy->allocated_bytes() == late->allocated_bytes());  // all of one pool
  whole->make_room(41, 4096);
  whole->append(0, heed::view_of(tokens_at(k, {7})), heed::view_of(tokens_at(v, {7})));
  const std::vector<Index> kept{1, 2, 35};
  for (const auto& caches : {&late, &early}) (*caches)->keep(3, kept);
  Tensor4<float> read_k(1, 2, 6, 16), read_v(1, 2, 6, 16), whole_k(1, 2, 41, 16),
      whole_v(1, 2, 41, 16);
  for (const auto& caches : {&late, &early}) {
    (*caches)->read(0, 0, read_k, read_v);
    CHECK(largest_difference(read_k, tokens_at(k, {0, 1, 2, 4, 5, 38})) == 0);
    CHECK(largest_difference(read_v, tokens_at(v, {0, 1, 2, 4, 5, 38})) == 0);
  }
  whole->read(0, 0, whole_k, whole_v);
  std::vector<Index> places(40);
  std::iota(places.begin(), places.end(), 0);
  places.push_back(7);
  CHECK(largest_difference(whole_k, tokens_at(k, places)) == 0);
  CHECK(largest_difference(whole_v, tokens_at(v, places)) == 0);
}

TEST_CASE("tokens behind a forgotten part stand where it was, with the keys they had") {
  const Ids ids = some_ids(50);
  const auto forgetful = LlamaReference(tiny_file()).forward(ids, {{4, 16, 30}, {4, 10, 41}});
  const FormatCase of = formats[GENERATE(range(0, 7))];
  INFO(std::string(name_of(of.format)));
  LlamaSequence sequence = tiny().start(of.format);
  Tensor2<float> logits = tiny().forward(std::span(ids).first(30), sequence, 30);
  tiny().forget(sequence, 4, 16);
  CHECK(sequence.length() == 14);
  logits = tiny().forward(std::span(ids).subspan(30, 11), sequence, 11);
  CHECK(distance(logits, forgetful, 30) < of.tolerance);
  tiny().forget(sequence, 4, 10);
  Tensor2<float> each(9, logits.dimension(1));
  for (std::size_t i = 41; i < 50; ++i) {
    logits = tiny().forward(std::span(ids).subspan(i, 1), sequence);
    each.chip(static_cast<Index>(i) - 41, 0) = logits.chip(0, 0);
  }
  CHECK(distance(each, forgetful, 41) < of.tolerance);
  CHECK_THROWS_AS(tiny().forget(sequence, 4, 21), heed::Error);
  CHECK_THROWS_AS(tiny().forget(sequence, -1, 1), heed::Error);
  CHECK(sequence.length() == 24);
  tiny().forget(sequence, 20, 4);  // as truncate does
  CHECK(sequence.length() == 20);
}

TEST_CASE("tokens that their format cannot hold when they move leave every layer as it was") {
  const CacheFormat format = formats[GENERATE(range(0, 7))].format;
  INFO(std::string(name_of(format)));
  const Index n = 40;
  const auto caches = heed::models::make_layer_caches(format, 2, {1, 2, 16, 16});
  Tensor4<float> k = wavy(n, 1), read_k(1, 2, n, 16), read_v(1, 2, n, 16);
  const Tensor4<float> v = wavy(n, 2);
  caches->append(0, heed::view_of(k), heed::view_of(v));
  // A pair of equal numbers that turns by 1 has one that is 1.38 times as large.
  k.chip(n - 1, 2).setConstant(0.9F * caches->largest());
  caches->append(1, heed::view_of(k), heed::view_of(v));
  const auto read = [&](Index layer) {
    caches->read(layer, 0, read_k, read_v);
    return std::pair(read_k, read_v);
  };
  const auto before = std::pair(read(0), read(1));
  const auto frequencies = heed::position::rope_frequencies(16);
  CHECK_THAT(error_of([&] { heed::models::forget_tokens(*caches, frequencies, 4, 1); }),
             ContainsSubstring("layer 1 has keys or values beyond"));
  REQUIRE(caches->length(0) == n);
  REQUIRE(caches->length(1) == n);
  const auto after = std::pair(read(0), read(1));
  CHECK(largest_difference(before.first.first, after.first.first) == 0);
  CHECK(largest_difference(before.first.second, after.first.second) == 0);
  CHECK(largest_difference(before.second.first, after.second.first) == 0);
  CHECK(largest_difference(before.second.second, after.second.second) == 0);
  heed::models::forget_tokens(*caches, frequencies, 4, n - 4);  // nothing turns
  CHECK(caches->length(1) == 4);
}

TEST_CASE("products of few rows have the bits of each row alone") {
  const std::uint64_t shape[] = {96, 64};
  REQUIRE(tiny_file().tensor("blk.0.ffn_up.weight", shape).type == heed::models::GgufType::q4_1);
  const heed::models::ModelWeight weight(
      tiny_file(), {{"blk.0.ffn_gate.weight", 96}, {"blk.0.ffn_up.weight", 96}}, 64,
      WeightFormat::file);
  Tensor2<float> x(40, 64), all(40, 192), some(7, 192), one(1, 192);
  for (Index n = 0; n < x.size(); ++n) x.data()[n] = std::sin(static_cast<float>(n));
  std::vector<float> room;
  const auto multiply = [&](Tensor2<float>& y, Index first) {
    weight.multiply_into(heed::mutable_view_of(y),
                         heed::slice(heed::view_of(x), first, y.dimension(0)), room, {});
  };
  multiply(all, 0);
  multiply(some, 3);
  for (Index r = 0; r < 7; ++r) {
    multiply(one, 3 + r);
    CHECK(same(one, 0, some, r));
    for (Index j = 0; j < 192; ++j) CHECK(std::abs(all(3 + r, j) - one(0, j)) < 1e-4F);
  }
}

TEST_CASE("each layer tells the last token's attention") {
  const Ids ids = some_ids(9);
  const FormatCase of = formats[GENERATE(range(0, 7))];
  LlamaSequence sequence = tiny().start(of.format);
  Index layers = 0;
  sequence.look = [&](Index layer, const Tensor2<float>& weights) {
    CHECK(layer == layers++);
    CHECK(weights.dimension(0) == 4);
    CHECK(weights.dimension(1) == 9);
    for (Index h = 0; h < 4; ++h) {
      float sum = 0;
      for (Index j = 0; j < 9; ++j) sum += weights(h, j);
      CHECK(std::abs(sum - 1) < 1e-5F);
    }
  };
  tiny().forward(ids, sequence);
  CHECK(layers == 2);
}

TEST_CASE("what a query looks at is the softmax of its scores, in every cache") {
  const Index n = 300;
  const Tensor4<float> keys = wavy(n, 1), values = wavy(n, 2), q4 = wavy(4, 3);
  Tensor4<float> q(1, 4, 1, 16), k(1, 2, n, 16), v(1, 2, n, 16);
  std::copy_n(q4.data(), q.size(), q.data());
  for (const FormatCase& of : formats) {
    INFO(std::string(name_of(of.format)));
    const auto caches = heed::models::make_layer_caches(of.format, 1, {1, 2, 16, 16});
    caches->make_room(n, n);
    caches->append(0, heed::view_of(keys), heed::view_of(values));
    caches->read(0, 0, k, v);
    const auto expected = heed::attention_weights(q, k, {0});
    const auto weights = heed::models::look_at(heed::mutable_view_of(q), *caches, 0);
    REQUIRE(weights.dimension(0) == 4);
    REQUIRE(weights.dimension(1) == n);
    for (Index h = 0; h < 4; ++h) {
      float worst = 0;
      for (Index j = 0; j < n; ++j) {
        worst = std::max(worst, std::abs(weights(h, j) - expected(0, h, 0, j)));
      }
      CHECK(worst < 1e-6F);
    }
  }
}

TEST_CASE("tokens that a model cannot read are refused, and the sequence stays") {
  LlamaSequence sequence = tiny().start();
  tiny().forward(some_ids(5), sequence);
  CHECK_THROWS_AS(tiny().forward(Ids{}, sequence), heed::Error);
  CHECK_THROWS_AS(tiny().forward(Ids{-1}, sequence), heed::Error);
  CHECK_THROWS_AS(tiny().forward(Ids{99}, sequence), heed::Error);
  CHECK_THROWS_AS(tiny().forward(Ids{1}, sequence, 2), heed::Error);
  CHECK_THROWS_AS(tiny().forward(some_ids(156), sequence), heed::Error);
  CHECK_THROWS_AS(sequence.truncate(6), heed::Error);
  CHECK(sequence.length() == 5);
}

TEST_CASE("a file that is no such Llama is refused") {
  const auto refused = [](const auto& change, const char* why = "Gguf: ", TinyLlama model = {}) {
    GgufFile file;
    change(file);
    model.write(file);
    const TemporaryFile on_disk(file.bytes());
    const Gguf read(on_disk.path());
    CHECK_THAT(error_of([&] { Llama{read}; }), ContainsSubstring(why));
  };
  refused([](GgufFile& file) { file.value("llama.expert_count", std::uint32_t{8}); });
  refused([](GgufFile& file) { file.value("llama.attention.key_length", std::uint32_t{15}); });
  refused([](GgufFile& file) { file.value("llama.rope.dimension_count", std::uint32_t{18}); });
  refused(
      [](GgufFile& file) { file.tensor("blk.0.attn_q.bias", {64}, 0, std::string(256, '\0')); });
  refused([](GgufFile& file) { file.tensor("a\x1b[31m\nb", {64}, 0, std::string(256, '\0')); },
          R"("a\x1b[31m\x0ab" is not part)");
  TinyLlama no_norm, many_layers;
  no_norm.output_norm = false;
  many_layers.claimed_layers = 1 << 24;
  std::string infinite;
  for (int n = 0; n < 64; ++n) infinite += "\0\0\x80\x7f"s;
  refused([&](GgufFile& file) { file.tensor("output_norm.weight", {64}, 0, infinite); },
          "\"output_norm.weight\" has elements that are not finite", no_norm);
  refused([](GgufFile&) {}, "llama.block_count is 16777216, outside 1 … 2", many_layers);
}

TEST_CASE("the context that a file claims costs nothing until it is read") {
  TinyLlama model;
  model.context = 1 << 24;
  const TemporaryFile on_disk(model.bytes());
  const Gguf file(on_disk.path());
  const long before = peak_kilobytes();
  const Llama llama(file, {.threads = 1});
  LlamaSequence sequence = llama.start(), same_context = tiny().start();
  const auto logits = llama.forward(some_ids(9), sequence);
  CHECK(peak_kilobytes() - before < 256 << 10);  // a rotary table of 2^24 positions has 1 GiB
  CHECK(same(logits, 0, tiny().forward(some_ids(9), same_context), 0));
}

TEST_CASE("a call that throws leaves the sequence as it was") {
  const FormatCase of = formats[GENERATE(range(0, 7))];
  LlamaSequence sequence = tiny().start(of.format), other = tiny().start(of.format);
  tiny().forward(some_ids(5), sequence);
  tiny().forward(some_ids(5), other);
  sequence.look = [](Index layer, const Tensor2<float>&) {
    if (layer == 1) throw std::bad_alloc();
  };
  CHECK_THROWS_AS(tiny().forward(some_ids(3), sequence), std::bad_alloc);
  CHECK(sequence.length() == 5);
  sequence.look = {};
  CHECK(same(tiny().forward(some_ids(3), sequence), 0, tiny().forward(some_ids(3), other), 0));
}

TEST_CASE(
    "a pool runs each job once, jobs of threads that are late too, and calls beside each other") {
  heed::models::WorkerPool pool(4);
  REQUIRE(pool.concurrency() == 4);
  const auto count = [&](int calls) {
    bool right = true;
    for (int call = 0; call < calls; ++call) {
      const int workers = 1 + call % 4;
      std::vector<std::atomic<int>> runs(4);
      heed::run_workers(workers, &pool,
                        {[](void* target, int worker) {
                           ++(*static_cast<std::vector<std::atomic<int>>*>(
                               target))[static_cast<std::size_t>(worker)];
                         },
                         &runs});
      for (int n = 0; n < 4; ++n)
        right = right && runs[static_cast<std::size_t>(n)] == (n < workers);
      if (call % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return right;
  };
  bool beside = false;
  std::thread other([&] { beside = count(2000); });
  CHECK(count(2000));
  other.join();
  CHECK(beside);
  const heed::models::WorkerPool alone(0);
  CHECK(alone.concurrency() == 1);
}

TEST_CASE("SmolLM2 has the reference's logits") {
  const std::filesystem::path path = heed::models::smollm2_file();
  if (!std::filesystem::exists(path)) {
    WARN("skipped: the model is not in " << path << "; examples/models/llama/fetch.sh gets it");
    return;
  }
  const Gguf file(path);
  const auto tokenizer = heed::models::BytePairTokenizer::from_file(file);
  const Ids ids = tokenizer.encode("The capital of France is");
  const Llama model(file);
  LlamaSequence sequence = model.start();
  const auto rows = static_cast<Index>(ids.size());
  check_logits(model.forward(ids, sequence, rows), LlamaReference(file).forward(ids), 2e-3);
}
