// The instruction set of a call: HEED_ISA lowers it, never raises it; and whole calls agree
// on all of them.
#include <cstdlib>

#include "support/problem.hpp"

namespace heed {
namespace {

using test::Buffer;
using test::Inputs;
using test::Layout;

constexpr Isa every_isa[] = {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512_bf16, Isa::amx};

template <class T>
struct Outcome {
  Buffer<T> out;
  Tensor3<Accum<T>> lse;
};

// attention as it runs where `isa` is the best there is.
template <class T>
Outcome<T> attention_on(Isa isa, const Inputs<T>& in, const Shape& shape, const mask::any& mask,
                        const auto& score) {
  const Options options{.threads = 1};
  Outcome<T> outcome{Buffer<T>(shape.B, shape.Hq, shape.Lq, shape.Dv),
                     Tensor3<Accum<T>>(shape.B, shape.Hq, shape.Lq)};
  Problem<T> problem = make_problem(in.q.cview(), in.k.cview(), in.v.cview(), shape, options);
  problem.out = outcome.out.view();
  problem.lse = rows_view(outcome.lse);
  const simd::PackedKernels<T>& packed = simd::packed_kernels<T>(isa);
  const simd::PackedKernels<T>& elements = simd::element_kernels<T>(isa);
  const FlashPlan plan = flash_plan(shape, packed.tile_shape, elements.tile_shape,
                                    contiguous(problem.k, problem.v), options.threads, nullptr);
  const FlashKernels<T> kernels{plan.unpacked ? elements : packed, simd::unpacked_kernels<T>(isa)};
  const Scratch scratch(static_cast<std::size_t>(flash_workspace_bytes<Accum<T>>(shape, plan)), {});
  flash_forward(problem, kv::Dense<T>{problem.k, problem.v}, mask, score, plan, kernels, nullptr,
                scratch.begin());
  return outcome;
}

// An outcome as tensors, which require_accurate reads.
template <class T>
struct Dense {
  Tensor4<T> out;
  Tensor3<Accum<T>> lse;

  explicit Dense(const Outcome<T>& outcome) : lse(outcome.lse) {
    const auto view = outcome.out.cview();
    out = Eigen::TensorMap<Tensor4<const T>>(view.data, view.extent[0], view.extent[1],
                                             view.extent[2], view.extent[3]);
  }
};

template <class T>
void check_agreement(const Shape& shape, Layout layout, const mask::any& mask, const auto& score) {
  const Inputs<T> in(shape, layout, 21);
  const auto q = in.q.cview();
  const auto k = in.k.cview();
  const auto v = in.v.cview();
  const auto truth = reference::attention<double>(q, k, v, mask, score);
  const auto naive = reference::attention(q, k, v, mask, score);
  for (const Isa isa : every_isa) {
    if (isa > machine_isa()) continue;
    CAPTURE(name_of(isa), test::name_of(shape), Element<T>::name);
    const Outcome<T> outcome = attention_on<T>(isa, in, shape, mask, score);
    test::require_accurate<T>(Dense<T>(outcome), naive, truth);
    REQUIRE(outcome.out.margins_intact());
  }
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

TEST_CASE("HEED_ISA lowers the instruction set and nothing else") {
  for (const Isa machine : every_isa) {
    REQUIRE(lowered(machine, "portable") == Isa::portable);
    REQUIRE(lowered(machine, "avx2") == std::min(machine, Isa::avx2));
    REQUIRE(lowered(machine, "avx512") == std::min(machine, Isa::avx512));
    REQUIRE(lowered(machine, "avx512_bf16") == std::min(machine, Isa::avx512_bf16));
    for (const char* other : {"", "amx", "AVX2", "avx", "sse", "0", "portable ", " avx2", "☃"}) {
      REQUIRE(lowered(machine, other) == machine);
    }
  }
}

// ctest runs it once more for each of several values of HEED_ISA.
TEST_CASE("calls run on what HEED_ISA and the machine say", "[environment]") {
  const std::string wish = environment("HEED_ISA");
  const Isa best = machine_isa();
  const Isa expected = wish == "portable"      ? Isa::portable
                       : wish == "avx2"        ? std::min(best, Isa::avx2)
                       : wish == "avx512"      ? std::min(best, Isa::avx512)
                       : wish == "avx512_bf16" ? std::min(best, Isa::avx512_bf16)
                                               : best;
  REQUIRE(isa() == expected);
  CallReport report;
  const auto ran_on = [&report](Index tokens, Index D) {
    Tensor2<float> x(tokens, D);
    x.setConstant(0.5F);
    attention(x, x, x, {}, {}, {.report = &report});
    return report.isa;
  };
  // Narrow heads do without tiles, as all do where they are not granted.
  const Isa without_tiles = expected == Isa::amx ? Isa::avx512 : expected;
  REQUIRE(ran_on(3, 4) == name_of(without_tiles));
  REQUIRE(ran_on(64, 47) == name_of(without_tiles));
  for (const Index tokens : {1, 3, 64}) {
    REQUIRE(ran_on(tokens, 48) == name_of(simd::packed_isa<float>(expected)));
  }
}

TEST_CASE("the instruction sets are in order and have names") {
  REQUIRE(Isa::portable < Isa::avx2);
  REQUIRE(Isa::avx2 < Isa::avx512);
  REQUIRE(Isa::avx512 < Isa::avx512_bf16);
  REQUIRE(Isa::avx512_bf16 < Isa::amx);
  REQUIRE(name_of(Isa::portable) == std::string("portable"));
  REQUIRE(name_of(Isa::avx2) == std::string("AVX2+FMA"));
  REQUIRE(name_of(Isa::avx512) == std::string("AVX-512"));
  REQUIRE(name_of(Isa::avx512_bf16) == std::string("AVX-512 with BF16"));
  REQUIRE(name_of(Isa::amx) == std::string("AVX-512 with AMX"));
}

TEMPLATE_TEST_CASE("whole calls on every instruction set meet the oracle", "", float, double, Half,
                   BFloat16) {
  Index turn = 0;
  for (const Index Lq : {1, 5, 24, 61}) {
    for (const Index Lk : {1, 31, 97, 257}) {
      for (const Index D : {1, 17, 64, 80}) {
        const auto layout = static_cast<Layout>(turn % 3);
        const mask::any mask = turn % 2 == 0 ? mask::any() : mask::any(mask::causal());
        const Shape shape{1, 2, turn % 4 == 0 ? 1 : 2, Lq, Lk, D, D + turn % 7, 4};
        check_agreement<TestType>(shape, layout, mask, score::None{});
        ++turn;
      }
    }
  }
}

TEST_CASE("masks and a score on every instruction set meet the oracle") {
  const std::vector<float> slopes = score::alibi_slopes(4);
  const auto score = score::alibi(slopes) >> score::soft_cap(3);
  const mask::any masks[] = {mask::window(7), mask::strided(5), mask::bigbird(),
                             mask::causal() & ~mask::window(3)};
  for (const mask::any& mask : masks) {
    for (const Index L : {5, 50, 131}) {
      check_agreement<float>({1, 4, 2, L, L, 16, 24, 4}, Layout::packed, mask, score);
    }
  }
}

}  // namespace heed
