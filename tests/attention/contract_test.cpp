// The contract table, line by line, on every path that computes attention.
#include "support/problem.hpp"

namespace heed {
namespace {

using test::Buffer;
using test::Inputs;
using test::Layout;

constexpr Backend backends_to_test[] = {Backend::flash, Backend::chunked, Backend::reference};

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

// [L, D] problems small enough to read.
struct Small {
  Tensor2<float> q{5, 4}, k{7, 4}, v{7, 3};
  Small() {
    for (Index n = 0; n < q.size(); ++n) q.data()[n] = static_cast<float>(test::uniform(1, n));
    for (Index n = 0; n < k.size(); ++n) k.data()[n] = static_cast<float>(test::uniform(2, n));
    for (Index n = 0; n < v.size(); ++n) v.data()[n] = static_cast<float>(test::uniform(3, n));
  }
};

template <class F>
std::string error_of(F&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("scale is 1/sqrt(D) unless given") {
  const Small s;
  for (const Backend backend : backends_to_test) {
    const auto plain = attention(s.q, s.k, s.v, {}, {}, {.backend = backend});
    const auto same = attention(s.q, s.k, s.v, {}, {}, {.scale = 0.5, .backend = backend});
    REQUIRE(test::same_bits(plain.out, same.out));
    const auto other = attention(s.q, s.k, s.v, {}, {}, {.scale = 2, .backend = backend});
    REQUIRE(test::max_difference(plain.out, other.out) > 1e-3);
    const auto uniform = attention(s.q, s.k, s.v, {}, {}, {.scale = 0, .backend = backend});
    for (Index i = 0; i < 5; ++i) REQUIRE(uniform.lse(i) == Approx(std::log(7.0)));
  }
}

TEST_CASE("order of operations: scale, scores as written, mask, softmax, dropout") {
  const Small s;
  const std::vector<float> slopes{0.25f};
  const auto see = [](int i, int j) { return (i + j) % 3 != 0; };
  for (const Backend backend : backends_to_test) {
    const auto r = attention(s.q, s.k, s.v, see,
                             score::soft_cap(0.5) >> score::alibi(slopes) >>
                                 [](float x, int, int j) { return j == 4 ? x * 3 : x; },
                             {.scale = 0.75, .backend = backend});
    for (Index i = 0; i < 5; ++i) {
      double sum = 0;
      double value = 0;
      for (Index j = 0; j < 7; ++j) {
        if ((i + j) % 3 == 0) continue;
        double dot = 0;
        for (Index d = 0; d < 4; ++d) dot += static_cast<double>(s.q(i, d) * s.k(j, d));
        double x = 0.5 * std::tanh(0.75 * dot / 0.5);
        x -= 0.25 * std::abs(static_cast<double>(i + 2 - j));
        if (j == 4) x *= 3;
        sum += std::exp(x);
        value += std::exp(x) * static_cast<double>(s.v(j, 1));
      }
      REQUIRE(r.out(i, 1) == Approx(value / sum).epsilon(1e-5));
      REQUIRE(r.lse(i) == Approx(std::log(sum)).epsilon(1e-5));
    }
  }
}

TEST_CASE("a mask that is true attends; a bias of -inf is a mask") {
  const Small s;
  Tensor2<float> keep(5, 7);
  Tensor2<float> bias(5, 7);
  for (Index n = 0; n < 35; ++n) {
    const bool attends = n % 4 != 1;
    keep.data()[n] = attends ? -2.5f : 0.0f;
    bias.data()[n] = attends ? 0.0f : -inf;
  }
  for (const Backend backend : backends_to_test) {
    const auto masked = attention(s.q, s.k, s.v, mask::dense(keep), {}, {.backend = backend});
    const auto biased = attention(s.q, s.k, s.v, {}, score::bias(bias), {.backend = backend});
    REQUIRE(test::same_bits(masked.out, biased.out));
    REQUIRE(test::same_bits(masked.lse, biased.lse));
  }
}

TEST_CASE("causal is aligned to the end of the keys by default") {
  const Small s;
  for (const Backend backend : backends_to_test) {
    const Options options{.backend = backend};
    const auto end = attention(s.q, s.k, s.v, mask::causal(), {}, options);
    const auto by_hand = attention(
        s.q, s.k, s.v, [](int i, int j) { return j <= i + 2; }, {}, options);
    REQUIRE(test::same_bits(end.out, by_hand.out));
    const auto start = attention(s.q, s.k, s.v, mask::causal(mask::align::start), {}, options);
    for (Index d = 0; d < 3; ++d) REQUIRE(start.out(0, d) == s.v(0, d));  // sees key 0 alone
  }
}

TEST_CASE("causal with more queries than keys leaves the first rows blind") {
  const Inputs<float> in({1, 1, 1, 150, 100, 8, 8, 4}, Layout::packed, 1);
  for (const Backend backend : backends_to_test) {
    const auto r = attention(in.q.cview(), in.k.cview(), in.v.cview(), mask::causal(), {},
                             {.backend = backend});
    for (Index i = 0; i < 50; ++i) {
      REQUIRE(is_masked(r.lse(0, 0, i)));
      for (Index d = 0; d < 8; ++d) REQUIRE(r.out(0, 0, i, d) == 0.0f);
    }
    REQUIRE(!is_masked(r.lse(0, 0, 50)));
  }
}

TEST_CASE("window: both ends inclusive, at the query's aligned position") {
  const Small s;
  const auto r = attention(s.q, s.k, s.v, mask::window(1, 2));
  const auto by_hand =
      attention(s.q, s.k, s.v, [](int i, int j) { return j >= i + 2 - 1 && j <= i + 2 + 2; });
  REQUIRE(test::same_bits(r.out, by_hand.out));
  REQUIRE(test::same_bits(attention(s.q, s.k, s.v, mask::window(2)).out,
                          attention(s.q, s.k, s.v, mask::window(2, 2)).out));
  REQUIRE(test::same_bits(attention(s.q, s.k, s.v, mask::local(5)).out,
                          attention(s.q, s.k, s.v, mask::window(2)).out));
}

TEST_CASE("a window whose first tiles are wholly masked") {
  const Inputs<float> in({1, 1, 1, 300, 300, 16, 16, 4}, Layout::packed, 2);
  const auto q = in.q.cview();
  const auto k = in.k.cview();
  const auto v = in.v.cview();
  // Only the lambda form makes a kernel compute the masked tiles.
  const auto far = [](int i, int j) { return j - i >= -3 && j - i <= 0; };
  const auto truth = reference::attention<double>(q, k, v, far);
  const auto naive = reference::attention(q, k, v, far);
  test::require_accurate<float>(attention(q, k, v, far), naive, truth);
  test::require_accurate<float>(attention(q, k, v, mask::window(3, 0)), naive, truth);
}

TEST_CASE("a row that sees no key: out 0, weights 0, lse -inf") {
  const Small s;
  for (const Backend backend : backends_to_test) {
    const auto r =
        attention(s.q, s.k, s.v, [](int i, int) { return i != 3; }, {}, {.backend = backend});
    for (Index d = 0; d < 3; ++d) REQUIRE(std::bit_cast<std::uint32_t>(r.out(3, d)) == 0u);
    REQUIRE(is_masked(r.lse(3)));
    REQUIRE(!is_masked(r.lse(2)));
  }
  const auto textbook = reference::attention(s.q, s.k, s.v, [](int i, int) { return i != 3; });
  for (Index j = 0; j < 7; ++j) REQUIRE(textbook.weights(3, j) == 0.0f);
}

TEST_CASE("NaN or inf behind a mask changes no bit") {
  const Inputs<float> clean({1, 2, 1, 70, 150, 16, 16, 4}, Layout::packed, 3);
  const auto see = [](int, int j) { return j != 5 && j != 77 && j < 140; };
  Tensor2<float> bias(70, 150);
  for (Index n = 0; n < bias.size(); ++n) {
    bias.data()[n] = see(0, static_cast<int>(n % 150)) ? 0.0f : -inf;
  }
  for (const float poison : {nan, inf, -inf}) {
    for (const Backend backend : backends_to_test) {
      const Inputs<float> dirty = clean;
      for (const Index j : {5, 77, 141, 149}) {
        dirty.k.view()(0, 0, j, 2) = poison;
        dirty.v.view()(0, 0, j, 1) = poison;
      }
      const Options options{.backend = backend};
      const auto with = [&](const Inputs<float>& in, const auto& mask, const auto& score) {
        return attention(in.q.cview(), in.k.cview(), in.v.cview(), mask, score, options);
      };
      const auto expected = with(clean, see, score::None{});
      const auto masked = with(dirty, see, score::None{});
      REQUIRE(test::same_bits(expected.out, masked.out));
      REQUIRE(test::same_bits(expected.lse, masked.lse));
    }
  }
  // A key of −inf behind a score of −inf: only the values can be poisoned, NaN + −inf is NaN.
  const Inputs<float> dirty = clean;
  for (const Index j : {5, 77, 141, 149}) dirty.v.view()(0, 0, j, 1) = nan;
  const auto biased =
      attention(dirty.q.cview(), dirty.k.cview(), dirty.v.cview(), {}, score::bias(bias));
  const auto expected =
      attention(clean.q.cview(), clean.k.cview(), clean.v.cview(), {}, score::bias(bias));
  REQUIRE(test::same_bits(expected.out, biased.out));
}

#if !defined(__FAST_MATH__)
TEST_CASE("NaN in something attended propagates, and only there") {
  const Inputs<float> clean({1, 1, 1, 70, 150, 16, 16, 4}, Layout::packed, 4);
  for (const Backend backend : backends_to_test) {
    const Options options{.backend = backend};
    const auto run = [&](const Inputs<float>& in) {
      return attention(in.q.cview(), in.k.cview(), in.v.cview(), mask::causal(), {}, options);
    };
    const auto expected = run(clean);
    const Inputs<float> in_q = clean;
    in_q.q.view()(0, 0, 7, 3) = nan;
    const auto q_result = run(in_q);
    const Inputs<float> in_k = clean;
    in_k.k.view()(0, 0, 100, 3) = nan;  // seen by queries from 20 on
    const auto k_result = run(in_k);
    const Inputs<float> in_v = clean;
    in_v.v.view()(0, 0, 100, 3) = nan;
    const auto v_result = run(in_v);
    for (Index i = 0; i < 70; ++i) {
      for (Index d = 0; d < 16; ++d) {
        const float good = expected.out(0, 0, i, d);
        REQUIRE((i == 7 ? is_nan(q_result.out(0, 0, i, d)) : q_result.out(0, 0, i, d) == good));
        REQUIRE((i >= 20 ? is_nan(k_result.out(0, 0, i, d)) : k_result.out(0, 0, i, d) == good));
        REQUIRE((i >= 20 && d == 3 ? is_nan(v_result.out(0, 0, i, d))
                                   : v_result.out(0, 0, i, d) == good));
      }
      REQUIRE(is_nan(q_result.lse(0, 0, i)) == (i == 7));
      REQUIRE(is_nan(k_result.lse(0, 0, i)) == (i >= 20));
    }
  }
}
#endif

TEST_CASE("a length, batch or number of heads of 0 is a valid call") {
  for (const Backend backend : backends_to_test) {
    const Options options{.backend = backend};
    for (const Shape& s : {Shape{0, 2, 1, 3, 4, 5, 6, 4}, Shape{2, 0, 1, 3, 4, 5, 6, 4},
                           Shape{2, 0, 0, 3, 4, 5, 6, 4}, Shape{2, 2, 1, 0, 4, 5, 6, 4},
                           Shape{2, 2, 1, 3, 0, 5, 6, 4}, Shape{2, 2, 1, 3, 4, 5, 0, 4}}) {
      CAPTURE(test::name_of(s));
      const Tensor4<float> q = Tensor4<float>(s.B, s.Hq, s.Lq, s.D).setRandom();
      const Tensor4<float> k = Tensor4<float>(s.B, s.Hkv, s.Lk, s.D).setRandom();
      const Tensor4<float> v = Tensor4<float>(s.B, s.Hkv, s.Lk, s.Dv).setRandom();
      const auto r = attention(q, k, v, mask::causal(), {}, options);
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
  refuse(t(2, 3, 7, 64), t(2, 3, 7, 64), {}, {"no multiple", "q [2,8,5,64]", "k [2,3,7,64]"});
  refuse(t(2, 0, 7, 64), t(2, 0, 7, 64), {}, {"no multiple", "k [2,0,7,64]"});
  refuse(good, good, {.scale = std::numeric_limits<double>::infinity()}, {"scale is not finite"});
  refuse(good, good, {.scale = std::numeric_limits<double>::quiet_NaN()}, {"scale is not finite"});
  refuse(good, good, {.dropout = -0.1}, {"dropout", "[0, 1]"});
  refuse(good, good, {.dropout = 1.5}, {"dropout", "[0, 1]"});
  refuse(good, good, {.dropout = std::numeric_limits<double>::quiet_NaN()}, {"dropout"});
  refuse(good, good, {.threads = -1}, {"-1 threads"});
  REQUIRE(contains(error_of([&] { attention(t(2, 8, 5, 0), t(2, 2, 7, 0), good); }), "dim"));
  Tensor4<float> wrong(2, 8, 5, 63);
  REQUIRE(contains(error_of([&] { attention_into(wrong, q, good, good); }), "out [2,8,5,63]"));
  REQUIRE(contains(error_of([&] { chunked::attention(q, good, good, {}, {}, {.chunk = 0}); }),
                   "chunk"));
}

TEST_CASE("null data is refused; null data of an empty tensor is not") {
  const Small s;
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
  REQUIRE(attention(q, q, q).out.size() == q.extent[0] * 2 * 9 * 8);  // inputs may alias
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
  // Rows and columns of stride 1: element (i, j) is number i + j, so every tile is another place.
  std::vector<std::uint8_t> diagonal(static_cast<std::size_t>(2 * L), 0);
  diagonal.back() = 0;
  diagonal[static_cast<std::size_t>(2 * L - 2)] = 1;  // only (L − 1, L − 1)
  const auto far = view(static_cast<const std::uint8_t*>(diagonal.data()), {L, L}, {1, 1});
  const auto last = mask::dense(far) & mask::window(0);
  const auto r = attention(q, q, v, last);
  REQUIRE(r.out(L - 1, 0) == 1.0f);
  REQUIRE(r.out(L - 2, 0) == 0.0f);
  // Two rows more than 2^31 elements apart in memory; only their ends are touched.
  const Index stride = Index{1} << 31;
  REQUIRE(view(static_cast<const float*>(nullptr), {2, 4}, {stride, 1}).offset(1, 3) == stride + 3);
}

TEST_CASE("dropout follows Philox: the same weights are dropped on every path") {
  const Inputs<float> in({2, 3, 1, 70, 90, 8, 8, 4}, Layout::packed, 5);
  const auto q = in.q.cview();
  const auto k = in.k.cview();
  const auto v = in.v.cview();
  const Options options{.dropout = 0.3, .seed = 1234567890123ull};
  const auto textbook = reference::attention(q, k, v, mask::causal(), {}, options);
  const auto threshold = static_cast<std::uint32_t>(0.3 * 4294967296.0);
  Index dropped = 0;
  Index attended = 0;
  for (Index b = 0; b < 2; ++b) {
    for (Index h = 0; h < 3; ++h) {
      for (Index i = 0; i < 70; ++i) {
        for (Index j = 0; j <= i + 20; ++j) {
          const auto u = [](Index x) { return static_cast<std::uint32_t>(x); };
          const bool kept =
              philox(options.seed, {u(j / 4), u(i), u(h), u(b)})[u(j % 4)] >= threshold;
          const float w = textbook.weights(b, h, i, j);
          const float d = textbook.dropped_weights(b, h, i, j);
          REQUIRE(d == Approx(kept ? w / 0.7f : 0.0f));
          dropped += kept ? 0 : 1;
          ++attended;
        }
      }
    }
  }
  REQUIRE(std::abs(static_cast<double>(dropped) / static_cast<double>(attended) - 0.3) < 0.01);
  for (const Backend backend : {Backend::flash, Backend::chunked}) {
    Options with = options;
    with.backend = backend;
    const auto r = attention(q, k, v, mask::causal(), {}, with);
    REQUIRE(test::max_difference(r.out, textbook.out) < 2e-6);
    REQUIRE(test::max_difference(r.lse, textbook.lse) < 2e-6);  // lse is before dropout
  }
  const auto all = attention(q, k, v, {}, {}, {.dropout = 1});
  REQUIRE(test::max_magnitude(all.out) == 0);
  const auto none = attention(q, k, v, {}, {}, {.dropout = 0, .seed = 5});
  REQUIRE(test::same_bits(none.out, attention(q, k, v).out));
}

TEST_CASE("lse is the natural log of the sum of exp, float for the half types") {
  const Inputs<BFloat16> in({1, 1, 1, 5, 70, 8, 8, 4}, Layout::packed, 6);
  const auto r = attention(in.q.cview(), in.k.cview(), in.v.cview());
  static_assert(std::is_same_v<decltype(r.lse)::Scalar, float>);
  const auto truth = reference::attention<double>(in.q.cview(), in.k.cview(), in.v.cview());
  for (Index i = 0; i < 5; ++i) {
    double sum = 0;
    for (Index j = 0; j < 70; ++j) sum += std::exp(truth.scores(0, 0, i, j));
    REQUIRE(r.lse(0, 0, i) == Approx(std::log(sum)).epsilon(1e-5));
  }
}

TEST_CASE("what the results held before does not matter") {
  const Inputs<float> in({2, 2, 1, 70, 90, 16, 16, 4}, Layout::packed, 7);
  const auto q = in.q.cview();
  const auto k = in.k.cview();
  const auto v = in.v.cview();
  for (const Backend backend : backends_to_test) {
    const Options options{.backend = backend};
    auto result = attention(q, k, v, mask::causal(), {}, options);
    const auto expected = result;
    result.out.setConstant(nan);
    result.lse.setConstant(nan);
    attention_into(result, q, k, v, mask::causal(), {}, options);
    REQUIRE(test::same_bits(result.out, expected.out));
    REQUIRE(test::same_bits(result.lse, expected.lse));
  }
}

TEST_CASE("the report says which path ran, and why") {
  const Small s;
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
  REQUIRE(backends().size() == 3);
}

}  // namespace heed
