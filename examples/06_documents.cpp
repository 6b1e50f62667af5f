// Short texts packed end to end into one sequence: no padding is computed, and no text sees
// another.
#include <heed/heed.hpp>
#include <iostream>
#include <vector>

namespace mask = heed::mask;

int main() {
  const std::vector<int> lengths = {37, 5, 210, 1, 64, 120, 75};
  const std::vector<int> ends = mask::cumulative(lengths);  // 0, 37, 42, … as flash-attention's
  const heed::Index L = ends.back(), H = 4, D = 32;
  heed::Tensor4<float> q(1, H, L, D);
  heed::Tensor4<float> k(1, H, L, D);
  heed::Tensor4<float> v(1, H, L, D);
  q.setRandom();
  k.setRandom();
  v.setRandom();

  // Each text as a call of its own, causal from its own first token on.
  const auto packed = heed::attention(q, k, v, mask::packed(ends, mask::causal()));

  // The same from a document id a token, which need not be sorted.
  std::vector<int> ids;
  for (std::size_t n = 0; n < lengths.size(); ++n) {
    ids.insert(ids.end(), static_cast<std::size_t>(lengths[n]), static_cast<int>(n));
  }
  const auto by_id = heed::attention(q, k, v, mask::document(ids) & mask::causal());

  // Text after text, views of the same memory.
  float apart = 0;
  float between = 0;
  for (std::size_t n = 0; n < lengths.size(); ++n) {
    const auto text = [&](const heed::Tensor4<float>& x) {
      return heed::view(x.data() + ends[n] * D, {1, H, lengths[n], D}, {H * L * D, L * D, D, 1});
    };
    const auto alone = heed::attention(text(q), text(k), text(v), mask::causal());
    for (heed::Index h = 0; h < H; ++h) {
      for (heed::Index i = 0; i < lengths[n]; ++i) {
        for (heed::Index d = 0; d < D; ++d) {
          const float together = packed.out(0, h, ends[n] + i, d);
          apart = std::max(apart, std::abs(together - alone.out(0, h, i, d)));
          between = std::max(between, std::abs(together - by_id.out(0, h, ends[n] + i, d)));
        }
      }
    }
  }

  const auto pairs = [](heed::Index length) { return length * (length + 1) / 2; };
  heed::Index seen = 0;
  for (const int length : lengths) seen += pairs(length);
  const auto padded = static_cast<heed::Index>(lengths.size()) * pairs(210);
  std::cout << lengths.size() << " texts in " << L << " positions: " << seen << " pairs; padded to "
            << "210 each, a batch has " << padded << '\n'
            << "packed against text after text: largest difference " << apart << '\n'
            << "packed against document ids:    largest difference " << between << '\n';
  return apart < 1e-5F && between < 1e-5F ? 0 : 1;
}
