// The contract: which calls are valid, which are refused and with what words, and what a call
// tells.
#include <sys/mman.h>

#include "support/contract.hpp"

namespace heed {
namespace {

using test::Buffer;
using test::contains;
using test::error_of;
using test::every_backend;
using test::Layout;
using test::Small;

}  // namespace

TEMPLATE_TEST_CASE("a length, batch or number of heads of 0 is a valid call", "", float, double,
                   Half, BFloat16) {
  const mask::any causal = mask::causal();
  for (const Backend backend : every_backend) {
    const Options options{.backend = backend};
    for (const Shape& s : {Shape{0, 2, 1, 3, 4, 5, 6, 4}, Shape{2, 0, 1, 3, 4, 5, 6, 4},
                           Shape{2, 0, 0, 3, 4, 5, 6, 4}, Shape{2, 2, 1, 0, 4, 5, 6, 4},
                           Shape{2, 2, 1, 3, 0, 5, 6, 4}, Shape{2, 2, 1, 3, 4, 5, 0, 4}}) {
      CAPTURE(test::name_of(s));
      const Tensor4<TestType> q = Tensor4<TestType>(s.B, s.Hq, s.Lq, s.D).setRandom();
      const Tensor4<TestType> k = Tensor4<TestType>(s.B, s.Hkv, s.Lk, s.D).setRandom();
      const Tensor4<TestType> v = Tensor4<TestType>(s.B, s.Hkv, s.Lk, s.Dv).setRandom();
      const auto r = attention(q, k, v, causal, {}, options);
      REQUIRE(r.out.size() == s.B * s.Hq * s.Lq * s.Dv);
      REQUIRE(r.lse.size() == s.B * s.Hq * s.Lq);
      if (s.Lk != 0) continue;
      REQUIRE(test::max_magnitude(r.out) == 0);
      for (Index n = 0; n < r.lse.size(); ++n) REQUIRE(is_masked(r.lse.data()[n]));
    }
  }
}

TEST_CASE("what the contract refuses, with both shapes, and nothing written") {
  const auto t = [](Index B, Index H, Index L, Index D) {
    return Tensor4<float>(Tensor4<float>(B, H, L, D).setRandom());
  };
  const auto q = t(2, 8, 5, 64);
  const auto refuse = [&](const Tensor4<float>& k, const Tensor4<float>& v, const Options& options,
                          std::initializer_list<const char*> parts) {
    Tensor4<float> out(2, 8, 5, 64);
    out.setConstant(42);
    const auto direct = error_of([&] { attention(q, k, v, {}, {}, options); });
    const auto into = error_of([&] { attention_into(out, q, k, v, {}, {}, options); });
    const auto textbook = error_of([&] { reference::attention(q, k, v, {}, {}, options); });
    for (const char* part : parts) {
      CAPTURE(part, direct, into, textbook);
      REQUIRE(contains(direct, part));
      REQUIRE(contains(into, part));
      REQUIRE(contains(textbook, part));
    }
    REQUIRE(contains(direct, "heed::attention"));
    for (Index n = 0; n < out.size(); ++n) REQUIRE(out.data()[n] == 42.0f);
  };
  const auto good = t(2, 2, 7, 64);
  refuse(t(2, 2, 7, 80), good, {},
         {"k has dim 80 but q has dim 64", "q [2,8,5,64]", "k [2,2,7,80]"});
  refuse(t(1, 2, 7, 64), good, {}, {"k has batch 1 but q has batch 2", "k [1,2,7,64]"});
  refuse(good, t(2, 2, 6, 64), {}, {"v has length 6 but k has length 7", "v [2,2,6,64]"});
  refuse(good, t(2, 4, 7, 64), {}, {"v has heads 4 but k has heads 2"});
  refuse(good, t(3, 2, 7, 64), {}, {"v has batch 3 but q has batch 2"});
  refuse(t(2, 3, 7, 64), t(2, 3, 7, 64), {}, {"not a multiple", "q [2,8,5,64]", "k [2,3,7,64]"});
  refuse(t(2, 0, 7, 64), t(2, 0, 7, 64), {}, {"not a multiple", "k [2,0,7,64]"});
  refuse(good, good, {.scale = std::numeric_limits<double>::infinity()}, {"scale is not finite"});
  refuse(good, good, {.scale = std::numeric_limits<double>::quiet_NaN()}, {"scale is not finite"});
  for (const double scale : {3.5e38, -1e39, 1e300}) {
    refuse(good, good, {.scale = scale}, {"scale is not finite as a float"});
  }
  refuse(good, good, {.dropout = -0.1}, {"dropout", "[0, 1]"});
  refuse(good, good, {.dropout = 1.5}, {"dropout", "[0, 1]"});
  refuse(good, good, {.dropout = std::numeric_limits<double>::quiet_NaN()}, {"dropout"});
  refuse(good, good, {.threads = -1}, {"-1 threads"});
  refuse(good, good, {.tf32 = true}, {"options.tf32 is for the device"});
  const std::vector<float> sinks(7);
  refuse(good, good, {.sinks = sinks}, {"options.sinks has 7 numbers but q has 8 heads"});
  REQUIRE(contains(error_of([&] { attention(t(2, 8, 5, 0), t(2, 2, 7, 0), good); }), "dim"));
  Tensor4<float> wrong(2, 8, 5, 63);
  REQUIRE(contains(error_of([&] { attention_into(wrong, q, good, good); }), "out [2,8,5,63]"));
  REQUIRE(contains(error_of([&] { chunked::attention(q, good, good, {}, {}, {.chunk = 0}); }),
                   "chunk"));
}

TEST_CASE("null data is refused; null data of an empty tensor is not") {
  const Small<float> s;
  const auto null = view(static_cast<const float*>(nullptr), {5, 4});
  REQUIRE(
      contains(error_of([&] { attention(null, view_of(s.k), view_of(s.v)); }), "q has no data"));
  const auto nothing = view(static_cast<const float*>(nullptr), {0, 4});
  REQUIRE(attention(nothing, view_of(s.k), view_of(s.v)).out.size() == 0);
}

TEST_CASE("out overlapping an input is refused; interleaved slices of one buffer are not") {
  Buffer<float> fused(2, 6, 9, 8, Layout::blhd);  // [B, L, 3·H, D]: q, k, v of a fused projection
  fused.fill(1);
  const auto slice = [&](Index first) {
    auto v = fused.view();
    v.data += first * v.stride[1];
    v.extent[1] = 2;
    return v;
  };
  const auto q = slice(0);
  const auto k = slice(2);
  const auto v = slice(4);
  REQUIRE(contains(error_of([&] { attention_into(q, q, k, k); }), "out overlaps q"));
  REQUIRE(contains(error_of([&] { attention_into(k, q, k, q); }), "out overlaps k"));
  REQUIRE(contains(error_of([&] { attention_into(k, q, q, k); }), "out overlaps v"));
  const auto expected = attention(q, k, k);
  attention_into(v, q, k, k);  // shares the buffer, and no element
  for (Index b = 0; b < 2; ++b) {
    for (Index i = 0; i < 9; ++i) REQUIRE(v(b, 1, i, 3) == expected.out(b, 1, i, 3));
  }
  auto repeated = v;
  repeated.stride[2] = 0;
  REQUIRE(contains(error_of([&] { attention_into(repeated, q, k, k); }), "repeats"));
  Buffer<float> fresh(2, 2, 9, 8, Layout::packed);
  auto shared = fresh.view();
  shared.stride[2] = shared.stride[3];
  REQUIRE(contains(error_of([&] { attention_into(shared, q, k, k); }), "repeats"));
  REQUIRE(attention(q, q, q).out.size() == q.extent[0] * 2 * 9 * 8);  // inputs may alias
}

TEST_CASE("a workspace on top of a tensor is refused, and nothing is written") {
  constexpr Index L = 40, D = 8;
  std::vector<float> memory(4 * L * D + 200000, 0.5f);
  const auto at = [&](Index n) { return view(memory.data() + n * L * D, {1, 1, L, D}); };
  const auto run = [&](Index first) {
    const std::span<float> rest(memory.data() + first,
                                memory.size() - static_cast<std::size_t>(first));
    return error_of([&] {
      attention_into(at(3), at(0), at(1), at(2), {}, {},
                     {.workspace = std::as_writable_bytes(rest)});
    });
  };
  REQUIRE(contains(run(L * D - 1), "options.workspace"));
  REQUIRE(contains(run(L * D - 1), "overlaps q [1,1,40,8]"));
  REQUIRE(contains(run(2 * L * D - 1), "overlaps k"));
  REQUIRE(contains(run(3 * L * D - 1), "overlaps v"));
  REQUIRE(contains(run(4 * L * D - 1), "overlaps out"));
  REQUIRE(std::count(memory.begin(), memory.end(), 0.5f) == static_cast<Index>(memory.size()));
  REQUIRE(run(4 * L * D).empty());
  Tensor4<float> q(1, 1, L, D);
  q.setConstant(0.5f);
  auto result = attention(q, q, q);
  const std::span<float> of_lse(result.lse.data(), static_cast<std::size_t>(L));
  REQUIRE(contains(error_of([&] {
                     attention_into(result, q, q, q, {}, {},
                                    {.workspace = std::as_writable_bytes(of_lse)});
                   }),
                   "overlaps lse"));
}

TEST_CASE("huge shapes: an error or bad_alloc, never a wrap") {
  const float one = 1;
  const auto broadcast = [&](Index B, Index H, Index L, Index D) {
    return view(&one, {B, H, L, D}, {0, 0, 0, 0});
  };
  const Index big = max_length;
  const auto refused = [&](const auto& q, const auto& k) {
    try {
      attention(q, k, k);
    } catch (const Error&) {
      return true;
    } catch (const std::bad_alloc&) {
      return true;
    }
    return false;
  };
  REQUIRE(refused(broadcast(big, big, big, 4), broadcast(big, 1, 4, 4)));
  REQUIRE(refused(broadcast(big, 1024, big, 4), broadcast(big, 1, 4, 4)));
  REQUIRE(refused(broadcast(1, 1, big + 1, 4), broadcast(1, 1, 4, 4)));
  REQUIRE(refused(broadcast(1, 1, 4, 4), broadcast(1, 1, big + 1, 4)));
  REQUIRE(contains(error_of([&] {
                     attention(broadcast(1, 1, -1, 4), broadcast(1, 1, 4, 4),
                               broadcast(1, 1, 4, 4));
                   }),
                   "extent outside"));
}

// pytorch#187227, Automodel#3802: 32-bit offsets into a mask or a bias of more than 2^31 elements.
TEST_CASE("a dense mask and bias beyond 2^31 elements are read at the right place") {
  const Index L = 70000;
  const Tensor2<float> q = Tensor2<float>(L, 1).setConstant(0);
  const Tensor2<float> v = Tensor2<float>(L, 1).setConstant(1);
  // Rows and columns of stride 1: element (i, j) is number i + j, so memory stays small.
  const auto last = static_cast<std::size_t>(2 * L - 2);
  std::vector<std::uint8_t> visible(last + 1, 0);
  std::vector<float> raised(last + 1, 0.0f);
  visible[last] = 1;  // only (L − 1, L − 1)
  raised[last] = 2.5f;
  const auto far_mask = view(static_cast<const std::uint8_t*>(visible.data()), {L, L}, {1, 1});
  const auto far_bias = view(static_cast<const float*>(raised.data()), {L, L}, {1, 1});
  const auto masked = attention(q, q, v, mask::window(0) & mask::dense(far_mask));
  REQUIRE(masked.out(L - 1, 0) == 1.0f);
  REQUIRE(masked.out(L - 2, 0) == 0.0f);
  const auto biased = attention(q, q, v, mask::window(0), score::bias(far_bias));
  REQUIRE(biased.lse(L - 1) == 2.5f);
  REQUIRE(biased.lse(L - 2) == 0.0f);
  // Two rows more than 2^31 elements apart in memory; only their ends are touched.
  const Index stride = Index{1} << 31;
  REQUIRE(view(static_cast<const float*>(nullptr), {2, 4}, {stride, 1}).offset(1, 3) == stride + 3);
}

// Scores of 70000² in sum; d_k's batch entries lie 2^31 elements apart, of which few are touched.
TEST_CASE("gradients beyond 2^31 scores, and 2^31 elements apart, come to the right place") {
  const Index L = 70000, apart = Index{1} << 31;
  const auto numbers = [](Index count, std::uint64_t seed) {
    Tensor2<float> x(count, 1);
    for (Index n = 0; n < count; ++n) x(n, 0) = static_cast<float>(test::uniform(seed, n));
    return x;
  };
  const Tensor2<float> q = numbers(L, 1), k = numbers(L, 2), v = numbers(L, 3),
                       d_out = numbers(L, 4);
  const auto g = attention_backward(d_out, q, k, v, attention(q, k, v, mask::window(1, 0)),
                                    mask::window(1, 0));
  const auto last = [&](const Tensor2<float>& x, Index count) {
    return view(x.data() + L - count, {count, Index{1}});
  };
  const auto few = attention_backward(last(d_out, 1), last(q, 1), last(k, 2), last(v, 2),
                                      attention(last(q, 1), last(k, 2), last(v, 2)));
  REQUIRE(std::abs(g.d_q(L - 1, 0) - few.d_q(0, 0)) <= 1e-6f);
  REQUIRE(std::abs(g.d_k(L - 1, 0) - few.d_k(1, 0)) <= 1e-6f);
  REQUIRE(std::abs(g.d_v(L - 1, 0) - few.d_v(1, 0)) <= 1e-6f);

  const std::size_t bytes = sizeof(float) * static_cast<std::size_t>(apart + 8);
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  const test::Inputs<float> in({2, 1, 1, 3, 4, 2, 2, 4}, Layout::packed, 5);
  const auto of_q = in.q.cview(), of_k = in.k.cview(), of_v = in.v.cview();
  const auto result = attention(of_q, of_k, of_v);
  auto expected = attention_backward(of_q, of_q, of_k, of_v, result);
  const View<float, 4> d_k{static_cast<float*>(memory), {2, 1, 4, 2}, {apart, 8, 2, 1}};
  Gradients to{mutable_view_of(expected.d_q), d_k, mutable_view_of(expected.d_v)};
  attention_backward_into(to, of_q, of_q, of_k, of_v, result);
  for (Index n = 0; n < 8; ++n) {
    REQUIRE(d_k(0, 0, n / 2, n % 2) == expected.d_k(0, 0, n / 2, n % 2));
    REQUIRE(d_k(1, 0, n / 2, n % 2) == expected.d_k(1, 0, n / 2, n % 2));
  }
  munmap(memory, bytes);
}

TEST_CASE("the report says which path ran, and why") {
  const Small<float> s;
  CallReport report;
  attention(s.q, s.k, s.v, {}, {}, {.threads = 1, .report = &report});
  REQUIRE(std::string(report.backend) == "flash");
  REQUIRE(report.threads == 1);
  REQUIRE(report.scratch_bytes > 0);
  REQUIRE(!std::string(report.why).empty());
  attention(s.q, s.k, s.v, {}, {}, {.backend = Backend::chunked, .report = &report});
  REQUIRE(std::string(report.backend) == "chunked");
  attention(s.q, s.k, s.v, {}, {}, {.backend = Backend::reference, .report = &report});
  REQUIRE(std::string(report.backend) == "reference");
}

}  // namespace heed
