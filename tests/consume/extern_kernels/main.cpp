#include <heed/heed.hpp>

int main() {
  Eigen::MatrixXf q = Eigen::MatrixXf::Random(4, 8), k = Eigen::MatrixXf::Random(6, 8),
                  v = Eigen::MatrixXf::Random(6, 8);
  const auto truth = heed::reference::attention(q, k, v);
  return (heed::attention(q, k, v).out - truth.out).cwiseAbs().maxCoeff() < 1e-5F ? 0 : 1;
}
