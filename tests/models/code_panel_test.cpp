// Products with a panel of codes or bfloat16, on each instruction set that this machine has,
// against plain sums in double; the memory of panels, and how they are shared out.
#include "models/code_panel.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "heed/simd/kernels.hpp"
#include "models/digit_products.hpp"
#include "models/parallel_ranges.hpp"
#include "models/weight_memory.hpp"
#include "models/worker_pool.hpp"
#include "support/catch.hpp"

namespace {

using heed::Index;
using heed::Isa;
using heed::models::code_block;
using heed::models::CodePanel;
using heed::models::DigitBlock;
using heed::models::DigitKernels;

std::size_t at(Index n) { return static_cast<std::size_t>(n); }

// A panel of random codes or bfloat16, and its elements [in, NR].
struct RandomPanel {
  Index in, nr;
  int bits;
  std::vector<std::int32_t> words;
  std::vector<float> scales, offsets;
  std::vector<double> elements;

  RandomPanel(Index features, Index columns, int code_bits, bool has_offset)
      : in(features),
        nr(columns),
        bits(code_bits),
        words(at(in * nr * bits / 32)),
        scales(bits == 16 ? 0 : at(in / code_block * nr)),
        offsets(has_offset ? scales.size() : 0),
        elements(at(in * nr)) {
    std::mt19937 random(static_cast<unsigned>(in + bits));
    std::uniform_real_distribution<float> number(-0.1F, 0.1F);
    for (float& scale : scales) scale = number(random);
    for (float& offset : offsets) offset = number(random);
    set_codes([&] {
      if (bits == 16) return static_cast<int>((random() & 0x807fU) | 0x3d80U);  // 1/16 … 1/8
      return static_cast<int>(random() & (bits == 4 ? 15U : 255U));
    });
  }

  // code()  the bits of each code
  template <class F>
  void set_codes(const F& code) {
    std::ranges::fill(words, 0);
    for (Index k = 0; k < in; ++k) {
      for (Index column = 0; column < nr; ++column) put(k, column, code());
    }
  }

  CodePanel panel() const {
    return {words.data(), scales.empty() ? nullptr : scales.data(),
            offsets.empty() ? nullptr : offsets.data(), in, bits};
  }

 private:
  void put(Index k, Index column, int code) {
    const Index in_word = 32 / bits;
    const auto i = static_cast<int>(k % in_word);
    const int bit = bits == 4   ? heed::models::code_bit<4>(i)
                    : bits == 8 ? heed::models::code_bit<8>(i)
                                : heed::models::code_bit<16>(i);
    const auto code_bits = static_cast<std::uint32_t>(code);
    words[at(k / in_word * nr + column)] |= static_cast<std::int32_t>(code_bits << bit);
    if (bits == 16) {
      elements[at(k * nr + column)] = static_cast<double>(std::bit_cast<float>(code_bits << 16));
      return;
    }
    const std::size_t scale = at(k / code_block * nr + column);
    elements[at(k * nr + column)] =
        static_cast<double>(scales[scale]) * (bits == 8 && code > 127 ? code - 256 : code) +
        (offsets.empty() ? 0 : static_cast<double>(offsets[scale]));
  }
};

// Multiplies rows x [rows, in] by a panel: the sums [rows, NR].
struct Multiply {
  Isa isa;
  const DigitKernels* digits;  // null: as floats

  std::vector<float> operator()(const RandomPanel& panel, const std::vector<float>& x,
                                Index rows) const {
    std::vector<float> sums(at(rows * panel.nr));
    const Index blocks = panel.in / code_block;
    if (digits != nullptr) {
      std::vector<DigitBlock> split(at(rows * blocks));
      for (Index r = 0; r < rows; ++r) {
        digits->split(x.data() + r * panel.in, panel.in, split.data() + r * blocks);
      }
      digits->multiply(panel.panel(), split.data(), rows, sums.data());
      return sums;
    }
    std::vector<float> block_sums(at(rows * blocks));
    for (Index k = 0; k < rows * panel.in; ++k) block_sums[at(k / code_block)] += x[at(k)];
    heed::simd::for_isa<float, heed::models::MultiplyPanel, Index>(isa)(
        {panel.panel(), x.data(), panel.in, block_sums.data(), sums.data()}, rows);
    return sums;
  }

  // The most by which activation k of a row may be rounded.
  double rounding(const std::vector<float>& row, Index k) const {
    if (digits == nullptr) return 0;
    float largest = 0;
    for (Index i = 0; i < code_block; ++i) {
      largest = std::max(largest, std::abs(row[at(k / code_block * code_block + i)]));
    }
    return static_cast<double>(largest) * (largest < 0x1p-100F ? 1 : 0x1p-22);
  }
};

// f(multiply, NR) as floats on each instruction set, then in digits where the machine can.
template <class F>
void for_each_way(const F& f) {
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
    if (isa > heed::isa()) continue;
    INFO(heed::name_of(isa));
    f(Multiply{isa, nullptr}, heed::simd::layer_kernels<float>(isa).tile_shape.nr);
  }
  if (const DigitKernels* digits = heed::models::digit_kernels(heed::isa())) {
    INFO("digits");
    f(Multiply{heed::isa(), digits}, heed::simd::layer_kernels<float>(heed::isa()).tile_shape.nr);
  }
}

template <class F>
void for_each_code_kind(const F& f) {
  f(4, true);
  f(8, true);
  f(8, false);
}

// bfloat16 has no products in digits.
template <class F>
void for_each_kind(const Multiply& multiply, const F& f) {
  for_each_code_kind(f);
  if (multiply.digits == nullptr) f(16, false);
}

std::vector<float> row_of(const std::vector<float>& x, Index r, Index size) {
  return {x.begin() + r * size, x.begin() + (r + 1) * size};
}

// True where sums are x · the panel, but for what rounding x, the products and the sums may do.
bool near_plain_sums(const Multiply& multiply, const RandomPanel& panel,
                     const std::vector<float>& x, Index rows) {
  const std::vector<float> sums = multiply(panel, x, rows);
  for (Index r = 0; r < rows; ++r) {
    const std::vector<float> row = row_of(x, r, panel.in);
    for (Index column = 0; column < panel.nr; ++column) {
      double expected = 0, tolerance = 0;
      for (Index k = 0; k < panel.in; ++k) {
        const double w = panel.elements[at(k * panel.nr + column)];
        expected += static_cast<double>(row[at(k)]) * w;
        // Of a scale or an offset times 15 or 128, as terms may cancel in an element.
        tolerance += 3e-6 * std::abs(static_cast<double>(row[at(k)])) +
                     multiply.rounding(row, k) * (std::abs(w) + 1e-6);
      }
      if (!(std::abs(static_cast<double>(sums[at(r * panel.nr + column)]) - expected) <=
            tolerance)) {
        return false;
      }
    }
  }
  return true;
}

std::vector<float> normals(Index n) {
  std::mt19937 random(3);
  std::normal_distribution<float> number;
  std::vector<float> x(at(n));
  for (float& each : x) each = number(random);
  return x;
}

}  // namespace

TEST_CASE("products with codes are plain sums, a row alone as beside others") {
  for_each_way([](const Multiply& multiply, Index nr) {
    for_each_kind(multiply, [&](int bits, bool has_offset) {
      for (const Index in : {32, 96, 320}) {
        const RandomPanel panel(in, nr, bits, has_offset);
        const std::vector<float> x = normals(12 * in);
        for (Index rows = 1; rows <= 12; ++rows) {
          INFO(bits << " bits, in " << in << ", rows " << rows);
          CHECK(near_plain_sums(multiply, panel, x, rows));
          const std::vector<float> all = multiply(panel, x, rows);
          for (Index r = 0; r < rows; ++r) {
            CHECK(multiply(panel, row_of(x, r, in), 1) == row_of(all, r, nr));
          }
        }
      }
    });
  });
}

TEST_CASE("products of zeros, of one number far above the others and of tiny ones") {
  constexpr Index in = 96;
  for_each_way([](const Multiply& multiply, Index nr) {
    for_each_kind(multiply, [&](int bits, bool has_offset) {
      const RandomPanel panel(in, nr, bits, has_offset);
      INFO(bits << " bits");
      const std::vector<float> zeros(in);
      CHECK(multiply(panel, zeros, 1) == std::vector<float>(at(nr)));
      std::vector<float> x = normals(in);
      x[40] = -1e30F;
      CHECK(near_plain_sums(multiply, panel, x, 1));
      for (Index k = 0; k < in; ++k) x[at(k)] = k < 64 ? 1e-35F : 1e-20F * x[at(k)];
      CHECK(near_plain_sums(multiply, panel, x, 1));
    });
  });
}

TEST_CASE("tiny scales lose no bits of products with tiny numbers") {
  constexpr Index in = 96;
  std::vector<float> x = normals(in);
  for (float& each : x) each *= 0x1p-96F;
  for_each_way([&](const Multiply& multiply, Index nr) {
    for_each_code_kind([&](int bits, bool has_offset) {
      INFO(bits << " bits");
      RandomPanel panel(in, nr, bits, has_offset);
      std::vector<float> expected = multiply(panel, x, 1);
      for (float& each : expected) each *= 0x1p-20F;
      for (float& scale : panel.scales) scale *= 0x1p-20F;
      for (float& offset : panel.offsets) offset *= 0x1p-20F;
      CHECK(multiply(panel, x, 1) == expected);
    });
  });
}

TEST_CASE("products of the largest codes with the largest digits") {
  constexpr Index in = 320;
  constexpr float largest = 0x1.fffffep0F;
  std::vector<float> x(4 * at(in), largest);
  for (Index k = 0; k < in; ++k) {
    x[at(in + k)] = -largest;
    x[at(2 * in + k)] = k % 2 == 0 ? largest : -largest;
    x[at(3 * in + k)] = k % 64 < 32 ? largest : -largest;
  }
  for_each_way([&](const Multiply& multiply, Index nr) {
    for_each_code_kind([&](int bits, bool has_offset) {
      RandomPanel panel(in, nr, bits, has_offset);
      for (const int code : bits == 4 ? std::vector{0, 15} : std::vector{-128 & 255, 127}) {
        INFO(bits << " bits, code " << code);
        panel.set_codes([&] { return code; });
        CHECK(near_plain_sums(multiply, panel, x, 4));
      }
    });
  });
}

TEST_CASE("a row with a number that is not finite has no finite product, and others stay") {
  constexpr Index in = 64;
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const auto none_finite = [](const std::vector<float>& sums) {
    return std::ranges::none_of(sums, [](float sum) { return heed::is_finite(sum); });
  };
  for_each_way([&](const Multiply& multiply, Index nr) {
    for_each_kind(multiply, [&](int bits, bool has_offset) {
      const RandomPanel panel(in, nr, bits, has_offset);
      for (const float wrong : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) {
        std::vector<float> x = normals(3 * in);
        const std::vector<float> before = multiply(panel, x, 3);
        x[in + 37] = wrong;
        const std::vector<float> sums = multiply(panel, x, 3);
        INFO(bits << " bits, " << wrong);
        CHECK(none_finite(row_of(sums, 1, nr)));
        CHECK(row_of(sums, 0, nr) == row_of(before, 0, nr));
        CHECK(row_of(sums, 2, nr) == row_of(before, 2, nr));
      }
    });
  });
}

TEST_CASE("panels in ranges are each taken once") {
  heed::models::WorkerPool pool(3);
  for (const Index tasks : {0, 1, 2, 7, 100}) {
    for (int workers = 1; workers <= 3; ++workers) {
      std::vector<std::atomic<int>> runs(at(tasks));
      heed::models::parallel_ranges(tasks, workers, &pool, [&](Index task) { ++runs[at(task)]; });
      CHECK(std::ranges::all_of(runs, [](const std::atomic<int>& count) { return count == 1; }));
    }
  }
}

TEST_CASE("a worker takes its own range in order, then what others have left") {
  // Runs the last worker first.
  struct LastFirst final : heed::Executor {
    explicit LastFirst(int threads) : threads_(threads) {}
    int concurrency() const override { return threads_; }
    void run(int workers, heed::Job job) override {
      for (int worker = workers - 1; worker >= 0; --worker) job(worker);
    }

   private:
    int threads_;
  };
  const auto order_of = [](Index tasks, int workers) {
    LastFirst executor(workers);
    std::vector<Index> order;
    heed::models::parallel_ranges(tasks, workers, &executor,
                                  [&](Index task) { order.push_back(task); });
    return order;
  };
  CHECK(order_of(8, 3) == std::vector<Index>{5, 6, 7, 0, 1, 2, 3, 4});
  const std::vector<Index> of_many = order_of(128, 66);  // worker 65 begins as worker 1 does
  REQUIRE(of_many.size() == 128);
  CHECK(of_many.front() == 2);
  CHECK(of_many.back() == 1);
}

TEST_CASE("weights share blocks of memory, and large ones have their own") {
  using Weights = heed::models::WeightVector<float>;
  constexpr std::size_t large = (std::size_t{33} << 20) / sizeof(float);
  std::vector<Weights> weights;
  for (const std::size_t size : {std::size_t{1}, std::size_t{1000}, large, std::size_t{7}}) {
    weights.emplace_back(size, static_cast<float>(size));
    CHECK(reinterpret_cast<std::uintptr_t>(weights.back().data()) % 64 == 0);
  }
  if (heed::models::weights_share_blocks) {
    const auto address = [&](std::size_t n) {
      return reinterpret_cast<std::uintptr_t>(weights[n].data());
    };
    CHECK(address(1) - address(0) <= 128);
    CHECK(address(3) - address(1) <= 4032 + 128);  // the large one has nothing of their block
  }
  weights[1] = Weights(20, 5);
  for (const Weights& each : {weights[0], weights[2], weights[3]}) {
    CHECK(std::ranges::count(each, static_cast<float>(each.size())) == std::ssize(each));
  }
  CHECK(weights[1] == Weights(20, 5));
  CHECK_THROWS_AS(Weights().get_allocator().allocate(~std::size_t{0}), std::bad_alloc);
}

TEST_CASE("a panel becomes the floats that its elements are, on each instruction set") {
  constexpr Index in = 96;
  for_each_way([](const Multiply& multiply, Index nr) {
    for_each_kind(multiply, [&](int bits, bool has_offset) {
      const RandomPanel panel(in, nr, bits, has_offset);
      std::vector<float> floats(at(in * nr));
      heed::simd::for_isa<float, heed::models::PanelToFloats>(multiply.isa)(
          {panel.panel(), floats.data()});
      double worst = 0;
      for (std::size_t n = 0; n < floats.size(); ++n) {
        worst = std::max(worst, std::abs(static_cast<double>(floats[n]) - panel.elements[n]));
      }
      INFO(bits << " bits");
      CHECK(worst <= (bits == 16 ? 0 : 1e-6));
    });
  });
}
