#include "heed/core/scratch.hpp"

#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/error.hpp"

namespace {

using heed::Carver;
using heed::Index;
using heed::Scratch;
using heed::scratch_alignment;
using heed::test::ContainsSubstring;
using heed::test::error_of;

std::uintptr_t address(const void* at) { return reinterpret_cast<std::uintptr_t>(at); }

// Pieces of several types, one of them empty, as a kernel carves them.
struct Pieces {
  double* a;
  std::uint8_t* b;
  float* c;
  float* empty;
  float* d;

  explicit Pieces(Carver& carver)
      : a(carver.array<double>(3)),
        b(carver.array<std::uint8_t>(65)),
        c(carver.array<float>(16)),
        empty(carver.array<float>(0)),
        d(carver.array<float>(1)) {}
};
constexpr std::size_t pieces_bytes = 64 + 128 + 64 + 0 + 64;

}  // namespace

TEST_CASE("a carver over nothing counts what a carver over memory hands out") {
  Carver counter(nullptr);
  const Pieces counted(counter);
  CHECK(counter.used() == pieces_bytes);
  CHECK(counted.a == nullptr);
  CHECK(counted.d == nullptr);

  const Scratch scratch(counter.used(), {});
  Carver carver(scratch.begin());
  const Pieces pieces(carver);
  CHECK(carver.used() == pieces_bytes);
  CHECK(address(pieces.a) == address(scratch.begin()));
  CHECK(address(pieces.b) == address(pieces.a) + 64);
  CHECK(address(pieces.c) == address(pieces.b) + 128);
  CHECK(address(pieces.d) == address(pieces.c) + 64);
  CHECK(address(pieces.a) % scratch_alignment == 0);
  std::memset(scratch.begin(), 0xff, carver.used());  // the sanitizer sees whether it is all there
}

TEST_CASE("pieces that do not fit 64 bits are refused, alone or together") {
  constexpr Index quarter = Index{1} << 61;
  CHECK_FALSE(error_of([] { Carver(nullptr).array<double>(quarter); }).empty());
  CHECK_FALSE(
      error_of([] { Carver(nullptr).array<char>(std::numeric_limits<Index>::max()); }).empty());
  Carver counter(nullptr);
  counter.array<char>(quarter);
  counter.array<char>(quarter);
  counter.array<char>(quarter);
  CHECK(counter.used() == 3 * static_cast<std::size_t>(quarter));
  CHECK_FALSE(error_of([&] { counter.array<char>(quarter); }).empty());
}

TEST_CASE("scratch of its own is aligned; of nothing it is nothing") {
  for (const std::size_t bytes : {1u, 63u, 64u, 1000u}) {
    const Scratch scratch(bytes, {});
    CHECK(address(scratch.begin()) % scratch_alignment == 0);
    std::memset(scratch.begin(), 0xff, bytes);
  }
  CHECK(Scratch(0, {}).begin() == nullptr);
}

TEST_CASE("a workspace at any address serves, with the slack that is asked for") {
  constexpr std::size_t bytes = 256;
  std::vector<std::byte> memory(bytes + 3 * scratch_alignment);
  for (std::size_t shift = 0; shift <= scratch_alignment; ++shift) {
    const std::span<std::byte> workspace(memory.data() + shift, Scratch::with_slack(bytes));
    const Scratch scratch(bytes, workspace);
    CAPTURE(shift);
    CHECK(address(scratch.begin()) % scratch_alignment == 0);
    CHECK(scratch.begin() >= workspace.data());
    CHECK(scratch.begin() + bytes <= workspace.data() + workspace.size());
  }
}

TEST_CASE("a workspace too small is refused, with both sizes") {
  alignas(64) std::array<std::byte, 512> memory{};
  const std::string text = error_of([&] { Scratch(256, std::span(memory).first(200)); });
  CHECK_THAT(text, ContainsSubstring("200 bytes"));
  CHECK_THAT(text, ContainsSubstring("needs 319"));
  CHECK_THAT(text, !ContainsSubstring("heed::workspace_bytes"));  // a module's call has its own
  CHECK(error_of([&] { Scratch(256, std::span(memory).first(256)); }).empty());
  CHECK_FALSE(error_of([&] { Scratch(256, std::span(memory).subspan(1, 256)); }).empty());
  CHECK_FALSE(error_of([&] { Scratch(256, std::span(memory).first(0)); }).empty());
}

TEST_CASE("a call that needs nothing takes any workspace") {
  CHECK(Scratch::with_slack(0) == 0);
  alignas(64) std::array<std::byte, 64> memory{};
  CHECK(error_of([&] { Scratch(0, std::span(memory).subspan(1, 0)); }).empty());
  CHECK(error_of([&] { Scratch(0, std::span(memory).subspan(1, 3)); }).empty());
}
