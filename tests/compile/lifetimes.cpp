// expect: blhd and dlhb refer to the tensor, and this one is gone when the expression ends
// expect: blhd and dlhb refer to the tensor, and this one is gone when the expression ends
// expect: heed::mask::dense: refers to the tensor, and this one is gone
// expect: heed::mask::blocks: refers to the tensor, and this one is gone
// expect: heed::score::bias: refers to the tensor, and this one is gone
// expect: heed::score::relative: refers to the tensor, and this one is gone
// expect: heed::position::learned: refers to the tensor, and this one is gone
// expect: blhd and dlhb take a tensor of rank 4
#include "heed/heed.hpp"

int main() {
  namespace mask = heed::mask;
  namespace score = heed::score;
  using Table = heed::Tensor2<float>;
  heed::Tensor4<float> q(1, 2, 3, 4);
  Eigen::MatrixXf table(3, 3);
  const auto view = [&] { return heed::view(q.data(), {1, 2, 3, 4}); };
#if HEED_WRONG == 0
  const auto kept = heed::blhd(view());
  heed::attention(kept, heed::dlhb(Eigen::TensorMap<heed::Tensor4<float>>(q.data(), 4, 2, 3, 1)),
                  heed::blhd(q));
  mask::dense(heed::view(q.data(), {3, 4}));
  mask::dense(table.transpose());
  mask::blocks(table.topRows(2), 2);
  score::bias(Eigen::Map<const Eigen::MatrixXf>(table.data(), 3, 3));
  score::relative(heed::view(q.data(), {1, 3}));
  heed::position::learned(table.leftCols(2), 2);
#elif HEED_WRONG == 1
  heed::blhd(heed::Tensor4<float>(q));
#elif HEED_WRONG == 2
  heed::dlhb(std::move(q));
#elif HEED_WRONG == 3
  mask::dense(Eigen::MatrixXf(table * table));
#elif HEED_WRONG == 4
  mask::blocks(Table(2, 2), 2);
#elif HEED_WRONG == 5
  score::bias(heed::attention(table, table, table).out);
#elif HEED_WRONG == 6
  score::relative(Table(1, 3));
#elif HEED_WRONG == 7
  heed::position::learned(Eigen::Ref<const Eigen::MatrixXf>(table.transpose()), 2);  // a copy
#elif HEED_WRONG == 8
  heed::blhd(table);
#endif
}
