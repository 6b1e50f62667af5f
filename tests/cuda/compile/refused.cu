// Program 0 compiles; programs 1, 2 … do not, and say why as the lines say.
// expect: calling a __host__ function\("Unmarked::operator
// expect: this mask or score holds what a kernel can't be given
// expect: q, k and v must all be on the device, or none
// expect: include <heed/core/eigen.hpp>, or give attention_into a view
#include <heed/cuda.hpp>
#include <heed/mask/any.hpp>

#if defined(EIGEN_WORLD_VERSION)
#error "heed/cuda.hpp includes Eigen"
#endif

struct Marked {
  HEED_DEVICE bool operator()(int i, int j) const { return j <= i; }
};
struct Unmarked {
  bool operator()(int i, int j) const { return j <= i; }
};
struct Halved {
  HEED_DEVICE float operator()(float s, int, int) const { return s / 2; }
};

void call(const heed::cuda::DeviceTensor<float, 4>& q, float* host) {
  const auto view = heed::view(host, {1, 1, 2, 3});
#if HEED_WRONG == 0
  const std::vector<int> lengths{1};
  const std::vector<float> slopes{1};
  heed::cuda::attention(q, q, q,
                        heed::mask::as_mask(Marked{}) & heed::mask::padding(lengths) &
                            heed::mask::dense(view) & ~heed::mask::bigbird(),
                        heed::score::soft_cap(5) >> heed::score::alibi(slopes) >>
                            heed::score::bias(view) >> Halved{});
  heed::cuda::attention_into(view, view, view, view);
#elif HEED_WRONG == 1
  heed::cuda::attention(q, q, q, Unmarked{});
#elif HEED_WRONG == 2
  heed::cuda::attention(q, q, q, heed::mask::any());
#elif HEED_WRONG == 3
  heed::cuda::attention(q, q, view);
#elif HEED_WRONG == 4
  heed::cuda::attention(view, view, view);
#endif
}
