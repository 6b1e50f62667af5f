// Complexity: the corrected numbers of the source documents, units, and refusal to wrap round.
#include <string>

#include "heed/inspect/complexity.hpp"
#include "support/catch.hpp"

namespace {

using heed::inspect::complexity_at;

constexpr std::uint64_t mebi = 1024 * 1024;

TEST_CASE("4096 tokens and 12 heads: 0.75 GiB a matrix, 1.5 GiB for scores and weights") {
  const auto row = complexity_at(4096, {.heads = 12, .head_size = 64});
  CHECK(row.scores_bytes == 768 * mebi);
  CHECK(row.standard_bytes == 1536 * mebi);
  CHECK(row.in_and_out_bytes == 48 * mebi);
  CHECK(row.flash_bytes == 12 * 4096 * 4);
}

TEST_CASE("operations: 4 n^2 d over all heads, and the documents' n^2 d_model beside it") {
  const auto row = complexity_at(128, {.heads = 8, .head_size = 64});
  CHECK(row.n2_d_model == 8388608);
  CHECK(row.flops == 4 * row.n2_d_model);
  CHECK(complexity_at(128, {.batch = 3}).flops == 3 * row.flops);
  CHECK(complexity_at(128, {.batch = 3}).n2_d_model == row.n2_d_model);
}

TEST_CASE("the documents' table, 8 heads of 64: millions of n^2 d_model, one matrix in GiB") {
  const std::uint64_t lengths[] = {128, 256, 512, 1024, 2048, 4096};
  const double millions[] = {8.388608, 33.554432, 134.217728, 536.870912, 2147.483648, 8589.934592};
  const double gibi[] = {1.0 / 2048, 1.0 / 512, 1.0 / 128, 1.0 / 32, 0.125, 0.5};
  for (int n = 0; n < 6; ++n) {
    const auto row = complexity_at(lengths[n], {.heads = 8, .head_size = 64});
    CHECK(static_cast<double>(row.n2_d_model) / 1e6 == Approx(millions[n]));
    CHECK(static_cast<double>(row.scores_bytes) / (1024.0 * mebi) == gibi[n]);
  }
  const std::string table =
      heed::inspect::complexity_table(heed::inspect::complexity({4096}, {.heads = 8}));
  CHECK_THAT(table,
             heed::test::ContainsSubstring(
                 "     4096 |         8589.93 |          34.360 | 512.00 MiB |       1.00 GiB"));
}

TEST_CASE("twice the length: four times the matrix, twice what flash adds") {
  const auto one = complexity_at(512), two = complexity_at(1024);
  CHECK(two.standard_bytes == 4 * one.standard_bytes);
  CHECK(two.flops == 4 * one.flops);
  CHECK(two.flash_bytes == 2 * one.flash_bytes);
}

TEST_CASE("half types halve the matrices, lse stays float") {
  const auto full = complexity_at(256), half = complexity_at(256, {.bytes_per_number = 2});
  CHECK(2 * half.standard_bytes == full.standard_bytes);
  CHECK(half.flash_bytes == full.flash_bytes);
}

TEST_CASE("length 0 costs nothing") {
  const auto row = complexity_at(0);
  CHECK(row.flops == 0);
  CHECK(row.standard_bytes == 0);
  CHECK(row.flash_bytes == 0);
}

TEST_CASE("what does not fit 64 bits is an error, not a small number") {
  CHECK(complexity_at(std::uint64_t{1} << 25).flops > 0);
  CHECK_THROWS_AS(complexity_at(std::uint64_t{1} << 31), heed::Error);
  CHECK_THROWS_WITH(complexity_at(std::uint64_t{1} << 40),
                    heed::test::ContainsSubstring("exceeds 64 bits"));
}

TEST_CASE("bytes carry their unit") {
  CHECK(heed::inspect::count::bytes_text(512) == "512 B");
  CHECK(heed::inspect::count::bytes_text(4096) == "4.00 KiB");
  CHECK(heed::inspect::count::bytes_text(48 * mebi) == "48.00 MiB");
  CHECK(heed::inspect::count::bytes_text(1536 * mebi) == "1.50 GiB");
  CHECK(heed::inspect::count::bytes_text(~std::uint64_t{0}) == "16.00 EiB");
}

TEST_CASE("the table has a header, a line a length, and aligned columns") {
  const auto rows = heed::inspect::complexity({128, 4096}, {.heads = 12});
  const std::string table = heed::inspect::complexity_table(rows);
  CHECK(std::count(table.begin(), table.end(), '\n') == 4);
  CHECK(table.find("1.50 GiB") != std::string::npos);
  CHECK(table.find("48.00 MiB") != std::string::npos);
  const std::size_t width = table.find('\n');
  std::size_t begin = 0;
  for (std::size_t end = width; end != std::string::npos; end = table.find('\n', begin)) {
    CHECK(end - begin == width);
    begin = end + 1;
  }
}

}  // namespace
