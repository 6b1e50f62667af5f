// The one list of shapes that heed is measured on; every program and the peers' table take their
// rows from here.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "heed/core/types.hpp"

namespace heed::bench {

enum class Pattern { full, causal, window, causal_window, padding };
enum class Modifier { none, alibi, bias, bias_gradient, soft_cap, lambda };
enum class Type { f32, f64, bf16, f16 };
enum class Cached { none, k8v8, k8v4, k4v4 };  // the codes of a cache that keys and values are in

// The aim of a row, on a processor with AVX-512, on one that stops at AVX2, and, where that
// is more, on one that multiplies pairs of bfloat16. Its unit is the question's: a fraction of the
// FMA peak, of the read bandwidth, or of the row compared with.
struct Goal {
  double avx512 = 0;
  double avx2 = 0;
  double bf16 = 0;
};

struct Row {
  std::string_view name;
  std::string_view question;  // the program that measures it
  Index B, Hq, Hkv, Lq, Lk, D, Dv;
  Pattern pattern = Pattern::full;
  Modifier modifier = Modifier::none;
  Type type = Type::f32;
  int threads = 1;
  bool peers = false;  // stands in the table against the peers too
  Goal goal = {};
  Cached cached = Cached::none;  // the goal then is a multiple of float's tokens a second
  bool latent = false;           // values are the first Dv numbers of the keys

  static constexpr Index window_size = 256;
};

// clang-format off
inline constexpr auto rows = std::to_array<Row>({
//                                     B  Hq Hkv    Lq     Lk   D   Dv
{"d64_l2048",              "forward",  1,  4,  4,  2048,  2048,  64,  64, Pattern::full,   {}, {}, 1, true, {0.86, 0.80}},
{"d64_l2048_causal",       "forward",  1,  4,  4,  2048,  2048,  64,  64, Pattern::causal, {}, {}, 1, true, {0.80, 0.75}},
{"d128_l2048",             "forward",  1,  4,  4,  2048,  2048, 128, 128, Pattern::full,   {}, {}, 1, true, {0.90, 0.86}},
{"d128_l2048_causal",      "forward",  1,  4,  4,  2048,  2048, 128, 128, Pattern::causal, {}, {}, 1, true, {0.84, 0.80}},
{"d64_l512",               "forward",  1,  8,  8,   512,   512,  64,  64, Pattern::full,   {}, {}, 1, true, {0.82, 0.78}},
{"d64_l512_causal",        "forward",  1,  8,  8,   512,   512,  64,  64, Pattern::causal, {}, {}, 1, true, {0.68, 0.66}},
{"d64_l16384_causal",      "forward",  1,  1,  1, 16384, 16384,  64,  64, Pattern::causal, {}, {}, 1, true, {0.82, 0.78}},
{"d80_l2048",              "forward",  1,  2,  2,  2048,  2048,  80,  80, Pattern::full,   {}, {}, 1, true, {0.80, 0.75}},
{"d96_l2048",              "forward",  1,  2,  2,  2048,  2048,  96,  96, Pattern::full,   {}, {}, 1, true, {0.81, 0.76}},
{"d111_l2048",             "forward",  1,  2,  2,  2048,  2048, 111, 111, Pattern::full,   {}, {}, 1, true, {0.82, 0.78}},
{"d256_l2048",             "forward",  1,  2,  2,  2048,  2048, 256, 256, Pattern::full,   {}, {}, 1, true, {0.83, 0.79}},
{"d192_dv128_l2048",       "forward",  1,  2,  2,  2048,  2048, 192, 128, Pattern::causal, {}, {}, 1},
{"d320_dv256_l2048",       "forward",  1,  2,  2,  1024,  2048, 320, 256, Pattern::causal, {}, {}, 1},
{"d512_l2048",             "forward",  1,  1,  1,  2048,  2048, 512, 512, Pattern::full,   {}, {}, 1},
{"d576_dv512_latent",      "forward",  1,  2,  1,  1024,  2048, 576, 512, Pattern::causal, {}, {}, 1, false, {}, Cached::none, true},
{"d128_group12_causal",    "forward",  1, 12,  1,   512,  2048, 128, 128, Pattern::causal, {}, {}, 1},

{"d32_l64_b16",            "short",   16, 32, 32,    64,    64,  32,  32, Pattern::full,   {}, {}, 1, true, {0.45, 0.45}},
{"d32_l64_b16_causal",     "short",   16, 32, 32,    64,    64,  32,  32, Pattern::causal, {}, {}, 1, true},
{"d32_l361",               "short",    1,  6,  6,   361,   361,  32,  32, Pattern::full,   {}, {}, 1, true},
{"d64_l128_b4",            "short",    4, 12, 12,   128,   128,  64,  64, Pattern::full,   {}, {}, 1, true},
{"d64_l16_b16",            "short",   16, 12, 12,    16,    16,  64,  64, Pattern::full,   {}, {}, 1},
{"d64_l1",                 "short",   64, 12, 12,     1,     1,  64,  64, Pattern::full,   {}, {}, 1},

{"decode_gqa",             "decode",   1, 32,  8,     1,  8192, 128, 128, Pattern::full,   {}, {}, 2, true, {0.85, 0.85}},
{"decode_gqa_1",           "decode",   1, 32,  8,     1,  8192, 128, 128, Pattern::full,   {}, {}, 1, true},
{"decode_gqa_bf16",        "decode",   1, 32,  8,     1,  8192, 128, 128, Pattern::full,   {}, Type::bf16, 2},
{"decode_k8v8",            "decode",   1, 32,  8,     1,  8192, 128, 128, Pattern::full,   {}, {}, 2, false, {0, 0, 3.0}, Cached::k8v8},
{"decode_k8v4",            "decode",   1, 32,  8,     1,  8192, 128, 128, Pattern::full,   {}, {}, 2, false, {}, Cached::k8v4},
{"decode_k4v4",            "decode",   1, 32,  8,     1,  8192, 128, 128, Pattern::full,   {}, {}, 2, false, {0, 0, 5.0}, Cached::k4v4},
{"decode_k8v8_32k",        "decode",   1, 32,  8,     1, 32768, 128, 128, Pattern::full,   {}, {}, 2, false, {0, 0, 3.0}, Cached::k8v8},
{"decode_k4v4_32k",        "decode",   1, 32,  8,     1, 32768, 128, 128, Pattern::full,   {}, {}, 2, false, {0, 0, 5.0}, Cached::k4v4},
{"decode_mha",             "decode",   1,  8,  8,     1,  4096,  64,  64, Pattern::full,   {}, {}, 1, true},
{"decode_draft",           "decode",   1, 32,  8,     4,  8192, 128, 128, Pattern::causal, {}, {}, 2},
{"decode_group12",         "decode",   1, 48,  4,     1,  8192, 128, 128, Pattern::full,   {}, {}, 2},
{"decode_group12_draft",   "decode",   1, 48,  4,     4,  8192, 128, 128, Pattern::causal, {}, {}, 2},
{"decode_d192_dv128",      "decode",   1, 16, 16,     1,  4096, 192, 128, Pattern::full,   {}, {}, 2},
{"decode_d256",            "decode",   1, 16,  4,     1,  8192, 256, 256, Pattern::full,   {}, {}, 2},
{"decode_d320_dv256",      "decode",   1, 16,  4,     1,  8192, 320, 256, Pattern::full,   {}, {}, 2},
{"decode_d512",            "decode",   1,  4,  4,     1,  8192, 512, 512, Pattern::full,   {}, {}, 2},
{"decode_latent_16",       "decode",   1, 16,  1,     1, 16384, 576, 512, Pattern::full,   {}, {}, 2, false, {}, Cached::none, true},
{"decode_latent_128",      "decode",   1, 128, 1,     1,  8192, 576, 512, Pattern::full,   {}, {}, 2, false, {}, Cached::none, true},

{"latent_cache_1",         "latent",   1,  1,  1,     1, 16384, 576, 512, Pattern::full,   {}, {}, 2, false, {}, Cached::none, true},
{"latent_cache_16",        "latent",   1, 16,  1,     1, 16384, 576, 512, Pattern::full,   {}, {}, 2, false, {}, Cached::none, true},
{"latent_cache_32",        "latent",   1, 32,  1,     1,  8192, 576, 512, Pattern::full,   {}, {}, 2, false, {}, Cached::none, true},
{"latent_cache_128",       "latent",   1, 128, 1,     1,  8192, 576, 512, Pattern::full,   {}, {}, 2, false, {}, Cached::none, true},
{"latent_cache_prefill",   "latent",   1,  2,  1,  1024,  2048, 576, 512, Pattern::causal, {}, {}, 1, false, {}, Cached::none, true},

{"window256_l16384",       "patterns", 1,  1,  1, 16384, 16384,  64,  64, Pattern::window, {}, {}, 1, false, {0.7, 0.7}},
{"causal_window256_l16384", "patterns", 1, 1,  1, 16384, 16384,  64,  64, Pattern::causal_window, {}, {}, 1, true, {0.7, 0.7}},
{"alibi",                  "patterns", 1,  4,  4,  2048,  2048,  64,  64, Pattern::full,   Modifier::alibi, {}, 1, false, {0.85, 0.85}},
{"alibi_causal",           "patterns", 1,  4,  4,  2048,  2048,  64,  64, Pattern::causal, Modifier::alibi, {}, 1, false, {0.85, 0.85}},
{"bias",                   "patterns", 1,  4,  4,  2048,  2048,  64,  64, Pattern::full,   Modifier::bias, {}, 1, true, {0.85, 0.85}},
{"soft_cap",               "patterns", 1,  4,  4,  2048,  2048,  64,  64, Pattern::full,   Modifier::soft_cap, {}, 1},
{"lambda",                 "patterns", 1,  4,  4,  2048,  2048,  64,  64, Pattern::full,   Modifier::lambda, {}, 1},
{"padding",                "patterns", 4,  4,  4,   512,   512,  64,  64, Pattern::padding, {}, {}, 1},

{"d128_l2048_bf16",        "types",    1,  4,  4,  2048,  2048, 128, 128, Pattern::full,   {}, Type::bf16, 1, true, {1.0, 1.0, 1.6}},
{"d128_l2048_bf16_causal", "types",    1,  4,  4,  2048,  2048, 128, 128, Pattern::causal, {}, Type::bf16, 1, true, {1.0, 1.0, 1.6}},
{"d128_l2048_half",        "types",    1,  4,  4,  2048,  2048, 128, 128, Pattern::full,   {}, Type::f16, 1, false, {1.0, 1.0}},
{"d128_l2048_double",      "types",    1,  4,  4,  2048,  2048, 128, 128, Pattern::full,   {}, Type::f64, 1},

{"backward_d64_l2048",        "backward", 1, 4,  4,  2048,  2048,  64,  64, Pattern::full,   {}, {}, 1, true, {0.76, 0.74}},
{"backward_d64_l2048_causal", "backward", 1, 4,  4,  2048,  2048,  64,  64, Pattern::causal, {}, {}, 1, true, {0.72, 0.68}},
{"backward_d128_l2048",       "backward", 1, 4,  4,  2048,  2048, 128, 128, Pattern::full,   {}, {}, 1, true, {0.80, 0.78}},
{"backward_d128_l2048_causal", "backward", 1, 4, 4,  2048,  2048, 128, 128, Pattern::causal, {}, {}, 1, true, {0.76, 0.72}},
{"backward_d64_l512_causal",  "backward", 1, 8,  8,   512,   512,  64,  64, Pattern::causal, {}, {}, 1, true, {0.60, 0.55}},
{"backward_d64_l16384_causal", "backward", 1, 1, 1, 16384, 16384,  64,  64, Pattern::causal, {}, {}, 1, true, {0.72, 0.68}},
{"backward_causal_window256", "backward", 1, 1,  1, 16384, 16384,  64,  64, Pattern::causal_window, {}, {}, 1, true, {0.43, 0.41}},
{"backward_bias",             "backward", 1, 4,  4,  2048,  2048,  64,  64, Pattern::full,   Modifier::bias, {}, 1, true, {0.65, 0.63}},
{"backward_bias_gradient",    "backward", 1, 4,  4,  2048,  2048,  64,  64, Pattern::full,   Modifier::bias_gradient, {}, 1, false, {0.57, 0.55}},
{"backward_alibi",            "backward", 1, 4,  4,  2048,  2048,  64,  64, Pattern::full,   Modifier::alibi, {}, 1, false, {0.65, 0.63}},
{"backward_d128_l2048_bf16",  "backward", 1, 4,  4,  2048,  2048, 128, 128, Pattern::full,   {}, Type::bf16, 1, true, {0.80, 0.78, 1.12}},
{"backward_threads",          "backward", 1, 4,  4,  2048,  2048,  64,  64, Pattern::full,   {}, {}, 2, true, {0.70, 0.68}},

{"threads_d64_l2048",        "threads", 1, 4,  4,  2048,  2048,  64,  64, Pattern::full,   {}, {}, 2, true, {0.94, 0.94}},
{"threads_d64_l2048_causal", "threads", 1, 4,  4,  2048,  2048,  64,  64, Pattern::causal, {}, {}, 2, true, {0.94, 0.94}},
{"threads_d64_l512_causal",  "threads", 1, 8,  8,   512,   512,  64,  64, Pattern::causal, {}, {}, 2, false, {0.94, 0.94}},
});
// clang-format on

// The keys that query i of `row` sees; the lengths of padded rows are half of the keys.
constexpr Index visible_keys(const Row& row, Index i) {
  const Index place = i + row.Lk - row.Lq;
  const Index first = std::max<Index>(0, place - Row::window_size);
  switch (row.pattern) {
    case Pattern::causal:
      return place + 1;
    case Pattern::window:
      return std::min(row.Lk, place + Row::window_size + 1) - first;
    case Pattern::causal_window:
      return place + 1 - first;
    case Pattern::padding:
      return row.Lk / 2;
    case Pattern::full:
      break;
  }
  return row.Lk;
}

// Multiplications and additions of q·k and p·v for the pairs that attend; softmax counts nothing.
// Backward has five products where forward has two.
constexpr double useful_flops(const Row& row) {
  double pairs = 0;
  for (Index i = 0; i < row.Lq; ++i) pairs += static_cast<double>(visible_keys(row, i));
  const double products = row.question == "backward" ? 2.5 : 1;
  return products * 2.0 * static_cast<double>(row.B * row.Hq * (row.D + row.Dv)) * pairs;
}

// The same row, small enough to run in a moment even in a build that is not optimised.
constexpr Row shrunk(Row row) {
  constexpr Index most = 48;
  const Index group = row.Hq / row.Hkv;
  row.B = std::min<Index>(row.B, 2);
  row.Hkv = 1;
  row.Hq = group;
  row.Lq = std::min(row.Lq, most);
  row.Lk = std::min(row.Lk, most);
  return row;
}

inline std::vector<Row> rows_of(std::string_view question) {
  std::vector<Row> found;
  for (const Row& row : rows) {
    if (row.question == question) found.push_back(row);
  }
  return found;
}

}  // namespace heed::bench
