// characters [--compute bf16|half] [DATA [OUT]]: learn to write as Shakespeare, character by
// character.
//
// DATA holds his plays, which `examples/train/fetch.sh characters` downloads; without it the text
// is made, and short. OUT gets the checkpoint, from which a run that was stopped goes on, and a
// picture of the loss.
#include <heed/files.hpp>
#include <heed/heed.hpp>
#include <heed/plot.hpp>
#include <heed/train/loss_curve.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <numbers>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "language_model.hpp"
#include "order_two.hpp"
#include "text.hpp"
#include "train/program.hpp"

namespace nn = heed::nn;
namespace train = heed::train;
using namespace characters;

namespace {

// Goes on from the checkpoint, where there is one.
template <class Optimizer>
train::Progress resumed(const std::filesystem::path& file, Index steps, Model& model,
                        Optimizer& optimizer) {
  auto progress = train::resume(file, model, optimizer);
  if (progress.step >= steps) {
    std::printf("%s: this run is finished; remove the file to start again\n", file.c_str());
  } else if (progress.step > 0) {
    std::printf("%s: goes on after step %td\n", file.c_str(), progress.step);
  }
  return progress;
}

int learn_characters(const learn::Arguments& to) {
  const bool whole = to.whole();
  const std::filesystem::path& out = to.out;
  const std::string text = whole ? read_plays(to.data) : made_text(6000);
  const std::size_t tail = held_out_size(text, whole ? 100000 : 600);
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
  train::Callbacks<Model> callbacks{
      .on_step = {train::progress_bar(stdout)}, .evaluate = [&](const Model& m) {
        const auto some = held_out.first(std::min(tail, std::size_t{5000}));
        return bits_of(m, order_two, some, length).model * std::numbers::ln2;
      }};
  train::Progress progress;
  if (!out.empty()) {
    const auto file = out / "characters.safetensors";
    progress = resumed(file, steps, model, optimizer);
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
       .seed = 42,
       .evaluate_every = steps / 10,
       .compute = to.compute,
       .loss_scale = learn::loss_scale_of(to.compute)},
      callbacks, std::move(progress));

  const Bits bits = bits_of(model, order_two, held_out, length);
  std::printf("bits a character of %s text: %.3f, by the two characters before: %.3f\n",
              whole ? "held-out" : "made", bits.model, bits.order_two);
  const auto line_end = std::min(text.find('\n'), text.size() - 1);  // the sample begins behind it
  const std::vector<int> begin{ids[line_end]};
  std::printf("%s\n", sample(model, alphabet, begin, whole ? 600 : 60, length, 0.8).c_str());
  if (!out.empty()) {
    heed::plot::write_png(out / "characters_loss.png",
                          train::loss_curve(progress, {.title = "characters"}));
  }
  return bits.model < bits.order_two ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return learn::run_program({argv, static_cast<std::size_t>(argc)}, 2,
                            "characters [--compute bf16|half] [DATA [OUT]]", learn_characters);
}
