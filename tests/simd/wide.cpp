#include "simd/wide.hpp"

#include "heed/core/eigen.hpp"
#include "simd/tables.hpp"

namespace heed::test {

template <class T>
Tables<T> shape_tables() {
  return {{"AVX-512's shape in GNU vectors", &wide::table<T>, &wide::unpacked_table<T>,
           &wide::gradient_table<T>, &wide::layer_table<T>, &wide::panel_table<T>},
          {"NEON's shape in GNU vectors", &tall::table<T>, &tall::unpacked_table<T>,
           &tall::gradient_table<T>, &tall::layer_table<T>, &tall::panel_table<T>}};
}

template Tables<float> shape_tables();
template Tables<double> shape_tables();
template Tables<Half> shape_tables();
template Tables<BFloat16> shape_tables();

}  // namespace heed::test
