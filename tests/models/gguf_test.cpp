// The GGUF reader on files that are right, and on every way to lie that the format allows.
#include "models/gguf.hpp"

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "gguf_file.hpp"
#include "heed/core/eigen.hpp"
#include "heed/core/error.hpp"
#include "models/gguf_blocks.hpp"
#include "support/catch.hpp"
#include "support/temporary_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using heed::Error;
using heed::models::Gguf;
using heed::models::test::bytes_of;
using heed::models::test::gguf_string;
using heed::models::test::GgufFile;
using heed::test::TemporaryFile;
using Shape1 = std::array<std::uint64_t, 1>;
using Shape2 = std::array<std::uint64_t, 2>;

std::string half_bytes(float value) { return bytes_of(static_cast<Eigen::half>(value)); }

// A block of 4-bit numbers: element i is codes(i).
template <class F>
std::string halves_of(const F& code) {
  std::string bytes;
  for (int i = 0; i < 16; ++i) bytes += static_cast<char>(code(i) | code(i + 16) << 4);
  return bytes;
}

GgufFile good_file() {
  GgufFile file;
  file.value("count", std::uint32_t{7}).value("real", 0.5F).value("flag", true);
  file.text("name", "a model").texts("words", {"a", "", "bc"});
  file.numbers<std::int32_t>("kinds", {1, -3});
  file.tensor("f32", {3, 2}, 0,
              bytes_of(1.0F) + bytes_of(2.0F) + bytes_of(3.0F) + bytes_of(4.0F) + bytes_of(5.0F) +
                  bytes_of(-6.0F));
  file.tensor("f16", {2}, 1, half_bytes(0.5F) + half_bytes(-2));
  file.tensor("bf16", {1}, 30, bytes_of(static_cast<Eigen::bfloat16>(1.5F)));
  return file;
}

// The reader's complaint about a file; "" when it accepts it.
std::string complaint(const std::string& bytes) {
  const TemporaryFile file(bytes);
  try {
    const Gguf read(file.path());
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

bool one_line(const std::string& text) {
  return !text.empty() && text.size() < 400 && text.find('\n') == std::string::npos;
}

bool says(const std::string& text, const std::string& part) {
  return one_line(text) && text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a valid GGUF file gives its values and tensors") {
  const TemporaryFile file(good_file().bytes());
  const Gguf read(file.path());
  CHECK(read.count("count", 1, 9) == 7);
  CHECK(read.real("real") == 0.5);
  CHECK(read.flag("flag"));
  CHECK(read.text("name") == "a model");
  CHECK(read.texts("words") == std::vector<std::string>{"a", "", "bc"});
  CHECK(read.integers("kinds") == std::vector<std::int64_t>{1, -3});
  CHECK(read.floats("f32", Shape2{2, 3}) == std::vector<float>{1, 2, 3, 4, 5, -6});
  CHECK(read.floats("f16", Shape1{2}) == std::vector<float>{0.5F, -2});
  CHECK(read.floats("bf16", Shape1{1}) == std::vector<float>{1.5F});
}

TEST_CASE("each quantised block has the elements of its formula") {
  std::string codes;
  for (int i = 0; i < 32; ++i) codes += static_cast<char>(i * 8 - 127);
  const auto code = [](int i) { return i * 7 % 16; };
  GgufFile file;
  file.tensor("q8_0", {32}, 8, half_bytes(0.25F) + codes);
  file.tensor("q4_0", {32}, 2, half_bytes(0.5F) + halves_of(code));
  file.tensor("q4_1", {32, 2}, 3,
              half_bytes(0.5F) + half_bytes(-3) + halves_of(code) + half_bytes(2) + half_bytes(1) +
                  halves_of(code));
  const TemporaryFile on_disk(file.bytes());
  const Gguf read(on_disk.path());
  const auto q8_0 = read.floats("q8_0", Shape1{32}), q4_0 = read.floats("q4_0", Shape1{32});
  const auto q4_1 = read.floats("q4_1", Shape2{2, 32});
  for (int i = 0; i < 32; ++i) {
    const auto n = static_cast<std::size_t>(i);
    CHECK(q8_0[n] == 0.25F * static_cast<float>(i * 8 - 127));
    CHECK(q4_0[n] == 0.5F * static_cast<float>(code(i) - 8));
    CHECK(q4_1[n] == 0.5F * static_cast<float>(code(i)) - 3);
    CHECK(q4_1[n + 32] == 2 * static_cast<float>(code(i)) + 1);
  }
}

TEST_CASE("a value or tensor of another kind is refused by name") {
  const TemporaryFile file(good_file().raw_tensor("later", {256}, 12, 0).bytes());
  const Gguf read(file.path());
  const auto why = [](const auto& call) -> std::string {
    try {
      call();
      return "";
    } catch (const Error& error) {
      return error.what();
    }
  };
  CHECK(says(why([&] { read.count("none", 0, 1); }), "none is missing"));
  CHECK(says(why([&] { read.count("name", 0, 1); }), "name is not an unsigned integer"));
  CHECK(says(why([&] { read.count("count", 1, 6); }), "count is 7, outside 1 … 6"));
  CHECK(says(why([&] { read.floats("none", Shape1{2}); }), "\"none\" is not in the file"));
  CHECK(says(why([&] { read.floats("f16", Shape1{3}); }), "is [2] where [3] is expected"));
  CHECK(says(why([&] { read.floats("later", Shape1{256}); }), "has type 12"));
}

TEST_CASE("a cut GGUF file is refused wherever it is cut") {
  const std::string good = good_file().bytes();
  REQUIRE(complaint(good).empty());
  // The last tensor has 2 bytes, then padding.
  for (std::size_t size = 0; size <= good.size() - 31; ++size) {
    INFO(size);
    REQUIRE(one_line(complaint(good.substr(0, size))));
  }
}

TEST_CASE("a GGUF header that lies is refused by one line") {
  constexpr std::uint64_t huge = std::uint64_t{1} << 60U;
  const std::string start = "GGUF" + bytes_of(std::uint32_t{3});
  const std::string padding(64, '\0');
  CHECK(says(complaint("GGML" + padding), "does not begin with"));
  CHECK(says(complaint("GGUF" + bytes_of(std::uint32_t{1}) + padding), "version 1"));
  CHECK(says(complaint(start + bytes_of(huge) + bytes_of(huge) + padding), "tensors in the"));
  CHECK(says(complaint(start + bytes_of(std::uint64_t{0}) + bytes_of(huge) + padding),
             "values in the"));
  const auto value = [](const std::string& bytes) {
    return complaint(GgufFile().raw_value("key", bytes).bytes() + std::string(64, '\0'));
  };
  const auto u32 = [](std::uint32_t n) { return bytes_of(n); };
  CHECK(says(value(u32(99)), "\"key\": the value has the unknown type 99"));
  CHECK(says(value(u32(9) + u32(77) + bytes_of(huge)), "unknown type 77"));
  CHECK(says(value(u32(9) + u32(9) + u32(4)), "an array of arrays"));
  CHECK(says(value(u32(9) + u32(4) + bytes_of(huge)), "claims 1152921504606846976 numbers"));
  CHECK(says(value(u32(9) + u32(8) + bytes_of(huge)), "claims 1152921504606846976 strings"));
  CHECK(
      says(value(u32(8) + bytes_of(std::numeric_limits<std::uint64_t>::max())), "it ends inside"));
  CHECK(says(complaint(GgufFile().value("a", true).value("a", true).bytes()), "is there twice"));
  for (const std::uint32_t alignment : {0U, 24U, 1U << 21U}) {
    CHECK(says(complaint(GgufFile().value("general.alignment", alignment).bytes()),
               "a power of two"));
  }
}

TEST_CASE("GGUF tensors that lie are refused by one line") {
  constexpr std::uint64_t huge = std::uint64_t{1} << 60U;
  const auto tensor = [](const std::vector<std::uint64_t>& extents, std::uint32_t type,
                         std::uint64_t offset) {
    GgufFile file;
    file.tensor("there", {16}, 0, std::string(64, '\0'));
    return complaint(file.raw_tensor("t", extents, type, offset).bytes());
  };
  CHECK(says(tensor({}, 0, 0), "has rank 0"));
  CHECK(says(tensor({1, 1, 1, 1, 1}, 0, 0), "has rank 5"));
  CHECK(says(tensor({huge, huge}, 0, 0), "more than 2^64 bytes"));
  CHECK(says(tensor({huge}, 0, 0), "of the 64 that the file has"));
  CHECK(says(tensor({1}, 0, std::numeric_limits<std::uint64_t>::max() - 3), "ends beyond 2^64"));
  CHECK(says(tensor({33}, 8, 0), "not a multiple of 32, a block of Q8_0"));
  CHECK(says(tensor({1}, 0, 4), "not a multiple of 32"));
  CHECK(says(tensor({1}, 0, 32), "overlap"));
  CHECK(says(tensor({17}, 0, 0), "of the 64 that the file has"));
  CHECK(tensor({0}, 0, 0).empty());  // nothing overlaps nothing
}

TEST_CASE("the fuzzer's corpus is read or refused") {
  std::size_t files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(HEED_TEST_DIR "/models/corpus/gguf")) {
    std::ifstream in(entry.path(), std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
    INFO(entry.path());
    std::vector<std::uint8_t> data(bytes.begin(), bytes.end());
    CHECK(LLVMFuzzerTestOneInput(data.data(), data.size()) == 0);
    ++files;
  }
  CHECK(files > 10);
}
