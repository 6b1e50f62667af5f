// heed's quoting of texts from files, under the models' name.
#pragma once

#include "heed/files/printable.hpp"

namespace heed::models {

using files::printable;

}  // namespace heed::models
