// Multi-head attention against loops: heads, groups, fused weights, masks, scores, weights.
#include "heed/nn/multi_head_attention.hpp"

#include "heed/mask/any.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/dense.hpp"
#include "heed/mask/padding.hpp"
#include "heed/nn/encoder_block.hpp"
#include "heed/score/alibi.hpp"
#include "heed/score/bias.hpp"
#include "nn/loops.hpp"
#include "support/catch.hpp"

using namespace nn_test;
using heed::Tensor3;
namespace nn = heed::nn;
namespace mask = heed::mask;
namespace score = heed::score;

namespace {

const auto sees_all = [](std::size_t, std::size_t) { return true; };

}  // namespace

TEMPLATE_TEST_CASE("multi-head attention: equals the loops for heads, groups and dims", "", float,
                   double) {
  const double tolerance = sizeof(TestType) == 4 ? 5e-6 : 1e-13;
  struct Case {
    Index heads, kv_heads, head_dim;
  };
  for (const Case c : {Case{1, 0, 0}, Case{4, 0, 0}, Case{4, 2, 0}, Case{6, 1, 0}, Case{3, 3, 5}}) {
    for (const auto bias : {nn::Bias::yes, nn::Bias::no}) {
      nn::MultiHeadAttention<TestType> part(
          12, {.heads = c.heads, .kv_heads = c.kv_heads, .head_dim = c.head_dim, .bias = bias});
      scatter(part, 0.5, 3);
      const auto kv_heads = static_cast<std::size_t>(c.kv_heads == 0 ? c.heads : c.kv_heads);
      const auto x = tokens<TestType>(2, 11, 12, 5);
      const auto y = part.forward(x);
      REQUIRE(y.dimensions() == x.dimensions());
      for (Index b = 0; b < 2; ++b) {
        const Rows rows = rows_of(x, b);
        CHECK(difference(y, b,
                         attention(rows, rows, rows, weights_of(part), "",
                                   static_cast<std::size_t>(c.heads), kv_heads, sees_all)) <
              tolerance);
      }
    }
  }
}

TEST_CASE("multi-head attention: queries from one place, keys and values from another") {
  nn::MultiHeadAttention<float> part(8, {.heads = 2, .source_features = 5});
  scatter(part, 0.5, 3);
  const auto x = tokens<float>(2, 10, 8, 5);
  const auto keys = tokens<float>(2, 20, 5, 6);
  const auto values = tokens<float>(2, 20, 5, 7);
  const auto y = part.forward(x, keys, values);
  for (Index b = 0; b < 2; ++b) {
    CHECK(difference(y, b,
                     attention(rows_of(x, b), rows_of(keys, b), rows_of(values, b),
                               weights_of(part), "", 2, 2, sees_all)) < 5e-6);
  }
}

TEST_CASE("multi-head attention: a caller's way to attend is the one taken, with what it needs") {
  nn::EncoderBlock<float> block(12, {.attention = {.heads = 3, .kv_heads = 1}});
  scatter(block, 0.5, 3);
  const auto x = tokens<float>(2, 11, 12, 5);
  const std::vector<int> lengths{11, 4};
  const auto plain = block.forward(x, mask::padding(lengths), {}, {.threads = 1});
  int calls = 0;
  const auto attend = [&](const auto& out, const auto& q, const auto& k, const auto& v,
                          const auto& see, const auto& score, const heed::Options& options) {
    ++calls;
    CHECK(options.threads == 1);
    CHECK(heed::view_of(k).extent[1] == 1);
    const auto own = heed::reference::attention(q, k, v, see, score);
    const auto to = heed::mutable_view_of(out);  // [B, heads, L, 4]
    for (Index b = 0; b < 2; ++b) {
      for (Index h = 0; h < 3; ++h) {
        for (Index i = 0; i < 11; ++i) {
          for (Index d = 0; d < 4; ++d) to(b, h, i, d) = own.out(b, i, h, d);
        }
      }
    }
  };
  const auto score = heed::score::None{};
  const auto other = block.forward(x, mask::padding(lengths), score, {.threads = 1}, attend);
  CHECK(calls == 1);
  for (Index n = 0; n < plain.size(); ++n) {
    REQUIRE(std::abs(plain.data()[n] - other.data()[n]) < 5e-6f);
  }
}

TEST_CASE("multi-head attention: masks and scores are attention's") {
  nn::MultiHeadAttention<float> part(8, {.heads = 2});
  scatter(part, 0.5, 3);
  const auto x = tokens<float>(1, 10, 8, 5);
  const Rows rows = rows_of(x, 0);
  const Rows causal = attention(rows, rows, rows, weights_of(part), "", 2, 2,
                                [](std::size_t i, std::size_t j) { return j <= i; });
  CHECK(difference(part.forward(x, mask::causal()), 0, causal) < 5e-6);
  CHECK(difference(part.forward(x, [](int i, int j) { return j <= i; }), 0, causal) < 5e-6);
  const std::vector<int> none = {0};
  // no key is seen: only the bias of the last projection is left
  const auto blind = part.forward(x, mask::padding(none));
  for (Index i = 0; i < 10; ++i) {
    for (Index j = 0; j < 8; ++j) {
      CHECK(blind(0, i, j) == static_cast<float>(weights_of(part).at("output.bias")(j, 0)));
    }
  }
  const auto slopes = score::alibi_slopes(2);
  CHECK_FALSE(same_bits(part.forward(x, {}, score::alibi(slopes)), part.forward(x)));
}

TEST_CASE("multi-head attention: fused weights and three inputs give the bits of separate ones") {
  for (const Index kv_heads : {4, 2}) {
    nn::MultiHeadAttention<float> separate(12, {.heads = 4, .kv_heads = kv_heads});
    scatter(separate, 0.5, 3);
    nn::MultiHeadAttention<float> fused(
        12, {.heads = 4, .kv_heads = kv_heads, .projection = nn::Projection::fused});
    const auto w = weights_of(separate);
    nn::each_parameter(fused, [&](const std::string& name, auto& parameter) {
      if (name.starts_with("qkv.")) {
        const std::string kind = name.substr(4);
        Eigen::MatrixXd all(parameter.value.rows(), parameter.value.cols());
        all << w.at("query." + kind), w.at("key." + kind), w.at("value." + kind);
        parameter.value = all.cast<float>();
      } else {
        parameter.value = w.at(name).cast<float>();
      }
    });
    CHECK(nn::parameter_count(fused) == nn::parameter_count(separate));
    const auto x = tokens<float>(2, 30, 12, 5);
    const auto y = separate.forward(x, mask::causal());
    CHECK(same_bits(fused.forward(x, mask::causal()), y));
    CHECK(same_bits(separate.forward(x, x, x, mask::causal()), y));
  }
}

TEST_CASE("multi-head attention: weights sum to 1, are 0 behind the mask, and give the output") {
  nn::MultiHeadAttention<float> part(12, {.heads = 4, .kv_heads = 2});
  scatter(part, 0.5, 3);
  const auto x = tokens<float>(2, 30, 12, 5);
  const auto plain = part.forward(x, mask::causal());
  const auto [out, weights] = part.forward_with_weights(x, mask::causal());
  REQUIRE(weights.dimension(0) == 2);
  REQUIRE(weights.dimension(1) == 4);
  REQUIRE(weights.dimension(2) == 30);
  REQUIRE(weights.dimension(3) == 30);
  for (Index n = 0; n < out.size(); ++n) CHECK(std::abs(out.data()[n] - plain.data()[n]) < 2e-6);
  const std::vector<int> rows = {29, 3};
  const auto few = part.attention_weights(x, x, rows, mask::causal());
  REQUIRE(few.size() == 2 * 4 * 2 * 30);
  for (Index h = 0; h < 4; ++h) {
    for (Index r = 0; r < 2; ++r) {
      for (Index j = 0; j < 30; ++j) {
        const float whole = weights(1, h, rows[static_cast<std::size_t>(r)], j);
        CHECK(std::abs(few(1, h, r, j) - whole) < 2e-6f);
      }
    }
  }
  for (Index i = 0; i < 30; ++i) {
    double sum = 0;
    for (Index j = 0; j < 30; ++j) {
      sum += static_cast<double>(weights(1, 3, i, j));
      if (j > i) CHECK(weights(1, 3, i, j) == 0);
    }
    CHECK(sum == Approx(1).epsilon(1e-6));
  }
}

TEST_CASE("multi-head attention: without the last projection the heads stand side by side") {
  nn::MultiHeadAttention<float> part(12, {.heads = 3, .head_dim = 2, .output_projection = false});
  scatter(part, 0.5, 3);
  const auto x = tokens<float>(2, 7, 12, 5);
  const auto y = part.forward(x);
  REQUIRE(y.dimension(2) == 6);
  auto w = weights_of(part);
  CHECK(w.size() == 6);
  w["output.weight"] = Eigen::MatrixXd::Identity(6, 6);
  const auto with_weights = part.forward_with_weights(x).out;
  for (Index b = 0; b < 2; ++b) {
    const Rows rows = rows_of(x, b);
    const Rows expected = attention(rows, rows, rows, w, "", 3, 3, sees_all);
    CHECK(difference(y, b, expected) < 5e-6);
    CHECK(difference(with_weights, b, expected) < 5e-6);
  }
}

TEST_CASE("multi-head attention: matrices [L, features] in, matrices out") {
  nn::MultiHeadAttention<double> part(6, {.heads = 2});
  scatter(part, 0.5, 3);
  const auto x = tokens<double>(1, 9, 6, 5);
  const auto y = part.forward(x);
  Eigen::MatrixXd matrix(9, 6);
  for (Index i = 0; i < 9; ++i) {
    for (Index j = 0; j < 6; ++j) matrix(i, j) = x(0, i, j);
  }
  const Eigen::MatrixXd result = part.forward(matrix);
  for (Index i = 0; i < 9; ++i) {
    for (Index j = 0; j < 6; ++j) CHECK(result(i, j) == y(0, i, j));
  }
}

TEST_CASE("multi-head attention: dropout drops in training only, and by its seed") {
  nn::MultiHeadAttention<float> part(8, {.heads = 2, .dropout = 0.5});
  scatter(part, 0.5, 3);
  const auto x = tokens<float>(2, 16, 8, 5);
  nn::MultiHeadAttention<float> never(8, {.heads = 2});
  scatter(never, 0.5, 3);
  const auto plain = never.forward(x);
  CHECK(same_bits(part.forward(x), plain));
  CHECK(same_bits(never.forward(x, {}, {}, {.mode = nn::Mode::train, .seed = 1}), plain));
  const auto dropped = part.forward(x, {}, {}, {.mode = nn::Mode::train, .seed = 1});
  CHECK_FALSE(same_bits(dropped, plain));
  CHECK(same_bits(part.forward(x, {}, {}, {.mode = nn::Mode::train, .seed = 1}), dropped));
  CHECK_FALSE(same_bits(part.forward(x, {}, {}, {.mode = nn::Mode::train, .seed = 2}), dropped));
}

TEST_CASE("multi-head attention: empty sequences") {
  nn::MultiHeadAttention<float> part(8, {.heads = 2});
  scatter(part, 0.5, 3);
  CHECK(part.forward(Tensor3<float>(2, 0, 8)).size() == 0);
  CHECK(part.forward(Tensor3<float>(0, 3, 8)).size() == 0);
  const auto x = tokens<float>(1, 2, 8, 5);
  const Tensor3<float> nothing(1, 0, 8);
  const auto y = part.forward(x, nothing, nothing);
  for (Index j = 0; j < 8; ++j) {
    CHECK(y(0, 1, j) == static_cast<float>(weights_of(part).at("output.bias")(j, 0)));
  }
}

TEST_CASE("multi-head attention: what does not fit is an error with its numbers") {
  const auto make = [](Index features, const nn::MultiHeadAttentionOptions& options) {
    return error_of([&] { nn::MultiHeadAttention<float>(features, options); });
  };
  const std::string start = "heed::nn::MultiHeadAttention: ";
  CHECK(make(130, {.heads = 4}) == start + "130 features do not divide among 4 heads");
  CHECK(make(12, {.heads = 4, .kv_heads = 3}) == start + "4 heads do not divide among 3 key heads");
  CHECK(make(12, {.heads = 0}) == start + "0 heads");
  CHECK(make(0, {}) == start + "0 features");
  CHECK(make(12, {.heads = 2, .head_dim = -1}) == start + "head_dim -1");
  CHECK(make(12, {.source_features = 7, .projection = nn::Projection::fused}) ==
        start + "a fused projection takes one input, but queries have 12 features and keys 7");
  CHECK(make(12, {.dropout = 1.5}).find("dropout 1.5") != std::string::npos);
  CHECK(make(130, {.heads = 4, .head_dim = 16}).empty());

  const nn::MultiHeadAttention<float> part(8, {.heads = 2, .source_features = 5});
  const Tensor3<float> x(2, 3, 8), memory(2, 4, 5), shorter(2, 3, 5), fewer(1, 4, 5);
  CHECK(error_of([&] { part.forward(x); }) ==
        "heed::nn::MultiHeadAttention::forward: key has 8 features but the module takes 5 (key "
        "[2,3,8])");
  CHECK_THROWS_AS(part.forward(x, memory, shorter), heed::Error);
  CHECK_THROWS_AS(part.forward(x, fewer, fewer), heed::Error);
}

TEST_CASE("multi-head attention: a rank-3 mask or bias is [B, Lq, Lk], by itself or composed") {
  nn::MultiHeadAttention<float> part(8, {.heads = 2});
  scatter(part, 0.5, 3);
  const auto x = tokens<float>(2, 6, 8, 5);
  const std::vector<int> lengths = {6, 4};
  const mask::any expected = mask::padding(lengths);
  const auto y = part.forward(x, expected);
  for (const Index rows : {1, 6}) {
    Tensor3<bool> keys(2, rows, 6);  // [B, 1, Lk] and [B, Lq, Lk]
    Tensor3<float> bias(2, rows, 6);
    for (Index b = 0; b < 2; ++b) {
      for (Index i = 0; i < rows; ++i) {
        for (Index j = 0; j < 6; ++j) {
          keys(b, i, j) = j < lengths[static_cast<std::size_t>(b)];
          bias(b, i, j) = keys(b, i, j) ? 0.0f : -INFINITY;
        }
      }
    }
    const mask::any erased = mask::dense(keys);
    CHECK(same_bits(part.forward(x, erased), y));
    CHECK(same_bits(part.forward(x, mask::dense(keys)), y));
    const auto with_bias = part.forward(x, mask::any(), score::bias(bias));
    for (Index n = 0; n < y.size(); ++n) {
      CHECK(std::abs(with_bias.data()[n] - y.data()[n]) < 2e-6f);
    }
    const mask::any composed = mask::dense(keys) & mask::causal();
    const mask::any same = mask::padding(lengths) & mask::causal();
    CHECK(same_bits(part.forward(x, composed), part.forward(x, same)));
  }
  Tensor3<bool> shared(1, 6, 6);  // [1, Lq, Lk]
  for (Index i = 0; i < 6; ++i) {
    for (Index j = 0; j < 6; ++j) shared(0, i, j) = j <= i;
  }
  const mask::any causal = mask::causal(), dense = mask::dense(shared);
  CHECK(same_bits(part.forward(x, dense), part.forward(x, causal)));
  heed::Tensor2<bool> matrix(6, 6);  // [Lq, Lk]
  std::copy_n(shared.data(), 36, matrix.data());
  const mask::any by_rank = mask::dense(matrix);
  CHECK(same_bits(part.forward(x, by_rank), part.forward(x, causal)));
  CHECK(error_of([&] {
          const Tensor3<bool> other(2, 1, 7);
          part.forward(x, mask::any(mask::dense(other)));
        }) ==
        "heed::mask::dense: the tensor, as [B,H,Lq,Lk] [2,1,1,7], does not broadcast to the "
        "scores [2,2,6,6]");
}

TEST_CASE("multi-head attention: in training the weights are those that values met") {
  nn::MultiHeadAttention<float> part(6, {.heads = 2, .output_projection = false, .dropout = 0.5});
  scatter(part, 0.5, 3);
  const auto x = tokens<float>(2, 9, 6, 5);
  const nn::Options train{.mode = nn::Mode::train, .seed = 3};
  const auto [out, weights] = part.forward_with_weights(x, {}, {}, train);
  const auto whole = part.forward_with_weights(x).weights;
  const heed::Dropout dropout = heed::Dropout::of(0.5, 3);
  int gone = 0;
  for (Index b = 0; b < 2; ++b) {
    const Rows value = linear(rows_of(x, b), weights_of(part), "value.");
    for (Index h = 0; h < 2; ++h) {
      for (Index i = 0; i < 9; ++i) {
        double sum = 0;  // of feature 0 of the head
        for (Index j = 0; j < 9; ++j) {
          const bool kept =
              dropout.keeps(static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(h),
                            static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(j));
          CHECK(weights(b, h, i, j) == (kept ? 2 * whole(b, h, i, j) : 0));
          gone += kept ? 0 : 1;
          sum += static_cast<double>(weights(b, h, i, j)) *
                 value[static_cast<std::size_t>(j)][static_cast<std::size_t>(3 * h)];
        }
        CHECK(std::abs(static_cast<double>(out(b, i, 3 * h)) - sum) < 2e-6);
      }
    }
  }
  CHECK(gone > 100);
  CHECK(gone < 224);
}

namespace {

// Each of a row's `count` heads over its root mean square, times its gains.
void rms_norm(std::vector<double>& row, const Eigen::MatrixXd& gains, double eps) {
  const auto size = static_cast<std::size_t>(gains.rows());
  for (std::size_t first = 0; first < row.size(); first += size) {
    double square = 0;
    for (std::size_t d = 0; d < size; ++d) square += row[first + d] * row[first + d];
    for (std::size_t d = 0; d < size; ++d) {
      row[first + d] *=
          gains(static_cast<Index>(d), 0) / std::sqrt(square / static_cast<double>(size) + eps);
    }
  }
}

// Feature d and d + 2 of each head of 4 turn by position · 10^(−d / 2).
void turn(std::vector<double>& row, double position) {
  for (std::size_t first = 0; first < row.size(); first += 4) {
    for (std::size_t d = 0; d < 2; ++d) {
      const double angle = position * std::pow(10.0, -static_cast<double>(d) / 2);
      const double a = row[first + d], b = row[first + d + 2];
      row[first + d] = a * std::cos(angle) - b * std::sin(angle);
      row[first + d + 2] = b * std::cos(angle) + a * std::sin(angle);
    }
  }
}

}  // namespace

TEST_CASE("multi-head attention: QK norm, rotary position and output gate equal their formulas") {
  for (const bool per_head : {true, false}) {
    nn::MultiHeadAttention<double> part(
        8, {.heads = 2,
            .rope = nn::RotaryOptions{.positions = 9, .base = 10},
            .qk_norm = per_head ? nn::QkNorm::per_head : nn::QkNorm::all_heads,
            .qk_norm_eps = 0.1,
            .gate = per_head ? nn::OutputGate::per_head : nn::OutputGate::per_feature});
    scatter(part, 0.8, 3);
    const Weights w = weights_of(part);
    const auto x = tokens<double>(1, 9, 8, 5);
    const Rows in = rows_of(x, 0), v = linear(in, w, "value."), z = linear(in, w, "gate.");
    Rows q = linear(in, w, "query."), k = linear(in, w, "key.");
    for (std::size_t i = 0; i < 9; ++i) {
      rms_norm(q[i], w.at("query_norm.weight"), 0.1);
      rms_norm(k[i], w.at("key_norm.weight"), 0.1);
      turn(q[i], static_cast<double>(i));
      turn(k[i], static_cast<double>(i));
    }
    Rows context(9, std::vector<double>(8, 0.0));
    for (std::size_t i = 0; i < 9; ++i) {
      for (std::size_t h = 0; h < 2; ++h) {
        std::vector<double> p(i + 1);
        double sum = 0;
        for (std::size_t j = 0; j <= i; ++j) {
          double score = 0;
          for (std::size_t d = 4 * h; d < 4 * h + 4; ++d) score += q[i][d] * k[j][d] / 2;
          sum += p[j] = std::exp(score);
        }
        for (std::size_t d = 4 * h; d < 4 * h + 4; ++d) {
          for (std::size_t j = 0; j <= i; ++j) context[i][d] += p[j] / sum * v[j][d];
          context[i][d] /= 1 + std::exp(-z[i][per_head ? h : d]);
        }
      }
    }
    const Rows expected = linear(context, w, "output.");
    const mask::any causal = mask::causal();
    CHECK(difference(part.forward(x, causal), 0, expected) < 1e-13);
    CHECK(difference(part.forward_with_weights(x, causal).out, 0, expected) < 1e-13);
    // The last two queries alone stand where they stood among all.
    Tensor3<double> last(1, 2, 8);
    std::copy_n(x.data() + 7 * 8, 16, last.data());
    CHECK(difference(part.forward(last, x, x, causal), 0, {expected[7], expected[8]}) < 1e-13);
    CHECK(error_of([&] { part.forward(tokens<double>(1, 10, 8, 5)); }) ==
          "heed::position::rope: position 9 of token 9 is not among the table's 9 from 0 on");
  }
  CHECK(error_of([] {
          nn::MultiHeadAttention<float>(8, {.heads = 2, .rope = nn::RotaryOptions{.dim = 6}});
        }) == "heed::nn::MultiHeadAttention: 2048 positions turn 6 features of a head that has 4");
}

TEST_CASE("multi-head attention: a sink joins the softmax of its head's rows") {
  const nn::MultiHeadAttentionOptions options{.heads = 4, .kv_heads = 2, .sinks = true};
  nn::MultiHeadAttention<float> part(12, options);
  CHECK(weights_of(part).at("sinks") == Eigen::MatrixXd::Zero(4, 1));
  scatter(part, 0.8, 3);
  const auto x = tokens<float>(2, 9, 12, 5);
  const auto y = part.forward(x, mask::causal());
  const auto [out, weights] = part.forward_with_weights(x, mask::causal());
  const std::vector<int> rows = {8, 0};
  const auto few = part.attention_weights(x, x, rows, mask::causal());
  for (Index b = 0; b < 2; ++b) {
    const Rows in = rows_of(x, b);
    const Rows expected = attention(in, in, in, weights_of(part), "", 4, 2,
                                    [](std::size_t i, std::size_t j) { return j <= i; });
    CHECK(difference(y, b, expected) < 5e-6);
    CHECK(difference(out, b, expected) < 5e-6);
    for (Index h = 0; h < 4; ++h) {
      CHECK(weights(b, h, 0, 0) < 0.9f);
      for (Index r = 0; r < 2; ++r) {
        for (Index j = 0; j < 9; ++j) {
          const float whole = weights(b, h, rows[static_cast<std::size_t>(r)], j);
          CHECK(std::abs(few(b, h, r, j) - whole) < 2e-6f);
        }
      }
    }
  }
  // Sinks of −infinity are none; half types have theirs in float.
  nn::MultiHeadAttention<float> plain(12, {.heads = 4, .kv_heads = 2});
  nn::MultiHeadAttention<Eigen::half> half(12, options);
  CHECK(nn::parameter_count(part) == nn::parameter_count(plain) + 4);
  const auto w = weights_of(part);
  nn::each_parameter(plain, [&](const std::string& name, auto& parameter) {
    parameter.value = w.at(name).cast<float>();
  });
  nn::each_parameter(part, [](const std::string& name, auto& parameter) {
    if (name == "sinks") parameter.value.setConstant(-INFINITY);
  });
  CHECK(same_bits(part.forward(x, mask::causal()), plain.forward(x, mask::causal())));
  nn::each_parameter(half, [](const std::string& name, const auto& parameter) {
    using S = typename std::remove_cvref_t<decltype(parameter.value)>::Scalar;
    CHECK(std::is_same_v<S, float> == (name == "sinks"));
  });
}

TEST_CASE("multi-head attention: extra keys are seen by all queries, also groups and in training") {
  const nn::MultiHeadAttentionOptions options{.heads = 4,
                                              .kv_heads = 2,
                                              .dropout = 0.3,
                                              .value_features = 5,
                                              .add_bias_kv = true,
                                              .add_zero_attn = true,
                                              .sinks = true};
  nn::MultiHeadAttention<double> part(8, options);
  scatter(part, 0.5, 3);
  const Weights w = weights_of(part);
  CHECK(w.at("bias_key").size() == 4);
  const auto x = tokens<double>(2, 6, 8, 5);
  const auto value = tokens<double>(2, 6, 5, 6);
  const std::vector<int> lengths = {6, 0};  // batch 1 sees the extra keys and sinks alone
  const nn::Options train{.mode = nn::Mode::train, .seed = 3};
  for (const auto& call : {nn::Options{}, train}) {
    const auto y = part.forward(x, x, value, mask::padding(lengths), {}, call);
    const auto [again, weights] =
        part.forward_with_weights(x, x, value, mask::padding(lengths), {}, call);
    const heed::Dropout dropout = heed::Dropout::of(call.mode == nn::Mode::train ? 0.3 : 0, 3);
    for (Index b = 0; b < 2; ++b) {
      const Rows q = linear(rows_of(x, b), w, "query.");
      Rows k = linear(rows_of(x, b), w, "key."), v = linear(rows_of(value, b), w, "value.");
      for (auto* rows : {&k, &v}) {
        const auto& learned = w.at(rows == &k ? "bias_key" : "bias_value");
        rows->emplace_back(learned.data(), learned.data() + 4);
        rows->emplace_back(4, 0.0);
      }
      Rows context(6, std::vector<double>(8, 0.0));
      for (std::size_t h = 0; h < 4; ++h) {
        for (std::size_t i = 0; i < 6; ++i) {
          double sum = std::exp(w.at("sinks")(static_cast<Index>(h), 0)), p[8] = {};
          for (std::size_t j = 0; j < 8; ++j) {
            const bool seen = j >= 6 || static_cast<int>(j) < lengths[static_cast<std::size_t>(b)];
            const double dot =
                q[i][2 * h] * k[j][h / 2 * 2] + q[i][2 * h + 1] * k[j][h / 2 * 2 + 1];
            sum += p[j] = seen ? std::exp(dot / std::sqrt(2.0)) : 0;
          }
          for (std::size_t j = 0; j < 8; ++j) {
            const auto word = [](std::size_t n) { return static_cast<std::uint32_t>(n); };
            const bool kept =
                dropout.keeps(word(static_cast<std::size_t>(b)), word(h), word(i), word(j));
            const double weight = kept ? p[j] / sum * dropout.keep_scale : 0;
            CHECK(weights(b, static_cast<Index>(h), static_cast<Index>(i), static_cast<Index>(j)) ==
                  Approx(weight).margin(1e-13));
            for (std::size_t d = 0; d < 2; ++d)
              context[i][2 * h + d] += weight * v[j][h / 2 * 2 + d];
          }
        }
      }
      CHECK(difference(y, b, linear(context, w, "output.")) < 1e-13);
      CHECK(difference(again, b, linear(context, w, "output.")) < 1e-13);
    }
  }
  const std::vector<int> rows = {0};
  CHECK_THROWS_AS(part.attention_weights(x, x, rows), heed::Error);
  const auto elsewhere = [&](auto&&...) {};
  CHECK_THROWS_AS(part.forward(x, x, value, mask::None{}, score::None{}, nn::Options{}, elsewhere),
                  heed::Error);
  CHECK(error_of([] {
          nn::MultiHeadAttention<float>(12,
                                        {.projection = nn::Projection::fused, .value_features = 7});
        }) ==
        "heed::nn::MultiHeadAttention: a fused projection takes one input, but queries have 12 "
        "features and values 7");
  CHECK(error_of([&] { part.forward(x, x, x); }) ==
        "heed::nn::MultiHeadAttention::forward: value has 8 features but the module takes 5 (value "
        "[2,6,8])");
  const auto longer = tokens<double>(2, 7, 5, 6);
  CHECK(error_of([&] { part.forward(x, x, longer); }) ==
        "heed::nn::MultiHeadAttention::forward: value has length 7 but key has length 6 (query "
        "[2,6,8], key [2,6,8], value [2,7,5])");
}
