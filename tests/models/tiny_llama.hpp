// A Llama of random weights with every type of tensor, as the bytes of a GGUF file.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "gguf_file.hpp"
#include "heed/core/eigen.hpp"
#include "models/gguf_blocks.hpp"

namespace heed::models::test {

struct TinyLlama {
  std::uint64_t features = 64, hidden = 96, heads = 4, kv_heads = 2, layers = 2, context = 160;
  std::uint64_t claimed_layers = 0;  // that the header says; 0: those that are there
  bool output_norm = true;           // is written
  bool rounded = false;              // matrices are the nearest bfloat16 of what they would be
  std::vector<std::string> words{"<|endoftext|>", "<|im_start|>", "<|im_end|>"};

  // Values and tensors; `file` may have some already.
  void write(GgufFile& file) {
    const auto u32 = [](std::uint64_t n) { return static_cast<std::uint32_t>(n); };
    file.text("general.architecture", "llama");
    file.value("llama.block_count", u32(claimed_layers > 0 ? claimed_layers : layers))
        .value("llama.context_length", u32(context));
    file.value("llama.embedding_length", u32(features));
    file.value("llama.feed_forward_length", u32(hidden));
    file.value("llama.attention.head_count", u32(heads));
    file.value("llama.attention.head_count_kv", u32(kv_heads));
    file.value("llama.rope.freq_base", 10000.0F);
    file.value("llama.attention.layer_norm_rms_epsilon", 1e-5F);
    write_tokens(file);
    write_tensors(file);
  }
  std::string bytes() {
    GgufFile file;
    write(file);
    return file.bytes();
  }

 private:
  enum : std::uint32_t { f32 = 0, f16 = 1, q4_0 = 2, q4_1 = 3, q8_0 = 8, bf16 = 30 };

  // Printable ASCII, each a token, a space as GPT-2 has it, and no merge.
  void write_tokens(GgufFile& file) {
    words.emplace_back("\xc4\xa0");  // Ġ
    words.emplace_back("\xc4\x8a");  // Ċ, a line end
    for (char c = '!'; c <= '~'; ++c) words.emplace_back(1, c);
    std::vector<std::int32_t> types(words.size(), 1);
    for (std::size_t n = 0; n < 3; ++n) types[n] = 3;
    file.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "smollm");
    file.texts("tokenizer.ggml.tokens", words).texts("tokenizer.ggml.merges", {});
    file.numbers("tokenizer.ggml.token_type", types);
    file.value("tokenizer.ggml.eos_token_id", std::uint32_t{2});
  }

  void write_tensors(GgufFile& file) {
    const std::uint64_t kv = features / heads * kv_heads;
    tensor(file, "token_embd", words.size(), features, q8_0);
    for (std::uint64_t n = 0; n < layers; ++n) {
      const std::string in = "blk." + std::to_string(n) + ".";
      const bool even = n % 2 == 0;
      tensor(file, in + "attn_norm", 0, features, f32);
      tensor(file, in + "ffn_norm", 0, features, f32);
      tensor(file, in + "attn_q", features, features, q4_1);
      tensor(file, in + "attn_k", kv, features, even ? q4_0 : q8_0);
      tensor(file, in + "attn_v", kv, features, q4_1);
      tensor(file, in + "attn_output", features, features, even ? q8_0 : f16);
      tensor(file, in + "ffn_gate", hidden, features, even ? q4_0 : bf16);
      tensor(file, in + "ffn_up", hidden, features, q4_1);
      tensor(file, in + "ffn_down", features, hidden, even ? q4_0 : f32);
    }
    if (output_norm) tensor(file, "output_norm", 0, features, f32);
  }

  float normal() { return std::normal_distribution<float>()(random_); }
  static std::string half(float x) { return bytes_of(static_cast<Eigen::half>(x)); }

  // Rows of `columns` numbers of deviation about 1/sqrt(columns); rows 0: a vector about 1.
  void tensor(GgufFile& file, const std::string& name, std::uint64_t rows, std::uint64_t columns,
              std::uint32_t type) {
    const float scale = 1.5F / std::sqrt(static_cast<float>(columns));
    std::vector<std::uint64_t> extents{columns};
    if (rows > 0) extents.push_back(rows);
    const std::uint64_t count = columns * (rows > 0 ? rows : 1);
    std::string data;
    const bool is_block = is_quantised(static_cast<GgufType>(type));
    for (std::uint64_t n = 0; n < count; n += is_block ? 32 : 1) {
      if (is_block) {
        data += block(type, scale);
      } else {
        const float x = rows > 0 ? scale * normal() : 1 + 0.2F * normal();
        data += type == f32   ? bytes_of(x)
                : type == f16 ? half(x)
                              : bytes_of(static_cast<Eigen::bfloat16>(x));
      }
    }
    if (rounded && rows > 0) {
      data = as_bfloat16(static_cast<GgufType>(type), data);
      type = bf16;
    }
    file.tensor(name + ".weight", extents, type, data);
  }

  static std::string as_bfloat16(GgufType type, const std::string& data) {
    const GgufBlock block = gguf_block(type);
    const auto bytes = std::as_bytes(std::span(data));
    std::vector<float> numbers(block.elements);
    std::string rounded;
    for (std::size_t at = 0; at < data.size(); at += block.bytes) {
      read_gguf_block(type, bytes.subspan(at, block.bytes), numbers);
      for (const float x : numbers) rounded += bytes_of(static_cast<Eigen::bfloat16>(x));
    }
    return rounded;
  }

  std::string block(std::uint32_t type, float scale) {
    std::string data = half(type == q8_0 ? scale / 70 : scale / 4);
    if (type == q4_1) data += half(-2 * scale);
    for (int n = 0; n < (type == q8_0 ? 32 : 16); ++n) data += static_cast<char>(random_() & 255U);
    return data;
  }

  std::mt19937 random_{7};
};

}  // namespace heed::models::test
