#include <iostream>

#include "heed/core/error.hpp"
#include "heed/version.hpp"

int main() {
  try {
    throw heed::Error("heed::attention: k has dim 80 but q has dim 64");
  } catch (const heed::Error& error) {
    std::cout << HEED_VERSION_MAJOR << '.' << HEED_VERSION_MINOR << ' ' << error.what() << '\n';
  }
}
