// heed::files: weights in safetensors files, and checkpoints of training runs. POSIX; links
// nothing.
#pragma once

#include "heed/core/abi.hpp"
#include "heed/core/set_macros_aside.inl"

#include "heed/files/model.hpp"
#include "heed/files/output_file.hpp"
#include "heed/files/safetensors.hpp"
#include "heed/files/safetensors_writer.hpp"
#include "heed/files/torch.hpp"
#include "heed/train/checkpoint.hpp"

#include "heed/core/restore_macros.inl"
