// The results of a unit built for any machine and of one built for AVX2 are the same but for
// rounding. Ends with 77, "skipped", on a machine that cannot run the second one.
#include <cmath>
#include <cstdio>
#include <vector>

namespace heed::test {
std::vector<float> attend_base();
std::vector<float> attend_wide();
}  // namespace heed::test

int main() {
  __builtin_cpu_init();
  const std::vector<float> base = heed::test::attend_base();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 77;
  const std::vector<float> wide = heed::test::attend_wide();
  float worst = 0;
  for (std::size_t n = 0; n < base.size(); ++n) {
    const float difference = std::abs(base[n] - wide[n]);
    if (!(difference <= worst)) worst = difference;
  }
  std::printf("%zu numbers, largest difference %g\n", base.size(), static_cast<double>(worst));
  return base.size() == wide.size() && base.size() > 1000 && worst <= 2e-6F ? 0 : 1;
}
