// The contract: which number comes out. Scale, order of operations, masks, fully masked rows,
// dropout, lse, on every path that computes attention and for every type.
#include <bit>

#include "support/contract.hpp"

namespace heed {
namespace {

using test::every_backend;
using test::Inputs;
using test::Layout;
using test::Small;

// The error that a result in T may have, of values below 1 in magnitude.
template <class T>
double tolerance() {
  return 1e-6 + 4 * test::unit_roundoff<T>();
}

template <class T>
bool is_plus_zero(const T& x) {
  return std::bit_cast<std::uint64_t>(static_cast<double>(x)) == 0;
}

}  // namespace

TEMPLATE_TEST_CASE("scale is 1/sqrt(D) unless given", "", float, double, Half, BFloat16) {
  const Small<TestType> s;
  for (const Backend backend : every_backend) {
    const auto plain = attention(s.q, s.k, s.v, {}, {}, {.backend = backend});
    const auto same = attention(s.q, s.k, s.v, {}, {}, {.scale = 0.5, .backend = backend});
    REQUIRE(test::same_bits(plain.out, same.out));
    const auto other = attention(s.q, s.k, s.v, {}, {}, {.scale = 2, .backend = backend});
    REQUIRE(test::max_difference(plain.out, other.out) > 1e-2);
    const auto uniform = attention(s.q, s.k, s.v, {}, {}, {.scale = 0, .backend = backend});
    for (Index i = 0; i < 5; ++i) REQUIRE(uniform.lse(i) == Approx(std::log(7.0)));
  }
}

TEMPLATE_TEST_CASE("order of operations: scale, scores as written, mask, softmax", "", float,
                   double, Half, BFloat16) {
  const Small<TestType> s;
  const std::vector<float> slopes{0.25f};
  const mask::any see = [](int i, int j) { return (i + j) % 3 != 0; };
  const auto score = score::soft_cap(0.5) >> score::alibi(slopes) >>
                     [](auto x, int, int j) { return j == 4 ? x * 3 : x; };
  const auto textbook = reference::attention(s.q, s.k, s.v, see, score, {.scale = 0.75});
  for (const Backend backend : every_backend) {
    const auto r = attention(s.q, s.k, s.v, see, score, {.scale = 0.75, .backend = backend});
    for (Index i = 0; i < 5; ++i) {
      double sum = 0;
      double value = 0;
      for (Index j = 0; j < 7; ++j) {
        const auto modified = static_cast<float>(textbook.modified_scores(i, j));
        REQUIRE(is_masked(modified) == ((i + j) % 3 == 0));
        if ((i + j) % 3 == 0) continue;
        double dot = 0;
        for (Index d = 0; d < 4; ++d) {
          dot += static_cast<double>(s.q(i, d)) * static_cast<double>(s.k(j, d));
        }
        double x = 0.5 * std::tanh(0.75 * dot / 0.5);
        x -= 0.25 * std::abs(static_cast<double>(i + 2 - j));
        if (j == 4) x *= 3;
        REQUIRE(std::abs(static_cast<double>(modified) - x) <= tolerance<TestType>());
        sum += std::exp(x);
        value += std::exp(x) * static_cast<double>(s.v(j, 1));
      }
      const double out = static_cast<double>(r.out(i, 1));
      REQUIRE(std::abs(out - value / sum) <= tolerance<TestType>());
      REQUIRE(r.lse(i) == Approx(std::log(sum)).epsilon(1e-5));
    }
  }
}

TEMPLATE_TEST_CASE("a mask that is true attends; a bias of -inf is a mask", "", float, double, Half,
                   BFloat16) {
  const Small<TestType> s;
  Tensor2<float> keep(5, 7);
  Tensor2<float> bias(5, 7);
  for (Index n = 0; n < 35; ++n) {
    const bool attends = n % 4 != 1;
    keep.data()[n] = attends ? -2.5f : 0.0f;
    bias.data()[n] = attends ? 0.0f : -test::inf;
  }
  const mask::any visible = mask::dense(keep);
  Tensor2<float> nothing(5, 7);  // a score, so that both calls round alike
  nothing.setZero();
  for (const Backend backend : every_backend) {
    const auto masked =
        attention(s.q, s.k, s.v, visible, score::bias(nothing), {.backend = backend});
    const auto biased = attention(s.q, s.k, s.v, {}, score::bias(bias), {.backend = backend});
    REQUIRE(test::same_bits(masked.out, biased.out));
    REQUIRE(test::same_bits(masked.lse, biased.lse));
  }
}

TEMPLATE_TEST_CASE("causal is aligned to the end of the keys by default", "", float, double, Half,
                   BFloat16) {
  const Small<TestType> s;
  const mask::any end = mask::causal();
  const mask::any start = mask::causal(mask::align::start);
  const mask::any by_hand = [](int i, int j) { return j <= i + 2; };
  for (const Backend backend : every_backend) {
    const auto see = [&](const mask::any& mask) {
      return attention(s.q, s.k, s.v, mask, {}, {.backend = backend}).out;
    };
    REQUIRE(test::same_bits(see(end), see(by_hand)));
    const auto first = see(start);
    for (Index d = 0; d < 3; ++d) REQUIRE(first(0, d) == s.v(0, d));  // sees key 0 alone
  }
}

TEST_CASE("window: both ends inclusive, at the query's aligned position") {
  const Small<float> s;
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

TEMPLATE_TEST_CASE("causal with more queries than keys leaves the first rows fully masked", "",
                   float, double, Half, BFloat16) {
  const Inputs<TestType> in({1, 1, 1, 150, 100, 8, 8, 4}, Layout::packed, 1);
  const mask::any causal = mask::causal();
  for (const Backend backend : every_backend) {
    const auto r =
        attention(in.q.cview(), in.k.cview(), in.v.cview(), causal, {}, {.backend = backend});
    for (Index i = 0; i < 50; ++i) {
      REQUIRE(is_masked(r.lse(0, 0, i)));
      for (Index d = 0; d < 8; ++d) REQUIRE(is_plus_zero(r.out(0, 0, i, d)));
    }
    REQUIRE(!is_masked(r.lse(0, 0, 50)));
  }
}

TEMPLATE_TEST_CASE("a row that sees no key: out 0, weights 0, lse -inf", "", float, double, Half,
                   BFloat16) {
  const Small<TestType> s;
  const mask::any see = [](int i, int) { return i != 3; };
  for (const double dropout : {0.0, 0.5}) {
    for (const Backend backend : every_backend) {
      const auto r =
          attention(s.q, s.k, s.v, see, {}, {.dropout = dropout, .seed = 7, .backend = backend});
      for (Index d = 0; d < 3; ++d) REQUIRE(is_plus_zero(r.out(3, d)));
      REQUIRE(is_masked(r.lse(3)));
      REQUIRE(!is_masked(r.lse(2)));
    }
  }
  const auto textbook = reference::attention(s.q, s.k, s.v, see);
  const auto chunked = chunked::attention(s.q, s.k, s.v, see, {}, {.weights = true});
  for (Index j = 0; j < 7; ++j) {
    REQUIRE(is_plus_zero(textbook.weights(3, j)));
    REQUIRE(is_plus_zero(chunked.weights(3, j)));
  }
}

TEMPLATE_TEST_CASE("dropout follows Philox: the same weights are dropped on every path", "", float,
                   double, Half, BFloat16) {
  const Inputs<TestType> in({2, 3, 1, 70, 90, 8, 8, 4}, Layout::packed, 5);
  const auto q = in.q.cview();
  const auto k = in.k.cview();
  const auto v = in.v.cview();
  const mask::any causal = mask::causal();
  const Options options{.dropout = 0.3, .seed = 1234567890123ull};
  const auto textbook = reference::attention(q, k, v, causal, {}, options);
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
          const double w = static_cast<double>(textbook.weights(b, h, i, j));
          const double d = static_cast<double>(textbook.dropped_weights(b, h, i, j));
          REQUIRE(d == Approx(kept ? w / 0.7 : 0.0).epsilon(tolerance<TestType>()));
          dropped += kept ? 0 : 1;
          ++attended;
        }
      }
    }
  }
  REQUIRE(std::abs(static_cast<double>(dropped) / static_cast<double>(attended) - 0.3) < 0.01);
  const auto truth = reference::attention<double>(q, k, v, causal, {}, options);
  const auto undropped = reference::attention<double>(q, k, v, causal);
  REQUIRE(test::max_difference(truth.lse, undropped.lse) == 0);  // lse is before dropout
  for (const Backend backend : {Backend::flash, Backend::chunked}) {
    Options with = options;
    with.backend = backend;
    test::require_accurate<TestType>(attention(q, k, v, causal, {}, with), textbook, truth);
  }
  for (const Backend backend : every_backend) {
    const auto all = attention(q, k, v, causal, {}, {.dropout = 1, .backend = backend});
    REQUIRE(test::max_magnitude(all.out) == 0);
    const auto none = attention(q, k, v, causal, {}, {.dropout = 0, .seed = 5, .backend = backend});
    const auto plain = attention(q, k, v, causal, {}, {.backend = backend});
    REQUIRE(test::same_bits(none.out, plain.out));
  }
}

TEMPLATE_TEST_CASE("lse is the natural log of the sum of exp, float for the half types", "", float,
                   double, Half, BFloat16) {
  const Inputs<TestType> in({1, 1, 1, 5, 70, 8, 8, 4}, Layout::packed, 6);
  const auto q = in.q.cview();
  const auto k = in.k.cview();
  const auto v = in.v.cview();
  const auto truth = reference::attention<double>(q, k, v, mask::any());
  for (const Backend backend : every_backend) {
    const auto r = attention(q, k, v, mask::any(), {}, {.backend = backend});
    using Lse = typename decltype(r.lse)::Scalar;
    static_assert(std::is_same_v<Lse, std::conditional_t<sizeof(TestType) == 8, double, float>>);
    for (Index i = 0; i < 5; ++i) {
      double sum = 0;
      for (Index j = 0; j < 70; ++j) sum += std::exp(truth.scores(0, 0, i, j));
      REQUIRE(r.lse(0, 0, i) == Approx(std::log(sum)).epsilon(sizeof(Lse) == 8 ? 1e-13 : 1e-5));
    }
  }
}

TEMPLATE_TEST_CASE("sinks join the softmax with a value of 0", "", float, double, Half, BFloat16) {
  const Shape shape{2, 4, 2, 5, 70, 16, 8};
  const Inputs<TestType> in(shape, Layout::gaps, 9);
  const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview();
  const mask::any see = [](int i, int) { return i != 2; };
  const std::vector<double> sinks{0.5, -test::inf, 300, -300};
  for (const Backend backend : every_backend) {
    const auto plain = attention(q, k, v, see, {}, {.backend = backend});
    const auto r = attention(q, k, v, see, {}, {.sinks = sinks, .backend = backend});
    for (Index d = 0; d < 8; ++d) {
      for (const Index h : {1, 3}) REQUIRE(r.out(1, h, 1, d) == plain.out(1, h, 1, d));
      REQUIRE(std::abs(static_cast<double>(r.out(1, 2, 1, d))) < 1e-30);
      REQUIRE(static_cast<double>(r.out(1, 0, 2, d)) == 0);
      const double weight = 1 / (1 + std::exp(0.5 - static_cast<double>(plain.lse(1, 0, 1))));
      REQUIRE(std::abs(static_cast<double>(r.out(1, 0, 1, d)) -
                       weight * static_cast<double>(plain.out(1, 0, 1, d))) <
              2 * tolerance<TestType>());
    }
    REQUIRE(r.lse(1, 2, 1) == 300);
    REQUIRE(r.lse(1, 0, 2) == 0.5);  // a row that sees no key
    REQUIRE(is_masked(r.lse(1, 1, 2)));
    REQUIRE(r.lse(1, 3, 1) == plain.lse(1, 3, 1));
  }
  const auto weights = chunked::attention(q, k, v, see, {}, {.weights = true, .sinks = sinks});
  const auto textbook = reference::attention(q, k, v, see, {}, {.sinks = sinks});
  REQUIRE(test::max_difference(weights.weights, textbook.weights) < tolerance<TestType>());
}

#if !defined(__FAST_MATH__)
TEST_CASE("a sink of NaN or +inf makes the rows of its head NaN, but for those that see no key") {
  const Small<float> s;
  const auto see = [](int i, int) { return i != 2; };
  for (const float wrong : {test::nan, test::inf}) {
    const std::vector<float> sinks{wrong};
    for (const Backend backend : every_backend) {
      const auto r = attention(s.q, s.k, s.v, see, {}, {.sinks = sinks, .backend = backend});
      REQUIRE(is_nan(r.out(1, 0)));
      REQUIRE(is_nan(r.lse(1)));
      REQUIRE(is_plus_zero(r.out(2, 0)));
    }
  }
}
#endif

// Keys 0 and 1 by turns, of these scores at scale 1; the values are 0 and 1. One query or 20, few
// keys or many: every way that keys are read.
template <class T>
void require_turns(double first, double second, double scale) {
  const double share = 1 / (1 + std::exp(first - second));
  for (const Index Lk : {2, 64}) {
    for (const Index Lq : {1, 20}) {
      Tensor2<T> q(Lq, 1), k(Lk, 1), v(Lk, 1);
      q.setConstant(static_cast<T>(1 / scale));
      for (Index j = 0; j < Lk; ++j) {
        k(j, 0) = static_cast<T>(static_cast<Accum<T>>(j % 2 == 0 ? first : second));
        v(j, 0) = static_cast<T>(static_cast<float>(j % 2));
      }
      for (const Backend backend : every_backend) {
        CAPTURE(first, second, scale, Lk, Lq, name_of(backend));
        const auto r = attention(q, k, v, mask::any(), {}, {.scale = scale, .backend = backend});
        const double most = std::max(first, second);
        const double lse = most + std::log(static_cast<double>(Lk / 2) *
                                           (std::exp(first - most) + std::exp(second - most)));
        const double u = test::unit_roundoff<Accum<T>>();
        for (Index i = 0; i < Lq; ++i) {
          const auto out = static_cast<double>(r.out(i, 0));
          REQUIRE(std::abs(out - share) <= 4 * u + (sizeof(T) < 4 ? test::unit_roundoff<T>() : 0));
          REQUIRE(std::abs(static_cast<double>(r.lse(i)) - lse) <= 2 * u * std::abs(lse));
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("scores lose no digits by their size", "", float, double, Half, BFloat16) {
  require_turns<TestType>(96, 96.5, 1);
  require_turns<TestType>(-96.5, -96, 0.5);
  if constexpr (sizeof(TestType) >= 4) {
    require_turns<TestType>(3000, 3000.5, 1);
    require_turns<TestType>(-100000, -100000.25, 1);
  }
}

TEMPLATE_TEST_CASE("scores up to the largest number are scores like others", "", float, double,
                   BFloat16) {
  const double most = static_cast<double>(std::numeric_limits<TestType>::max());
  for (const double size : {most / 4, most / 2, most}) {
    require_turns<TestType>(size, size / 2, 1);
    require_turns<TestType>(-size, -size, 1);
    require_turns<TestType>(size / 2, -size, 1);
    // q times this scale is beyond the largest number, q·k is not.
    Tensor2<TestType> q(20, 1), k(64, 1), v(64, 1);
    q.setConstant(static_cast<TestType>(static_cast<Accum<TestType>>(size)));
    k.setConstant(static_cast<TestType>(0x1p-20f));
    v.setConstant(static_cast<TestType>(3.0f));
    k(5, 0) = static_cast<TestType>(0x1p-21f);
    v(5, 0) = static_cast<TestType>(-7.0f);
    for (const Index Lq : {1, 20}) {
      const auto rows = view(q.data(), {Lq, 1});
      for (const Backend backend : every_backend) {
        const auto r = attention(rows, k, v, mask::any(), {}, {.scale = 1000, .backend = backend});
        REQUIRE(static_cast<double>(r.out(0, 0)) == Approx(3).epsilon(1e-5));
        REQUIRE(r.lse(Lq - 1) == Approx(size * 0x1p-20 * 1000));
      }
    }
  }
}

TEMPLATE_TEST_CASE("out of half types may be float: neither it nor a weight is rounded then", "",
                   Half, BFloat16) {
  for (const Index Lq : {70, 3}) {  // packed, and as in decoding
    const Inputs<TestType> in({2, 4, 2, Lq, 300, 56, 40, 4}, Layout::gaps, 31);
    const auto q = in.q.cview(), k = in.k.cview(), v = in.v.cview();
    Options options{.dropout = 0.2};
    const auto truth = reference::attention<double>(q, k, v, mask::causal(), {}, options);
    const auto naive = reference::attention<float>(q, k, v, mask::causal(), {}, options);
    Result result{Tensor4<float>(2, 4, Lq, 40), Tensor3<float>(2, 4, Lq)};
    std::vector<std::byte> workspace(workspace_bytes(q, k, v, mask::causal(), {}, options));
    for (const Backend backend : every_backend) {
      CAPTURE(Lq, name_of(backend));
      options.backend = backend;
      options.workspace = backend == Backend::flash ? std::span(workspace) : std::span<std::byte>{};
      attention_into(result, q, k, v, mask::causal(), {}, options);
      test::require_accurate<float>(result, naive, truth);
    }
  }
  const Small<TestType> s;
  const View<float, 2> over_q{
      reinterpret_cast<float*>(const_cast<TestType*>(s.q.data())), {5, 3}, {1, 0}};
  REQUIRE_THROWS_WITH(attention_into(over_q, s.q, s.k, s.v),
                      test::ContainsSubstring("heed::attention_into: out"));
}

// Their sums overflow before they are divided by the sum of the weights.
TEMPLATE_TEST_CASE("values up to the largest number have a finite mean", "", float, double,
                   BFloat16) {
  const auto most = std::numeric_limits<TestType>::max();
  const auto large = static_cast<double>(most);
  const mask::any see = [](int, int j) { return j != 5; };
  for (const Index Lk : {6, 64, 5000}) {
    Tensor2<TestType> q(20, 1), k(Lk, 1), v(Lk, 40);
    q.setZero();
    k.setZero();
    for (Index j = 0; j < Lk; ++j) {
      for (Index d = 0; d < 40; ++d) v(j, d) = static_cast<TestType>(static_cast<float>(d));
      v(j, 1) = most;
      v(j, 2) = -most;
      v(j, 38) = j < Lk / 2 ? most : -most;
    }
    v(5, 1) = v(5, 4) = static_cast<TestType>(test::inf);
    for (const Index Lq : {1, 20}) {
      const auto rows = view(q.data(), {Lq, 1});
      for (const Backend backend : {Backend::flash, Backend::chunked}) {
        CAPTURE(Lk, Lq, name_of(backend));
        const auto out = attention(rows, k, v, see, {}, {.backend = backend}).out;
        Tensor2<Accum<TestType>> unrounded(Lq, 40);
        attention_into(unrounded, rows, k, v, see, {}, {.backend = backend});
        for (Index i = 0; i < Lq; ++i) {
          REQUIRE(static_cast<double>(unrounded(i, 1)) == Approx(large).epsilon(1e-6));
          REQUIRE(static_cast<double>(unrounded(i, 2)) == Approx(-large).epsilon(1e-6));
          const double n = static_cast<double>(Lk - 1),
                       up = static_cast<double>(Lk / 2 - (Lk > 10));
          // Not divided by `large`: its reciprocal is subnormal, and 0 under -ffast-math.
          REQUIRE(static_cast<double>(out(i, 1)) == Approx(large).epsilon(1e-6));
          REQUIRE(static_cast<double>(out(i, 2)) == Approx(-large).epsilon(1e-6));
          const double mean = (up - (n - up)) / n;
          REQUIRE(std::abs(static_cast<double>(out(i, 38)) - mean * large) <=
                  (8 + n / 4) * test::unit_roundoff<TestType>() * large);
          REQUIRE(static_cast<double>(out(i, 4)) == Approx(4).epsilon(1e-5));
        }
      }
    }
  }
}

}  // namespace heed
