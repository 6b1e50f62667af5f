#include "models/gguf_values.hpp"

#include <string>
#include <type_traits>
#include <vector>

namespace heed::models {
namespace {

// The format's numbers of the types of values.
enum class ValueType : std::uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64
};

// `count` numbers of type N, as the variant keeps their kind.
template <class N, class Wide>
std::vector<Wide> take_numbers(GgufCursor& cursor, std::uint64_t count) {
  std::vector<Wide> numbers(static_cast<std::size_t>(count));
  for (Wide& number : numbers) {
    number = static_cast<Wide>(cursor.take<N>());  // NOLINT(bugprone-signed-char-misuse): a number
  }
  return numbers;
}

template <class N>
GgufValue take_array(GgufCursor& cursor) {
  using Wide =
      std::conditional_t<std::is_floating_point_v<N>, double,
                         std::conditional_t<std::is_signed_v<N>, std::int64_t, std::uint64_t>>;
  return take_numbers<N, Wide>(cursor, cursor.take_count(sizeof(N), "numbers"));
}

GgufValue take_strings(GgufCursor& cursor) {
  std::vector<std::string> strings(
      static_cast<std::size_t>(cursor.take_count(sizeof(std::uint64_t), "strings")));
  for (std::string& string : strings) string = cursor.take_string();
  return strings;
}

[[noreturn]] void refuse_type(std::uint32_t type, const char* of) {
  throw Error(std::string(of) + " has the unknown type " + std::to_string(type));
}

GgufValue take_array(GgufCursor& cursor) {
  const auto type = cursor.take<std::uint32_t>();
  switch (static_cast<ValueType>(type)) {
    case ValueType::u8:
    case ValueType::boolean:
      return take_array<std::uint8_t>(cursor);
    case ValueType::i8:
      return take_array<std::int8_t>(cursor);
    case ValueType::u16:
      return take_array<std::uint16_t>(cursor);
    case ValueType::i16:
      return take_array<std::int16_t>(cursor);
    case ValueType::u32:
      return take_array<std::uint32_t>(cursor);
    case ValueType::i32:
      return take_array<std::int32_t>(cursor);
    case ValueType::u64:
      return take_array<std::uint64_t>(cursor);
    case ValueType::i64:
      return take_array<std::int64_t>(cursor);
    case ValueType::f32:
      return take_array<float>(cursor);
    case ValueType::f64:
      return take_array<double>(cursor);
    case ValueType::string:
      return take_strings(cursor);
    case ValueType::array:
      throw Error("is an array of arrays, which is not read here");
  }
  refuse_type(type, "an element");
}

}  // namespace

GgufValue take_gguf_value(GgufCursor& cursor) {
  const auto type = cursor.take<std::uint32_t>();
  switch (static_cast<ValueType>(type)) {
    case ValueType::u8:
      return std::uint64_t{cursor.take<std::uint8_t>()};
    case ValueType::i8:
      return std::int64_t{cursor.take<std::int8_t>()};
    case ValueType::u16:
      return std::uint64_t{cursor.take<std::uint16_t>()};
    case ValueType::i16:
      return std::int64_t{cursor.take<std::int16_t>()};
    case ValueType::u32:
      return std::uint64_t{cursor.take<std::uint32_t>()};
    case ValueType::i32:
      return std::int64_t{cursor.take<std::int32_t>()};
    case ValueType::u64:
      return cursor.take<std::uint64_t>();
    case ValueType::i64:
      return cursor.take<std::int64_t>();
    case ValueType::f32:
      return double{cursor.take<float>()};
    case ValueType::f64:
      return cursor.take<double>();
    case ValueType::boolean:
      return cursor.take<std::uint8_t>() != 0;
    case ValueType::string:
      return cursor.take_string();
    case ValueType::array:
      return take_array(cursor);
  }
  refuse_type(type, "the value");
}

}  // namespace heed::models
