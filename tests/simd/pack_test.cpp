// pack_a, pack_b_transposed, pack_b and store_rows of every table: each number where it belongs and
// rounded once, zeros where the shape is padded, nothing read or written beside it; for every type,
// layout, alignment and size around a register and a panel.
#include "heed/core/eigen.hpp"
#include "simd/strided.hpp"
#include "simd/tables.hpp"
#include "simd/tile_problem.hpp"
#include "support/catch.hpp"

namespace heed::test {
namespace {

// x rounded to the nearest T, ties to even, as a double.
template <class T>
double rounded(double x) {
  if (sizeof(T) >= 4 || x == 0 || !is_finite(x)) return x;
  constexpr bool half = Element<T>::format == Format::binary16;
  constexpr int digits = half ? 11 : 8;
  constexpr int lowest_exponent = half ? -14 : -126;
  constexpr double most = half ? 65504 : 0x1.fep127;
  const double step = std::ldexp(1.0, std::max(std::ilogb(x), lowest_exponent) - digits + 1);
  const double nearest = std::nearbyint(x / step) * step;
  return std::abs(nearest) > most ? std::copysign(std::numeric_limits<double>::infinity(), x)
                                  : nearest;
}

// Equal including the sign of zero; any NaN is like any other.
template <class X>
bool same_number(X found, double expected) {
  const double x = static_cast<double>(found);
  return is_nan(x) ? is_nan(expected) : same_bits(x, expected);
}

template <class T>
T as(double x) {
  if constexpr (std::is_same_v<T, double>) {
    return x;
  } else {
    return static_cast<T>(static_cast<float>(x));
  }
}

// f(table, rows, columns, layout, side): one length whole, the other around a register.
template <class T, std::size_t N, class F>
void for_each_matrix(const Layout (&layouts)[N], F&& f) {
  for (const Table<T>& table : tables<T>()) {
    const std::vector<int> lengths = sizes(table.kernels->tile_shape);
    std::size_t turn = 0;
    for (const int rows : lengths) {
      for (const int columns : lengths) {
        // Every layout at both sides within ten sizes.
        for (const Side side : both_sides) {
          const Layout layout = layouts[turn++ / 2 % N];
          CAPTURE(table.name, rows, columns, static_cast<int>(layout), static_cast<int>(side));
          f(*table.kernels, rows, columns, layout, side);
        }
      }
    }
  }
}

template <class T>
bool keys_packed(const View<const T, 2>& x, int panel, const Guarded<Accum<T>>& to) {
  const auto keys = static_cast<int>(x.extent[0]);
  const Index D = x.extent[1];
  for (Index at = 0; at < to.size(); ++at) {
    const Index key = at / (D * panel) * panel + at % panel;
    const double expected = key < keys ? static_cast<double>(x(key, at / panel % D)) : 0;
    if (!same_number(to[at], expected)) return false;
  }
  return true;
}

template <class T>
bool values_packed(const View<const T, 2>& x, const simd::TileShape& tile_shape, Index capacity,
                   const Guarded<Accum<T>>& to) {
  const Index keys = x.extent[0];
  const Index columns = tile_shape.columns(x.extent[1]);
  const Accum<T>* at = to.data();
  for (Index begin = 0; begin < columns; begin += tile_shape.nr) {
    const Index width = std::min<Index>(tile_shape.nr, columns - begin);
    for (Index key = 0; key < capacity; ++key) {
      for (Index d = begin; d < begin + width; ++d, ++at) {
        const bool padding = d >= x.extent[1];
        const double expected = padding ? 0 : key < keys ? static_cast<double>(x(key, d)) : 0;
        if (key < keys ? !same_number(*at, expected) : !same_bits(*at, poison<Accum<T>>)) {
          return false;
        }
      }
    }
  }
  return at == to.end();
}

template <class T>
struct Stored {
  simd::TileShape tile_shape;
  Index columns;
  Guarded<Accum<T>> acc;
  Guarded<Accum<T>> factor;

  Stored(const simd::TileShape& shape, Index Dv, int count, Side side, Index shift = 0)
      : tile_shape(shape),
        columns(tile_shape.columns(Dv)),
        acc(tile_shape.mr * columns, side, poison<Accum<T>>, shift),
        factor(count, side, poison<Accum<T>>, shift) {
    Numbers numbers(static_cast<std::uint64_t>(Dv));
    for (Accum<T>& x : acc) x = static_cast<Accum<T>>(numbers.next());
    for (Accum<T>& x : factor) x = static_cast<Accum<T>>(numbers.next() * 2);
  }

  simd::Accumulator<const Accum<T>> tiles() const { return {acc.data(), columns, tile_shape}; }
  Accum<T>& acc_at(Index row, Index d) const {
    const Index begin = d / tile_shape.nr * tile_shape.nr;
    const Index width = std::min<Index>(tile_shape.nr, columns - begin);
    return acc[begin * tile_shape.mr + row * width + d - begin];
  }

  bool is_in(const View<T, 2>& x, int first) const {
    for (Index r = 0; r < x.extent[0]; ++r) {
      for (Index d = 0; d < x.extent[1]; ++d) {
        const Accum<T> product = acc_at(first + r, d) * factor[r];
        if (!same_number(x(r, d), rounded<T>(static_cast<double>(product)))) return false;
      }
    }
    return true;
  }
};

}  // namespace

TEMPLATE_TEST_CASE("pack_a: scaled rows, one after the other", "", float, double, Half, BFloat16) {
  using R = Accum<TestType>;
  for_each_matrix<TestType>(
      readable, [](const auto& kernels, int rows, int D, Layout layout, Side side) {
        Strided<TestType> x(rows, D, layout, side);
        x.fill(1);
        const Guarded<R> to(Index{rows} * D, side, poison<R>);
        const R scale = R(0.18);
        kernels.pack_a(x.cview(), scale, {to.data(), D, kernels.tile_shape});
        bool right = true;
        for (Index at = 0; at < to.size(); ++at) {
          const R expected = scale * static_cast<R>(x.cview()(at / D, at % D));
          right &= same_bits(to[at], expected);
        }
        REQUIRE(right);
      });
}

TEMPLATE_TEST_CASE("pack_b_transposed: panels of keys, 0 beyond the last", "", float, double, Half,
                   BFloat16) {
  using R = Accum<TestType>;
  for_each_matrix<TestType>(
      readable, [](const auto& kernels, int keys, int D, Layout layout, Side side) {
        Strided<TestType> x(keys, D, layout, side);
        x.fill(2);
        const simd::TileShape& tile_shape = kernels.tile_shape;
        const Guarded<R> to(tile_shape.panels(keys) * D * tile_shape.nr, side, poison<R>);
        kernels.pack_b_transposed(
            x.cview(), {to.data(), D, tile_shape.panels(keys) * tile_shape.nr, tile_shape});
        REQUIRE(keys_packed(x.cview(), tile_shape.nr, to));
      });
}

TEMPLATE_TEST_CASE("pack_b: panels of columns, 0 beyond the last, room left alone", "", float,
                   double, Half, BFloat16) {
  using R = Accum<TestType>;
  for_each_matrix<TestType>(readable, [](const auto& kernels, int keys, int Dv, Layout layout,
                                         Side side) {
    Strided<TestType> x(keys, Dv, layout, side);
    x.fill(3);
    const simd::TileShape& tile_shape = kernels.tile_shape;
    const Index capacity = keys + Dv % 3 * 7;
    const Guarded<R> to(tile_shape.columns(Dv) * capacity, side, poison<R>);
    REQUIRE(kernels.pack_b(x.cview(), {to.data(), capacity, tile_shape.columns(Dv), tile_shape}));
    REQUIRE(values_packed(x.cview(), tile_shape, capacity, to));
  });
}

TEMPLATE_TEST_CASE("pack_b: finds one NaN or infinity at any place", "", float, double, Half,
                   BFloat16) {
  using R = Accum<TestType>;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const double most = static_cast<double>(std::numeric_limits<TestType>::max());
  for (const Table<TestType>& table : tables<TestType>()) {
    const simd::TileShape& tile_shape = table.kernels->tile_shape;
    for (const Index Dv :
         {1, tile_shape.vl - 1, tile_shape.vl, tile_shape.vl + 1, tile_shape.nr + 1}) {
      for (const Layout layout : {Layout::packed, Layout::gaps, Layout::transposed_gaps}) {
        Strided<TestType> x(3, Dv, layout, Side::behind);
        const Guarded<R> memory(tile_shape.columns(Dv) * 3, Side::behind, poison<R>);
        const simd::PackedB<R> to{memory.data(), 3, tile_shape.columns(Dv), tile_shape};
        x.fill(4);
        for (Index at = 0; at < 3 * Dv; ++at) {
          TestType& place = x.view()(at / Dv, at % Dv);
          const TestType before = place;
          for (const double bad : {infinity, -infinity, poison<double>}) {
            place = as<TestType>(bad);
            CAPTURE(table.name, Dv, at, bad);
            REQUIRE_FALSE(table.kernels->pack_b(x.cview(), to));
          }
          for (const double good : {most, -most, 0.0}) {
            place = as<TestType>(good);
            CAPTURE(table.name, Dv, at, good);
            REQUIRE(table.kernels->pack_b(x.cview(), to));
          }
          place = before;
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("store_rows: some rows of a m_tile, nothing beside them", "", float, double,
                   Half, BFloat16) {
  for_each_matrix<TestType>(
      writable, [](const auto& kernels, int rows, int Dv, Layout layout, Side side) {
        const simd::TileShape& tile_shape = kernels.tile_shape;
        const int count = 1 + rows % tile_shape.mr;
        const int first = rows % (tile_shape.mr - count + 1);
        const Stored<TestType> given(tile_shape, Dv, count, side);
        const Strided<TestType> x(count, Dv, layout, side);
        kernels.store_rows(given.tiles(), first, given.factor.data(), x.view());
        REQUIRE(given.is_in(x.view(), first));
        REQUIRE(x.written() == Index{count} * Dv);
      });
}

#if !defined(__FAST_MATH__)  // which may take the smallest numbers for zeros and promises no NaN
TEMPLATE_TEST_CASE("store_rows: rounds once, at both ends of the range too", "", float, double,
                   Half, BFloat16) {
  using R = Accum<TestType>;
  constexpr R infinity = std::numeric_limits<R>::infinity();
  std::vector<R> all = {R(0),          R(-0.0),         infinity,
                        -infinity,     poison<R>,       -poison<R>,
                        R(1e38),       R(65504),        R(65520),
                        R(65519.996),  R(3.3961775e38), R(1e-8),
                        R(3e-8),       R(2.9802322e-8), R(2.98023224e-8),
                        R(1e-38),      R(1e-40),        R(4.6e-41),
                        R(4.5917e-41), R(1e-44),        std::numeric_limits<R>::max()};
  // Ties between neighbours of half (11 digits) and bfloat16 (8), and just beside them.
  for (const R step : {R(0x1p-11), R(0x1p-8), R(0x1p-10), R(0x1p-7)}) {
    for (const R odd : {R(1), R(3), R(5)}) {
      const R tie = R(1) + step * odd;
      for (const R x : {tie, std::nextafter(tie, R(0)), std::nextafter(tie, R(2))}) {
        all.push_back(x);
        all.push_back(-x);
      }
    }
  }
  for (const Table<TestType>& table : tables<TestType>()) {
    const auto Dv = static_cast<Index>(all.size());
    Stored<TestType> given(table.kernels->tile_shape, Dv, 1, Side::behind);
    for (Index d = 0; d < Dv; ++d) given.acc_at(0, d) = all[static_cast<std::size_t>(d)];
    given.factor[0] = R(1);
    for (const Layout layout : {Layout::packed, Layout::column_gaps}) {
      const Strided<TestType> x(1, Dv, layout, Side::behind);
      table.kernels->store_rows(given.tiles(), 0, given.factor.data(), x.view());
      for (Index d = 0; d < Dv; ++d) {
        const R value = all[static_cast<std::size_t>(d)];
        CAPTURE(table.name, value, static_cast<double>(x.view()(0, d)));
        REQUIRE(same_number(x.view()(0, d), rounded<TestType>(static_cast<double>(value))));
      }
    }
  }
}
#endif

TEMPLATE_TEST_CASE("packing does not care where memory starts", "", float, double, Half, BFloat16) {
  using R = Accum<TestType>;
  for (const Table<TestType>& table : tables<TestType>()) {
    const simd::PackedKernels<TestType>& kernels = *table.kernels;
    const simd::TileShape& tile_shape = kernels.tile_shape;
    const int keys = tile_shape.nr + 3;
    const int D = tile_shape.vl + 1;
    for (Index shift = 0; shift < 64; ++shift) {
      for (const Side side : both_sides) {
        CAPTURE(table.name, shift);
        Strided<TestType> x(keys, D, Layout::packed, side, shift);
        x.fill(5);
        const Guarded<R> kt(2 * D * tile_shape.nr, side, poison<R>, 64 - shift);
        const Guarded<R> v(keys * tile_shape.columns(D), side, poison<R>, 64 - shift);
        const Guarded<R> q(Index{keys} * D, side, poison<R>, 64 - shift);
        kernels.pack_b_transposed(x.cview(), {kt.data(), D, 2 * tile_shape.nr, tile_shape});
        REQUIRE(keys_packed(x.cview(), tile_shape.nr, kt));
        REQUIRE(kernels.pack_b(x.cview(), {v.data(), keys, tile_shape.columns(D), tile_shape}));
        REQUIRE(values_packed(x.cview(), tile_shape, keys, v));
        kernels.pack_a(x.cview(), R(1), {q.data(), D, tile_shape});
        REQUIRE(same_number(q[q.size() - 1], static_cast<double>(x.cview()(keys - 1, D - 1))));
        const Stored<TestType> given(tile_shape, D, tile_shape.mr, side, shift);
        const Strided<TestType> out(tile_shape.mr, D, Layout::packed, side, 64 - shift);
        kernels.store_rows(given.tiles(), 0, given.factor.data(), out.view());
        REQUIRE(given.is_in(out.view(), 0));
      }
    }
  }
}

TEST_CASE("half types share the kernels of float") {
  const Tables<float> of_float = tables<float>();
  const Tables<Half> of_half = tables<Half>();
  const Tables<BFloat16> of_bfloat16 = tables<BFloat16>();
  REQUIRE(of_half.size() == of_float.size());
  for (std::size_t n = 0; n < of_float.size(); ++n) {
    const auto& kernels = *of_float[n].kernels;
    REQUIRE(of_half[n].kernels->gemm.qk == kernels.gemm.qk);
    REQUIRE(of_half[n].kernels->softmax == kernels.softmax);
    REQUIRE(of_half[n].kernels->gemm.pv == kernels.gemm.pv);
    REQUIRE(of_bfloat16[n].kernels->gemm.qk == kernels.gemm.qk);
    REQUIRE(of_bfloat16[n].kernels->gemm.pv_masked == kernels.gemm.pv_masked);
  }
}

}  // namespace heed::test
