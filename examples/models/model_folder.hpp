// Where a downloaded model lies: outside the source tree, in the user's cache.
#pragma once

#include <filesystem>

namespace heed::models {

// $HEED_CACHE, else $XDG_CACHE_HOME/heed, else $HOME/.cache/heed; empty where none of them is set.
std::filesystem::path cache_folder();

// The folder of all-MiniLM-L6-v2's files, whether or not it is there; minilm/fetch.sh fills it.
// Empty where there is no cache.
std::filesystem::path minilm_folder();

// The file of SmolLM2-135M-Instruct, whether or not it is there; llama/fetch.sh fills it. Empty
// where there is no cache.
std::filesystem::path smollm2_file();

// True where the folder has the model's weights.
bool has_model(const std::filesystem::path& folder);

}  // namespace heed::models
