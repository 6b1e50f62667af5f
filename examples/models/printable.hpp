// Text of a file, quoted so that it fits one line of a message whatever the file holds.
#pragma once

#include <string>
#include <string_view>

namespace heed::models {

// The text in double quotes: bytes that are not printable ASCII as \xNN, cut after `limit` bytes.
std::string printable(std::string_view text, std::size_t limit = 60);

}  // namespace heed::models
