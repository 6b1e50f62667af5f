// The weights that every approximation stands for, beside the exact ones. Few of them ever form
// weights; but each is linear in the values, so with the identity as values its result is them.
// Linformer and linear attention are other functions than the softmax, for models that were trained
// with them.
#include <cstdio>
#include <heed/heed.hpp>
#include <heed/inspect.hpp>
#include <string>
#include <vector>

#include "tour.hpp"

namespace {

namespace approx = heed::approx;
namespace inspect = heed::inspect;

constexpr int tokens = 48, features = 16;

// Six topics of eight tokens after each other: near within a topic, as trained tokens are.
Eigen::MatrixXf topics() {
  Eigen::MatrixXf x(tokens, features);
  const auto normal = [](std::uint64_t seed, int i, int d) {
    return static_cast<float>(approx::gaussian(seed, i * features + d, 0));
  };
  for (int i = 0; i < tokens; ++i) {
    for (int d = 0; d < features; ++d) x(i, d) = normal(1, i / 8, d) + 0.6F * normal(2, i, d);
  }
  return x;
}

class Pictures {
 public:
  explicit Pictures(Eigen::MatrixXf exact) : exact_(std::move(exact)) { keep("exact", exact_); }

  void add(const std::string& name, const Eigen::MatrixXf& weights) {
    const double error = approx::compare(exact_, weights).relative;
    const std::string off = inspect::percent_text(error);
    std::printf("  %-18s weights off by %s\n", name.c_str(), off.c_str());
    keep(name + ": off by " + off, weights);
  }

  void write(const std::filesystem::path& file) const {
    const double most = static_cast<double>(exact_.maxCoeff());
    inspect::write_png(file, inspect::heatmap_grid(weights_, titles_,
                                                   {.colors = inspect::red_blue(),
                                                    .range = inspect::Range{-most, most},
                                                    .plot_size = 192},
                                                   {.columns = 4}));
  }

 private:
  void keep(const std::string& title, const Eigen::MatrixXf& weights) {
    titles_.push_back(title);
    weights_.push_back(weights);
  }

  Eigen::MatrixXf exact_;
  std::vector<Eigen::MatrixXf> weights_;
  std::vector<std::string> titles_;
};

}  // namespace

void tour::every_approximation(const std::filesystem::path& folder) {
  headline("Every approximation, over 48 tokens");
  const Eigen::MatrixXf x = topics(), q = x * 0.7F;
  const Eigen::MatrixXf identity = Eigen::MatrixXf::Identity(tokens, tokens);
  const auto e = approx::linformer_projection<float>(tokens, 24, 3);
  Pictures pictures(heed::attention(q, x, identity).out);
  pictures.add("top_k, 8", approx::top_k(q, x, identity, 8).out);
  pictures.add("lsh", approx::lsh(q, x, identity, {.buckets = 6, .chunk = 8}).out);
  pictures.add("low_rank, 8", approx::low_rank(q, x, identity, 8).out);
  pictures.add("nystrom, 12", approx::nystrom(q, x, identity, 12).out);
  pictures.add("linformer, 24", approx::linformer(q, x, identity, e, e).out);
  pictures.add("performer, 512", approx::performer(q, x, identity, 512).out);
  pictures.add("linear", approx::linear(q, x, identity).out);
  const auto file = folder / "every_approximation.png";
  pictures.write(file);
  saved(file);
}
