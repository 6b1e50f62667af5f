// Rotary positions: the formula, and the laws that it is there for.
#include "heed/position/rope.hpp"

#include <cmath>

#include "support/catch.hpp"
#include "support/error.hpp"
#include "support/random.hpp"

using heed::Index;
using heed::Tensor2;
using heed::Tensor4;
using heed::test::error_of;
using heed::test::random4;
using heed::test::randomise;
namespace position = heed::position;
using position::RopeOptions;
using position::RopePairs;

namespace {

// The largest difference between y and the rotation of x by the formula, in long double.
template <class T>
double worst(const Tensor4<T>& y, const Tensor4<T>& x, const RopeOptions& options) {
  const Index D = x.dimension(3);
  const Index dim = options.dim == 0 ? D : options.dim;
  double gap = 0;
  const auto compare = [&](T actual, long double wanted) {
    const long double difference = static_cast<long double>(actual) - wanted;
    gap = std::max(gap, static_cast<double>(std::abs(difference)));
  };
  for (Index b = 0; b < x.dimension(0); ++b) {
    for (Index h = 0; h < x.dimension(1); ++h) {
      for (Index i = 0; i < x.dimension(2); ++i) {
        for (Index n = 0; n < dim / 2; ++n) {
          const bool split = options.pairs == RopePairs::half_split;
          const Index first = split ? n : 2 * n;
          const Index second = split ? n + dim / 2 : 2 * n + 1;
          const long double angle =
              static_cast<long double>(options.offset + i) *
              std::pow(static_cast<long double>(options.base),
                       -2 * static_cast<long double>(n) / static_cast<long double>(dim));
          const long double p = static_cast<long double>(x(b, h, i, first));
          const long double q = static_cast<long double>(x(b, h, i, second));
          compare(y(b, h, i, first), p * std::cos(angle) - q * std::sin(angle));
          compare(y(b, h, i, second), q * std::cos(angle) + p * std::sin(angle));
        }
        for (Index d = dim; d < D; ++d) {
          compare(y(b, h, i, d), static_cast<long double>(x(b, h, i, d)));
        }
      }
    }
  }
  return gap;
}

double dot(const Tensor2<double>& a, const Tensor2<double>& b) {
  double sum = 0;
  for (Index d = 0; d < a.dimension(1); ++d) sum += a(0, d) * b(0, d);
  return sum;
}

}  // namespace

TEMPLATE_TEST_CASE("rope: the formula for both pairings, part of the features, any base and offset",
                   "", float, double) {
  const double tolerance = sizeof(TestType) == 4 ? 3e-7 : 1e-9;
  for (const auto pairs : {RopePairs::half_split, RopePairs::interleaved}) {
    for (const Index dim : {0, 2, 6, 10}) {
      for (const Index offset : {-3, 0, 17, 1'000'000}) {
        for (const double base : {10'000.0, 500'000.0}) {
          const RopeOptions options{.pairs = pairs, .dim = dim, .offset = offset, .base = base};
          const auto x = random4<TestType>(2, 3, 7, 10, 1);
          CHECK(worst(position::rope(x, options), x, options) < tolerance);
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("rope: half types are rotated in float and rounded once", "", heed::Half,
                   heed::BFloat16) {
  const auto x = random4<TestType>(1, 2, 5, 8, 1);
  Tensor4<float> wide(1, 2, 5, 8);
  for (Index n = 0; n < x.size(); ++n) wide.data()[n] = static_cast<float>(x.data()[n]);
  const auto y = position::rope(x, {.offset = 100'000});
  const auto wanted = position::rope(wide, {.offset = 100'000});
  for (Index n = 0; n < x.size(); ++n) {
    CHECK(static_cast<float>(y.data()[n]) ==
          static_cast<float>(static_cast<TestType>(wanted.data()[n])));
  }
}

TEST_CASE("rope: lengths are kept and position 0 changes nothing") {
  const auto x = random4<double>(1, 2, 40, 16, 1);
  const auto y = position::rope(x);
  for (Index h = 0; h < 2; ++h) {
    for (Index i = 0; i < 40; ++i) {
      double before = 0, after = 0;
      for (Index d = 0; d < 16; ++d) {
        before += x(0, h, i, d) * x(0, h, i, d);
        after += y(0, h, i, d) * y(0, h, i, d);
        if (i == 0) CHECK(y(0, h, i, d) == x(0, h, i, d));
      }
      CHECK(after == Approx(before).epsilon(1e-13));
    }
  }
}

TEST_CASE("rope: a dot product depends on the distance of the positions alone") {
  Tensor2<double> q(1, 32), k(1, 32);
  randomise(q, 1);
  randomise(k, 2);
  for (const auto pairs : {RopePairs::half_split, RopePairs::interleaved}) {
    for (const Index distance : {-40, -1, 0, 1, 3, 100}) {
      const auto at = [&](Index p) {
        return dot(position::rope(q, {.pairs = pairs, .offset = p + distance}),
                   position::rope(k, {.pairs = pairs, .offset = p}));
      };
      for (const Index p : {1, 50, 1000, 1'000'000}) CHECK(at(p) == Approx(at(0)).margin(1e-8));
    }
    CHECK(std::abs(dot(position::rope(q, {.pairs = pairs, .offset = 5}), k) - dot(q, k)) > 1e-3);
  }
}

TEST_CASE("rope: interleaved is half-split of permuted features") {
  const Index D = 12;
  const auto x = random4<float>(1, 2, 9, D, 1);
  Tensor4<float> permuted(1, 2, 9, D);
  const auto from = [&](Index d) { return d < D / 2 ? 2 * d : 2 * (d - D / 2) + 1; };
  for (Index h = 0; h < 2; ++h) {
    for (Index i = 0; i < 9; ++i) {
      for (Index d = 0; d < D; ++d) permuted(0, h, i, d) = x(0, h, i, from(d));
    }
  }
  const auto split = position::rope(permuted);
  const auto interleaved = position::rope(x, {.pairs = RopePairs::interleaved});
  for (Index h = 0; h < 2; ++h) {
    for (Index i = 0; i < 9; ++i) {
      for (Index d = 0; d < D; ++d) CHECK(split(0, h, i, d) == interleaved(0, h, i, from(d)));
    }
  }
}

TEST_CASE("rope: an offset is a shift") {
  const auto x = random4<float>(1, 1, 30, 8, 1);
  Tensor4<float> tail(1, 1, 10, 8);
  std::copy_n(x.data() + 20 * 8, 80, tail.data());
  const auto all = position::rope(x);
  const auto shifted = position::rope(tail, {.offset = 20});
  for (Index n = 0; n < 80; ++n) CHECK(shifted.data()[n] == all.data()[20 * 8 + n]);
}

TEST_CASE("rope: in place, [B, L, H, D], rank 3, rank 2 and gaps give the same numbers") {
  const Index H = 3, L = 5, D = 8;
  const auto x = random4<float>(1, H, L, D, 1);
  const RopeOptions options{.dim = 6, .offset = 2};
  const auto y = position::rope(x, options);

  auto in_place = x;
  position::rope_into(in_place, in_place, options);
  Tensor4<float> blhd(1, L, H, D);
  heed::Tensor3<float> batches(H, L, D);
  std::vector<float> gaps(static_cast<std::size_t>(H * L * D * 2), 77.0f);
  const auto gapped = heed::view(gaps.data(), {1, H, L, D}, {H * L * D * 2, L * D * 2, D * 2, 2});
  for (Index h = 0; h < H; ++h) {
    for (Index i = 0; i < L; ++i) {
      for (Index d = 0; d < D; ++d) {
        blhd(0, i, h, d) = batches(h, i, d) = gapped(0, h, i, d) = x(0, h, i, d);
      }
    }
  }
  const auto from_blhd = position::rope(heed::blhd(blhd), options);
  position::rope_into(heed::blhd(blhd), heed::blhd(blhd), options);
  const auto from_batches = position::rope(batches, options);
  position::rope_into(gapped, gapped, options);
  Eigen::MatrixXf matrix(L, D);
  for (Index i = 0; i < L; ++i) {
    for (Index d = 0; d < D; ++d) matrix(i, d) = x(0, 1, i, d);
  }
  const Eigen::MatrixXf rotated = position::rope(matrix, options);
  for (Index h = 0; h < H; ++h) {
    for (Index i = 0; i < L; ++i) {
      for (Index d = 0; d < D; ++d) {
        const float wanted = y(0, h, i, d);
        CHECK(in_place(0, h, i, d) == wanted);
        CHECK(from_blhd(0, i, h, d) == wanted);
        CHECK(blhd(0, i, h, d) == wanted);
        CHECK(from_batches(h, i, d) == wanted);
        CHECK(gapped(0, h, i, d) == wanted);
        if (h == 1) CHECK(rotated(i, d) == wanted);
      }
    }
  }
  for (std::size_t n = 1; n < gaps.size(); n += 2) CHECK(gaps[n] == 77.0f);
}

TEST_CASE("rope: what does not fit is an error") {
  Tensor4<float> x(1, 2, 3, 8), other(1, 2, 4, 8), odd(1, 2, 3, 7);
  x.setZero();
  odd.setZero();
  const std::string start = "heed::position::rope: ";
  CHECK(error_of([&] { position::rope(odd); }) ==
        start + "7 features to rotate must be even and at most the dim 7 (x [1,2,3,7])");
  CHECK(error_of([&] { position::rope(x, {.dim = 10}); }) ==
        start + "10 features to rotate must be even and at most the dim 8 (x [1,2,3,8])");
  CHECK_THROWS_AS(position::rope(x, {.dim = 3}), heed::Error);
  CHECK_THROWS_AS(position::rope(x, {.dim = -2}), heed::Error);
  CHECK_THROWS_AS(position::rope(x, {.base = 0}), heed::Error);
  CHECK_THROWS_AS(position::rope(x, {.base = std::nan("")}), heed::Error);
  CHECK(error_of([&] { position::rope_into(other, x); }) ==
        start + "out must have the shape of x (out [1,2,4,8], x [1,2,3,8])");
  const auto shifted = heed::view(x.data() + 8, {1, 2, 2, 8}, {48, 24, 8, 1});
  const auto first = heed::view(x.data(), {1, 2, 2, 8}, {48, 24, 8, 1});
  CHECK(error_of([&] { position::rope_into(shifted, first); }).find("overlaps x") !=
        std::string::npos);
  CHECK(position::rope(Tensor4<float>(1, 2, 0, 8)).size() == 0);
}
