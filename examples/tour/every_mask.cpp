// Every mask that heed has, in one picture.
#include <cstdio>
#include <heed/heed.hpp>
#include <heed/inspect.hpp>
#include <string>
#include <vector>

#include "tour.hpp"

namespace {

namespace inspect = heed::inspect;
namespace mask = heed::mask;

constexpr int tokens = 48;

class Pictures {
 public:
  void add(const std::string& name, const mask::any& pattern) {
    matrices_.push_back(inspect::mask_matrix(pattern, shape_));
    int seen = 0;
    for (int n = 0; n < tokens * tokens; ++n) seen += matrices_.back().data()[n] > 0 ? 1 : 0;
    std::printf("  %-22s %4d of %d pairs\n", name.c_str(), seen, tokens * tokens);
    titles_.push_back(name);
  }

  void write(const std::filesystem::path& file) const {
    const inspect::HeatmapOptions options{
        .range = inspect::Range{0, 1.25}, .color_bar = false, .plot_size = 190};
    inspect::write_png(file, inspect::heatmap_grid(matrices_, titles_, options, {.columns = 6}));
  }

 private:
  heed::Shape shape_{.B = 1, .Hq = 1, .Hkv = 1, .Lq = tokens, .Lk = tokens, .D = 1, .Dv = 1};
  std::vector<heed::Tensor2<float>> matrices_;
  std::vector<std::string> titles_;
};

}  // namespace

void tour::every_mask(const std::filesystem::path& folder) {
  headline("Every mask, over 48 tokens");
  const std::vector<int> lengths = {40}, ends = {0, 11, 30, 48};
  std::vector<int> ids(tokens);  // three documents, the first one in two pieces
  for (int n = 0; n < tokens; ++n) {
    ids[static_cast<std::size_t>(n)] = n < 10 || n >= 40 ? 0 : n < 28 ? 1 : 2;
  }
  heed::Tensor2<bool> layout(6, 6);
  for (int n = 0; n < 36; ++n) layout(n / 6, n % 6) = n / 6 == n % 6 || n * 5 % 7 == 1;

  Pictures pictures;
  pictures.add("causal()", mask::causal());
  pictures.add("window(6, 2)", mask::window(6, 2));
  pictures.add("local(10)", mask::local(10));
  pictures.add("dilated(4, 4, 3)", mask::dilated(4, 4, 3));
  pictures.add("strided(6)", mask::strided(6));
  pictures.add("global(3)", mask::global(3));
  pictures.add("random(4)", mask::random(4, 42));
  pictures.add("bigbird(8, 2, 3)", mask::bigbird(8, 2, 3, 42));
  pictures.add("longformer(8, 2, 2)", mask::longformer(8, 2, 2));
  pictures.add("sparse_strided(8)", mask::sparse_strided(8));
  pictures.add("sparse_fixed(8, 2)", mask::sparse_fixed(8, 2));
  pictures.add("blocks(layout, 8)", mask::blocks(layout, 8));
  pictures.add("padding(40)", mask::padding(lengths));
  pictures.add("prefix(16)", mask::prefix(16));
  pictures.add("document(ids)", mask::document(ids));
  pictures.add("packed(ends)", mask::packed(ends));
  pictures.add("packed(ends, causal())", mask::packed(ends, mask::causal()));
  pictures.add("causal() & ~window(5)", mask::causal() & ~mask::window(5));
  const auto file = folder / "every_mask.png";
  pictures.write(file);
  saved(file);
}
