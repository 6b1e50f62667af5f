// The contract: NaN and infinity. Behind a mask they change no bit, attended they propagate, and
// what memory held before never shows.
#include "support/contract.hpp"

namespace heed {
namespace {

using test::every_backend;
using test::Inputs;
using test::Layout;

template <class T>
auto attend(const Inputs<T>& in, const mask::any& mask, Backend backend, double dropout = 0) {
  return attention(in.q.cview(), in.k.cview(), in.v.cview(), mask, {},
                   {.dropout = dropout, .seed = 3, .backend = backend});
}

// Heads that any kernels take, and wide enough for those of tiles.
Index head_size() { return GENERATE(as<Index>{}, 16, 48); }

constexpr Index hidden_keys[] = {5, 77, 141, 149};
bool sees(int, int j) { return j != 5 && j != 77 && j < 140; }

}  // namespace

TEMPLATE_TEST_CASE("NaN or inf behind a mask changes no bit", "", float, double, Half, BFloat16) {
  const Index D = head_size();
  const Inputs<TestType> clean({1, 2, 1, 70, 150, D, D, 4}, Layout::packed, 3);
  const mask::any mask = [](int i, int j) { return sees(i, j); };
  for (const float poison : {test::nan, test::inf, -test::inf}) {
    Inputs<TestType> dirty = clean;
    for (const Index j : hidden_keys) {
      dirty.k.view()(0, 0, j, 2) = static_cast<TestType>(poison);
      dirty.v.view()(0, 0, j, 1) = static_cast<TestType>(poison);
    }
    for (const Backend backend : every_backend) {
      for (const double dropout : {0.0, 0.3}) {
        const auto expected = attend(clean, mask, backend, dropout);
        const auto masked = attend(dirty, mask, backend, dropout);
        REQUIRE(test::same_bits(expected.out, masked.out));
        REQUIRE(test::same_bits(expected.lse, masked.lse));
      }
    }
  }
}

TEMPLATE_TEST_CASE("NaN behind a score of -inf changes no bit", "", float, double, Half, BFloat16) {
  const Index D = head_size();
  const Inputs<TestType> clean({1, 2, 1, 70, 150, D, D, 4}, Layout::packed, 3);
  Tensor2<float> bias(70, 150);
  for (Index n = 0; n < bias.size(); ++n) {
    bias.data()[n] = sees(0, static_cast<int>(n % 150)) ? 0.0f : -test::inf;
  }
  // Only the values can be poisoned: a key of NaN makes its score NaN + −inf, which is NaN.
  Inputs<TestType> dirty = clean;
  for (const Index j : hidden_keys) {
    dirty.v.view()(0, 0, j, 1) = static_cast<TestType>(test::nan);
  }
  for (const Backend backend : every_backend) {
    const auto biased = [&](const Inputs<TestType>& in) {
      return attention(in.q.cview(), in.k.cview(), in.v.cview(), {}, score::bias(bias),
                       {.backend = backend});
    };
    REQUIRE(test::same_bits(biased(clean).out, biased(dirty).out));
  }
}

#if !defined(__FAST_MATH__)
TEMPLATE_TEST_CASE("NaN in something attended propagates, and only there", "", float, double, Half,
                   BFloat16) {
  const Index D = head_size();
  const Inputs<TestType> clean({1, 1, 1, 70, 150, D, D, 4}, Layout::packed, 4);
  const auto nan = static_cast<TestType>(test::nan);
  const mask::any causal = mask::causal();
  Inputs<TestType> in_q = clean;
  in_q.q.view()(0, 0, 7, 3) = nan;
  Inputs<TestType> in_k = clean;
  in_k.k.view()(0, 0, 100, 3) = nan;  // seen by queries from 20 on
  Inputs<TestType> in_v = clean;
  in_v.v.view()(0, 0, 100, 3) = nan;
  for (const Backend backend : every_backend) {
    const auto expected = attend(clean, causal, backend);
    const auto q_result = attend(in_q, causal, backend);
    const auto k_result = attend(in_k, causal, backend);
    const auto v_result = attend(in_v, causal, backend);
    // NaN where it should be, and elsewhere the bits that were there without it.
    const auto right = [&](const auto& result, Index i, Index d, bool poisoned) {
      const TestType x = result.out(0, 0, i, d);
      return poisoned ? is_nan(static_cast<double>(x)) : x == expected.out(0, 0, i, d);
    };
    for (Index i = 0; i < 70; ++i) {
      for (Index d = 0; d < D; ++d) {
        CAPTURE(i, d);
        REQUIRE(right(q_result, i, d, i == 7));
        REQUIRE(right(k_result, i, d, i >= 20));
        REQUIRE(right(v_result, i, d, i >= 20 && d == 3));
      }
      REQUIRE(is_nan(q_result.lse(0, 0, i)) == (i == 7));
      REQUIRE(is_nan(k_result.lse(0, 0, i)) == (i >= 20));
      REQUIRE(v_result.lse(0, 0, i) == expected.lse(0, 0, i));
    }
  }
}

// −inf hides a key, as the sum of its products says; a query that is infinite sees only NaN.
TEMPLATE_TEST_CASE("an infinite score is what its products say", "", float, double, Half,
                   BFloat16) {
  const Index D = head_size();
  Inputs<TestType> in({1, 1, 1, 70, 150, D, D, 4}, Layout::packed, 4);
  for (Index i = 0; i < 70; ++i) {  // of many lengths: their parts have either sign
    const float q = 1 + static_cast<float>(i) / 50;
    in.q.view()(0, 0, i, 3) = static_cast<TestType>(i < 35 ? q : -q);
  }
  in.k.view()(0, 0, 100, 3) = static_cast<TestType>(-test::inf);
  in.q.view()(0, 0, 7, 5) = static_cast<TestType>(test::inf);
  const auto truth = attend(in, {}, Backend::reference);
  for (const Backend backend : every_backend) {
    const auto result = attend(in, {}, backend);
    for (Index i = 0; i < 70; ++i) {
      CAPTURE(name_of(backend), i);
      const bool poisoned = i >= 35 || i == 7;
      REQUIRE(is_nan(truth.lse(0, 0, i)) == poisoned);
      REQUIRE(is_nan(result.lse(0, 0, i)) == poisoned);
      for (Index d = 0; d < D && !poisoned; ++d) {
        const auto exact = static_cast<double>(truth.out(0, 0, i, d));
        REQUIRE(static_cast<double>(result.out(0, 0, i, d)) == Approx(exact).margin(0.02));
      }
    }
  }
}

// One query reads keys and values where they lie, 20 pack them; 5000 keys are cut into spans.
TEMPLATE_TEST_CASE("a key whose q·k is -inf hides its value", "", float, double, Half, BFloat16) {
  for (const Index Lk : {64, 5000}) {
    for (const Index Lq : {1, 20}) {
      Tensor2<TestType> q(Lq, 1), k(Lk, 1), v(Lk, 1);
      q.setConstant(static_cast<TestType>(1.0f));
      k.setConstant(static_cast<TestType>(1.0f));
      v.setConstant(static_cast<TestType>(2.0f));
      for (const float poison : {test::nan, test::inf}) {
        for (const Index j : {Index{5}, Lk - 1}) {
          k(j, 0) = static_cast<TestType>(-test::inf);
          v(j, 0) = static_cast<TestType>(poison);
        }
        for (const double scale : {1.0, 8.0}) {
          for (const Backend backend : every_backend) {
            CAPTURE(Lk, Lq, scale, name_of(backend));
            const auto r =
                attention(q, k, v, mask::any(), {}, {.scale = scale, .backend = backend});
            REQUIRE(static_cast<float>(r.out(0, 0)) == Approx(2).epsilon(0.01));
            REQUIRE(static_cast<float>(r.out(Lq - 1, 0)) == Approx(2).epsilon(0.01));
          }
        }
      }
    }
  }
}
#endif

// A score is asked for pairs that the mask hides, too: of tiles that it hides in part.
TEST_CASE("a score's answer for a hidden pair does not matter") {
  const Inputs<float> in({1, 2, 1, 70, 150, 16, 16, 4}, Layout::packed, 3);
  const auto plain = [](float s, int, int) { return 2 * s; };
  for (const float answer : {test::nan, test::inf, -test::inf}) {
    const auto odd = [answer](float s, int i, int j) { return j > i + 80 ? answer : 2 * s; };
    for (const Backend backend : every_backend) {
      const auto attend_with = [&](const auto& score) {
        return attention(in.q.cview(), in.k.cview(), in.v.cview(), mask::causal(), score,
                         {.backend = backend});
      };
      const auto expected = attend_with(plain);
      const auto result = attend_with(odd);
      REQUIRE(test::same_bits(expected.out, result.out));
      REQUIRE(test::same_bits(expected.lse, result.lse));
    }
  }
}

TEMPLATE_TEST_CASE("what the results held before does not matter", "", float, double, Half,
                   BFloat16) {
  const Index D = head_size();
  const Inputs<TestType> in({2, 2, 1, 70, 90, D, D, 4}, Layout::packed, 7);
  const mask::any causal = mask::causal();
  for (const Backend backend : every_backend) {
    auto result = attend(in, causal, backend);
    const auto expected = result;
    for (Index n = 0; n < result.out.size(); ++n) {
      result.out.data()[n] = static_cast<TestType>(test::nan);
    }
    result.lse.setConstant(test::nan);
    attention_into(result, in.q.cview(), in.k.cview(), in.v.cview(), causal, {},
                   {.seed = 3, .backend = backend});
    REQUIRE(test::same_bits(result.out, expected.out));
    REQUIRE(test::same_bits(result.lse, expected.lse));
  }
}

}  // namespace heed
