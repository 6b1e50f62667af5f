// Memory in large pages begins on one where it fills one, and is given back as it was taken.
#include "heed/kv/large_pages.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>

#include "support/catch.hpp"

namespace heed {

TEST_CASE("large pages: arrays around the size of a page") {
  kv::LargePages<std::uint16_t> memory;
  constexpr std::size_t page = decltype(memory)::page / sizeof(std::uint16_t);
  for (const std::size_t count : {std::size_t{0}, std::size_t{1}, page - 1, page, page + 1}) {
    CAPTURE(count);
    std::uint16_t* const data = memory.allocate(count);
    CHECK(reinterpret_cast<std::uintptr_t>(data) % (count >= page ? 2 * page : 64) == 0);
    std::memset(data, 1, count * sizeof *data);
    memory.deallocate(data, count);
  }
}

TEST_CASE("large pages: more bytes than there are addresses are refused") {
  kv::LargePages<double> memory;
  const std::size_t most = std::numeric_limits<std::size_t>::max() / sizeof(double);
  CHECK_THROWS_AS(memory.allocate(most + 2), std::bad_array_new_length);
}

}  // namespace heed
