#include "models/safetensors_header.hpp"

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "heed/core/error.hpp"
#include "models/printable.hpp"

namespace heed::models {
namespace {

using Json = nlohmann::json;

// Ample for any tensor; keeps a hostile shape from growing with the header.
constexpr std::size_t max_rank = 16;

// Where the next event belongs.
enum class Place { Outside, Header, Metadata, Tensor, Shape, Offsets };

// Receives the events of one header. nlohmann's sax_parse asks for exactly these member names.
class HeaderEvents {
 public:
  TensorTable take() && { return std::move(tensors_); }

  bool key(std::string& name) {
    if (place_ == Place::Header) return begin_entry(name);
    if (place_ == Place::Metadata) return true;
    field_ = name;
    if (!fields_.insert(name).second) refuse("has the field " + printable(name) + " twice");
    return true;
  }

  bool start_object(std::size_t /*size*/) {
    if (place_ == Place::Outside && !closed_) {
      place_ = Place::Header;
    } else if (place_ == Place::Header) {
      place_ = name_ == "__metadata__" ? Place::Metadata : Place::Tensor;
      fields_.clear();
    } else {
      refuse("holds an object where none belongs");
    }
    return true;
  }

  bool end_object() {
    if (place_ == Place::Header) {
      place_ = Place::Outside;
      closed_ = true;
      return true;
    }
    if (place_ == Place::Tensor) finish_tensor();
    place_ = Place::Header;
    return true;
  }

  bool start_array(std::size_t /*size*/) {
    if (place_ == Place::Tensor && field_ == "shape") {
      place_ = Place::Shape;
    } else if (place_ == Place::Tensor && field_ == "data_offsets") {
      place_ = Place::Offsets;
    } else {
      refuse("holds a list where none belongs");
    }
    return true;
  }

  bool end_array() {
    place_ = Place::Tensor;
    return true;
  }

  bool number_unsigned(Json::number_unsigned_t value) {
    if (place_ == Place::Shape && entry_.shape.size() < max_rank) {
      entry_.shape.push_back(value);
    } else if (place_ == Place::Offsets && offsets_ < 2) {
      (offsets_ == 0 ? entry_.begin : entry_.end) = value;
      ++offsets_;
    } else {
      refuse("holds the number " + std::to_string(value) + " where none belongs");
    }
    return true;
  }

  bool string(std::string& text) {
    if (place_ == Place::Metadata) return true;
    if (place_ != Place::Tensor || field_ != "dtype") refuse("holds a text where none belongs");
    entry_.dtype = text;
    return true;
  }

  bool number_integer(Json::number_integer_t value) {
    return refuse("holds the negative number " + std::to_string(value));
  }
  bool number_float(Json::number_float_t /*value*/, const std::string& text) {
    return refuse("holds " + printable(text) + ", which is not a 64-bit count");
  }
  bool null() { return refuse("holds null"); }
  bool boolean(bool /*value*/) { return refuse("holds true or false"); }
  bool binary(Json::binary_t& /*value*/) { return refuse("holds binary data"); }

  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const Json::exception& /*error*/) {
    throw Error("the header is not JSON at byte " + std::to_string(position));
  }

 private:
  bool begin_entry(const std::string& name) {
    name_ = name;
    entry_ = {};
    offsets_ = 0;
    if (!names_.insert(name).second) refuse("is there twice");
    return true;
  }

  void finish_tensor() {
    if (fields_ != std::set<std::string>{"data_offsets", "dtype", "shape"}) {
      refuse("has other fields than dtype, shape and data_offsets");
    }
    if (offsets_ != 2) refuse("has other than two data_offsets");
    tensors_.emplace(name_, std::move(entry_));
  }

  [[noreturn]] bool refuse(const std::string& why) const {
    throw Error(names_.empty() ? "the header " + why : "entry " + printable(name_) + " " + why);
  }

  TensorTable tensors_;
  std::set<std::string> names_;   // of the header so far
  std::set<std::string> fields_;  // of the entry being read
  std::string name_;
  std::string field_;
  TensorEntry entry_;
  int offsets_ = 0;
  Place place_ = Place::Outside;
  bool closed_ = false;
};

}  // namespace

TensorTable read_safetensors_header(std::string_view header) {
  if (header.empty() || header.front() != '{') throw Error("the header does not begin with {");
  // The parser takes a zero byte for the end of the text, and any white space for padding.
  const std::size_t zero = header.find('\0');
  if (zero != std::string_view::npos) {
    throw Error("the header is not JSON at byte " + std::to_string(zero));
  }
  if (const char last = header[header.find_last_not_of(' ')];
      last == '\n' || last == '\t' || last == '\r') {
    throw Error("the header is padded with other than spaces");
  }
  HeaderEvents events;
  if (!Json::sax_parse(header, &events)) throw Error("the header is not JSON");
  return std::move(events).take();
}

}  // namespace heed::models
