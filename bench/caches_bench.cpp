// Decoding over caches: contiguous, in pages, ragged batches and shared prefixes.
#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "heed/kv/cache.hpp"
#include "heed/kv/paged_cache.hpp"
#include "support/program.hpp"

namespace {

using heed::Index;
using heed::Tensor4;
using heed::bench::numbers;
using heed::kv::Extents;

using heed::bench::ReadLoop;

constexpr Index D = 128, Hkv = 8;
constexpr int threads = 2;

Index tokens_of(Index tokens) { return heed::bench::quick() ? 48 : tokens; }

// Tokens for sequence b of a cache, a thousand at a time.
template <class Cache>
void fill(Cache& cache, Index b, Index tokens) {
  constexpr Index piece = 1024;
  for (Index first = 0; first < tokens; first += piece) {
    const Index n = std::min(piece, tokens - first);
    const auto seed = static_cast<std::uint32_t>(2 * first + 1);
    cache.append(b, numbers<float>(seed, 1, Hkv, n, D), numbers<float>(seed + 1, 1, Hkv, n, D));
  }
}

// One call of a query over all that a cache has, again and again in memory of its own.
template <class Cache>
class Decode {
 public:
  Decode(const Cache& cache, Index Hq)
      : cache_(cache),
        q_(numbers<float>(7, cache.extents().B, Hq, 1, D)),
        out_(cache.extents().B, Hq, 1, D) {}

  void operator()() {
    heed::Options options{.threads = threads, .report = &report};
    if (workspace_.empty()) {
      workspace_.resize(heed::workspace_bytes(q_, cache_, heed::mask::causal(), {}, options));
    }
    options.workspace = workspace_;
    heed::attention_into(out_, q_, cache_, heed::mask::causal(), heed::score::None{}, options);
  }

  heed::CallReport report;

 private:
  const Cache& cache_;
  Tensor4<float> q_, out_;
  std::vector<std::byte> workspace_;
};

std::size_t bytes_of(std::size_t element, Index tokens) {
  return element * static_cast<std::size_t>(2 * tokens * Hkv * D);
}

using Calls = std::vector<std::function<void()>>;

// The first call beside a loop that reads `bytes`, and beside the others, as `ratio`: their time
// divided by its own. The time of each is returned.
std::vector<double> compare(benchmark::State& state, Calls calls, std::size_t bytes,
                            const char* ratio, double goal) {
  const ReadLoop read(threads, heed::bench::quick() ? 4096 : bytes, heed::bench::PageSize::large);
  calls.insert(calls.begin() + 1, std::cref(read));
  const auto seconds = heed::bench::alternate_cold(calls, threads);
  heed::bench::set_time(state, seconds[0]);
  state.counters["GB/s"] = static_cast<double>(bytes) / seconds[0] * 1e-9;
  state.counters["of read"] = seconds[1] / seconds[0];
  if (calls.size() > 2) state.counters[ratio] = seconds[2] / seconds[0];
  state.counters["large MiB"] = heed::bench::large_page_memory() / (1 << 20);
  state.counters["goal"] = goal;
  return seconds;
}

template <class T>
void contiguous(benchmark::State& state, Index Hq, Index tokens, double goal) {
  tokens = tokens_of(tokens);
  heed::kv::Cache<T> cache(Extents{1, Hkv, D, D}, {.capacity = tokens});
  fill(cache, 0, tokens);
  Decode<heed::kv::Cache<T>> decode(cache, Hq);
  compare(state, {std::ref(decode)}, bytes_of(sizeof(T), tokens), "", goal);
  state.SetLabel(decode.report.isa);
}

// Where the pages of a sequence lie.
enum class Pages {
  in_order,
  by_turns,   // another sequence has grown with it, page by page
  scattered,  // others hold every second page of the pool
};

using Paged = heed::kv::PagedCache<float>;

// A cache of one sequence, empty, in a pool of twice as many pages. `others` keep every second page
// of the pool.
Paged scattered_pool(const Extents& extents, Index page, Index pages, std::vector<Paged>& others) {
  Paged pool(extents, {.page = page, .pages = 2 * pages});
  const Tensor4<float> tokens(1, extents.Hkv, page, extents.D);
  for (Index n = 0; n < 2 * pages; ++n) {
    others.push_back(pool.fork({0}));
    others.back().append(0, tokens, tokens);
  }
  for (Paged& other : others) {
    if (other.bind({}, 0, 0).pages.front() % 2 == 0) other.truncate(0, 0);
  }
  return pool;
}

// A loop that reads a sequence where it lies, in decoding's order, and does nothing else: a KV
// block's keys page by page, then its values. It asks for 8 KiB ahead, whatever page they are in:
// 2 KiB and 4 KiB were slower on Zen 4, 16 KiB as fast.
class ReadPages {
 public:
  explicit ReadPages(const Paged& cache) {
    constexpr Index block = 128;
    for (Index h = 0; h < Hkv; ++h) {
      const auto head = cache.bind({}, 0, h);
      for (Index begin = 0; begin < cache.length(0); begin += block) {
        const Index end = std::min(begin + block, cache.length(0));
        head.for_each_panel_run(begin, end, [&](Index, const auto& k, const auto&) {
          add_pieces(k.column(0, D), k.count * D);
        });
        head.for_each_panel_run(begin, end, [&](Index, const auto& k, const auto& v) {
          add_pieces(v.data, k.count * D);
        });
      }
    }
  }

  void operator()() const {
    const Index part = std::ssize(pieces_) / threads;
    heed::parallel_for(threads, threads, nullptr, [&](Index n, int) {
      constexpr Index ahead = 2, line = 64 / sizeof(float);
      float sum = 0;
      for (Index at = n * part; at < (n + 1) * part; ++at) {
        const Index later = std::min(at + ahead, std::ssize(pieces_) - 1);
        const Piece& piece = pieces_[static_cast<std::size_t>(at)];
        const float* next = pieces_[static_cast<std::size_t>(later)].begin;
        for (const float* from = piece.begin; from < piece.end; from += line, next += line) {
          __builtin_prefetch(next, 0, 2);
          sum += *from;
        }
      }
      benchmark::DoNotOptimize(sum);
    });
  }

 private:
  struct Piece {
    const float *begin, *end;
  };

  void add_pieces(const float* from, Index count) {
    constexpr Index piece = 4096 / sizeof(float);
    for (Index n = 0; n < count; n += piece) {
      pieces_.push_back({from + n, from + std::min(n + piece, count)});
    }
  }

  std::vector<Piece> pieces_;  // of 4 KiB
};

// Beside a contiguous cache, and beside a loop that only reads the same pages.
void paged(benchmark::State& state, Index page, Pages lie) {
  const Index tokens = tokens_of(8192);
  const Index pages = (tokens + page - 1) / page;
  heed::kv::Cache<float> whole(Extents{1, Hkv, D, D}, {.capacity = tokens});
  fill(whole, 0, tokens);
  const Extents extents{lie == Pages::by_turns ? 2 : 1, Hkv, D, D};
  std::vector<Paged> others;
  Paged pool = lie == Pages::scattered ? scattered_pool(extents, page, pages, others)
                                       : Paged(extents, {.page = page, .pages = 2 * pages});
  const auto k = numbers<float>(1, 1, Hkv, page, D), v = numbers<float>(2, 1, Hkv, page, D);
  for (Index n = 0; n < pages; ++n) {
    pool.append(0, k, v);
    if (lie == Pages::by_turns) pool.append(1, k, v);
  }
  const auto one = pool.fork({0});
  Decode<Paged> decode(one, 32);
  Decode<heed::kv::Cache<float>> plain(whole, 32);
  const ReadPages read(one);
  const auto seconds = compare(state, {std::ref(decode), std::ref(plain), std::cref(read)},
                               bytes_of(sizeof(float), pages * page), "of contiguous", 0.95);
  state.counters["of read pages"] = seconds[3] / seconds[0];
}

// Sixteen sequences of 512 to 8192 tokens in one call.
void ragged(benchmark::State& state) {
  const Index B = 16;
  heed::kv::Cache<float> cache(Extents{B, Hkv, D, D}, {.capacity = tokens_of(8192)});
  Index tokens = 0;
  for (Index b = 0; b < B; ++b) {
    const Index own = tokens_of(512 * (1 + b * 5 % 16));
    fill(cache, b, own);
    tokens += own;
  }
  Decode<heed::kv::Cache<float>> decode(cache, 32);
  compare(state, {std::ref(decode)}, bytes_of(sizeof(float), tokens), "", 0.8);
}

// Sixteen sequences that begin with the same tokens, beside a copy of these for each. The products
// with the shared keys bound it: "of FMA" is their share of the peak.
void cascade(benchmark::State& state, Index Hq) {
  const Index B = 16, shared = tokens_of(8192), own = 64;
  heed::kv::Cache<float> prefix(Extents{1, Hkv, D, D}, {.capacity = shared});
  fill(prefix, 0, shared);
  heed::kv::Cache<float> behind(Extents{B, Hkv, D, D});
  heed::kv::Cache<float> whole(Extents{B, Hkv, D, D}, {.capacity = shared + own});
  for (Index b = 0; b < B; ++b) {
    fill(behind, b, own);
    fill(whole, b, shared);
    fill(whole, b, own);
  }
  const auto q = numbers<float>(7, B, Hq, 1, D);
  const auto call = [&] {
    heed::cascade(q, prefix, behind, heed::mask::causal(), {.threads = threads});
  };
  Decode<heed::kv::Cache<float>> each(whole, Hq);
  const heed::bench::FmaLoop fma(heed::bench::Type::f32, threads);
  const auto seconds = compare(state, {call, std::ref(each), std::cref(fma)},
                               bytes_of(sizeof(float), shared + B * own), "of each alone", 5);
  const auto flops = static_cast<double>(4 * B * Hq * shared * D);
  state.counters["of FMA"] = flops / seconds[0] / (fma.flops() / seconds[3]);
}

}  // namespace

int main(int argc, char** argv) {
  using heed::BFloat16;
  using heed::bench::add;
  const auto contiguous_row = [](const std::string& name, Index Hq, Index tokens, double goal) {
    add(name, [=](benchmark::State& s) { contiguous<float>(s, Hq, tokens, goal); });
    add(name + "_bf16", [=](benchmark::State& s) { contiguous<BFloat16>(s, Hq, tokens, goal); });
  };
  contiguous_row("cache_8k", 32, 8192, 0.85);
  contiguous_row("cache_32k", 32, 32768, 0.85);
  contiguous_row("cache_8k_mha", 8, 8192, 0.85);
  for (const Index page : {16, 32, 64, 256}) {
    const std::string name = "pages_" + std::to_string(page);
    add(name, [page](benchmark::State& s) { paged(s, page, Pages::in_order); });
    add(name + "_by_turns", [page](benchmark::State& s) { paged(s, page, Pages::by_turns); });
    add(name + "_scattered", [page](benchmark::State& s) { paged(s, page, Pages::scattered); });
  }
  add("batch_16_ragged", ragged);
  add("cascade_gqa", [](benchmark::State& s) { cascade(s, 32); });
  add("cascade_mha", [](benchmark::State& s) { cascade(s, 8); });
  return heed::bench::run_rows(argc, argv, "caches", nullptr);
}
