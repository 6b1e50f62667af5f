// heed::merge: results over pieces of the keys become the result over all of them.
#include "heed/softmax/merge.hpp"

#include "support/error.hpp"
#include "support/problem.hpp"

namespace heed::test {
namespace {

// Keys [begin, end) of [B, H, L, D].
template <class T>
View<const T, 4> keys_of(View<const T, 4> x, Index begin, Index end) {
  x.data += begin * x.stride[2];
  x.extent[2] = end - begin;
  return x;
}

// The call over keys [begin, end) alone; query i sees key j where j <= i + offset.
template <class T>
auto attend_piece(const Inputs<T>& x, int offset, Index begin, Index end) {
  const int first = static_cast<int>(begin);
  return attention(x.q.cview(), keys_of(x.k.cview(), begin, end), keys_of(x.v.cview(), begin, end),
                   mask::any([=](int i, int j) { return j + first <= i + offset; }));
}

template <class T>
struct Whole {
  static constexpr int offset = -4;  // the first four queries see no key
  Shape shape{2, 4, 2, 23, 37, 16, 5};
  Inputs<T> inputs{shape, Layout::gaps, 3};
  mask::any mask{[](int i, int j) { return j <= i + offset; }};

  auto piece(Index begin, Index end) const { return attend_piece(inputs, offset, begin, end); }
};

}  // namespace

TEMPLATE_TEST_CASE("pieces of the keys merge to the whole", "", float, double, Half, BFloat16) {
  const Whole<TestType> problem;
  const auto& [q, k, v] = problem.inputs;
  const auto truth = reference::attention<double>(q.cview(), k.cview(), v.cview(), problem.mask);
  const auto naive = reference::attention(q.cview(), k.cview(), v.cview(), problem.mask);
  for (const Index cut : {0, 1, 16, 19, 36, 37}) {
    CAPTURE(cut);
    const auto a = problem.piece(0, cut);
    const auto b = problem.piece(cut, 37);
    require_accurate<TestType>(merge(a, b), naive, truth);
    const auto other_way = merge(b, a);
    CHECK(same_bits(merge(a, b).out, other_way.out));
    CHECK(same_bits(merge(a, b).lse, other_way.lse));
  }
  auto all = problem.piece(0, 9);
  merge_into(all, problem.piece(9, 21));
  merge_into(all, problem.piece(21, 37));
  if (sizeof(TestType) >= 4) require_accurate<TestType>(all, naive, truth);
}

TEMPLATE_TEST_CASE("a row that one piece alone sees keeps that piece's bits", "", float, Half) {
  const Whole<TestType> problem;
  const auto early = problem.piece(0, 12);  // all that queries below 16 see
  const auto late = problem.piece(12, 37);
  const auto both = merge(early, late);
  for (Index i = 0; i < 16; ++i) {
    CAPTURE(i);
    for (Index d = 0; d < 5; ++d) CHECK(both.out(1, 3, i, d) == early.out(1, 3, i, d));
    CHECK(both.lse(1, 3, i) == early.lse(1, 3, i));
    if (i >= 4) continue;
    CHECK(is_masked(both.lse(1, 3, i)));
    CHECK(static_cast<float>(both.out(1, 3, i, 0)) == 0);
  }
  CHECK_FALSE(both.lse(1, 3, 22) == early.lse(1, 3, 22));
}

#if !defined(__FAST_MATH__)  // which promises nothing of NaN
TEST_CASE("NaN of a piece reaches its own rows only") {
  const Whole<float> problem;
  auto early = problem.piece(0, 12);
  const auto late = problem.piece(12, 37);
  const auto clean = merge(early, late);
  early.out(0, 0, 20, 1) = std::numeric_limits<float>::quiet_NaN();
  early.lse(0, 1, 20) = std::numeric_limits<float>::quiet_NaN();
  const auto both = merge(early, late);
  CHECK(is_nan(both.out(0, 0, 20, 1)));
  CHECK(both.out(0, 0, 20, 0) == clean.out(0, 0, 20, 0));
  CHECK(is_nan(both.out(0, 1, 20, 0)));
  CHECK(is_nan(both.lse(0, 1, 20)));
  CHECK(both.lse(0, 1, 21) == clean.lse(0, 1, 21));
}
#endif

TEST_CASE("merge takes every layout that attention returns") {
  const Whole<float> problem;
  const auto early = problem.piece(0, 12), late = problem.piece(12, 37);
  const auto wanted = merge(early, late);

  Result<Eigen::MatrixXf, Eigen::VectorXf> a{Eigen::MatrixXf(23, 5), Eigen::VectorXf(23)}, b = a;
  const auto fill = [](auto& to, const auto& from) {
    for (Index i = 0; i < 23; ++i) {
      for (Index d = 0; d < 5; ++d) to.out(i, d) = from.out(1, 2, i, d);
      to.lse(i) = from.lse(1, 2, i);
    }
  };
  fill(a, early), fill(b, late);
  const auto matrix = merge(a, b);
  CHECK(matrix.out(22, 4) == wanted.out(1, 2, 22, 4));
  CHECK(matrix.lse(22) == wanted.lse(1, 2, 22));

  const auto swapped = [](const Tensor4<float>& x) {
    return Tensor4<float>(x.shuffle(Eigen::array<int, 4>{0, 2, 1, 3}));
  };
  Tensor4<float> out = swapped(early.out);
  const Tensor4<float> other = swapped(late.out);
  Tensor3<float> lse = early.lse;
  merge_into(blhd(out), lse, blhd(other), late.lse);
  CHECK(same_bits(out, swapped(wanted.out)));
  CHECK(same_bits(lse, wanted.lse));
}

TEST_CASE("what cannot be merged is an error with the shapes") {
  const Whole<float> problem;
  auto a = problem.piece(0, 12);
  const auto saved = a;
  auto b = a;
  b.out = Tensor4<float>(2, 4, 23, 6);
  CHECK(error_of([&] { merge_into(a, b); }).find("b.out [2,4,23,6]") != std::string::npos);
  b = a;
  b.lse = Tensor3<float>(2, 4, 22);
  CHECK(error_of([&] { merge_into(a, b); }).find("differ in shape") != std::string::npos);
  CHECK(error_of([&] { merge_into(a, a); }).find("overlaps") != std::string::npos);
  const Tensor4<float> other(2, 23, 4, 5);
  Tensor4<float> out(2, 23, 4, 5);
  CHECK(error_of([&] { merge_into(out, a.lse, other, b.lse); }).find("blhd") != std::string::npos);
  CHECK(same_bits(a.out, saved.out));
}

}  // namespace heed::test
