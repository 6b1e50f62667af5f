// Catch2 for every test, version 3 where it is installed and version 2 otherwise.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
namespace heed::test {
using Catch::Matchers::ContainsSubstring;
}
#else
#include <catch2/catch.hpp>
#include <string>
namespace heed::test {
// Catch2 3's name: CHECK_THAT(text, ContainsSubstring("part")).
inline auto ContainsSubstring(const std::string& part) { return Catch::Contains(part); }  // NOLINT
}  // namespace heed::test
#endif
