// heed after headers and settings that others bring: their macros neither break it nor change a
// number, and are all there afterwards. X11's and windows.h's are written out; neither is needed.
#define EIGEN_DEFAULT_TO_ROW_MAJOR
#define EIGEN_NO_AUTOMATIC_RESIZING
#define EIGEN_INITIALIZE_MATRICES_BY_NAN
#define STBIW_ASSERT(x) does not compile
#include <complex.h>
#include <sys/param.h>
#include <sys/sysmacros.h>
#include <termios.h>
// <X11/X.h>, <X11/Xlib.h>
#define None 0L
#define Bool int
#define Status int
#define True 1
#define False 0
#define Success 0
#define Always 2
// <windows.h>
#define min(a, b) (((a) < (b)) ? (a) : (b))
#define max(a, b) (((a) > (b)) ? (a) : (b))
#define near
#define far
#define small char
#define interface struct
#define ERROR 0
#define IN
#define OUT
// others
#define Error 1
#define Tile 2
#define Full 3
#define Empty 4
#define Partial 5
#define Half 6
#define Result 7
#define View 8
#define check(x) ((x) ? 0 : 1)
#define require(x) check(x)
#define length(x) Rf_length(x)
#define D 64
#define B 2

#include <heed/heed.hpp>
#include <heed/inspect.hpp>
#include <heed/plot.hpp>

#if !defined(I) || None != 0L || !defined(near) || Error != 1 || Tile != 2 || Full != 3 || \
    Empty != 4 || Partial != 5 || Half != 6 || Result != 7 || View != 8 || D != 64 || B != 2
#error "heed keeps a macro of its user's"
#endif
static_assert(min(3, 2) == 2 && max(3, 2) == 3 && check(true) == 0);
#undef D
#undef B

namespace mask = heed::mask;
namespace score = heed::score;

// The numbers of a layer and of an approximation, whose matrices are Eigen's.
int main() {
  heed::nn::Linear<float> layer(2, 2);
  heed::nn::each_parameter(layer, [](const std::string& name, auto& parameter) {
    if (name == "weight") parameter.value << 1, 2, 3, 4;
  });
  heed::Tensor2<float> x(1, 2);
  x(0, 0) = 2, x(0, 1) = 7;
  const auto y = layer.forward(x);
  const bool linear = y(0, 0) == 16 && y(0, 1) == 34;

  Eigen::MatrixXf q(5, 3), k(6, 3), v(6, 2);
  for (int n = 0; n < 18; ++n) k.data()[n] = static_cast<float>(n * 7 % 11) / 4 - 1;
  for (int n = 0; n < 15; ++n) q.data()[n] = static_cast<float>(n * 5 % 13) / 4 - 1;
  for (int n = 0; n < 12; ++n) v.data()[n] = static_cast<float>(n * 3 % 7);
  const auto exact = heed::reference::attention(q, k, v, mask::none(), score::none());
  const auto flash = heed::attention(q, k, v);
  const auto cut = heed::approx::low_rank(q, k, v, 3);
  const auto random = heed::approx::low_rank(q, k, v, 3, {}, {}, {.randomised = true});
  const auto off = [&](const auto& result) {
    return (result.out - exact.out).cwiseAbs().maxCoeff();
  };
  const bool same = off(flash) < 1e-5F && off(cut) < 1e-4F && off(random) < 1e-4F;
  return linear && same && exact.out.allFinite() ? 0 : 1;
}
