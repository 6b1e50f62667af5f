// A loop that allocates nothing: results and workspace are made once. The report says what ran.
#include <heed/heed.hpp>
#include <iostream>
#include <vector>

int main() {
  heed::Tensor4<float> q(1, 8, 128, 64);
  heed::Tensor4<float> k(1, 8, 512, 64);
  heed::Tensor4<float> v(1, 8, 512, 64);
  q.setRandom();
  k.setRandom();
  v.setRandom();

  auto result = heed::attention(q, k, v, heed::mask::causal());
  std::vector<std::byte> workspace(heed::workspace_bytes(q, k, v, heed::mask::causal()));
  heed::CallReport report;
  const heed::Options options{.workspace = workspace, .report = &report};
  for (int step = 0; step < 10; ++step) {
    q = q * 0.9f;
    heed::attention_into(result, q, k, v, heed::mask::causal(), {}, options);
  }
  std::cout << report.backend << " on " << report.threads << " thread(s), " << report.parallel
            << "; " << report.scratch_bytes << " bytes of scratch; " << report.why << '\n';

  // A wrong call says what is wrong, with the shapes, and writes nothing.
  const heed::Tensor4<float> short_k(1, 8, 512, 32);
  try {
    heed::attention_into(result, q, short_k, v);
  } catch (const heed::Error& error) {
    std::cout << error.what() << '\n';
    return 0;
  }
  return 1;
}
