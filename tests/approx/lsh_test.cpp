// LSH attention against its definition: buckets, chunks and their union written out for each pair.
#include "heed/approx/lsh/lsh.hpp"

#include <set>

#include "approx/naive.hpp"
#include "heed/approx/compare.hpp"
#include "heed/approx/lsh/over_source.hpp"
#include "kv/scattered_pages.hpp"

namespace heed {
namespace {

using test::Buffer;
using test::Inputs;
using test::Layout;
using test::Prefix;

template <class T>
int bucket_of(const View<const T, 2>& x, Index row, Index buckets, std::uint64_t seed,
              Index round) {
  const Index D = x.extent[1];
  int best = 0;
  double most = -1;
  for (Index n = 0; n < buckets; ++n) {
    double sum = 0;
    for (Index d = 0; d < D; ++d) {
      sum += static_cast<double>(x(row, d)) *
             static_cast<double>(static_cast<float>(gaussian(
                 seed, n % (buckets / 2) * D + d, static_cast<std::uint32_t>(16 + round))));
    }
    if (n >= buckets / 2) sum = -sum;
    if (sum > most) {
      most = sum;
      best = static_cast<int>(n);
    }
  }
  return best;
}

// The keys that query i finds in one round.
template <class T>
std::set<Index> found(const View<const T, 2>& q, const View<const T, 2>& k, Index i, Index position,
                      Index length, const approx::LshOptions& h, Index round) {
  std::vector<std::pair<int, Index>> sorted;
  for (Index j = 0; j < length; ++j) {
    sorted.push_back({bucket_of(k, j, h.buckets, h.seed, round), j});
  }
  std::sort(sorted.begin(), sorted.end());
  const int own = bucket_of(q, i, h.buckets, h.seed, round);
  Index aim = -1;
  for (std::size_t s = 0; s < sorted.size(); ++s) {
    if (sorted[s].first == own && (aim < 0 || sorted[s].second <= position)) {
      aim = static_cast<Index>(s);
    }
  }
  std::set<Index> keys;
  for (std::size_t s = 0; s < sorted.size() && aim >= 0; ++s) {
    const Index away = aim / h.chunk - static_cast<Index>(s) / h.chunk;
    if (sorted[s].first == own && (away == 0 || away == 1)) keys.insert(sorted[s].second);
  }
  return keys;
}

struct Twin {
  test::Oracle out;
  Tensor3<double> lse;
};

template <class T>
Twin naive(const Inputs<T>& in, const Shape& shape, const approx::LshOptions& hashing,
           const Prefix& prefix, bool shared) {
  Twin naive{test::Oracle(shape.B, shape.Hq, shape.Lq, shape.Dv),
             Tensor3<double>(shape.B, shape.Hq, shape.Lq)};
  naive.out.setZero();
  const double scale = 1 / std::sqrt(static_cast<double>(shape.D));
  for (Index b = 0; b < shape.B; ++b) {
    for (Index h = 0; h < shape.Hq; ++h) {
      const auto q = in.q.cview().matrix(b, h);
      const auto k = shared ? q : in.k.cview().matrix(b, h / shape.group());
      const auto v = in.v.cview().matrix(b, h / shape.group());
      for (Index i = 0; i < shape.Lq; ++i) {
        const Index position = prefix.causal ? i + shape.end_offset() : i * shape.Lk / shape.Lq;
        std::set<Index> keys;
        for (Index round = 0; round < hashing.rounds; ++round) {
          keys.merge(found(q, k, i, position, prefix.lengths[static_cast<std::size_t>(b)], hashing,
                           round));
        }
        std::erase_if(keys, [&](Index j) { return !prefix.allows(shape, b, i, j); });
        if (shared && keys.size() > 1) keys.erase(i);  // its own score, −1e5, is as good as none
        double total = 0;
        for (const Index j : keys) {
          double dot = 0, squares = 0;
          for (Index d = 0; d < shape.D; ++d) {
            dot += static_cast<double>(q(i, d)) * static_cast<double>(k(j, d));
            squares += static_cast<double>(k(j, d)) * static_cast<double>(k(j, d));
          }
          const double score = scale * dot / (shared ? std::sqrt(squares) : 1.0);
          const double weight = std::exp(score);
          total += weight;
          for (Index d = 0; d < shape.Dv; ++d) {
            naive.out(b, h, i, d) += weight * static_cast<double>(v(j, d));
          }
        }
        naive.lse(b, h, i) = std::log(total);
        for (Index d = 0; d < shape.Dv && total != 0; ++d) naive.out(b, h, i, d) /= total;
      }
    }
  }
  return naive;
}

template <class T>
void check(const Shape& shape, const approx::LshOptions& hashing, Layout layout,
           const Prefix& prefix, bool shared = false) {
  CAPTURE(test::name_of(shape), hashing.buckets, hashing.rounds, hashing.chunk, prefix.causal,
          prefix.padded, shared);
  const Inputs<T> in(shape, layout, 7, 2);
  const auto truth = naive(in, shape, hashing, prefix, shared);
  const auto result = prefix.with([&](const auto& mask) {
    return shared ? approx::lsh_shared(in.q.cview(), in.v.cview(), hashing, mask)
                  : approx::lsh(in.q.cview(), in.k.cview(), in.v.cview(), hashing, mask);
  });
  const double sums = test::unit_roundoff<Accum<T>>() * 200;
  REQUIRE(test::max_difference(result.out, truth.out) <=
          sums + (sizeof(T) < 4 ? test::unit_roundoff<T>() : 0));
  if (!shared) REQUIRE(test::max_difference(result.lse, truth.lse) <= sums);
}

// Keys [0, length) of a batch entry, where the source is of others too.
template <class T>
View<const T, 4> entry(const Buffer<T>& x, Index b, Index length) {
  return test::part(x.cview(), b, 1, 0, length);
}

// Dense keys in runs of `run`, each sequence of a length of its own, from which nothing counts.
template <class T>
struct Runs {
  struct Head {
    kv::BoundDense<T> dense;
    Index run;

    template <class F>
    void for_each_run(Index begin, Index end, F&& f) const {
      for (Index first = begin, last = 0; first < end; first = last) {
        last = std::min(end, (first / run + 1) * run);
        dense.for_each_run(first, last, f);
      }
    }
  };

  kv::Dense<T> dense;
  std::vector<Index> lengths;
  Index run;

  kv::Extents extents() const { return dense.extents(); }
  Index length(Index b) const { return lengths[static_cast<std::size_t>(b)]; }
  Head bind(const Shape& shape, Index b, Index kv_head) const {
    return {dense.bind(shape, b, kv_head), run};
  }
};

// Two sequences of 611 and 300 keys.
constexpr Shape two_texts{2, 4, 2, 30, 611, 16, 12, 4};
const std::vector<Index> two_lengths{611, 300};
constexpr approx::LshOptions four_buckets{.buckets = 4, .rounds = 3, .chunk = 16};

template <class Cache>
void append_in_turns(Cache& cache, const View<const typename Cache::Scalar, 4>& k,
                     const View<const typename Cache::Scalar, 4>& v) {
  for (Index first = 0; first < two_texts.Lk; first += 37) {
    for (Index b = 0; b < 2; ++b) {
      const Index count = std::min<Index>(37, two_lengths[static_cast<std::size_t>(b)] - first);
      if (count <= 0) continue;
      const auto keys = test::part(k, b, 1, first, count);
      if constexpr (requires { cache.append(b, keys); }) {
        cache.append(b, keys);
      } else {
        cache.append(b, keys, test::part(v, b, 1, first, count));
      }
    }
  }
}

// LSH attention over a cache of T has, in each sequence, the bits of a call over its keys alone.
template <class T, class Cache, class M>
void require_rows_of_dense_calls(Cache cache, const M& mask) {
  const Inputs<T> in(two_texts, Layout::gaps, 5, 2);
  const bool latent = cache.bind({}, 0, 0).values_in_keys;
  const auto values = latent ? kv::first_features(in.k.cview(), two_texts.Dv) : in.v.cview();
  append_in_turns(cache, in.k.cview(), values);
  const auto all = approx::lsh(in.q.cview(), cache, four_buckets, mask);
  for (Index b = 0; b < 2; ++b) {
    CAPTURE(b);
    const Index length = two_lengths[static_cast<std::size_t>(b)];
    const auto alone = approx::lsh(entry(in.q, b, 30), entry(in.k, b, length),
                                   test::part(values, b, 1, 0, length), four_buckets, mask);
    REQUIRE(std::equal(alone.out.data(), alone.out.data() + alone.out.size(),
                       all.out.data() + b * alone.out.size()));
    REQUIRE(std::equal(alone.lse.data(), alone.lse.data() + alone.lse.size(),
                       all.lse.data() + b * alone.lse.size()));
  }
}

}  // namespace

TEST_CASE("LSH attention meets its definition") {
  Index turn = 0;
  for (const Index Lq : {1, 40, 90}) {
    for (const Index Lk : {1, 33, 90, 130}) {
      for (const approx::LshOptions hashing :
           {approx::LshOptions{2, 1, 8, 3}, approx::LshOptions{4, 3, 16, 4},
            approx::LshOptions{8, 2, 5, 5}, approx::LshOptions{2, 4, 200, 6}}) {
        const Shape shape{2, 2, 1 + turn % 2, Lq, Lk, 7, 9, 4};
        check<float>(shape, hashing, static_cast<Layout>(turn % 3),
                     Prefix::of(shape, turn % 4 < 2, turn % 3 == 1));
        ++turn;
      }
    }
  }
}

TEMPLATE_TEST_CASE("LSH attention of another type meets its definition", "", double, Half,
                   BFloat16) {
  const Shape shape{2, 4, 2, 60, 90, 24, 16, 4};
  check<TestType>(shape, {4, 3, 16, 9}, Layout::blhd, Prefix::of(shape, true, true));
}

TEST_CASE("shared queries and keys meet their definition") {
  for (const bool causal : {false, true}) {
    const Shape shape{1, 2, 2, 80, 80, 12, 9, 4};
    check<float>(shape, {4, 2, 8, 9}, Layout::packed, Prefix::of(shape, causal, false), true);
  }
}

TEST_CASE("LSH attention over caches has the bits of dense keys, in each sequence") {
  const kv::Extents extents{2, 2, 16, 12};
  require_rows_of_dense_calls<float>(kv::Cache<float>(extents), mask::None{});
  require_rows_of_dense_calls<float>(kv::Cache<float>(extents), mask::causal());
  const test::ScatteredPages<float> pages(extents, 16, 60);
  require_rows_of_dense_calls<float>(pages.cache, mask::causal());
  const test::ScatteredPages<kv::Latent<float>> latent(extents, 16, 60);
  require_rows_of_dense_calls<float>(latent.cache, mask::causal());
  require_rows_of_dense_calls<BFloat16>(kv::Cache<BFloat16>(extents), mask::causal());
}

TEST_CASE("LSH attention over keys in runs has the bits of dense keys that are padded") {
  const Inputs<float> in(two_texts, Layout::blhd, 5, 2);
  for (const bool causal : {false, true}) {
    Prefix prefix = Prefix::of(two_texts, causal, false);
    const auto run = [&](const auto& source) {
      return prefix.with(
          [&](const auto& mask) { return approx::lsh(in.q.cview(), source, four_buckets, mask); });
    };
    const auto runs = run(Runs<float>{{in.k.cview(), in.v.cview()}, two_lengths, causal ? 5 : 300});
    prefix.padded = true;
    prefix.lengths = {611, 300};
    const auto dense = prefix.with([&](const auto& mask) {
      return approx::lsh(in.q.cview(), in.k.cview(), in.v.cview(), four_buckets, mask);
    });
    CHECK(test::same_bits(runs.out, dense.out));
    CHECK(test::same_bits(runs.lse, dense.lse));
  }
}

TEST_CASE("LSH attention of float queries over a cache of bfloat16, and wrong calls") {
  const Inputs<float> in({1, 2, 1, 20, 90, 8, 5, 4}, Layout::packed, 5);
  kv::Cache<BFloat16> cache({1, 1, 8, 5});
  cache.append(in.k.cview(), in.v.cview());
  Buffer<BFloat16> k(1, 1, 90, 8), v(1, 1, 90, 5);
  Buffer<float> rounded_k(1, 1, 90, 8), rounded_v(1, 1, 90, 5);
  copy(in.k.cview(), k.view());
  copy(in.v.cview(), v.view());
  copy(k.cview(), rounded_k.view());
  copy(v.cview(), rounded_v.view());
  const auto cached = approx::lsh(in.q.cview(), cache, {}, mask::causal());
  const auto dense =
      approx::lsh(in.q.cview(), rounded_k.cview(), rounded_v.cview(), {}, mask::causal());
  CHECK(test::same_bits(cached.out, dense.out));
  CHECK(test::same_bits(cached.lse, dense.lse));
  CHECK_THAT(test::error_of([&] { approx::lsh(in.q.cview(), cache, {.rounds = 0}); }),
             test::ContainsSubstring("heed::approx::lsh: rounds 0"));
  CHECK_THAT(test::error_of([&] { approx::lsh(in.v.cview(), cache); }),
             test::ContainsSubstring("heed::approx::lsh: the source has dim 8"));
}

TEST_CASE("in one chunk of one text, enough rounds find every key") {
  const Shape shape{1, 1, 1, 50, 50, 8, 8, 4};
  const Inputs<float> in(shape, Layout::packed, 3);
  const auto exact = attention(in.q.cview(), in.k.cview(), in.v.cview());
  double before = 1e9;
  for (const Index rounds : {1, 4, 16, 400}) {
    const auto result = approx::lsh(in.q.cview(), in.k.cview(), in.v.cview(),
                                    {.buckets = 2, .rounds = rounds, .chunk = 64});
    const double error = approx::compare(exact, result).relative;
    CAPTURE(rounds, error);
    CHECK(error < before);
    before = error;
    for (Index i = 0; i < 50; ++i) CHECK(result.lse(0, 0, i) <= exact.lse(0, 0, i) + 1e-5f);
  }
  CHECK(before < 1e-5);
}

TEST_CASE("a bucket holds near directions") {
  const Index L = 200, D = 16;
  Tensor2<float> x(L, D);
  for (Index n = 0; n < x.size(); ++n) x.data()[n] = static_cast<float>(test::uniform(1, n));
  Tensor2<float> longer = x, turned = x;
  longer = x * 3.0f;
  turned = -x;
  const auto rotation = approx::random_rotation<float>(8, D, 2, 0);
  const auto kernels = approx::call_kernels<float>(isa());
  const auto buckets_of = [&](const auto& rows) {
    return approx::buckets_of<float>(view_of(rows), rotation, kernels);
  };
  const auto buckets = buckets_of(x);
  CHECK(buckets == buckets_of(longer));
  const auto opposite = buckets_of(turned);
  std::set<int> used;
  for (std::size_t n = 0; n < buckets.size(); ++n) {
    CHECK(opposite[n] == (buckets[n] + 4) % 8);
    used.insert(buckets[n]);
  }
  CHECK(used.size() == 8);
}

TEST_CASE("LSH attention has the same bits for any number of threads, and follows its seed") {
  const Shape shape{2, 4, 2, 500, 500, 16, 12, 4};
  const Inputs<float> in(shape, Layout::packed, 5);
  test::ThreadPerWorker pool;
  const auto run = [&](int threads, Executor* executor, std::uint64_t seed) {
    return approx::lsh(in.q.cview(), in.k.cview(), in.v.cview(),
                       {.buckets = 8, .rounds = 3, .chunk = 32, .seed = seed}, mask::causal(),
                       {.threads = threads, .executor = executor});
  };
  const auto one = run(1, nullptr, 1);
  for (const int threads : {2, 3, 5}) {
    const auto many = run(threads, &pool, 1);
    CHECK(test::same_bits(one.out, many.out));
    CHECK(test::same_bits(one.lse, many.lse));
  }
  CHECK(!test::same_bits(one.out, run(1, nullptr, 2).out));
}

TEST_CASE("values that a row of LSH attention does not see change no bit") {
  const Shape shape{1, 1, 1, 200, 200, 8, 8, 4};
  const Inputs<float> clean(shape, Layout::packed, 5);
  const auto run = [](const Inputs<float>& in) {
    return approx::lsh(in.q.cview(), in.k.cview(), in.v.cview(), {.buckets = 4, .rounds = 3},
                       mask::causal());
  };
  const auto expected = run(clean);
  for (const float poison : {test::nan, test::inf}) {
    Inputs<float> dirty = clean;
    dirty.v.view()(0, 0, 120, 3) = poison;
    const auto result = run(dirty);
    for (Index i = 0; i < 120; ++i) {
      for (Index d = 0; d < 8; ++d) CHECK(result.out(0, 0, i, d) == expected.out(0, 0, i, d));
    }
  }
}

TEST_CASE("LSH attention of degenerate inputs is finite, and exact where one bucket holds all") {
  for (const test::Degenerate& p : test::degenerate_problems()) {
    CAPTURE(p.name);
    const auto exact =
        attention(p.in.q.cview(), p.in.k.cview(), p.in.v.cview(), {}, {}, {.scale = p.scale});
    const auto result =
        approx::lsh(p.in.q.cview(), p.in.k.cview(), p.in.v.cview(), {}, {}, {.scale = p.scale});
    CHECK(test::max_difference(result.out, exact.out) <= 2);
    for (Index n = 0; n < result.lse.size(); ++n) {
      CHECK(result.lse.data()[n] <= exact.lse.data()[n] + 1e-5f);
    }
    if (p.name == std::string("q = k = 0")) {
      CHECK(test::max_difference(result.out, exact.out) <= 1e-6);
    }
  }
}

// Keys have length 1 whatever theirs was; what queries lack, the scale makes up for.
TEST_CASE("shared keys are divided by lengths whose squares underflow or overflow") {
  const Shape shape{1, 1, 1, 40, 40, 8, 4, 4};
  const Inputs<float> in(shape, Layout::packed, 3);
  const auto run = [&](float size) {
    Inputs<float> scaled = in;
    for (Index i = 0; i < 40; ++i) {
      for (Index d = 0; d < 8; ++d) scaled.q.view()(0, 0, i, d) *= size;
    }
    return approx::lsh_shared(scaled.q.cview(), scaled.v.cview(), {.buckets = 2}, {},
                              {.scale = 0.5 / static_cast<double>(size)});
  };
  const auto plain = run(1);
  for (const float size : {0x1p-90f, 0x1p90f}) {
    CAPTURE(size);
    CHECK(test::max_difference(run(size).out, plain.out) <= 1e-6);
  }
}

TEST_CASE("edges of LSH attention") {
  const Tensor4<float> q = Tensor4<float>(1, 2, 9, 4).setRandom();
  const auto text = [&](const approx::LshOptions& hashing) {
    return test::error_of([&] { approx::lsh(q, q, q, hashing); });
  };
  CHECK_THAT(text({.rounds = 0}), test::ContainsSubstring("heed::approx::lsh: rounds 0"));
  CHECK_THAT(text({.chunk = 0}), test::ContainsSubstring("chunk 0"));
  CHECK_THAT(text({.buckets = 3}), test::ContainsSubstring("buckets 3 is not positive and even"));
  CHECK_THAT(text({.buckets = -2}), test::ContainsSubstring("buckets -2"));
  const auto heads = test::uncountable_empty();
  CHECK(approx::lsh(heads, heads, heads, {.rounds = 1 << 20}).out.size() == 0);
  const Tensor4<float> none(1, 2, 0, 4), no_heads(1, 0, 3, 4);
  CHECK(approx::lsh(none, q, q).out.size() == 0);
  CHECK(approx::lsh(no_heads, no_heads, no_heads).out.size() == 0);
  const auto blind = approx::lsh(q, none, none);
  CHECK(test::max_magnitude(blind.out) == 0);
  CHECK(is_masked(blind.lse(0, 1, 3)));
  const auto alone = approx::lsh_shared(q, q, {.buckets = 2, .chunk = 1}, mask::causal());
  for (Index d = 0; d < 4; ++d) CHECK(alone.out(0, 0, 0, d) == q(0, 0, 0, d));
}

}  // namespace heed
