// Activations of neural layers, and the polynomials that they are made of.
#pragma once

namespace heed::simd {

// The activation on a layer's sums.
enum class Activation {
  none,
  erf,
  tanh,
  relu,       // max(x, 0)
  gelu,       // x·Φ(x)
  gelu_tanh,  // 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
  silu        // x / (1 + e^−x)
};

// erf(x) is x + x·near(x²) for |x| ≤ 1 and 1 − 2^far(|x| − 1), with its sign, beyond; it is ±1 to
// all digits from `end` on. Both minimax in the relative error of erf: 2e-9 for float, 8e-18
// for double.
template <class R>
struct Erf;

template <>
struct Erf<float> {
  static constexpr int near_terms = 7, far_terms = 7;
  static constexpr float end = 4;
  static constexpr float near[near_terms] = {
      7.85386040012e-5f, -8.01019359092e-4f, 0.00518832772226f, -0.0268538119872f,
      0.112835851512f,   -0.376126258247f,   0.12837916573f};
  static constexpr float far[far_terms] = {2.68888524054e-4f, -0.00263924306771f, 0.0142761338093f,
                                           -0.0598768921596f, -1.21636159082f,    -3.80722443063f,
                                           -2.66841670503f};
};

template <>
struct Erf<double> {
  static constexpr int near_terms = 12, far_terms = 18;
  static constexpr double end = 6;
  static constexpr double near[near_terms] = {
      -7.7794657295499960543e-10, 1.3710978904586100209e-8,  -1.6206313408057645289e-7,
      1.6447131524503547259e-6,   -1.4924712298094113002e-5, 1.2055293576686917384e-4,
      -8.5483259293068284013e-4,  0.0052239776061182953956,  -0.026866170643111441183,
      0.11283791670944184501,     -0.37612638903183519532,   0.1283791670955125657};
  static constexpr double far[far_terms] = {
      -7.1092674678729379697e-12, 1.7412209164971103521e-10, -1.9223259237023598761e-9,
      1.2401775155374764769e-8,   -4.860308222596085419e-8,  8.4848339548113516532e-8,
      2.9324402650188076165e-7,   -3.0725741240271256518e-6, 1.3949563438088797867e-5,
      -3.9237334832060430949e-5,  3.793622192504248848e-5,   3.4237576618063493683e-4,
      -0.0028535084121836057307,  0.01447574985015257189,    -0.059959990016993783486,
      -1.2163466576871057536,     -3.8072253458535883223,    -2.6684166967815996483};
};

}  // namespace heed::simd
