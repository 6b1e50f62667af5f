// Complexity: what attention costs by length, in operations and in bytes, before anything is run.
//
// A multiply-add counts as two floating-point operations. Attention does two products of n × n × d
// a head, q kᵀ and p v, so 4 n² d; the softmax between them is O(n²) and left out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "heed/core/abi.hpp"
#include "heed/core/error.hpp"
#include "heed/inspect/names.hpp"
#include "heed/plot/format.hpp"

namespace heed::inspect {

// One call of attention over a batch: q, k and v of equal length and head size.
struct ComplexityOptions {
  std::uint64_t batch = 1;
  std::uint64_t heads = 8;
  std::uint64_t head_size = 64;        // d_model = heads · head_size
  std::uint64_t bytes_per_number = 4;  // float; the half types take 2
};

// The cost at one length n; "standard" forms the scores, "flash" never holds more than a tile.
struct ComplexityRow {
  std::uint64_t length = 0;
  std::uint64_t flops = 0;           // 4 · n² · head_size, over batch and heads
  std::uint64_t n2_d_model = 0;      // n² · d_model, the usual textbook count, for one sequence
  std::uint64_t scores_bytes = 0;    // [batch, heads, n, n], the usual textbook memory; the weights
                                     // take as much again
  std::uint64_t standard_bytes = 0;  // scores and weights
  std::uint64_t flash_bytes = 0;     // lse [batch, heads, n], always in float
  std::uint64_t in_and_out_bytes =
      0;  // q, k, v and out [batch, heads, n, head_size]: both need them
};

inline namespace HEED_ABI {

namespace count {

// Throws heed::Error instead of wrapping round at 2^64.
template <class... Factors>
std::uint64_t product(const char* what, Factors... factors) {
  std::uint64_t result = 1;
  for (const std::uint64_t factor : {static_cast<std::uint64_t>(factors)...}) {
    if (factor != 0 && result > std::numeric_limits<std::uint64_t>::max() / factor) {
      throw Error(std::string("heed::inspect::complexity: ") + what +
                  " exceeds 64 bits at factor " + std::to_string(factor));
    }
    result *= factor;
  }
  return result;
}

// "512 B", "4.00 KiB", "1.50 GiB": 1 KiB is 1024 bytes, and the unit is always written.
inline std::string bytes_text(std::uint64_t bytes) {
  static constexpr std::array<const char*, 6> units{" KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < units.size()) value /= 1024, ++unit;
  return formatted("%.2f", value) + units[unit];
}

inline std::string right(const std::string& text, std::size_t width) {
  return std::string(text.size() < width ? width - text.size() : 0, ' ') + text;
}

}  // namespace count

// The cost of one call at one length. Throws heed::Error if a count does not fit 64 bits.
inline ComplexityRow complexity_at(std::uint64_t length, const ComplexityOptions& options = {}) {
  const auto& o = options;
  ComplexityRow row;
  row.length = length;
  row.flops = count::product("4 n² d", 4, o.batch, o.heads, length, length, o.head_size);
  row.n2_d_model = count::product("n² d_model", length, length, o.heads, o.head_size);
  row.scores_bytes =
      count::product("the score matrix", o.batch, o.heads, length, length, o.bytes_per_number);
  row.standard_bytes = count::product("scores and weights", 2, row.scores_bytes);
  row.flash_bytes = count::product("lse", o.batch, o.heads, length, sizeof(float));
  row.in_and_out_bytes = count::product("q, k, v and out", 4, o.batch, o.heads, length, o.head_size,
                                        o.bytes_per_number);
  return row;
}

// One row a length, in the order given.
inline std::vector<ComplexityRow> complexity(const std::vector<std::uint64_t>& lengths,
                                             const ComplexityOptions& options = {}) {
  std::vector<ComplexityRow> rows;
  rows.reserve(lengths.size());
  for (const std::uint64_t length : lengths) rows.push_back(complexity_at(length, options));
  return rows;
}

// The rows as a table with named units, one line each; ends with a newline. KiB, MiB and GiB are
// powers of 1024; M and GFLOP powers of 1000.
inline std::string complexity_table(const std::vector<ComplexityRow>& rows) {
  std::string table =
      "   length | n^2 d_model [M] | 4 n^2 d [GFLOP] |     scores | scores+weights | flash: lse | "
      "q, k, v, out\n"
      "----------+-----------------+-----------------+------------+----------------+------------+-"
      "------------\n";
  for (const ComplexityRow& row : rows) {
    const double millions = static_cast<double>(row.n2_d_model) / 1e6;
    const double giga = static_cast<double>(row.flops) / 1e9;
    table += count::right(std::to_string(row.length), 9) + " |" +
             count::right(formatted("%.2f", millions), 16) + " |" +
             count::right(formatted("%.3f", giga), 16) + " |" +
             count::right(count::bytes_text(row.scores_bytes), 11) + " |" +
             count::right(count::bytes_text(row.standard_bytes), 15) + " |" +
             count::right(count::bytes_text(row.flash_bytes), 11) + " |" +
             count::right(count::bytes_text(row.in_and_out_bytes), 13) + '\n';
  }
  return table;
}

}  // namespace HEED_ABI
}  // namespace heed::inspect
