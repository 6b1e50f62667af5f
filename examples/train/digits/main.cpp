// digits [--compute bf16|half] [DATA [OUT]]: learn to read digits.
//
// DATA holds digits.csv, which `examples/train/fetch.sh digits` downloads; without it the digits
// are made, and few. OUT gets pictures: the loss, the answers, the attention while it forms.
#include <heed/heed.hpp>
#include <heed/plot.hpp>
#include <heed/train/loss_curve.hpp>

#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "classifier.hpp"
#include "images.hpp"
#include "train/classes.hpp"
#include "train/program.hpp"

namespace train = heed::train;
namespace plot = heed::plot;
using namespace digits;

namespace {

double percent_right(const Classifier& model, const Images& images) {
  return learn::percent_right(learn::answers(model.forward(images.input)), images.target);
}

// The weights of every head, query patch by key patch, as the mean over some images.
plot::Image attention_picture(const Classifier& model, const Images& images,
                              const std::string& title) {
  std::vector<Eigen::MatrixXf> heads;
  std::vector<std::string> titles;
  int columns = 1;
  for (const auto& weights : model.weights(images.input)) {
    const Index count = weights.dimension(0), head_count = weights.dimension(1);
    const Index layer = static_cast<Index>(heads.size()) / head_count;
    columns = static_cast<int>(head_count);
    for (Index h = 0; h < head_count; ++h) {
      Eigen::MatrixXf mean = Eigen::MatrixXf::Zero(patches, patches);
      for (Index b = 0; b < count; ++b) {
        for (Index i = 0; i < patches; ++i) {
          for (Index j = 0; j < patches; ++j) mean(i, j) += weights(b, h, i, j);
        }
      }
      heads.push_back(mean / static_cast<float>(count));
      titles.push_back("layer " + std::to_string(layer) + ", head " + std::to_string(h));
    }
  }
  return plot::heatmap_grid(heads, titles,
                            {.row_name = "query patch",
                             .column_name = "key patch",
                             .range = plot::Range{0, 0.8},
                             .plot_size = 160},
                            {.columns = columns, .title = title});
}

std::string title_of(Index step, double right) {
  char text[64];
  std::snprintf(text, sizeof text, "step %td: %.1f %% right", step, right);
  return text;
}

int learn_digits(const learn::Arguments& to) {
  const bool whole = to.whole(), pictures = !to.out.empty();
  const Split data = split(whole ? read(to.data / "digits.csv") : made(640));
  const Images &images = data.train, &held_out = data.held_out;
  const Index steps = whole ? 900 : 96;

  Classifier model({.patches = patches, .pixels = pixels});
  nn::initialise(model, nn::Init::xavier_uniform, 42);
  std::printf("%td digits to learn from, %td held out, %td parameters\n", images.input.dimension(0),
              held_out.input.dimension(0), nn::parameter_count(model));

  train::Adam optimizer(model, train::adam_w(1e-3, 0.05));
  const train::Shuffled samples(images.input.dimension(0), 32);
  std::vector<plot::Image> frames;
  const auto record = [&](Index step) {
    if (!pictures || step % 15 != 0) return;
    const std::string title = title_of(step, percent_right(model, held_out));
    frames.push_back(attention_picture(model, held_out, title));
  };
  record(0);
  const auto criterion = train::cross_entropy_criterion({.label_smoothing = 0.1});
  const train::Progress progress = train::train(
      model, optimizer, [&](Index n) { return pick(images, samples(n)); },
      train::objective(criterion),
      {.steps = steps,
       .learning_rate = train::CosineWithWarmup{.peak = 2e-3, .warmup = steps / 10, .total = steps},
       .clip = 1,
       .seed = 42,
       .evaluate_every = 45,
       .compute = to.compute,
       .loss_scale = learn::loss_scale_of(to.compute)},
      {.on_step = {train::progress_bar(stdout),
                   [&](const train::Report& report) { record(report.progress.step); }},
       .evaluate = [&](const Classifier& m) {
         return criterion(m.forward(held_out.input), held_out.target, {}).loss;
       }});

  const auto answers = learn::answers(model.forward(held_out.input));
  const double right = learn::percent_right(answers, held_out.target);
  std::printf("right on digits it has never seen: %.1f %%\n", right);
  if (pictures) {
    plot::write_png(to.out / "digits_loss.png", train::loss_curve(progress, {.title = "digits"}));
    plot::write_png(to.out / "digits_answers.png",
                    learn::confusion_matrix(answers, held_out.target,
                                            {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"},
                                            title_of(steps, right)));
    plot::write_apng(to.out / "digits_attention.png", plot::same_size(frames), {.delay_ms = 100});
  }
  return right >= (whole ? 97.5 : 85) ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return learn::run_program({argv, static_cast<std::size_t>(argc)}, 2,
                            "digits [--compute bf16|half] [DATA [OUT]]", learn_digits);
}
