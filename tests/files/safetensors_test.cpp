// The safetensors reader on files that are right, and on every way to lie that the format allows.
#include "heed/files/safetensors.hpp"

#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "heed/core/error.hpp"
#include "support/catch.hpp"
#include "support/temporary_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using heed::Error;
using heed::files::parse_safetensors_header;
using heed::files::Safetensors;
using heed::test::TemporaryFile;

std::string with_length(std::uint64_t length, const std::string& rest) {
  std::string bytes(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(length >> (8 * i) & 0xffU);
  return bytes + rest;
}

std::string file_of(const std::string& header, const std::string& data) {
  return with_length(header.size(), header + data);
}

std::string float_bytes(const std::vector<float>& values) {
  std::string bytes(values.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

const std::string good_header = R"({"__metadata__":{"format":"pt","note":"x"},)"
                                R"("b":{"dtype":"F32","shape":[2],"data_offsets":[16,24]},)"
                                R"("a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
                                R"("none":{"dtype":"I64","shape":[0,7],"data_offsets":[16,16]},)"
                                R"("one":{"shape":[],"dtype":"U8","data_offsets":[24,25]}}   )";
const std::string good_data = float_bytes({1, 2, 3, 4, 5, 6}) + "x";

// The reader's complaint about a file; "" when it accepts it.
std::string complaint(const std::string& bytes) {
  const TemporaryFile file(bytes);
  try {
    const Safetensors read(file.path());
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

std::string header_complaint(const std::string& header, std::size_t data_size) {
  try {
    parse_safetensors_header(header, data_size);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

bool one_line(const std::string& text) {
  return !text.empty() && text.size() < 400 && text.find('\n') == std::string::npos;
}

}  // namespace

TEST_CASE("a valid file gives its tensors") {
  const TemporaryFile file(file_of(good_header, good_data));
  const Safetensors read(file.path());
  CHECK(read.tensors().size() == 4);
  CHECK(read.floats("a", std::array<std::uint64_t, 2>{2, 2}) == std::vector<float>{1, 2, 3, 4});
  CHECK(read.floats("b", std::array<std::uint64_t, 1>{2}) == std::vector<float>{5, 6});
  CHECK(read.bytes("none", "I64", std::array<std::uint64_t, 2>{0, 7}).empty());
  CHECK(read.bytes("one", "U8", {}).size() == 1);
  CHECK(std::to_integer<char>(read.bytes("one", "U8", {})[0]) == 'x');
}

TEST_CASE("data that is not aligned for its type is read all the same") {
  const std::string header = R"({"pad":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                             R"("f":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})";
  const TemporaryFile file(file_of(header, "p" + float_bytes({1.5F, -2.5F})));
  const Safetensors read(file.path());
  CHECK(read.floats("f", std::array<std::uint64_t, 1>{2}) == std::vector<float>{1.5F, -2.5F});
}

TEST_CASE("BF16 and F16 tensors are read as float, every value exactly") {
  const std::string header = R"({"pad":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                             R"("b":{"dtype":"BF16","shape":[2],"data_offsets":[1,5]},)"
                             R"("h":{"dtype":"F16","shape":[4],"data_offsets":[5,13]}})";
  // BF16 1.5 and −2^127·1.5; F16 1, the smallest, the largest and −2.
  const std::string data("p\xc0\x3f\x40\xff\x00\x3c\x01\x00\xff\x7b\x00\xc0", 13);
  const TemporaryFile file(file_of(header, data));
  const Safetensors read(file.path());
  CHECK(read.floats("b", std::array<std::uint64_t, 1>{2}) == std::vector<float>{1.5F, -0x1.8p127F});
  CHECK(read.floats("h", std::array<std::uint64_t, 1>{4}) ==
        std::vector<float>{1, 0x1p-24F, 65504, -2});
}

TEST_CASE("a type that is not read here keeps no other tensor from its reader") {
  struct Case {
    const char* dtype;
    std::size_t elements, bytes;
  };
  const auto other = GENERATE(values<Case>({{"C64", 2, 16},
                                            {"F4", 4, 2},
                                            {"F6_E2M3", 4, 3},
                                            {"F6_E3M2", 8, 6},
                                            {"F8_E8M0", 3, 3},
                                            {"F8_E4M3FNUZ", 3, 3},
                                            {"F8_E5M2FNUZ", 3, 3}}));
  CAPTURE(other.dtype);
  const auto header = [&](std::size_t bytes) {
    return R"({"o":{"dtype":")" + std::string(other.dtype) + R"(","shape":[)" +
           std::to_string(other.elements) + R"(],"data_offsets":[0,)" + std::to_string(bytes) +
           R"(]},"f":{"dtype":"F32","shape":[1],"data_offsets":[)" + std::to_string(bytes) + "," +
           std::to_string(bytes + 4) + "]}}";
  };
  const TemporaryFile file(
      file_of(header(other.bytes), std::string(other.bytes, 'o') + float_bytes({3})));
  const Safetensors read(file.path());
  const std::array<std::uint64_t, 1> one{1};
  CHECK(read.floats("f", one) == std::vector<float>{3});
  CHECK(read.bytes("o", other.dtype, std::array<std::uint64_t, 1>{other.elements}).size() ==
        other.bytes);
  CHECK_THROWS_WITH(read.floats("o", std::array<std::uint64_t, 1>{other.elements}),
                    heed::test::ContainsSubstring(std::string("is ") + other.dtype) &&
                        heed::test::ContainsSubstring("is expected; BF16 or F16 will do"));
  CHECK_THAT(header_complaint(header(other.bytes + 1), other.bytes + 5),
             heed::test::ContainsSubstring("needs " + std::to_string(other.bytes) + " bytes"));
}

TEST_CASE("a file that is cut while it is open is an error") {
  const TemporaryFile file(file_of(good_header, good_data));
  const Safetensors read(file.path());
  std::filesystem::resize_file(file.path(), 8 + good_header.size() + 15);
  CHECK_THROWS_WITH(read.floats("a", std::array<std::uint64_t, 2>{2, 2}),
                    heed::test::ContainsSubstring("was it cut?"));
  CHECK_THROWS_AS(read.bytes("one", "U8", {}), Error);
}

TEST_CASE("a file without tensors is valid") { CHECK(complaint(file_of("{}", "")).empty()); }

TEST_CASE("asking for another tensor, shape or type is an error that names both") {
  const TemporaryFile file(file_of(good_header, good_data));
  const Safetensors read(file.path());
  const auto ask = [&](const char* name, const std::vector<std::uint64_t>& shape) {
    try {
      read.floats(name, shape);
      return std::string();
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  CHECK(ask("missing", {2}).find("tensor \"missing\" is not in the file") != std::string::npos);
  CHECK(ask("a", {4}).find("is F32 [2,2] where F32 [4] is expected") != std::string::npos);
  CHECK(ask("none", {0, 7}).find("is I64 [0,7] where F32 [0,7]") != std::string::npos);
}

TEST_CASE("what is not a file to read gives one line") {
  const auto open = [](const std::filesystem::path& path) {
    try {
      const Safetensors read(path);
      return std::string();
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  CHECK(open("/no/such/file").find("No such file") != std::string::npos);
  CHECK(open(std::filesystem::temp_directory_path()).find("is a directory") != std::string::npos);
  CHECK(open("/dev/zero").find("not a regular file") != std::string::npos);
  CHECK(complaint("").find("0 bytes") != std::string::npos);
}

TEST_CASE("a length that the file cannot hold is refused before it is believed") {
  const std::string bytes = file_of(good_header, good_data);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    CAPTURE(size);
    CHECK(one_line(complaint(bytes.substr(0, size))));
  }
  CHECK(one_line(complaint(bytes + "y")));
  for (const std::uint64_t length :
       {std::uint64_t{1} << 60U, std::numeric_limits<std::uint64_t>::max(),
        std::numeric_limits<std::uint64_t>::max() - 7, std::uint64_t{0}, std::uint64_t{1},
        std::uint64_t{100'000'001}}) {
    CAPTURE(length);
    CHECK(one_line(complaint(with_length(length, good_header + good_data))));
  }
}

TEST_CASE("headers that lie about their tensors are refused") {
  struct Case {
    const char* header;
    std::size_t data_size;
    const char* says;
  };
  const auto wrong = GENERATE(values<Case>({
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 9, "cover 8 of 9"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 7, "claims bytes [0, 8) of 7"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12, "begins at byte 4"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, "claims bytes [8, 0)"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
       R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
       12, "begins at byte 4 but the one before ends at 8"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
       R"("b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       8, "begins at byte 0 but the one before ends at 8"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
       R"("b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]}})",
       20, "begins at byte 12 but the one before ends at 8"},
      {R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8, "needs 12 bytes"},
      {R"({"a":{"dtype":"F64","shape":[2],"data_offsets":[0,8]}})", 8, "needs 16 bytes"},
      {R"({"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}})", 8, "unknown dtype \"F33\""},
      {R"({"a":{"dtype":"f32","shape":[2],"data_offsets":[0,8]}})", 8, "unknown dtype"},
      {R"({"a":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,8]}})", 8,
       "needs 4611686018427387904 bytes"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,8]}})", 8,
       "more than 2^64"},
      {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0,
       "more than 2^64"},
      {R"({"a":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,8]}})", 8,
       "not a 64-bit count"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,1152921504606846976]}})", 8,
       "claims bytes [0, 1152921504606846976) of 8"},
  }));
  CAPTURE(wrong.header);
  const std::string said = header_complaint(wrong.header, wrong.data_size);
  CHECK(one_line(said));
  CHECK_THAT(said, heed::test::ContainsSubstring(wrong.says));
}

TEST_CASE("headers of another form are refused") {
  struct Case {
    const char* header;
    const char* says;
  };
  const auto wrong = GENERATE(values<Case>({
      {"", "does not begin with {"},
      {"[]", "does not begin with {"},
      {" {}", "does not begin with {"},
      {"\xef\xbb\xbf{}", "does not begin with {"},
      {"{", "not JSON"},
      {"{}{}", "not JSON"},
      {"{} x", "not JSON"},
      {"{}\n", "padded with other than spaces"},
      {"{} \t ", "padded with other than spaces"},
      {R"({"a":1})", "holds the number 1"},
      {R"({"a":null})", "null"},
      {R"({"a":"b"})", "holds a text"},
      {R"({"a":[]})", "holds a list"},
      {R"({"a":true})", "true or false"},
      {R"({"a":{}})", "other fields"},
      {R"({"a":{"dtype":"F32","shape":[1]}})", "other fields"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", "holds the number"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":{}}})", "holds an object"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", "two data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", "holds the number 8"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "negative number -1"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}})", "negative number -4"},
      {R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", "not a 64-bit count"},
      {R"({"a":{"dtype":"F32","shape":[1e3],"data_offsets":[0,4]}})", "not a 64-bit count"},
      {R"({"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}})", "holds a text"},
      {R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", "holds a list"},
      {R"({"a":{"dtype":5,"shape":[1],"data_offsets":[0,4]}})", "holds the number 5"},
      {R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "twice"},
      {R"({"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}})", "twice"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
       R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       "\"a\" is there twice"},
      {R"({"__metadata__":{},"__metadata__":{}})", "twice"},
      {R"({"__metadata__":{"a":1}})", "holds the number 1"},
      {R"({"__metadata__":{"a":{}}})", "holds an object"},
      {R"({"__metadata__":[]})", "holds a list"},
      {R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})",
       "holds the number 1"},
      {"{\"\xff\":{}}", "not JSON at byte 2"},
      {"{\"\xc0\x80\":{}}", "not JSON"},
      {"{\"\xed\xa0\x80\":{}}", "not JSON"},
      {R"({"\ud800":{}})", "not JSON"},
      {"{\"a\n\":{}}", "not JSON"},
  }));
  CAPTURE(wrong.header);
  const std::string said = header_complaint(wrong.header, 4);
  CHECK(one_line(said));
  CHECK_THAT(said, heed::test::ContainsSubstring(wrong.says));
}

TEST_CASE("a zero byte ends no header") {
  for (const std::string_view header :
       {std::string_view("{}\0", 3), std::string_view("{}\0junk", 7),
        std::string_view("{}\0  ", 5)}) {
    CHECK_THAT(header_complaint(std::string(header), 0),
               heed::test::ContainsSubstring("not JSON at byte 2"));
  }
}

TEST_CASE("a name from the file cannot break the line it is quoted in") {
  const std::string name(5000, 'n');
  CHECK(one_line(header_complaint("{\"" + name + "\":1}", 0)));
  const std::string said = header_complaint(R"({"\u001b[2J\n\u00e9":1})", 0);
  CHECK(one_line(said));
  CHECK(said.find('\x1b') == std::string::npos);
}

TEST_CASE("deep nesting and long lists cost nothing") {
  for (const char* open : {"{\"a\":", "["}) {
    std::string header = "{\"a\":{\"shape\":";
    for (int i = 0; i < 1'000'000; ++i) header += open;
    CHECK(one_line(header_complaint(header, 0)));
  }
  std::string header = "{\"a\":{\"shape\":[0";
  for (int i = 0; i < 1'000'000; ++i) header += ",0";
  CHECK(one_line(header_complaint(header + "]}}", 0)));
}

TEST_CASE("the fuzzer's corpus of headers is read or refused") {
  std::size_t files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(HEED_TEST_DIR "/files/corpus/safetensors")) {
    std::ifstream in(entry.path(), std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
    INFO(entry.path());
    const std::vector<std::uint8_t> data(bytes.begin(), bytes.end());
    CHECK(LLVMFuzzerTestOneInput(data.data(), data.size()) == 0);
    ++files;
  }
  CHECK(files > 10);
}

TEST_CASE("no mutation of a file crashes the reader or is believed wrongly") {
  constexpr int rounds = 20'000;
  std::mt19937 random(20240131);
  const auto below = [&](std::size_t bound) {
    return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random);
  };
  const std::vector<std::string> words{"0",
                                       "-1",
                                       "18446744073709551615",
                                       "1152921504606846976",
                                       "[",
                                       "]",
                                       "{",
                                       "}",
                                       "\"",
                                       ",",
                                       "\"shape\"",
                                       "\xff",
                                       "25",
                                       "16",
                                       "F64",
                                       "\\u0000"};
  int accepted = 0;
  for (int round = 0; round < rounds; ++round) {
    std::string header = good_header;
    const std::size_t edits = 1 + below(3);
    for (std::size_t edit = 0; edit < edits; ++edit) {
      const std::size_t at = below(header.size());
      switch (below(4)) {
        case 0:
          header[at] = static_cast<char>(below(256));
          break;
        case 1:
          header.erase(at, 1 + below(8));
          break;
        case 2:
          header.insert(at, words[below(words.size())]);
          break;
        default:
          header.replace(at, 1 + below(4), words[below(words.size())]);
          break;
      }
      if (header.empty()) header = "{";
    }
    try {
      std::size_t bytes = 0;
      for (const auto& [name, entry] : parse_safetensors_header(header, good_data.size()).tensors) {
        bytes += entry.end - entry.begin;
      }
      CHECK(bytes == good_data.size());
      ++accepted;
    } catch (const Error& error) {
      if (!one_line(error.what())) FAIL(error.what());
    }
  }
  // Edits of a name, the metadata or the spaces leave a valid file: both ways were taken.
  CHECK(accepted > rounds / 100);
  CHECK(accepted < rounds / 2);
}
