// Modules of float whose products take numbers rounded to 16 bits.
#include <cmath>
#include <functional>
#include <string>

#include "heed/mask/causal.hpp"
#include "heed/nn/causal_language_model.hpp"
#include "heed/nn/encoder_block.hpp"
#include "heed/nn/feed_forward.hpp"
#include "heed/nn/layer_norm.hpp"
#include "heed/nn/prepare.hpp"
#include "heed/nn/simple_transformer.hpp"
#include "nn/gradients.hpp"

using namespace nn_test;
using heed::Compute;
namespace nn = heed::nn;
using Matrix = Eigen::MatrixXd;

namespace {

double unit_of(Compute compute) { return std::ldexp(1.0, compute == Compute::half ? -11 : -9); }

double rounded(double x, Compute compute) {
  const auto number = static_cast<float>(x);
  if (compute == Compute::half) return static_cast<float>(static_cast<heed::Half>(number));
  return static_cast<float>(static_cast<heed::BFloat16>(number));
}
Matrix rounded(const Matrix& x, Compute compute) {
  return x.unaryExpr([=](double number) { return rounded(number, compute); });
}

template <class T>
Matrix matrix_of(const heed::Tensor3<T>& x) {
  using RowMajor = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  return Eigen::Map<const RowMajor>(x.data(), x.dimension(0) * x.dimension(1), x.dimension(2))
      .template cast<double>();
}

// The same mathematics in double, each tensor rounded to 16 bits after every operation, as a
// framework does that stores them so: y, dx and the gradients of weights by name.
struct Naive {
  Compute compute;
  Weights weights;
  Weights results = {};

  Matrix r(const Matrix& x) const { return rounded(x, compute); }
  Matrix map(const Matrix& x, const std::string& name) const {
    const Matrix y = x * r(weights.at(name + "weight")).transpose();
    return r(y.rowwise() + weights.at(name + "bias").col(0).transpose());
  }
  // The gradient of map's x, which is rounded; adds those of weight and bias.
  Matrix back(const Matrix& d, const Matrix& x, const std::string& name) {
    results[name + "weight"] = r(d.transpose() * x);
    results[name + "bias"] = r(d.colwise().sum().transpose());
    return r(d * r(weights.at(name + "weight")));
  }
};

void run_feed_forward(Naive& naive, const Matrix& x, const Matrix& dy) {
  const Matrix in = naive.r(x), d = naive.r(dy), before = naive.map(in, "first.");
  const Matrix hidden = naive.r(before.array().tanh());
  naive.results["y"] = naive.map(hidden, "second.");
  const Matrix d_hidden = naive.back(d, hidden, "second.");
  const Matrix d_before = naive.r(d_hidden.array() * (1 - before.array().tanh().square()));
  naive.results["dx"] = naive.back(d_before, in, "first.");
}

// Causal self-attention of one text.
void run_attention(Naive& naive, const Matrix& x, const Matrix& dy, Index heads) {
  const Matrix in = naive.r(x), d = naive.r(dy);
  const Matrix q = naive.map(in, "query."), k = naive.map(in, "key."), v = naive.map(in, "value.");
  const Index L = x.rows(), size = x.cols() / heads;
  const double scale = 1 / std::sqrt(static_cast<double>(size));
  std::vector<Matrix> weights;
  Matrix context(L, x.cols());
  for (Index h = 0; h < heads; ++h) {
    const auto at = Eigen::seqN(h * size, size);
    Matrix p = (scale * q(Eigen::all, at) * k(Eigen::all, at).transpose()).array().exp();
    p = p.triangularView<Eigen::Lower>().toDenseMatrix().eval();
    p = p.array().colwise() / p.rowwise().sum().array();
    context(Eigen::all, at) = naive.r(p) * v(Eigen::all, at);
    weights.push_back(p);
  }
  context = naive.r(context);
  naive.results["y"] = naive.map(context, "output.");
  const Matrix d_context = naive.back(d, context, "output.");
  Matrix d_q(L, x.cols()), d_k = d_q, d_v = d_q;
  for (Index h = 0; h < heads; ++h) {
    const auto at = Eigen::seqN(h * size, size);
    const Matrix& p = weights[static_cast<std::size_t>(h)];
    const Matrix d_p = d_context(Eigen::all, at) * v(Eigen::all, at).transpose();
    const Eigen::VectorXd delta = (p.array() * d_p.array()).rowwise().sum();
    const Matrix d_s = naive.r(p.array() * (d_p.array().colwise() - delta.array()));
    d_v(Eigen::all, at) = naive.r(p).transpose() * d_context(Eigen::all, at);
    d_q(Eigen::all, at) = scale * d_s * k(Eigen::all, at);
    d_k(Eigen::all, at) = scale * d_s.transpose() * q(Eigen::all, at);
  }
  const Matrix of_q = naive.back(naive.r(d_q), in, "query.");
  const Matrix of_k = naive.back(naive.r(d_k), in, "key.");
  naive.results["dx"] = naive.r(of_q + of_k + naive.back(naive.r(d_v), in, "value."));
}

// y, dx and gradients by name of a module, in double.
template <class T, class Module, class... Args>
Weights results_of(const Module& module, const heed::Tensor3<T>& x, Compute compute,
                   const Args&... args) {
  const nn::Options options{.threads = 1, .compute = compute};
  auto gradients = nn::gradients_of(module);
  const auto run = module.forward_train(x, args..., options);
  const auto dx = module.backward(like(run.out, 99), run.saved, gradients, args..., options);
  Weights results = weights_of(gradients);
  results["y"] = matrix_of(run.out);
  results["dx"] = matrix_of(dx);
  return results;
}

// Of make.operator()<T>(): at most twice as far from double as the naive code, plus float's sums.
template <class Make, class Run, class... Args>
void check_naive(const Make& make, const Run& run, Index L, Index features, const Args&... args) {
  auto exact_module = make.template operator()<double>();
  auto module = make.template operator()<float>();
  scatter(exact_module, 0.7, 3);
  scatter(module, 0.7, 3);
  const auto x = tokens<float>(1, L, features, 5);
  const heed::Tensor3<double> x_exact = x.template cast<double>();
  const Weights exact = results_of(exact_module, x_exact, Compute::full, args...);
  for (const Compute compute : {Compute::bfloat16, Compute::half}) {
    Naive naive{compute, weights_of(exact_module)};
    run(naive, matrix_of(x_exact), matrix_of(like(x_exact, 99)));
    const Weights own = results_of(module, x, compute, args...);
    REQUIRE(own.size() == naive.results.size());
    for (const auto& [name, value] : own) {
      INFO(name);
      const Matrix& truth = exact.at(name);
      const double sums = 1e-6 * truth.cwiseAbs().maxCoeff() + 1e-7;
      const double error = (value - truth).cwiseAbs().maxCoeff();
      CHECK(error <= 2 * (naive.results.at(name) - truth).cwiseAbs().maxCoeff() + sums);
      CHECK((name.ends_with("bias") || error > unit_of(compute) / 64));  // it is rounded
    }
  }
}

// Gradients of a model that takes ids.
template <class Model>
Model gradients_of_ids(const Model& model, const nn::Options& options) {
  heed::Tensor2<int> ids(2, 37);
  for (Index n = 0; n < ids.size(); ++n) ids.data()[n] = static_cast<int>(n * n % 11);
  auto gradients = nn::gradients_of(model);
  const auto run = model.forward_train(ids, options);
  auto d = run.out;
  for (Index n = 0; n < d.size(); ++n) d.data()[n] = static_cast<float>(n % 7) / 3 - 1;
  model.backward(d, run.saved, gradients, options);
  return gradients;
}

// |a − b| / |b| over all numbers of two modules.
template <class Module>
double distance(const Module& a, const Module& b) {
  double gap = 0, size = 0;
  nn::for_each_parameter(
      [&](const std::string&, const auto& x, const auto& y) {
        gap += (x.value - y.value).template cast<double>().squaredNorm();
        size += y.value.template cast<double>().squaredNorm();
      },
      a, b);
  return std::sqrt(gap / size);
}

// A path through `products` products in a row and back: each rounds two operands.
template <class Model>
void check_model(const Model& model, int products) {
  const nn::Options options{.mode = nn::Mode::train, .seed = 4, .threads = 1};
  const auto full = gradients_of_ids(model, options);
  double before = INFINITY;
  for (const Compute compute : {Compute::bfloat16, Compute::half}) {
    nn::Options in_16 = options;
    in_16.compute = compute;
    const auto one = gradients_of_ids(model, in_16);
    const double off = distance(one, full);
    CHECK(off < 2 * products * 2 * unit_of(compute));
    CHECK(off > unit_of(compute) / 8);
    CHECK(off < before / 2);  // half is nearer
    before = off;
    for (const int threads : {2, 3}) {
      in_16.threads = threads;
      CHECK(same_parameters(gradients_of_ids(model, in_16), one));
    }
  }
}

}  // namespace

TEST_CASE("compute: products of rounded numbers, of one token or many, in any layout") {
  for (const Compute compute : {Compute::bfloat16, Compute::half}) {
    for (const auto& [length, in, out] :
         {std::array<Index, 3>{1, 1, 1}, {2, 33, 64}, {513, 19, 70}, {600, 801, 33}}) {
      const nn::Options options{.compute = compute};
      nn::Linear<float> linear(in, out);
      scatter(linear, 1, 3);
      const auto x = tokens<float>(1, length, in, 5), dy = tokens<float>(1, length, out, 6);
      const auto [y, saved] = linear.forward_train(x, options);
      const Matrix d = rounded(matrix_of(dy), compute), rows = rounded(matrix_of(x), compute);
      const Weights weights = weights_of(linear);
      const Matrix weight = rounded(weights.at("weight"), compute);
      const Matrix product = rows * weight.transpose(), dx = d * weight, dw = d.transpose() * rows;
      const Matrix want = product.rowwise() + weights.at("bias").col(0).transpose();
      CHECK((matrix_of(y) - want).cwiseAbs().maxCoeff() < 1e-6 * std::sqrt(in) * 4);
      auto gradients = nn::gradients_of(linear);
      const auto own = matrix_of(linear.backward(dy, saved, gradients, options));
      CHECK(relative_difference(own, dx) < 2e-6);
      CHECK(relative_difference(gradients.weight().value, dw) < 2e-6);
      const Matrix db = matrix_of(dy).colwise().sum().transpose();  // not a product
      CHECK(relative_difference(gradients.bias().value, db) < 1e-6);
      // Column-major.
      const Eigen::MatrixXf columns = matrix_of(dy).cast<float>();
      auto of_columns = nn::gradients_of(linear);
      const Eigen::MatrixXf dx_columns = linear.backward(columns, saved, of_columns, options);
      CHECK(same_parameters(of_columns, gradients));
      CHECK(dx_columns.cast<double>() == own);
      for (const Compute other : {Compute::full, compute}) {
        nn::prepare(linear, {.compute = other});
        CHECK(same_bits(linear.forward(x, options), y));
      }
    }
  }
  CHECK(error_of([] {
          const nn::Linear<double> linear(2, 2);
          linear.forward(tokens<double>(1, 1, 2, 1), {.compute = Compute::half});
        }) == "heed::nn: options.compute is for modules of float, not of double");
}

TEST_CASE("compute: norms of double are refused too") {
  CHECK(error_of([] {
          nn::LayerNorm<double>(2).forward(tokens<double>(1, 1, 2, 1), {.compute = Compute::half});
        }) == "heed::nn: options.compute is for modules of float, not of double");
}

TEST_CASE("compute: half: a value before an activation beyond its largest has a finite slope") {
  nn::EncoderBlock<float> block(4, {.attention = {.heads = 1}, .hidden = 4});
  scatter(block, 0.3, 4);
  nn::each_parameter(block, [](const std::string& name, auto& parameter) {
    if (name.find("first.bias") != std::string::npos) parameter.value.setConstant(-70000);
  });
  const auto x = tokens<float>(1, 3, 4, 5);
  const nn::Options options{.compute = Compute::half};
  const auto trained = block.forward_train(x, heed::mask::None{}, heed::score::None{}, options);
  auto gradients = nn::gradients_of(block);
  const auto dx =
      block.backward(x, trained.saved, gradients, heed::mask::None{}, heed::score::None{}, options);
  for (Index n = 0; n < dx.size(); ++n) CHECK(std::isfinite(dx.data()[n]));
}

TEST_CASE("compute: feed-forward and attention meet the naive code in 16 bits") {
  check_naive([]<class T>() { return nn::FeedForward<T, nn::Tanh>(24, 70); }, run_feed_forward, 37,
              24);
  const auto attention = [](Naive& naive, const Matrix& x, const Matrix& dy) {
    run_attention(naive, x, dy, 2);
  };
  for (const Index length : {5, 70}) {
    check_naive([]<class T>() { return nn::MultiHeadAttention<T>(24, {.heads = 2}); }, attention,
                length, 24, heed::mask::causal(), heed::score::None{});
  }
}

TEST_CASE("compute: models stay near their float gradients, and threads change no bit") {
  nn::SimpleTransformer<float> classifier({.vocabulary = 11,
                                           .features = 48,
                                           .heads = 3,
                                           .layers = 2,
                                           .classes = 3,
                                           .positions = 64,
                                           .dropout = 0.1});
  scatter(classifier, 0.3, 3);
  check_model(classifier, 2 * 6 + 1);
  nn::CausalLanguageModelOptions options{.vocabulary = 11,
                                         .features = 48,
                                         .layers = 2,
                                         .positions = 0,
                                         .block = {.attention = {.heads = 3,
                                                                 .kv_heads = 1,
                                                                 .rope = nn::RotaryOptions{},
                                                                 .qk_norm = nn::QkNorm::per_head,
                                                                 .gate = nn::OutputGate::per_head},
                                                   .norm = nn::NormPlace::pre}};
  nn::CausalLanguageModel<float> language(options);
  scatter(language, 0.3, 3);
  check_model(language, 2 * 7 + 1);
  const nn::Options in_16{.compute = Compute::bfloat16};
  const auto stored = gradients_of_ids(language, in_16);
  for (const bool whole : {false, true}) {  // the block again, or attention alone
    options.block.checkpoint = whole;
    options.block.attention.checkpoint = !whole;
    nn::CausalLanguageModel<float> again(options);
    scatter(again, 0.3, 3);
    CHECK(same_parameters(gradients_of_ids(again, in_16), stored));
  }
}
