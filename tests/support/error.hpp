// The text of a call's error: tests look for the call's name and the numbers in it.
#pragma once

#include <string>

#include "heed/core/error.hpp"

namespace heed::test {

// The text of the heed::Error that `call` throws; empty where it throws none.
template <class Call>
std::string error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

}  // namespace heed::test
