// BigBird over a text of 16384 tokens: what a query sees, and what it costs beside seeing all.
#include <chrono>
#include <cstdio>
#include <heed/heed.hpp>
#include <string>
#include <vector>

namespace mask = heed::mask;

namespace {

constexpr heed::Index tokens = 16384, dim = 64;

template <class Call>
double milliseconds(const Call& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

// Rows [first, first + count) of a head.
auto rows(const heed::Tensor4<float>& x, heed::Index first, heed::Index count) {
  return heed::view(x.data() + first * dim, {1, 1, count, dim});
}

}  // namespace

int main() {
  heed::Tensor4<float> q(1, 1, tokens, dim);
  heed::Tensor4<float> k(1, 1, tokens, dim);
  heed::Tensor4<float> v(1, 1, tokens, dim);
  q.setRandom();
  k.setRandom();
  v.setRandom();

  const auto pattern = mask::bigbird(64, 2, 3, 42);  // near keys, global tokens, random keys, seed
  const heed::Shape shape{
      .B = 1, .Hq = 1, .Hkv = 1, .Lq = tokens, .Lk = tokens, .D = dim, .Dv = dim};
  const auto bound = mask::bind(pattern, shape, 0, 0);
  std::printf("token 9000 sees");
  int seen = 0;
  for (int j = 0; j < tokens; ++j) {
    if (!bound.allows(9000, j)) continue;
    ++seen;
    if (j < 8968 || j > 9032) std::printf(" %d,", j);
  }
  std::printf(" and 8968 ... 9032: %d of %d\n", seen, static_cast<int>(tokens));

  // The whole text under BigBird; a sixteenth of its queries with every key.
  const heed::Index some = tokens / 16;
  heed::Tensor4<float> sparse(1, 1, tokens, dim);
  heed::Tensor4<float> dense(1, 1, some, dim);
  const double all = milliseconds([&] { heed::attention_into(sparse, q, k, v, pattern); });
  const double part = milliseconds([&] { heed::attention_into(dense, rows(q, 0, some), k, v); });
  std::printf("BigBird, %d queries: %.0f ms; every key, %d queries: %.0f ms\n",
              static_cast<int>(tokens), all, static_cast<int>(some), part);

  // Global tokens see everything: there BigBird is full attention.
  float apart = 0;
  for (heed::Index i = 0; i < 2; ++i) {
    for (heed::Index d = 0; d < dim; ++d) {
      apart = std::max(apart, std::abs(sparse(0, 0, i, d) - dense(0, 0, i, d)));
    }
  }
  std::printf("the global tokens' results differ by at most %g\n", static_cast<double>(apart));
  return apart < 1e-5F && seen >= 67 && seen <= 70 ? 0 : 1;
}
