// minilm: sentence vectors, search and pictures of attention on the command line.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <new>
#include <span>
#include <string>

#include "heed/core/error.hpp"
#include "models/cuda_attention.hpp"
#include "models/minilm/command_line.hpp"
#include "models/minilm/commands.hpp"
#include "models/minilm/output.hpp"
#include "models/model_folder.hpp"

namespace {

namespace minilm = heed::models::minilm;

std::filesystem::path model_folder(const minilm::CommandLine& line) {
  std::filesystem::path folder =
      line.model ? std::filesystem::path(*line.model) : heed::models::minilm_folder();
  if (folder.empty()) {
    throw heed::Error(
        "minilm: none of HEED_CACHE, XDG_CACHE_HOME and HOME says where the model is; name its "
        "folder by --model");
  }
  if (!line.model && !heed::models::has_model(folder)) {
    throw heed::Error("minilm: the model is not in " + folder.string() +
                      "; examples/models/minilm/fetch.sh downloads it");
  }
  return folder;
}

void run(const minilm::CommandLine& line) {
  if (line.command == "help") {
    minilm::Output().text(minilm::usage_text()).finish();
    return;
  }
  if (line.device == heed::models::Device::cuda) heed::models::require_cuda("minilm --device cuda");
  const heed::models::SentenceEncoder encoder(model_folder(line));
  encoder.token_limit(line.max_tokens);
  if (line.command == "embed") return minilm::embed(line, encoder);
  if (line.command == "similarity") return minilm::similarity(line, encoder);
  if (line.command == "search") return minilm::search(line, encoder);
  if (line.command == "senses") return minilm::senses(line, encoder);
  if (line.command == "heads") return minilm::heads(line, encoder);
  if (line.command == "methods") return minilm::methods(line, encoder);
  minilm::highlight(line, encoder);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(minilm::parse_command_line(std::span(argv, static_cast<std::size_t>(argc)).subspan(1)));
    return 0;
  } catch (const minilm::UsageError& error) {
    std::fprintf(stderr, "minilm: %s; minilm --help tells more\n", error.what());
    return 2;
  } catch (const std::bad_alloc&) {
    std::fputs("minilm: out of memory\n", stderr);
    return 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
