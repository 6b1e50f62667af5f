#include "models/bert.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "heed/attention/attention.hpp"
#include "heed/core/eigen.hpp"
#include "heed/core/error.hpp"
#include "heed/mask/padding.hpp"

namespace heed::models {
namespace {
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
struct Lin { Matrix w; Eigen::RowVectorXf b; };
struct Norm { Eigen::RowVectorXf g, b; };
struct Layer { Lin q, k, v, o, up, down; Norm n1, n2; };
Matrix mat(const Safetensors& f, const std::string& n, std::uint64_t r, std::uint64_t c) {
  auto v = f.floats(n, std::array{r, c});
  return Eigen::Map<Matrix>(v.data(), (long)r, (long)c);
}
Eigen::RowVectorXf vec(const Safetensors& f, const std::string& n, std::uint64_t c) {
  auto v = f.floats(n, std::array{c});
  return Eigen::Map<Eigen::RowVectorXf>(v.data(), (long)c);
}
Matrix apply(const Lin& l, const Matrix& x) { Matrix y = x * l.w.transpose(); y.rowwise() += l.b; return y; }
void norm(const Norm& n, Matrix& x, float eps) {
  for (long i = 0; i < x.rows(); ++i) {
    float mean = x.row(i).mean();
    Eigen::RowVectorXf c = x.row(i).array() - mean;
    float var = c.squaredNorm() / (float)c.size();
    x.row(i) = (c.array() / std::sqrt(var + eps)) * n.g.array() + n.b.array();
  }
}
}  // namespace
struct Bert::Weights { Matrix word, pos, type; Norm n; std::vector<Layer> layers; };

Bert::Bert(const BertConfig& c, const Safetensors& f) : config_(c) {
  auto w = std::make_unique<Weights>();
  auto nrm = [&](const std::string& n) { return Norm{vec(f, n + ".weight", c.hidden), vec(f, n + ".bias", c.hidden)}; };
  auto lin = [&](const std::string& n, std::uint64_t o, std::uint64_t i) { return Lin{mat(f, n + ".weight", o, i), vec(f, n + ".bias", o)}; };
  w->word = mat(f, "embeddings.word_embeddings.weight", c.vocabulary, c.hidden);
  w->pos = mat(f, "embeddings.position_embeddings.weight", c.positions, c.hidden);
  w->type = mat(f, "embeddings.token_type_embeddings.weight", c.token_types, c.hidden);
  w->n = nrm("embeddings.LayerNorm");
  for (std::size_t i = 0; i < c.layers; ++i) {
    std::string p = "encoder.layer." + std::to_string(i) + ".";
    auto h = c.hidden;
    w->layers.push_back({lin(p + "attention.self.query", h, h), lin(p + "attention.self.key", h, h), lin(p + "attention.self.value", h, h), lin(p + "attention.output.dense", h, h), lin(p + "intermediate.dense", c.intermediate, h), lin(p + "output.dense", h, c.intermediate), nrm(p + "attention.output.LayerNorm"), nrm(p + "output.LayerNorm")});
  }
  weights_ = std::move(w);
}
Bert::Bert(Bert&& other) noexcept = default;
Bert::~Bert() = default;

std::vector<float> Bert::forward(std::span<const TokenId> ids, std::span<const int> lengths, std::size_t layers, int threads) const {
  const auto B = (long)lengths.size();
  const long L = B ? (long)ids.size() / B : 0;
  const long D = (long)config_.hidden, H = (long)config_.heads;
  Matrix x(B * L, D);
  for (long i = 0; i < B * L; ++i) x.row(i) = weights_->word.row(ids[(size_t)i]) + weights_->pos.row(i % L) + weights_->type.row(0);
  norm(weights_->n, x, config_.layer_norm_epsilon);
  for (std::size_t l = 0; l < layers; ++l) {
    const Layer& y = weights_->layers[l];
    Matrix q = apply(y.q, x), k = apply(y.k, x), v = apply(y.v, x);
    auto t = [&](Matrix& m) { return heed::view(m.data(), {B, L, H, D / H}); };
    Matrix o(B * L, D);
    auto qv = t(q), kv = t(k), vv = t(v), ov = t(o);
    heed::attention_into(heed::blhd(ov), heed::blhd(qv), heed::blhd(kv), heed::blhd(vv), heed::mask::padding(lengths), {}, {.threads = threads});
    x += apply(y.o, o);
    norm(y.n1, x, config_.layer_norm_epsilon);
    Matrix u = apply(y.up, x);
    u = u.unaryExpr([](float z) { return 0.5f * z * (1 + std::erf(z * 0.70710678f)); });
    x += apply(y.down, u);
    norm(y.n2, x, config_.layer_norm_epsilon);
  }
  return {x.data(), x.data() + x.size()};
}
std::vector<float> Bert::attention_weights(std::span<const TokenId> ids, std::size_t layer) const {
  const auto L = (long)ids.size();
  const int len = (int)L;
  auto h = forward(ids, std::span(&len, 1), layer);
  Matrix x = Eigen::Map<Matrix>(h.data(), L, (long)config_.hidden);
  const Layer& y = weights_->layers[layer];
  const long D = (long)config_.hidden, H = (long)config_.heads;
  Matrix q = apply(y.q, x), k = apply(y.k, x);
  auto t = [&](Matrix& m) { return heed::view(m.data(), {1, L, H, D / H}); };
  auto qv = t(q), kv = t(k);
  auto r = heed::reference::attention(heed::blhd(qv), heed::blhd(kv), heed::blhd(kv));
  std::vector<float> w((size_t)(H * L * L));
  for (long a = 0; a < H; ++a) for (long i = 0; i < L; ++i) for (long j = 0; j < L; ++j) w[(size_t)((a * L + i) * L + j)] = r.weights(0, a, i, j);
  return w;
}
}  // namespace heed::models
