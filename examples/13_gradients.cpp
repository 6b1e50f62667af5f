// The inputs that a position's output depends on: the gradients of output row 2 of five tokens, by
// attention_backward, of a learned bias too, and a check of them by central differences.
#include <cmath>
#include <cstdio>
#include <heed/heed.hpp>

namespace {

constexpr heed::Index tokens = 5, dim = 4, chosen = 2;
using Tokens = heed::Tensor3<double>;  // [B, L, D]
using Bias = heed::Tensor2<double>;    // [L, L], added to the scores

template <class X>
void fill(X& x, int seed) {
  for (heed::Index n = 0; n < x.size(); ++n) {
    x.data()[n] = std::sin(1.7 * static_cast<double>(n) + 11 * seed);
  }
}

// Σ of output row `chosen`: its gradient by the output is 1 there and 0 elsewhere.
double loss(const Tokens& q, const Tokens& k, const Tokens& v, const Bias& bias) {
  const auto out = heed::attention(q, k, v, {}, heed::score::bias(bias)).out;
  double sum = 0;
  for (heed::Index d = 0; d < dim; ++d) sum += out(0, chosen, d);
  return sum;
}

double norm(const Tokens& gradient, heed::Index token) {
  double squares = 0;
  for (heed::Index d = 0; d < dim; ++d) squares += std::pow(gradient(0, token, d), 2);
  return std::sqrt(squares);
}

void print_norms(const char* name, const Tokens& gradient, const char* remark) {
  std::printf("%s", name);
  for (heed::Index j = 0; j < tokens; ++j) std::printf("  %.3f", norm(gradient, j));
  std::printf("   %s\n", remark);
}

}  // namespace

int main() {
  Tokens q(1, tokens, dim), k(1, tokens, dim), v(1, tokens, dim), d_out(1, tokens, dim);
  fill(q, 1);
  fill(k, 2);
  fill(v, 3);
  d_out.setZero();
  for (heed::Index d = 0; d < dim; ++d) d_out(0, chosen, d) = 1;

  Bias bias(tokens, tokens), d_bias(tokens, tokens);
  fill(bias, 4);
  const auto score = heed::score::with_gradient(heed::score::bias(bias), d_bias);
  const auto result = heed::attention(q, k, v, {}, score);
  const auto g = heed::attention_backward(d_out, q, k, v, result, {}, score);
  const auto weights = heed::reference::attention(q, k, v, {}, score).weights;

  std::printf("Gradients of output position %d, norms by position\n", static_cast<int>(chosen));
  std::printf("weights");
  for (heed::Index j = 0; j < tokens; ++j) std::printf("  %.3f", weights(0, chosen, j));
  std::printf("   whom it attends to\n");
  print_norms("d_q    ", g.d_q, "0 but for position 2");
  print_norms("d_k    ", g.d_k, "p (d_p - sum p d_p) q: small weights may count more");
  print_norms("d_v    ", g.d_v, "p times the gradient of the output, exactly");

  const auto check = heed::inspect::gradcheck(
      [&] { return loss(q, k, v, bias); },
      {heed::inspect::gradcheck_input("q", q, g.d_q), heed::inspect::gradcheck_input("k", k, g.d_k),
       heed::inspect::gradcheck_input("v", v, g.d_v),
       heed::inspect::gradcheck_input("bias", bias, d_bias)});
  std::printf("central differences agree to %.1e over %d elements\n", check.error,
              static_cast<int>(check.elements));

  bool proportional = true;
  for (heed::Index j = 0; j < tokens; ++j) {
    proportional = proportional && std::abs(norm(g.d_v, j) - 2 * weights(0, chosen, j)) < 1e-12;
    proportional = proportional && (j == chosen || norm(g.d_q, j) == 0);
  }
  return check.ok(1e-6) && proportional ? 0 : 1;
}
