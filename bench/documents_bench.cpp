// The tables of the tutorials heed comes from: standard attention, which holds all scores, against
// the fused and the chunked one, a whole module written so against heed's, and training that keeps
// everything against training that recomputes, with the speed-up and the memory of each.
#include <Eigen/Core>

#include "support/program.hpp"

namespace {

using heed::Index;
using heed::bench::Row;
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Map = Eigen::Map<Matrix>;

// As the tutorials write it: scores of all heads [B·H, L, L], their softmax, the product with v.
// q, k and v of a head, and its result, are [L, D], of which rows are `stride` apart.
void standard(const float* q, const float* k, const float* v, float* out, const Row& row,
              Index stride, Index head_step) {
  using Strided = Eigen::OuterStride<>;
  const auto head_of = [&](const float* x, Index b, Index h, Index columns) {
    const float* first = x + b * row.Lk * row.Hq * columns + h * head_step;
    return Eigen::Map<const Matrix, 0, Strided>(first, row.Lk, columns, Strided(stride));
  };
  std::vector<float> memory(static_cast<std::size_t>(row.B * row.Hq * row.Lq * row.Lk));
  const auto scores_of = [&](Index head) {
    return Map(memory.data() + head * row.Lq * row.Lk, row.Lq, row.Lk);
  };
  const float scale = 1.0f / std::sqrt(static_cast<float>(row.D));
  for (Index head = 0; head < row.B * row.Hq; ++head) {
    const Index b = head / row.Hq, h = head % row.Hq;
    scores_of(head).noalias() =
        scale * head_of(q, b, h, row.D) * head_of(k, b, h, row.D).transpose();
  }
  for (Index head = 0; head < row.B * row.Hq; ++head) {
    for (Index i = 0; i < row.Lq; ++i) {
      auto weights = scores_of(head).row(i).array();
      weights = (weights - weights.maxCoeff()).exp();
      weights /= weights.sum();
    }
  }
  for (Index head = 0; head < row.B * row.Hq; ++head) {
    const Index b = head / row.Hq, h = head % row.Hq;
    float* const first = out + b * row.Lk * row.Hq * row.Dv + h * head_step;
    Eigen::Map<Matrix, 0, Strided>(first, row.Lq, row.Dv, Strided(stride)).noalias() =
        scores_of(head) * head_of(v, b, h, row.Dv);
  }
}

// The same on tensors [B, H, L, D].
void standard(heed::bench::Operands<float>& operands, const Row& row) {
  standard(operands.q.data(), operands.k.data(), operands.v.data(), operands.result.out.data(), row,
           row.D, row.Lk * row.D);
}

// A multi-head module as the tutorials write it, with the weights of one of heed's.
class PlainModule {
 public:
  explicit PlainModule(const heed::nn::MultiHeadAttention<float>& module) {
    heed::nn::each_parameter(module, [&](const std::string&, const auto& parameter) {
      parameters_.emplace_back(parameter.value);
    });
  }

  // x [B·L, features] to the same.
  void forward(const float* x, float* out, const Row& row) const {
    const Index tokens = row.B * row.Lq, features = row.Hq * row.D;
    const Eigen::Map<const Matrix> in(x, tokens, features);
    const Matrix q = project(in, 0), k = project(in, 1), v = project(in, 2);
    Matrix context(tokens, features);
    standard(q.data(), k.data(), v.data(), context.data(), row, features, row.D);
    Map(out, tokens, features) = project(context, 3);
  }

 private:
  template <class X>
  Matrix project(const X& x, std::size_t n) const {
    Matrix y = x * parameters_[2 * n].transpose();
    y.rowwise() += parameters_[2 * n + 1].col(0).transpose();
    return y;
  }

  std::vector<Matrix> parameters_;  // weight [out, in] and bias [out, 1] of each projection
};

Row self_attention(Index B, Index Hq, Index L) {
  return {.name = "",
          .question = "documents",
          .B = B,
          .Hq = Hq,
          .Hkv = Hq,
          .Lq = L,
          .Lk = L,
          .D = 64,
          .Dv = 64};
}

// "8x256x512": B, L and the features of all heads, as the tutorials have them.
std::string shape_of(const Row& row) {
  return std::to_string(row.B) + "x" + std::to_string(row.Lq) + "x" +
         std::to_string(row.Hq * row.D);
}

struct Way {
  std::string name;
  std::function<void()> call;
};

// Milliseconds and MiB of each way; the speed-up is the first's time over the last's.
void measure(benchmark::State& state, const std::vector<Way>& ways) {
  std::vector<std::function<void()>> calls;
  for (const Way& way : ways) {
    state.counters[way.name + " MiB"] = heed::bench::extra_memory(way.call) / 0x1p20;
    calls.push_back(way.call);
  }
  const std::vector<double> best =
      heed::bench::alternate(calls, heed::bench::Turns::from_environment(1));
  for (std::size_t n = 0; n < ways.size(); ++n) {
    state.counters[ways[n].name + " ms"] = best[n] * 1e3;
  }
  heed::bench::set_time(state, best.back());
  state.counters["speed-up"] = best.front() / best.back();
}

void standard_and_flash(benchmark::State& state, const Row& row) {
  heed::bench::Operands<float> operands(row);
  measure(state, {{"standard", [&] { standard(operands, row); }},
                  {"flash", [&] {
                     heed::attention(operands.q, operands.k, operands.v, {}, {}, {.threads = 1});
                   }}});
}

void standard_and_chunked(benchmark::State& state, const Row& row) {
  heed::bench::Operands<float> operands(row);
  measure(state,
          {{"standard", [&] { standard(operands, row); }},
           {"flash",
            [&] { heed::attention(operands.q, operands.k, operands.v, {}, {}, {.threads = 1}); }},
           {"chunked", [&] {
              heed::chunked::attention(operands.q, operands.k, operands.v, {}, {}, {.threads = 1});
            }}});
}

// Whole modules: the four projections and the attention between them.
void plain_and_heed(benchmark::State& state, const Row& row) {
  const Index features = row.Hq * row.D;
  heed::nn::MultiHeadAttention<float> module(features, {.heads = row.Hq});
  heed::nn::initialise(module, heed::nn::Init::xavier_uniform, 1);
  const PlainModule plain(module);
  heed::nn::prepare(module, {.threads = 1});
  heed::Tensor3<float> x(row.B, row.Lq, features), out(row.B, row.Lq, features);
  for (Index n = 0; n < x.size(); ++n) {
    x.data()[n] = heed::bench::number(1, static_cast<std::uint32_t>(n));
  }
  plain.forward(x.data(), out.data(), row);
  const heed::Tensor3<float> same = module.forward(x, {}, {}, {.threads = 1});
  for (Index n = 0; n < x.size(); ++n) {
    if (std::abs(out.data()[n] - same.data()[n]) > 1e-4f) {
      return state.SkipWithError("the two modules differ");
    }
  }
  measure(state, {{"plain", [&] { plain.forward(x.data(), out.data(), row); }},
                  {"heed", [&] { out = module.forward(x, {}, {}, {.threads = 1}); }}});
}

// Forward and backward of four decoder blocks that keep everything, or recompute their attention,
// or recompute the block.
void storing_and_checkpointed(benchmark::State& state, const Row& row) {
  using Model = heed::nn::CausalLanguageModel<float>;
  const Index features = row.Hq * row.D;
  heed::Tensor2<int> ids(row.B, row.Lq);
  for (Index n = 0; n < ids.size(); ++n) ids.data()[n] = static_cast<int>(n * 7919 % 256);
  const auto model_of = [&](bool attention, bool block) {
    Model model({.vocabulary = 256,
                 .features = features,
                 .layers = 4,
                 .positions = row.Lq,
                 .block = {.attention = {.heads = row.Hq, .dropout = 0.1, .checkpoint = attention},
                           .norm = heed::nn::NormPlace::pre,
                           .dropout = 0.1,
                           .checkpoint = block}});
    heed::nn::initialise(model, heed::nn::Init::xavier_uniform, 1);
    return model;
  };
  const Model storing = model_of(false, false), attention = model_of(true, false);
  const Model block = model_of(false, true);
  Model gradients = heed::nn::gradients_of(storing);
  const auto step = [&](const Model& model) {
    return [&] {
      const heed::nn::Options options{.mode = heed::nn::Mode::train, .seed = 1, .threads = 1};
      const auto trained = model.forward_train(ids, options);
      model.backward(trained.out, trained.saved, gradients, options);
    };
  };
  measure(state,
          {{"storing", step(storing)}, {"attention", step(attention)}, {"block", step(block)}});
}

}  // namespace

int main(int argc, char** argv) {
  Eigen::setNbThreads(1);
  using Lengths = std::vector<Index>;
  const bool quick = heed::bench::quick();
  const auto add = [](const char* name, const Row& row, const auto& measured) {
    heed::bench::add(name + shape_of(row),
                     [row, measured](benchmark::State& state) { measured(state, row); });
  };
  for (const Index L : quick ? Lengths{16, 32, 48} : Lengths{256, 512, 1024}) {
    add("flash_", quick ? self_attention(2, 1, L) : self_attention(8, 8, L), standard_and_flash);
  }
  for (const Index L : quick ? Lengths{16, 32, 48} : Lengths{1024, 2048, 4096}) {
    add("chunked_", self_attention(1, quick ? 1 : 8, L), standard_and_chunked);
  }
  add("module_", quick ? self_attention(2, 2, 16) : self_attention(32, 8, 100), plain_and_heed);
  add("checkpoint_", quick ? self_attention(2, 2, 16) : self_attention(2, 8, 512),
      storing_and_checkpointed);
  return heed::bench::run_rows(argc, argv, "documents", nullptr);
}
