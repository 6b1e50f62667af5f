#include "models/bert_config.hpp"

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "heed/core/error.hpp"
#include "models/input_file.hpp"
#include "models/json_text.hpp"
#include "models/printable.hpp"

namespace heed::models {
namespace {

using Json = nlohmann::json;

constexpr std::size_t max_file_size = std::size_t{1} << 20U;
// Far above any BERT, far below where a product of two sizes would leave 64 bits.
constexpr std::uint64_t max_size = std::uint64_t{1} << 24U;

class ConfigFile {
 public:
  explicit ConfigFile(const std::filesystem::path& path) : path_(path.string()) {
    const InputFile file(path);
    if (file.size() > max_file_size) refuse("is larger than a configuration, 1 MiB");
    json_ = parse_json(file.text(max_file_size));
    if (!json_.is_object()) refuse("is not a JSON object");
  }

  std::uint64_t size(const char* name) const {
    const auto found = json_.find(name);
    if (found == json_.end() || !found->is_number_unsigned()) {
      refuse("has no count " + std::string(name));
    }
    const auto value = found->get<std::uint64_t>();
    if (value == 0 || value > max_size) {
      refuse("says " + std::string(name) + " is " + std::to_string(value) + ", outside [1, 2^24]");
    }
    return value;
  }

  float positive(const char* name) const {
    const auto found = json_.find(name);
    const bool number = found != json_.end() && found->is_number();
    const float value = number ? found->get<float>() : 0;
    if (!(value > 0) || std::isinf(value)) refuse("has no positive number " + std::string(name));
    return value;
  }

  // Refuses a file that says something else than `value`; saying nothing is agreement.
  void expect(const char* name, const Json& value) const {
    const auto found = json_.find(name);
    if (found != json_.end() && !found->is_null() && *found != value) {
      refuse("says " + std::string(name) + " is " + shown(*found) + "; only " + shown(value) +
             " is implemented");
    }
  }

  [[noreturn]] void refuse(const std::string& why) const {
    throw Error("heed::models::read_bert_config: " + path_ + " " + why);
  }

 private:
  static std::string shown(const Json& value) {
    return value.is_string() ? printable(value.get_ref<const std::string&>())
                             : printable(value.dump());
  }

  std::string path_;
  Json json_;
};

}  // namespace

BertConfig read_bert_config(const std::filesystem::path& directory) {
  const ConfigFile file(directory / "config.json");
  file.expect("model_type", "bert");
  file.expect("hidden_act", "gelu");
  file.expect("position_embedding_type", "absolute");
  BertConfig config;
  config.vocabulary = file.size("vocab_size");
  config.hidden = file.size("hidden_size");
  config.intermediate = file.size("intermediate_size");
  config.positions = file.size("max_position_embeddings");
  config.token_types = file.size("type_vocab_size");
  config.layers = file.size("num_hidden_layers");
  config.heads = file.size("num_attention_heads");
  config.layer_norm_epsilon = file.positive("layer_norm_eps");
  if (config.hidden % config.heads != 0) {
    file.refuse("has " + std::to_string(config.hidden) + " features, which " +
                std::to_string(config.heads) + " heads cannot share");
  }

  const ConfigFile sentence(directory / "sentence_bert_config.json");
  config.max_tokens = sentence.size("max_seq_length");
  if (config.max_tokens < 2 || config.max_tokens > config.positions) {
    sentence.refuse("says max_seq_length is " + std::to_string(config.max_tokens) +
                    ", outside [2, " + std::to_string(config.positions) + "]");
  }
  // tokenizer.json, read where there is no vocab.txt, says the same itself.
  const std::filesystem::path tokenizer = directory / "tokenizer_config.json";
  if (std::filesystem::exists(directory / "vocab.txt") || std::filesystem::exists(tokenizer)) {
    ConfigFile(tokenizer).expect("do_lower_case", true);
  }
  const ConfigFile pooling(directory / "1_Pooling" / "config.json");
  pooling.expect("pooling_mode_mean_tokens", true);
  pooling.expect("pooling_mode_cls_token", false);
  pooling.expect("pooling_mode_max_tokens", false);
  pooling.expect("pooling_mode_mean_sqrt_len_tokens", false);
  return config;
}

}  // namespace heed::models
