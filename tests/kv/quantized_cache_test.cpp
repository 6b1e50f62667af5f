// Caches of codes: numbers that codes stand for exactly give the bits of dense calls; others are
// rounded to half a scale. A row has the same bits however calls are cut.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "heed/kv/cache.hpp"
#include "heed/kv/paged_cache.hpp"
#include "kv/cut_text.hpp"
#include "kv/vector_model.hpp"
#include "support/sweep.hpp"

namespace heed {

namespace {

using test::part;

template <class F>
kv::Cache<F> make_cache(bool rotates = false) {
  using Model = test::VectorModel<F>;
  return kv::Cache<F>({3, Model::Hkv, Model::D, Model::Dv}, {.rotates = rotates});
}

// f(kernels) of each instruction set that this machine has.
template <class F>
void for_each_isa(F&& f) {
  for (const Isa of : {Isa::portable, Isa::avx2, Isa::avx512}) {
    if (of <= machine_isa()) f(of, simd::code_kernels<float>(of));
  }
}

// The largest distance from q·softmax in double over the numbers that were appended.
template <class F>
double error_of(bool rotates, const Tensor4<float>& q, const Tensor4<float>& k,
                const Tensor4<float>& v) {
  kv::Cache<F> cache({1, k.dimension(1), k.dimension(3), v.dimension(3)}, {.rotates = rotates});
  cache.append(k, v);
  const auto found = attention(q, cache, mask::any());
  const auto exact = reference::attention<double>(view_of(q), view_of(k), view_of(v));
  double worst = 0;
  for (Index n = 0; n < found.out.size(); ++n) {
    worst = std::max(worst, std::abs(found.out.data()[n] - exact.out.data()[n]));
  }
  return worst;
}

}  // namespace

TEMPLATE_TEST_CASE("cache of codes: random operations give the bits of packed dense calls", "",
                   kv::K8V8, kv::K4V4) {
  test::compare_with_model<TestType>(make_cache<TestType>(), 10'000 / test::cases_per_run, 200, 1);
}

TEST_CASE("paged cache of codes: random operations give the bits of packed dense calls") {
  using Model = test::VectorModel<kv::K8V4>;
  for (const Index page : {32, 64}) {
    CAPTURE(page);
    kv::PagedCache<kv::K8V4> cache({3, Model::Hkv, Model::D, Model::Dv},
                                   {page, 6 * (200 / page + 1), false});
    const Index steps = page == 32 ? 10'000 : 400;
    test::compare_with_model<kv::K8V4>(cache, steps / test::cases_per_run, 200,
                                       static_cast<std::uint64_t>(page) << 32);
  }
}

TEST_CASE("caches of codes: random operations keep the bits of rotated rows of 20 features") {
  const kv::Extents extents{3, 2, 20, 24};  // products of bytes, where the machine has them
  test::compare_with_model<kv::K8V8>(kv::Cache<kv::K8V8>(extents), 250, 200, 2);
  test::compare_with_model<kv::K4V4>(kv::Cache<kv::K4V4>(extents), 250, 200, 3);
  kv::PagedCache<kv::K8V4> pages(extents, {.page = 32, .pages = 42});
  test::compare_with_model<kv::K8V4>(pages, 250, 200, 4);
}

TEST_CASE("caches of codes: a row has the same bits in prefill, cut anyhow, and in decoding") {
  const test::CutText<kv::K4V4> text{2300, 48, 20};  // several KV blocks, and two KV splits
  text.compare(kv::Cache<kv::K4V4>({1, 1, 48, 20}), 700, 0);
  text.compare(kv::PagedCache<kv::K4V4>({1, 1, 48, 20}, {.page = 32, .pages = 72}), 700, 5);
}

TEMPLATE_TEST_CASE("caches of codes: 10,000 cuts of brief texts", "", kv::K8V8, kv::K4V4) {
  test::compare_many_cuts<TestType>(8, 8, 32);
}

TEST_CASE("caches of codes: products of bytes are those of the numbers, to the bits of q and p") {
  const Index L = 700;
  const auto numbers_of = [&](const auto& cache, Index D, Index Dv) {
    const Index nr = kv::panel_width<float>();
    Tensor4<float> k(1, 2, L, D), v(1, 2, L, Dv);
    for (Index h = 0; h < 2; ++h) {
      std::vector<float> keys(static_cast<std::size_t>((L + nr) * D)),
          values(static_cast<std::size_t>(L * Dv));
      cache.bind({}, 0, h).widen(0, L, keys.data(), values.data());
      for (Index j = 0; j < L; ++j) {
        for (Index d = 0; d < D; ++d) {
          k(0, h, j, d) = keys[static_cast<std::size_t>((j / nr * D + d) * nr + j % nr)];
        }
        for (Index d = 0; d < Dv; ++d) v(0, h, j, d) = values[static_cast<std::size_t>(j * Dv + d)];
      }
    }
    return std::pair(k, v);
  };
  const auto compare = [&](auto cache, Index D, Index Dv, double bound) {
    cache.append(test::random4<float>(1, 2, L, D, 2), test::random4<float>(1, 2, L, Dv, 3));
    const auto [k, v] = numbers_of(cache, D, Dv);
    for (const Index Lq : {1, 3, 70}) {
      auto q = test::random4<float>(1, 8, Lq, D, 1);  // one digit holds it
      for (Index n = 0; n < q.size(); ++n) {
        q.data()[n] = n % D == 0 ? 1 : std::round(127 * q.data()[n]) / 127;
      }
      for (const mask::any& mask : {mask::any(mask::causal()), mask::any(mask::strided(40))}) {
        CAPTURE(D, Dv, Lq);
        const auto found = attention(q, cache, mask, {}, {.scale = 2});
        const auto exact =
            reference::attention(view_of(q), view_of(k), view_of(v), mask, {}, {.scale = 2});
        CHECK(test::max_difference(found.out, exact.out) < bound);
        CHECK(test::max_difference(found.lse, exact.lse) < 3e-4);
      }
    }
  };
  compare(kv::Cache<kv::K8V8>({1, 2, 64, 40}, {.rotates = false}), 64, 40, 3e-4);
  compare(kv::Cache<kv::K8V8>({1, 2, 19, 16}, {.rotates = false}), 19, 16, 3e-4);
  compare(kv::Cache<kv::K4V4>({1, 2, 64, 40}, {.rotates = false}), 64, 40, 0x1p-7);
  compare(kv::Cache<kv::K4V4>({1, 2, 19, 16}, {.rotates = false}), 19, 16, 0x1p-7);
}

TEST_CASE("caches of codes: a query that is not finite has no finite row, and alone") {
  auto q = test::random4<float>(1, 8, 2, 32, 1);
  q(0, 3, 1, 5) = test::nan, q(0, 6, 0, 31) = test::inf;
  kv::Cache<kv::K8V8> cache({1, 2, 32, 16});
  cache.append(test::random4<float>(1, 2, 90, 32, 2), test::random4<float>(1, 2, 90, 16, 3));
  const auto found = attention(q, cache, mask::any());
  for (Index h = 0; h < 8; ++h) {
    for (Index i = 0; i < 2; ++i) {
      const bool bad = (h == 3 && i == 1) || (h == 6 && i == 0);
      CHECK(is_finite(found.out(0, h, i, 7)) != bad);
    }
  }
}

TEST_CASE("caches of codes: many small weights count beside a large one") {
  const Index L = 512, D = 16;  // the weight 1 and 511 of 1.4e-5
  Tensor4<float> q(1, 1, 1, D), k(1, 1, L, D), v(1, 1, L, D);
  q.setZero(), k.setZero(), v.setConstant(1);
  q(0, 0, 0, 0) = 1, k(0, 0, 0, 0) = 11.18F;
  for (Index d = 0; d < D; ++d) v(0, 0, 0, d) = -1;
  const kv::CacheOptions options{.rotates = false};
  const auto exact = reference::attention<double>(view_of(q), view_of(k), view_of(v), mask::any(),
                                                  {}, {.scale = 1});
  const auto error_of = [&](auto cache) {
    cache.append(k, v);
    const auto found = attention(q, cache, mask::any(), {}, {.scale = 1});
    return test::max_difference(found.out, exact.out);
  };
  // Of the other 31 of its panel 16 bits are kept beside 8-bit values, 8 beside 4-bit ones.
  CHECK(error_of(kv::Cache<kv::K8V8>({1, 1, D, D}, options)) < 31 * 0x1p-16 + 1e-5);
  CHECK(error_of(kv::Cache<kv::K8V4>({1, 1, D, D}, options)) < 31 * 1.4e-5 + 1e-5);
}

TEST_CASE("caches of codes: weights below half a digit of their panel's largest count") {
  const Index L = 512, D = 16;  // in each panel of 32 keys the weight 520 and 31 of 1
  Tensor4<float> q(1, 1, 1, D), k(1, 1, L, D), v(1, 1, L, D);
  q.setZero(), k.setZero(), v.setConstant(1);
  q(0, 0, 0, 0) = 1;
  for (Index j = 0; j < L; j += 32) {
    k(0, 0, j, 0) = 6.254F;
    for (Index d = 0; d < D; ++d) v(0, 0, j, d) = -1;
  }
  const auto exact = reference::attention<double>(view_of(q), view_of(k), view_of(v), mask::any(),
                                                  {}, {.scale = 1});
  kv::Cache<kv::K8V4> cache({1, 1, D, D}, {.rotates = false});
  cache.append(k, v);
  const auto found = attention(q, cache, mask::any(), {}, {.scale = 1});
  CHECK(test::max_difference(found.out, exact.out) < 0.02 + 1e-3);  // lost_weights, a digit of q
}

TEST_CASE("caches of codes: scales whose product overflows leave scores of 0 alone") {
  const Index D = 16;
  Tensor4<float> q(1, 1, 1, D), k(1, 1, 40, D), v(1, 1, 40, D);
  q.setZero(), k.setZero(), v.setConstant(1);
  q(0, 0, 0, 0) = 1e20F;
  for (Index j = 0; j < 40; ++j) k(0, 0, j, 1) = 9e34F;  // beside q's 0
  kv::Cache<kv::K8V8> cache({1, 1, D, D}, {.rotates = false});
  cache.append(k, v);
  const auto found = attention(q, cache, mask::any());
  CHECK(std::abs(found.out(0, 0, 0, 0) - 1) < 1e-4F);
}

// Rows of tokens as no model should have them, but some do.
float hostile(Index kind, Index j, Index d) {
  const auto noise = static_cast<float>(test::uniform(77, j * 64 + d));
  switch (kind) {
    case 0:
      return 0;
    case 1:
      return j % 3 == 0 ? 1e-40F * noise : 0;  // below the smallest normal number
    case 2:
      return 1e35F * (d % 2 == 0 ? 1.0F : -1.0F);
    case 3:
      return d == 5 ? 1e4F * noise : 1e-3F * noise;  // a channel that drowns the others
    case 4:
      return j == 40 ? 1e30F : noise;  // a token that does
    case 5:
      return j % 2 == 0 ? 1e-30F : 1e30F;
    default:
      return -3;
  }
}

TEMPLATE_TEST_CASE("caches of codes: hostile rows give numbers between those of their values", "",
                   kv::K8V8, kv::K8V4, kv::K4V4) {
  const Index L = 100, D = 32, kinds = 7;
  const double loss = std::is_same_v<TestType, kv::K8V8> ? 0.5 / 127 + 0.001 : 1.0 / 7 + 0.021;
  const auto q = test::random4<float>(1, 2, 3, D, 1);
  for (Index kind = 0; kind < kinds * kinds; ++kind) {
    CAPTURE(kind);
    Tensor4<float> k(1, 1, L, D), v(1, 1, L, D);
    for (Index j = 0; j < L; ++j) {
      for (Index d = 0; d < D; ++d) {
        k(0, 0, j, d) = hostile(kind / kinds, j, d), v(0, 0, j, d) = hostile(kind % kinds, j, d);
      }
    }
    kv::Cache<TestType> cache({1, 1, D, D}, {.rotates = false}), turned({1, 1, D, D});
    cache.append(k, v), turned.append(k, v);
    const auto found = attention(q, cache, mask::any());
    const auto rotated = attention(q, turned, mask::any());
    const float size = *std::max_element(
        v.data(), v.data() + v.size(), [](float a, float b) { return std::abs(a) < std::abs(b); });
    for (Index d = 0; d < D; ++d) {
      float least = v(0, 0, 0, d), most = least;
      for (Index j = 1; j < L; ++j) {
        least = std::min(least, v(0, 0, j, d)), most = std::max(most, v(0, 0, j, d));
      }
      for (Index row = 0; row < 6; ++row) {
        CHECK(is_finite(rotated.out(0, row / 3, row % 3, d)));
        CHECK(found.out(0, row / 3, row % 3, d) >= least - loss * std::abs(size));
        CHECK(found.out(0, row / 3, row % 3, d) <= most + loss * std::abs(size));
      }
    }
  }
}

TEMPLATE_TEST_CASE("cache of codes: a number is the nearest multiple of its row's scale", "",
                   kv::K8V8, kv::K8V4, kv::K4V4) {
  const Index L = 70, nr = kv::panel_width<float>();
  const auto require_near = [](const std::vector<float>& row, int bits, const auto& found) {
    float largest = 0;
    for (const float x : row) {
      if (std::abs(x) > std::abs(largest)) largest = x;
    }
    const float scale = bits == 8 ? std::abs(largest) / 127 : largest / -8;
    for (std::size_t d = 0; d < row.size(); ++d) {
      const float code = std::min(row[d] / scale, bits == 8 ? 127.0F : 7.0F);
      const float own = found(static_cast<Index>(d)) / scale;
      REQUIRE(std::abs(own - code) <= 0.5001F);
      REQUIRE(std::abs(own - std::round(own)) < 1e-4F);
    }
  };
  for (const bool rotates : {false, true}) {
    const Index D = rotates ? 12 : 13, Dv = rotates ? 24 : 21;  // rotated by fours and by eights
    const auto k = test::random4<float>(1, 2, L, D, 1), v = test::random4<float>(1, 2, L, Dv, 2);
    kv::Cache<TestType> cache({1, 2, D, Dv}, {.rotates = rotates});
    cache.append(k, v);
    const auto row_of = [&](const Tensor4<float>& x, Index h, Index j) {
      std::vector<float> row(&x(0, h, j, 0), &x(0, h, j, 0) + x.dimension(3));
      if (rotates) kv::rotate(simd::code_kernels<float>(isa()), row.data(), x.dimension(3));
      return row;
    };
    for (Index h = 0; h < 2; ++h) {
      std::vector<float> keys(static_cast<std::size_t>(96 * D)),
          values(static_cast<std::size_t>(L * Dv));
      cache.bind({}, 0, h).widen(0, L, keys.data(), values.data());
      for (Index j = 0; j < L; ++j) {
        CAPTURE(rotates, h, j);
        require_near(row_of(k, h, j), TestType::key_bits, [&](Index d) {
          return keys[static_cast<std::size_t>((j / nr * D + d) * nr + j % nr)];
        });
        require_near(row_of(v, h, j), TestType::value_bits,
                     [&](Index d) { return values[static_cast<std::size_t>(j * Dv + d)]; });
      }
    }
  }
}

TEST_CASE(
    "cache of codes: the error of each format, and that rotation helps where features differ") {
  auto q = test::random4<float>(1, 4, 3, 64, 1);
  const auto v = test::random4<float>(1, 2, 300, 64, 3);
  auto k = test::random4<float>(1, 2, 300, 64, 2);
  const double k8v8 = error_of<kv::K8V8>(true, q, k, v), k4v4 = error_of<kv::K4V4>(true, q, k, v);
  CHECK(k8v8 > 0);
  CHECK(k8v8 < 0.002);
  CHECK(k4v4 > 4 * k8v8);
  CHECK(k4v4 < 0.04);
  for (Index h = 0; h < 2; ++h) {
    for (Index j = 0; j < 300; ++j) k(0, h, j, 5) = 8;  // as a channel of SmolLM2's keys
  }
  for (Index n = 0; n < q.size(); ++n) q.data()[n] *= 4;  // few keys have the weight
  CHECK(error_of<kv::K4V4>(true, q, k, v) < 0.7 * error_of<kv::K4V4>(false, q, k, v));
}

TEST_CASE("codes: numbers of words, on every instruction set") {
  for_each_isa([](Isa of, const simd::CodeKernels& kernels) {
    const Index nr = simd::element_kernels<float>(of).tile_shape.nr;
    for (const Index D : {1, 5, 8, 33}) {
      const Index columns = (D + 15) / 16 * 16;
      for (const int bits : {4, 8}) {
        CAPTURE(D, bits, name_of(of));
        const Index in_word = 32 / bits, words = (D + in_word - 1) / in_word, tokens = 2 * nr;
        const auto code = [&](Index j, Index d) {
          return static_cast<int>((j * 31 + d * 7) % (bits == 8 ? 255 : 16)) -
                 (bits == 8 ? 127 : 8);
        };
        const auto set = [&](std::uint32_t& word, Index e, int value) {
          bits == 8 ? kv::set_code<8>(word, e, value) : kv::set_code<4>(word, e, value);
        };
        std::vector<float> scales(static_cast<std::size_t>(tokens)),
            keys(static_cast<std::size_t>(tokens * D)), values(keys.size() - std::size_t(D), -1);
        std::vector<std::uint32_t> k(static_cast<std::size_t>(2 * words * nr) + 32),
            v(static_cast<std::size_t>(tokens / in_word * columns));
        for (Index j = 0; j < tokens; ++j) {
          scales[static_cast<std::size_t>(j)] = 0.1F * static_cast<float>(j + 1);
          for (Index d = 0; d < D; ++d) {
            const Index at_k = (j / nr * words + d / in_word) * nr + j % nr;
            set(k[static_cast<std::size_t>(at_k)], d % in_word, code(j, d));
            set(v[static_cast<std::size_t>(j / in_word * columns + d)], j % in_word, code(j, d));
          }
        }
        (bits == 8 ? kernels.widen_keys_8 : kernels.widen_keys_4)(k.data(), scales.data(), 2, D,
                                                                  keys.data());
        (bits == 8 ? kernels.widen_values_8 : kernels.widen_values_4)(
            v.data(), scales.data(), tokens - 1, D, columns, values.data());
        for (Index j = 0; j < tokens; ++j) {
          for (Index d = 0; d < D; ++d) {
            const float number =
                scales[static_cast<std::size_t>(j)] * static_cast<float>(code(j, d));
            REQUIRE(keys[static_cast<std::size_t>((j / nr * D + d) * nr + j % nr)] == number);
            if (j + 1 < tokens) REQUIRE(values[static_cast<std::size_t>(j * D + d)] == number);
          }
        }
      }
    }
  });
}

TEST_CASE("rotation: Hadamard's matrix, and its inverse, on every instruction set") {
  for_each_isa([](Isa of, const simd::CodeKernels& kernels) {
    for (const Index D : {1, 2, 6, 8, 16, 32, 48, 128}) {
      CAPTURE(D, name_of(of));
      const Index size = kv::rotated_together(D);
      std::vector<float> x, y;
      for (Index d = 0; d < D; ++d) {
        x.push_back(static_cast<float>(test::uniform(4, d)));
      }
      y = x;
      kv::rotate(kernels, y.data(), D);
      for (Index d = 0; d < D; ++d) {
        double sum = 0;
        for (Index e = d / size * size; e < (d / size + 1) * size; ++e) {
          const bool odd = (std::popcount(static_cast<std::uint64_t>(d & e & (size - 1))) & 1) != 0;
          sum += (odd ? -1 : 1) * kv::sign_of(e) * x[static_cast<std::size_t>(e)];
        }
        CHECK(std::abs(y[static_cast<std::size_t>(d)] - sum / std::sqrt(double(size))) < 1e-6);
      }
      kv::rotate_back(kernels, y.data(), D);
      for (std::size_t d = 0; d < x.size(); ++d) CHECK(std::abs(x[d] - y[d]) < 1e-6F);
    }
  });
}

TEST_CASE("caches of codes: values of 0, no values, and queries of NaN alone over 100 keys") {
  const auto q = test::random4<float>(1, 8, 3, 64, 1);
  const auto k = test::random4<float>(1, 2, 100, 64, 2);
  kv::Cache<kv::K8V8> keys({1, 2, 64, 0});
  keys.append(k, Tensor4<float>(1, 2, 100, 0));
  CHECK(std::isfinite(attention(q, keys, mask::any(mask::causal())).lse(0, 7, 2)));
  kv::Cache<kv::K8V8> zeros({1, 2, 64, 16});
  zeros.append(k, Tensor4<float>(Tensor4<float>(1, 2, 100, 16).setZero()));
  const auto zero = attention(q, zeros, mask::any(mask::causal()));
  for (Index n = 0; n < zero.out.size(); ++n) CHECK(zero.out.data()[n] == 0);
  kv::Cache<kv::K4V4> codes({1, 2, 64, 16});
  codes.append(k, test::random4<float>(1, 2, 100, 16, 3));
  const auto none = attention(Tensor4<float>(Tensor4<float>(1, 8, 1, 64).setConstant(test::nan)),
                              codes, mask::any(mask::causal()));
  for (Index n = 0; n < none.out.size(); ++n) CHECK(std::isnan(none.out.data()[n]));
}

TEST_CASE("caches of codes: without a token, or without features of values, out is 0 or empty") {
  const auto q = test::random4<float>(1, 8, 3, 64, 1);
  const kv::Cache<kv::K8V8> cache({1, 2, 64, 40});
  std::vector<std::byte> workspace(workspace_bytes(q, cache, mask::causal()));
  const auto empty = attention(q, cache, mask::causal(), score::None{}, {.workspace = workspace});
  for (Index n = 0; n < empty.out.size(); ++n) CHECK(empty.out.data()[n] == 0);
  kv::Cache<kv::K4V4> keys({1, 2, 64, 0});
  keys.append(test::random4<float>(1, 2, 3, 64, 2), Tensor4<float>(1, 2, 3, 0));
  const auto lse = attention(q, keys, mask::causal()).lse;
  CHECK(std::isfinite(lse(0, 0, 0)));
}

TEST_CASE("caches of codes: memory") {
  kv::Cache<float> numbers({1, 2, 64, 64}, {.capacity = 320});
  kv::Cache<kv::K8V8> k8v8({1, 2, 64, 64}, {.capacity = 320});
  kv::Cache<kv::K4V4> k4v4({1, 2, 64, 64}, {.capacity = 320});
  CHECK(numbers.memory_bytes() == 2 * 320 * 2 * 64 * 4);
  CHECK(k8v8.memory_bytes() == 2 * 320 * 2 * (64 + 4));
  CHECK(k4v4.memory_bytes() == 2 * 320 * 2 * (32 + 4));
}

TEST_CASE("caches of codes: what does not fit is refused, and changes nothing") {
  using test::ContainsSubstring;
  Tensor4<float> k(1, 2, 3, 8), v(1, 2, 3, 5);
  k.setZero(), v.setZero();
  kv::Cache<kv::K4V4> cache({1, 2, 8, 5});
  cache.append(k, v);
  for (const float bad : {test::nan, test::inf, 1.1e35F}) {
    v(0, 1, 2, 4) = bad;
    CHECK_THROWS_WITH(cache.append(k, v), ContainsSubstring("k or v has others"));
  }
  CHECK(cache.length(0) == 3);
  const auto zero =
      attention(Tensor4<float>(1, 2, 1, 8).setZero(), cache, mask::any(mask::causal()));
  CHECK(zero.out(0, 1, 0, 4) == 0);
  CHECK_THROWS_WITH((kv::PagedCache<kv::K8V4>({1, 2, 8, 5}, {.page = 16, .pages = 2})),
                    ContainsSubstring("multiples of 32 tokens, not 16"));
}

}  // namespace heed
