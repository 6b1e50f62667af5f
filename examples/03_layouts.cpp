// The same numbers in different memory: [B, H, L, D], [B, L, H, D], slices of a fused projection,
// raw pointers. No layout is copied into another one, and all give the same bits.
#include <algorithm>
#include <heed/heed.hpp>
#include <iostream>
#include <vector>

int main() {
  const heed::Index B = 2;
  const heed::Index L = 50;
  const heed::Index H = 4;
  const heed::Index D = 16;

  // A fused projection writes q, k and v of a token side by side: [B, L, 3, H, D].
  std::vector<float> fused(static_cast<std::size_t>(B * L * 3 * H * D));
  for (std::size_t n = 0; n < fused.size(); ++n) fused[n] = static_cast<float>(n % 97) / 97 - 0.5f;
  const auto part = [&](heed::Index which) {  // as [B, H, L, D], where it lies
    return heed::view(fused.data() + which * H * D, {B, H, L, D}, {L * 3 * H * D, D, 3 * H * D, 1});
  };
  const auto strided = heed::attention(part(0), part(1), part(2), heed::mask::causal());

  // The same as tensors of their own, heads after tokens.
  heed::Tensor4<float> qkv[3];
  for (int which = 0; which < 3; ++which) {
    qkv[which].resize(B, L, H, D);
    for (heed::Index b = 0; b < B; ++b) {
      for (heed::Index l = 0; l < L; ++l) {
        const float* from = fused.data() + ((b * L + l) * 3 + which) * H * D;
        std::copy_n(from, H * D, &qkv[which](b, l, 0, 0));
      }
    }
  }
  const auto tokens_first = heed::attention(heed::blhd(qkv[0]), heed::blhd(qkv[1]),
                                            heed::blhd(qkv[2]), heed::mask::causal());

  bool same = true;
  for (heed::Index b = 0; b < B; ++b) {
    for (heed::Index h = 0; h < H; ++h) {
      for (heed::Index l = 0; l < L; ++l) {
        for (heed::Index d = 0; d < D; ++d) {
          same = same && strided.out(b, h, l, d) == tokens_first.out(b, l, h, d);
        }
      }
    }
  }
  std::cout << "slices of a fused projection and [B, L, H, D] tensors: "
            << (same ? "the same bits" : "different") << '\n';
  return same ? 0 : 1;
}
