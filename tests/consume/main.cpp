#include <heed/heed.hpp>
#include <iostream>

namespace mask = heed::mask;
namespace score = heed::score;

int main() {
  heed::Tensor4<float> q(1, 2, 5, 4);
  heed::Tensor4<float> k(1, 1, 7, 4);
  heed::Tensor4<float> v(1, 1, 7, 3);
  q.setConstant(0.5F);
  k.setConstant(0.25F);
  v.setConstant(2.0F);
  const auto soft = score::soft_cap(50);
  const auto result = heed::attention(q, k, v, mask::causal() & mask::window(3), soft);
  const auto report = heed::inspect::report(q, k, v, mask::causal());
  const auto half = heed::attention(Eigen::MatrixXd(Eigen::MatrixXd::Ones(4, 4)),
                                    Eigen::MatrixXd(Eigen::MatrixXd::Ones(4, 4)),
                                    Eigen::MatrixXd(Eigen::MatrixXd::Ones(4, 4)));
  heed::Tensor2<bool> seen(5, 7);
  seen.setConstant(true);
  const auto dense = heed::attention(q, k, v, mask::dense(seen));
  const auto both = heed::attention(q, k, v, mask::dense(seen) & mask::causal());
  std::cout << "heed " << HEED_VERSION_MAJOR << '.' << HEED_VERSION_MINOR << ": "
            << result.out(0, 1, 4, 2) << '\n';
  const bool averages = std::abs(result.out(0, 1, 4, 2) - 2.0F) < 1e-6F &&
                        std::abs(dense.out(0, 1, 4, 2) - 2.0F) < 1e-6F &&
                        std::abs(both.out(0, 1, 4, 2) - 2.0F) < 1e-6F;
  return averages && report.error.empty() && std::abs(half.out(3, 3) - 1.0) < 1e-12 ? 0 : 1;
}
