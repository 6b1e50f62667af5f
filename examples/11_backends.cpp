// The backends of this machine, and the same call on each of them.
#include <heed/heed.hpp>
#include <iostream>

int main() {
  heed::Tensor4<float> q(1, 4, 200, 64);
  heed::Tensor4<float> k(1, 4, 200, 64);
  heed::Tensor4<float> v(1, 4, 200, 64);
  q.setRandom();
  k.setRandom();
  v.setRandom();

  for (const heed::BackendInfo& offer : heed::backends()) {
    std::cout << heed::name_of(offer.backend) << ": " << offer.why << '\n';
    for (const std::string& place : offer.runs_on) std::cout << "  runs on " << place << '\n';
    heed::CallReport report;
    const heed::Options options{.backend = offer.backend, .report = &report};
    try {
      const auto result = heed::dispatch::attention(q, k, v, heed::mask::causal(), {}, options);
      std::cout << "  took " << report.isa << ", because " << report.why << ": out "
                << result.out(0, 3, 199, 0) << '\n';
    } catch (const heed::Error& error) {
      std::cout << "  refused: " << error.what() << '\n';
    }
  }
}
