// expect: no matching (function|constructor)|no matching function for call
#include "heed/core/error.hpp"

int main() {
#ifdef HEED_WRONG
  const heed::Error error(80, 64);  // an error is a text that names the call and the shapes
#else
  const heed::Error error("heed::attention: k has dim 80 but q has dim 64");
#endif
  return error.what() == nullptr ? 1 : 0;
}
