// characters [DATA [OUT]]: learn to write as Shakespeare, character by character.
//
// DATA holds his plays, which `examples/train/fetch.sh characters` downloads; without it the text
// is made, and short. OUT gets the checkpoint, from which a run that was stopped goes on, and a
// picture of the loss.
#include <heed/files.hpp>
#include <heed/heed.hpp>
#include <heed/plot.hpp>
#include <heed/train/loss_curve.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <numbers>
#include <span>
#include <string>
#include <vector>

#include "order_two.hpp"
#include "text.hpp"

namespace nn = heed::nn;
namespace train = heed::train;
using namespace characters;
using heed::Index;
using Model = nn::CausalLanguageModel<float>;
using Ids = heed::Tensor2<int>;  // [B, L]

namespace {

// Texts of `length` that begin at `begins`, and the same shifted by one: what comes next.
train::Batch<Ids, Ids> batch_of(std::span<const int> text, std::span<const Index> begins,
                                Index length) {
  const auto B = static_cast<Index>(begins.size());
  train::Batch<Ids, Ids> batch{Ids(B, length), Ids(B, length)};
  for (Index b = 0; b < B; ++b) {
    for (Index i = 0; i < length; ++i) {
      const auto at = static_cast<std::size_t>(begins[static_cast<std::size_t>(b)] + i);
      batch.input(b, i) = text[at];
      batch.target(b, i) = text[at + 1];
    }
  }
  return batch;
}

// Bits a character of a text, the model's and by counting. A character counts in the second half
// of a window, so that the model always sees half a window before it.
struct Bits {
  double model = 0, order_two = 0;
};

Bits bits_of(const Model& model, const OrderTwo& order_two, std::span<const int> text,
             Index length) {
  Bits bits;
  double count = 0;
  for (Index begin = 0; begin + length < static_cast<Index>(text.size()); begin += length / 2) {
    auto batch = batch_of(text, std::span(&begin, 1), length);
    for (Index i = 0; i < length / 2; ++i) batch.target(0, i) = -100;  // does not count
    bits.model +=
        train::cross_entropy(model.forward(batch.input), batch.target).loss / std::numbers::ln2;
    for (Index i = length / 2; i < length; ++i) {
      bits.order_two += order_two.bits(text, static_cast<std::size_t>(begin + i + 1)) /
                        static_cast<double>(length - length / 2);
    }
    ++count;
  }
  return {bits.model / count, bits.order_two / count};
}

// Goes on with a text, the next character drawn from softmax(logits / temperature).
std::string sample(const Model& model, const Alphabet& alphabet, std::vector<int> ids, Index count,
                   Index length, double temperature) {
  std::string text;
  for (Index n = 0; n < count; ++n) {
    const Index seen = std::min(length, static_cast<Index>(ids.size()));
    Ids window(1, seen);
    std::copy(ids.end() - seen, ids.end(), window.data());
    const auto logits = model.forward(window);
    Eigen::ArrayXd p(alphabet.size());
    for (Index c = 0; c < p.size(); ++c) p(c) = logits(0, seen - 1, c) / temperature;
    p = (p - p.maxCoeff()).exp();
    double left =
        heed::philox(7, {static_cast<std::uint32_t>(n), 0, 0, 0})[0] / 4294967296.0 * p.sum();
    int next = 0;
    while (next + 1 < alphabet.size() && (left -= p(next)) > 0) ++next;
    ids.push_back(next);
    text += alphabet.character(next);
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  const bool whole = argc > 1;
  const std::filesystem::path out = argc > 2 ? argv[2] : "";
  const std::string text = whole ? read_plays(argv[1]) : made_text(6000);
  const std::size_t tail = whole ? 100000 : 600;  // held out
  const Index length = whole ? 96 : 32, batch_size = 8, steps = whole ? 2400 : 120;

  const Alphabet alphabet(text);
  const std::vector<int> ids = alphabet.ids(text);
  const auto learnt = std::span(ids).first(ids.size() - tail), held_out = std::span(ids).last(tail);
  const OrderTwo order_two(learnt, alphabet.size());

  const double dropout = whole ? 0.05 : 0.0;
  Model model({.vocabulary = alphabet.size(),
               .features = whole ? 96 : 32,
               .layers = whole ? 3 : 1,
               .positions = length,
               .block = {.attention = {.heads = 4, .dropout = dropout},
                         .norm = nn::NormPlace::pre,
                         .dropout = dropout}});
  nn::initialise(model, nn::Init::xavier_uniform, 42);
  std::printf("%zu characters to learn from, %zu held out, alphabet of %d, %td parameters\n",
              learnt.size(), tail, alphabet.size(), nn::parameter_count(model));

  train::Adam optimizer(model, train::adam_w(1e-3, 0.1));
  const train::Shuffled windows(static_cast<Index>(learnt.size()) - length, batch_size);
  train::Callbacks<Model> callbacks{.on_step = {train::progress_bar(stdout)}};
  train::Progress progress;
  if (!out.empty()) {
    const auto file = out / "characters.safetensors";
    progress = train::resume(file, model, optimizer);
    if (progress.step > 0)
      std::printf("goes on after step %td of %s\n", progress.step, file.c_str());
    callbacks.on_step.push_back(train::checkpoint_every(steps / 10, file, model, optimizer));
  }
  progress = train::train(
      model, optimizer, [&](Index n) { return batch_of(learnt, windows(n), length); },
      train::classification(),
      {.steps = steps,
       .learning_rate =
           train::CosineWithWarmup{
               .peak = whole ? 3e-3 : 1e-2, .warmup = steps / 10, .total = steps},
       .clip = 1,
       .seed = 42},
      callbacks, std::move(progress));

  const Bits bits = bits_of(model, order_two, held_out, length);
  std::printf("bits a character of held-out text: %.3f, by the two characters before: %.3f\n",
              bits.model, bits.order_two);
  std::printf("%s\n",
              sample(model, alphabet, alphabet.ids("\n"), whole ? 600 : 60, length, 0.8).c_str());
  if (!out.empty()) {
    heed::plot::write_png(out / "characters_loss.png",
                          train::loss_curve(progress, {.title = "characters"}));
  }
  return bits.model < bits.order_two ? 0 : 1;
}
