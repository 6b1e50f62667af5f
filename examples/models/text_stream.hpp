// Text that comes in pieces, such as tokens, which may end inside a character.
#pragma once

#include <string>
#include <string_view>

namespace heed::models {

class TextStream {
 public:
  // The characters that are complete with these bytes; U+FFFD for what no character begins with,
  // and for control characters other than a tab and a line end, which a terminal would obey.
  std::string take(std::string_view bytes);

  // U+FFFD where a character was begun and not ended.
  std::string finish();

 private:
  std::string begun_;
};

}  // namespace heed::models
