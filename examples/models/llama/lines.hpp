// Lines of standard input, at a terminal or not.
#pragma once

#include <string>

namespace heed::models::chat {

class Lines {
 public:
  // The next line that is not empty; false at the end, and for SIGINT. At a terminal an empty line
  // is the end as well.
  bool next(std::string& line, bool at_terminal);

 private:
  bool read_line(std::string& line);

  std::string read_;
};

}  // namespace heed::models::chat
