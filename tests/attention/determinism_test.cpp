// The same call gives the same bits: for any number of threads, any executor, any batch mates, from
// several threads at once; and exceptions come out of the parallel region.
#include <atomic>
#include <cfenv>
#include <cstring>
#include <thread>

#include "support/allocations.hpp"
#include "support/problem.hpp"

namespace heed {
namespace {

using test::allocations;
using test::counting;
using test::Inputs;
using test::Layout;

class ThreadPerWorker final : public Executor {
 public:
  int concurrency() const override { return 8; }
  void run(int workers, Job job) override {
    std::vector<std::thread> threads;
    for (int worker = 0; worker < workers; ++worker) threads.emplace_back(job, worker);
    for (auto& thread : threads) thread.join();
  }
};

// A pool whose threads have settings of their own, as if it had been started long ago.
class OldThreads final : public Executor {
 public:
  int concurrency() const override { return 4; }
  void run(int workers, Job job) override {
    std::vector<std::thread> threads;
    for (int worker = 0; worker < workers; ++worker) {
      threads.emplace_back([job, worker] {
        std::fesetenv(FE_DFL_ENV);
        job(worker);
      });
    }
    for (auto& thread : threads) thread.join();
  }
};

constexpr Shape shape{2, 4, 2, 200, 260, 24, 20, 4};

auto run(const Inputs<float>& in, Options options) {
  static const std::vector<float> sinks{1, -2, 0, 3};
  options.sinks = sinks;
  return attention(in.q.cview(), in.k.cview(), in.v.cview(), mask::causal(), {}, options);
}

template <class A, class B>
bool same_gradients(const A& a, const B& b) {
  return test::same_bits(a.d_q, b.d_q) && test::same_bits(a.d_k, b.d_k) &&
         test::same_bits(a.d_v, b.d_v);
}

}  // namespace

TEST_CASE("the bits do not depend on the number of threads") {
  const Inputs<float> in(shape, Layout::packed, 1);
  ThreadPerWorker pool;
  for (const Backend backend : {Backend::flash, Backend::chunked}) {
    const auto one = run(in, {.threads = 1, .dropout = 0.1, .backend = backend});
    for (const int threads : {0, 2, 3, 4, 7, 8}) {
      for (int repeat = 0; repeat < 5; ++repeat) {
        const auto openmp = run(in, {.threads = threads, .dropout = 0.1, .backend = backend});
        REQUIRE(test::same_bits(one.out, openmp.out));
        const auto pooled =
            run(in, {.threads = threads, .executor = &pool, .dropout = 0.1, .backend = backend});
        REQUIRE(test::same_bits(one.out, pooled.out));
        REQUIRE(test::same_bits(one.lse, pooled.lse));
      }
    }
  }
}

// flash-attention#47
TEST_CASE("the bits do not depend on what else is in the batch") {
  const Inputs<float> in({3, 4, 2, 70, 260, 24, 20, 4}, Layout::packed, 2);
  const std::vector<float> sinks{1, -2, 0, 3};
  const auto all = run(in, {});
  for (Index b = 0; b < 3; ++b) {
    const auto one = [b](View<const float, 4> v) {
      v.data += b * v.stride[0];
      v.extent[0] = 1;
      return v;
    };
    const auto alone = attention(one(in.q.cview()), one(in.k.cview()), one(in.v.cview()),
                                 mask::causal(), {}, {.sinks = sinks});
    const Tensor3<float> expected = all.out.chip(b, 0);
    REQUIRE(test::same_bits(alone.out, expected));
  }
}

// Values of 3e-39 count as 0 under flush-to-zero; the pool's threads were started without it.
TEST_CASE("the bits do not depend on whose rounding mode and flush-to-zero it is") {
  Inputs<float> in(shape, Layout::packed, 5);
  for (Index d = 0; d < 20; ++d) {
    for (Index j = 0; j < 260; ++j) in.v.view()(1, 0, j, d) = 3e-39F;
  }
  OldThreads old;
  run(in, {.threads = 4});  // so OpenMP has its threads
  const FloatControl before = float_control();
  const auto check = [&] {
    const FloatControl here = float_control();
    const auto one = run(in, {.threads = 1});
    for (Executor* executor : {static_cast<Executor*>(nullptr), static_cast<Executor*>(&old)}) {
      const auto many = run(in, {.threads = 4, .executor = executor});
      set_float_control(before);
      REQUIRE(test::same_bits(one.out, many.out));
      REQUIRE(test::same_bits(one.lse, many.lse));
      REQUIRE(here != before);
      set_float_control(here);
    }
    set_float_control(before);
    return one.out;
  };
  const auto usual = run(in, {.threads = 1}).out;
  std::fesetround(FE_TOWARDZERO);
  const auto cut_off = check();
  std::fesetround(FE_TONEAREST);
  REQUIRE_FALSE(test::same_bits(usual, cut_off));
#if defined(__SSE2__) && !defined(__FAST_MATH__)  // which starts programs with flush-to-zero
  set_float_control(before | 0x8040);             // flush-to-zero, denormals are zeros
  const auto flushed = check();
  REQUIRE(usual(1, 0, 199, 0) > 2e-39F);
  REQUIRE(flushed(1, 0, 199, 0) == 0);
#endif
}

TEST_CASE("calls from several threads at once do not disturb each other") {
  const Inputs<float> in(shape, Layout::packed, 3);
  const auto expected = run(in, {.threads = 1});
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int repeat = 0; repeat < 3; ++repeat) {
        const auto result = run(in, {.threads = 2});
        if (!test::same_bits(result.out, expected.out)) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  REQUIRE(wrong == 0);
}

TEST_CASE("an exception of a user's mask comes out of the parallel region") {
  const Inputs<float> in(shape, Layout::packed, 4);
  ThreadPerWorker pool;
  const auto throwing = [](int i, int j) -> bool {
    if (i == 150 && j == 33) throw std::runtime_error("mask says no");
    return true;
  };
  for (Executor* executor : {static_cast<Executor*>(nullptr), static_cast<Executor*>(&pool)}) {
    for (const int threads : {1, 2, 4}) {
      REQUIRE_THROWS_WITH(attention(in.q.cview(), in.k.cview(), in.v.cview(), throwing, {},
                                    {.threads = threads, .executor = executor}),
                          "mask says no");
    }
  }
}

TEST_CASE("an exception of a user's score comes out of the parallel region") {
  const Inputs<float> in(shape, Layout::packed, 4);
  const auto throwing = [](float, int, int) -> float { throw std::runtime_error("no score"); };
  REQUIRE_THROWS_WITH(attention(in.q.cview(), in.k.cview(), in.v.cview(), {}, throwing),
                      "no score");
}

TEST_CASE("attention_into with the caller's workspace allocates nothing") {
  const Inputs<float> in(shape, Layout::gaps, 5);
  const auto q = in.q.cview();
  const auto k = in.k.cview();
  const auto v = in.v.cview();
  const std::vector<float> slopes = score::alibi_slopes(4);
  const mask::any chosen = mask::bigbird() & mask::causal();
  const auto bias = score::alibi(slopes) >> score::soft_cap(30);
  for (const Backend backend : {Backend::flash, Backend::chunked}) {
    CallReport report;
    Options options{.threads = 2, .dropout = 0.1, .backend = backend, .report = &report};
    auto result = attention(q, k, v, chosen, bias, options);  // OpenMP's threads start here
    std::vector<std::byte> workspace(workspace_bytes(q, k, v, chosen, bias, options));
    options.workspace = workspace;
    allocations = 0;
    counting = true;
    attention_into(result, q, k, v, chosen, bias, options);
    counting = false;
    REQUIRE(allocations == 0);
    REQUIRE(report.scratch_bytes <= workspace.size());

    options.workspace = std::span(workspace).first(workspace.size() - 128);
    REQUIRE_THROWS_AS(attention_into(result, q, k, v, chosen, bias, options), Error);
    options.workspace = {};
    counting = true;
    attention_into(result, q, k, v, chosen, bias, options);
    counting = false;
    REQUIRE(allocations == 1 + 0);  // scratch, and nothing else
    allocations = 0;
  }
}

TEST_CASE("a workspace at any address will do") {
  const Inputs<float> in({1, 1, 1, 70, 90, 8, 8, 4}, Layout::packed, 6);
  const auto expected = attention(in.q.cview(), in.k.cview(), in.v.cview());
  const std::size_t bytes = workspace_bytes(in.q.cview(), in.k.cview(), in.v.cview());
  std::vector<std::byte> memory(bytes + 64, std::byte{0xff});
  for (std::size_t offset = 0; offset < 64; offset += 7) {
    const auto workspace = std::span(memory).subspan(offset, bytes);
    const auto r =
        attention(in.q.cview(), in.k.cview(), in.v.cview(), {}, {}, {.workspace = workspace});
    REQUIRE(test::same_bits(r.out, expected.out));
  }
}

TEMPLATE_TEST_CASE("the bits of gradients depend on neither threads nor batch", "", float,
                   BFloat16) {
  const Shape spans{2, 4, 2, 150, 1300, 12, 20, 4};
  const Inputs<TestType> in(spans, Layout::packed, 4);
  test::Buffer<TestType> d_out(2, 4, 150, 20);
  d_out.fill(5);
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview(), d_o = d_out.cview();
  const Options dropped{.threads = 1, .dropout = 0.2, .seed = 3};
  const auto result = attention(q, k, v, mask::causal(), {}, dropped);
  const auto one = attention_backward(d_o, q, k, v, result, mask::causal(), {}, dropped);
  for (const int threads : {0, 2, 3, 8}) {
    Options options = dropped;
    options.threads = threads;
    REQUIRE(
        same_gradients(one, attention_backward(d_o, q, k, v, result, mask::causal(), {}, options)));
  }
  const auto first_of = [](View<const TestType, 4> x) {
    x.extent[0] = 1;
    return x;
  };
  const auto alone_result =
      attention(first_of(q), first_of(k), first_of(v), mask::causal(), {}, dropped);
  const auto alone = attention_backward(first_of(d_o), first_of(q), first_of(k), first_of(v),
                                        alone_result, mask::causal(), {}, dropped);
  REQUIRE(std::equal(alone.d_q.data(), alone.d_q.data() + alone.d_q.size(), one.d_q.data()));
  REQUIRE(std::equal(alone.d_k.data(), alone.d_k.data() + alone.d_k.size(), one.d_k.data()));
  REQUIRE(std::equal(alone.d_v.data(), alone.d_v.data() + alone.d_v.size(), one.d_v.data()));
  Result kept{Tensor4<Accum<TestType>>(2, 4, 150, 20), Tensor3<Accum<TestType>>(2, 4, 150)};
  attention_into(kept, q, k, v, mask::causal(), {}, dropped);
  const auto of_kept = attention_backward(d_o, q, k, v, kept, mask::causal(), {}, dropped);
  const Options threads{.threads = 3, .dropout = 0.2, .seed = 3};
  REQUIRE(
      same_gradients(of_kept, attention_backward(d_o, q, k, v, kept, mask::causal(), {}, threads)));
}

TEST_CASE("with a workspace a call over a source of keys allocates nothing") {
  const Inputs<float> in(shape, Layout::packed, 6);
  const kv::Dense<float> source{in.k.cview(), in.v.cview()};
  const auto q = in.q.cview();
  auto result = attention(q, source, mask::causal());
  std::vector<std::byte> workspace(workspace_bytes(q, source, mask::causal()));
  const Options options{.threads = 1, .workspace = workspace};
  REQUIRE(test::allocations_of(
              [&] { attention_into(result, q, source, mask::causal(), {}, options); }) == 0);
}

TEST_CASE("1,000 gradients over 1 to 8 threads and other batch mates have the same bits") {
  const Shape few{3, 2, 1, 40, 1100, 8, 8, 4};  // two spans of keys or more
  const Inputs<float> in(few, Layout::packed, 8);
  test::Buffer<float> d_out(3, 2, 40, 8);
  d_out.fill(9);
  ThreadPerWorker pool;
  const auto mates = [](View<const float, 4> x, Index first, Index count) {
    x.data += first * x.stride[0];
    x.extent[0] = count;
    return x;
  };
  const auto gradients = [&](Index first, Index count, const Options& options) {
    const auto of = [&](const auto& x) { return mates(x.cview(), first, count); };
    const auto q = of(in.q), k = of(in.k), v = of(in.v);
    const auto result = attention(q, k, v, mask::causal(), {}, {.threads = 1});
    return attention_backward(of(d_out), q, k, v, result, mask::causal(), {}, options);
  };
  const auto all = gradients(0, 3, {.threads = 1});
  const auto same = [](const auto& part, const auto& whole, Index first) {
    const Index size = whole.size() / 3;
    return std::memcmp(part.data(), whole.data() + first * size,
                       static_cast<std::size_t>(part.size()) * sizeof(float)) == 0;
  };
  int wrong = 0;
  for (int repeat = 0; repeat < 1000; ++repeat) {
    const Index first = repeat % 3, count = 1 + repeat / 3 % (3 - first);
    const int threads = 1 + repeat % 8;
    Executor* const executor = repeat % 5 == 0 ? &pool : nullptr;
    const auto g = gradients(first, count, {.threads = threads, .executor = executor});
    wrong +=
        same(g.d_q, all.d_q, first) && same(g.d_k, all.d_k, first) && same(g.d_v, all.d_v, first)
            ? 0
            : 1;
  }
  REQUIRE(wrong == 0);
}

TEMPLATE_TEST_CASE("with a workspace a backward call allocates nothing", "", float, BFloat16) {
  const Inputs<TestType> in(shape, Layout::packed, 6);
  test::Buffer<TestType> d_out(shape.B, shape.Hq, shape.Lq, shape.Dv);
  d_out.fill(7);
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview(), d_o = d_out.cview();
  const auto result = attention(q, k, v, mask::causal());
  auto to = attention_backward(d_o, q, k, v, result, mask::causal());
  std::vector<std::byte> workspace(backward_workspace_bytes(q, k, v, mask::causal()));
  const Options options{.threads = 1, .workspace = workspace};
  REQUIRE(test::allocations_of([&] {
            attention_backward_into(to, d_o, q, k, v, result, mask::causal(), {}, options);
          }) == 0);
  Tensor2<float> table(4, 9), d_table(4, 9), bias(200, 260);
  Tensor2<BFloat16> d_bias(200, 260);  // sums of halves are in the workspace
  table.setZero();
  bias.setZero();
  using score::operator>>;
  const auto score = score::with_gradient(score::relative(table), d_table) >>
                     score::with_gradient(score::bias(bias), d_bias);
  Options with_score{.threads = 1};
  std::vector<std::byte> larger(
      backward_workspace_bytes(q, k, v, mask::causal(), score, with_score));
  with_score.workspace = larger;
  REQUIRE(test::allocations_of([&] {
            attention_backward_into(to, d_o, q, k, v, result, mask::causal(), score, with_score);
          }) == 0);
  REQUIRE(larger.size() >= sizeof(double) * 200 * 260);
  with_score.workspace = std::span(larger).first(larger.size() - 64);
  REQUIRE_THROWS_AS(
      attention_backward_into(to, d_o, q, k, v, result, mask::causal(), score, with_score), Error);
}

}  // namespace heed
