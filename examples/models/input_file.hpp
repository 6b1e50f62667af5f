// heed's file to read, under the models' name.
#pragma once

#include "heed/files/input_file.hpp"

namespace heed::models {

using files::InputFile;

}  // namespace heed::models
