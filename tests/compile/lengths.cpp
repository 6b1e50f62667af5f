// expect: lengths and offsets are whole numbers, one a batch entry, not bool
// expect: lengths and offsets are whole numbers, one a batch entry, not bool
// expect: lengths and offsets are whole numbers, one a batch entry
// expect: lengths and offsets come in a vector, array, span or Eigen vector
#include <list>
#include <vector>

#include "heed/mask/at.hpp"
#include "heed/mask/causal.hpp"
#include "heed/mask/padding.hpp"

int main() {
  const std::vector<std::size_t> sizes = {5, 10};
  const std::vector<bool> bits = {true, false};
  const bool bools[] = {true, false};
  const std::vector<double> numbers = {5, 10};
  const std::list<int> list = {5, 10};
#if HEED_WRONG == 0
  heed::mask::padding(sizes);
  heed::mask::padding({5, 10});
  heed::mask::at(sizes, heed::mask::causal());
#elif HEED_WRONG == 1
  heed::mask::padding(bits);
#elif HEED_WRONG == 2
  heed::mask::padding(bools);
#elif HEED_WRONG == 3
  heed::mask::at(numbers, heed::mask::causal());
#elif HEED_WRONG == 4
  heed::mask::padding(list);
#endif
}
