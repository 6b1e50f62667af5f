// Three tokens, worked by hand: scores, weights, output, and the fused call that needs none of
// them.
#include <heed/heed.hpp>
#include <iostream>

int main() {
  Eigen::MatrixXf x(3, 4);
  x << 1, 0, 1, 0,  //
      0, 1, 0, 1,   //
      1, 1, 0, 0;

  const auto textbook = heed::reference::attention(x, x, x);
  std::cout << "scores = q kᵀ / sqrt(4)\n" << textbook.scores << "\n\n";
  std::cout << "weights = softmax(scores), rows sum to 1\n" << textbook.weights << "\n\n";
  std::cout << "out = weights · v\n" << textbook.out << "\n\n";

  const auto [out, lse] = heed::attention(x, x, x);
  std::cout << "heed::attention, without the weights\n" << out << "\n\n";
  std::cout << "log-sum-exp of each row\n" << lse << '\n';
  return out.isApprox(textbook.out, 1e-5f) ? 0 : 1;
}
