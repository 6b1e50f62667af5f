// Backward of the modules that compute each token by itself.
#include "nn/gradients.hpp"

#include "heed/nn/embedding.hpp"
#include "heed/nn/feed_forward.hpp"
#include "heed/nn/gated_feed_forward.hpp"
#include "heed/nn/layer_norm.hpp"
#include "heed/nn/learned_positions.hpp"
#include "heed/nn/linear.hpp"
#include "heed/nn/rms_norm.hpp"

using namespace nn_test;
namespace nn = heed::nn;

namespace {

const nn::Options training{.mode = nn::Mode::train, .seed = 11};

// A user's activation: x³.
struct Cube {
  template <class T>
  T operator()(T x) const {
    return x * x * x;
  }
  template <class T>
  T derivative(T x) const {
    return 3 * x * x;
  }
};

}  // namespace

TEST_CASE("gradients: linear") {
  check_gradients([]<class T>() { return nn::Linear<T>(5, 7); }, 2, 3, 5, {});
  check_gradients([]<class T>() { return nn::Linear<T>(37, 1, nn::Bias::no); }, 1, 9, 37, {});
}

TEST_CASE("gradients: products of many tokens equal Eigen's, in any layout of dy") {
  for (const Index length : {1, 511, 512, 513, 1500}) {
    nn::Linear<float> linear(19, 70);
    scatter(linear, 1, 3);
    const auto x = tokens<float>(1, length, 19, 5), dy = tokens<float>(1, length, 70, 6);
    const auto saved = linear.forward_train(x).saved;
    using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const Eigen::MatrixXd d = Eigen::Map<const RowMajor>(dy.data(), length, 70).cast<double>();
    const Eigen::MatrixXd in = Eigen::Map<const RowMajor>(x.data(), length, 19).cast<double>();
    const Eigen::MatrixXd dw = d.transpose() * in, db = d.colwise().sum();
    const RowMajor dx = (d * linear.weight().value.cast<double>()).cast<float>();
    auto gradients = nn::gradients_of(linear);
    CHECK(relative_difference(linear.backward(dy, saved, gradients), dx) < 1e-6);
    CHECK(relative_difference(gradients.weight().value, dw) < 1e-6);
    CHECK(relative_difference(gradients.bias().value, db) < 1e-6);
    // Column-major, and with gaps.
    const Eigen::MatrixXf columns = d.cast<float>();
    auto of_columns = nn::gradients_of(linear);
    const Eigen::MatrixXf dx_columns = linear.backward(columns, saved, of_columns);
    CHECK(relative_difference(dx_columns, Eigen::MatrixXf(dx)) < 1e-6);
    CHECK(same_parameters(of_columns, gradients));
  }
  nn::Linear<double> linear(3, 4);
  scatter(linear, 1, 3);
  const auto saved = linear.forward_train(tokens<double>(2, 5, 3, 5)).saved;
  const auto wide = tokens<double>(2, 9, 4, 6);
  auto gradients = nn::gradients_of(linear), packed = gradients;
  linear.backward(heed::view(wide.data(), {2, 5, 4}, {36, 4, 1}), saved, gradients);
  const heed::Tensor3<double> part =
      wide.slice(Eigen::array<Index, 3>{0, 0, 0}, Eigen::array<Index, 3>{2, 5, 4});
  linear.backward(part, saved, packed);
  CHECK(same_parameters(packed, gradients));
}

TEST_CASE("gradients: layer norm and rms norm") {
  for (const Index features : {3, 8, 21}) {
    check_gradients([=]<class T>() { return nn::LayerNorm<T>(features); }, 2, 4, features, {});
  }
  check_gradients([]<class T>() { return nn::LayerNorm<T>(9, {.bias = nn::Bias::no}); }, 1, 70, 9,
                  {});
  check_gradients([]<class T>() { return nn::RmsNorm<T>(21); }, 2, 4, 21, {});
  nn::RmsNorm<float> norm(21, {.eps = 0.5});
  scatter(norm, 1, 3);
  const auto x = tokens<float>(1, 3, 21, 5);
  for (std::size_t i = 0; i < 3; ++i) {
    auto row = rows_of(x, 0)[i];
    double square = 0;
    for (const double value : row) square += value * value / 21;
    for (Index j = 0; j < 21; ++j) {
      const double y = row[static_cast<std::size_t>(j)] / std::sqrt(square + 0.5) *
                       weights_of(norm).at("weight")(j, 0);
      CHECK(norm.forward(x)(0, static_cast<Index>(i), j) == Approx(y).epsilon(1e-6));
    }
  }
  CHECK(error_of([] { nn::RmsNorm<float>(4, {.eps = -1}); }).starts_with("heed::nn::RmsNorm: eps"));
}

TEST_CASE("gradients: feed-forward, with every activation and with dropout") {
  const auto of = []<class F>(const F& activation) {
    return [=]<class T>() { return nn::FeedForward<T, F>(5, 19, {.dropout = 0.3}, activation); };
  };
  check_gradients(of(nn::Gelu{}), 2, 3, 5, training);
  check_gradients(of(nn::GeluTanh{}), 2, 3, 5, {});
  check_gradients(of(nn::Silu{}), 2, 3, 5, {});
  check_gradients(of(nn::Tanh{}), 2, 3, 5, {});
  check_gradients(of(nn::Relu{}), 2, 3, 5, training);
  check_gradients(of(Cube{}), 2, 3, 5, {});
}

TEST_CASE("gradients: the gated feed-forward part, SwiGLU, against its formula too") {
  check_gradients([]<class T>() { return nn::GatedFeedForward<T>(5, 19); }, 2, 3, 5, {});
  nn::GatedFeedForward<double> swiglu(5, 7, nn::Bias::yes);
  scatter(swiglu, 1, 3);
  const auto x = tokens<double>(2, 3, 5, 1);
  const auto weights = weights_of(swiglu);
  for (Index b = 0; b < 2; ++b) {
    auto gate = linear(rows_of(x, b), weights, "gate.");
    const auto up = linear(rows_of(x, b), weights, "up.");
    for (std::size_t i = 0; i < 3; ++i) {
      for (std::size_t j = 0; j < 7; ++j) gate[i][j] *= up[i][j] / (1 + std::exp(-gate[i][j]));
    }
    CHECK(difference(swiglu.forward(x), b, linear(gate, weights, "down.")) < 1e-14);
  }
}

TEST_CASE("gradients: rows of an embedding and of positions") {
  nn::Embedding<double> embedding(4, 3);
  nn::LearnedPositions<double> positions(3, 6);
  scatter(embedding, 1, 3);
  scatter(positions, 1, 4);
  heed::Tensor2<int> ids(2, 3);
  ids.setValues({{1, 3, 1}, {0, 1, 3}});
  const auto dy = tokens<double>(2, 3, 3, 7);
  const auto rows = embedding.forward_train(ids);
  const auto y = positions.forward_train(rows.out, 2);
  auto of_embedding = nn::gradients_of(embedding);
  auto of_positions = nn::gradients_of(positions);
  positions.backward(dy, y.saved, of_positions);
  embedding.backward(dy, rows.saved, of_embedding);
  auto inputs = heed::inspect::gradcheck_parameters(embedding, of_embedding);
  for (const auto& input : heed::inspect::gradcheck_parameters(positions, of_positions)) {
    inputs.push_back(input);
  }
  const auto check = heed::inspect::gradcheck(
      [&] { return dot(dy, positions.forward(embedding.forward(ids), 2)); }, inputs);
  INFO(check);
  CHECK(check.ok());
}

TEST_CASE("gradients: what does not belong to the saved call is refused, by name") {
  const nn::Linear<float> linear(3, 4);
  const auto saved = linear.forward_train(tokens<float>(2, 5, 3, 1)).saved;
  auto gradients = nn::gradients_of(linear);
  CHECK(error_of([&] { linear.backward(tokens<float>(2, 4, 4, 1), saved, gradients); }) ==
        "heed::nn::Linear::backward: dy is not of the saved call (dy [2,4,4], saved x [2,5,3])");
  nn::Linear<float> other(3, 5);
  CHECK(error_of([&] {
          linear.backward(tokens<float>(2, 5, 4, 1), saved, other);
        }).find("the gradients are another module's") != std::string::npos);
  const auto refused = [](const std::string& error) {
    return error.find("saved is another module's") != std::string::npos;
  };
  nn::Linear<float> wide(70, 4);
  CHECK(refused(error_of([&] {
    auto g = nn::gradients_of(wide);
    wide.backward(tokens<float>(2, 5, 4, 1), saved, g);
  })));
  const nn::LayerNorm<float> many(64), few(8);
  const auto normed = many.forward_train(tokens<float>(1, 2, 64, 1)).saved;
  CHECK(refused(error_of([&] {
    auto g = nn::gradients_of(few);
    few.backward(tokens<float>(1, 2, 8, 1), normed, g);
  })));
  const nn::Embedding<float> large(100, 4), small(10, 4);
  heed::Tensor2<int> ids(1, 2);
  ids.setConstant(50);
  const auto looked_up = large.forward_train(ids).saved;
  CHECK(refused(error_of([&] {
    auto g = nn::gradients_of(small);
    small.backward(tokens<float>(1, 2, 4, 1), looked_up, g);
  })));
  nn::Linear<float> bare(3, 4, nn::Bias::no);
  CHECK(error_of([&] {
          linear.backward(tokens<float>(2, 5, 4, 1), saved, bare);
        }).find("the gradients are another module's") != std::string::npos);
  std::vector<std::byte> workspace(linear.workspace_bytes(tokens<float>(2, 5, 3, 1)));
  const nn::Options with_room{.workspace = workspace};
  linear.backward(tokens<float>(2, 5, 4, 1), saved, gradients, with_room);  // does not use it
  CHECK(error_of(
            [&] { nn::for_each_parameter([](const auto&, auto&, auto&) {}, gradients, other); }) ==
        "heed::nn: two modules of a call differ at weight, as of other options: gradients come "
        "from gradients_of(module)");
}
