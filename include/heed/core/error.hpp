// The one exception heed throws for a wrong call: its text names the call and every shape involved.
#pragma once

#include <stdexcept>

namespace heed {

class Error : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

}  // namespace heed
