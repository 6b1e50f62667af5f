// Models in files: what is written is what is read, and a file is replaced as a whole or not at
// all.
#include "heed/files/model.hpp"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "heed/files/torch.hpp"
#include "heed/nn/linear.hpp"
#include "heed/nn/presets.hpp"
#include "nn/gradients.hpp"
#include "support/temporary_file.hpp"

using namespace nn_test;
namespace files = heed::files;
namespace nn = heed::nn;
using heed::test::TemporaryFile;

namespace {

template <class T>
nn::Linear<T> random_model(std::uint64_t seed) {
  nn::Linear<T> model(5, 3);
  scatter(model, 1, seed);
  return model;
}

std::string contents(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Files beside this one that begin like the temporary ones of its path.
int partial_files(const std::filesystem::path& path) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path.parent_path())) {
    const std::string name = entry.path().filename().string();
    count += name.starts_with("." + path.filename().string() + ".") ? 1 : 0;
  }
  return count;
}

template <class T>
void check_round_trip() {
  const TemporaryFile file("old");
  const auto model = random_model<T>(3);
  files::save(model, file.path());
  auto loaded = random_model<T>(4);
  files::load(loaded, file.path());
  CHECK(same_parameters(model, loaded));
  CHECK(partial_files(file.path()) == 0);
}

// Saves a module as PyTorch's, whose names and shapes these are, and loads it again.
template <class Module>
void check_torch(Module module, const std::map<std::string, std::vector<std::uint64_t>>& wanted) {
  const TemporaryFile file("");
  scatter(module, 1, 3);
  files::save_torch(module, file.path(), "layer.");
  std::map<std::string, std::vector<std::uint64_t>> written;
  for (const auto& [name, entry] : files::Safetensors(file.path()).tensors()) {
    written[name.substr(6)] = entry.shape;
  }
  CHECK(written == wanted);
  Module loaded = module;
  scatter(loaded, 1, 4);
  files::load_torch(loaded, file.path(), {.prefix = "layer."});
  CHECK(same_parameters(loaded, module));
}

}  // namespace

TEST_CASE("files: a model saved and loaded has its bits") {
  check_round_trip<float>();
  check_round_trip<double>();
  check_round_trip<Eigen::half>();
  check_round_trip<Eigen::bfloat16>();
  const TemporaryFile file("");
  files::save(random_model<double>(3), file.path());
  auto rounded = random_model<float>(4);
  files::load(rounded, file.path());
  CHECK(rounded.weight().value == random_model<double>(3).weight().value.cast<float>());
}

TEST_CASE("files: rows are written one after another, under the parameters' names") {
  const TemporaryFile file("");
  const auto model = random_model<float>(3);
  files::save(model, file.path());
  const files::Safetensors read(file.path());
  CHECK(read.metadata().at("format") == "pt");
  CHECK(read.tensors().size() == 2);
  const auto weight = read.values<float>("weight", std::array<std::uint64_t, 2>{3, 5});
  for (Index i = 0; i < 3; ++i) {
    for (Index j = 0; j < 5; ++j) {
      CHECK(weight[static_cast<std::size_t>(5 * i + j)] == model.weight().value(i, j));
    }
  }
}

TEST_CASE("files: a file that does not fit the model changes nothing") {
  const TemporaryFile file("");
  files::save(random_model<float>(3), file.path());
  auto model = random_model<float>(4);
  const auto refused = [&](const auto& load) {
    const std::string why = error_of(load);
    CHECK(why.find(file.path().string()) != std::string::npos);
    CHECK(same_parameters(model, random_model<float>(4)));
    return why;
  };
  nn::Linear<float> other(5, 4);
  CHECK(refused([&] { files::load(other, file.path()); }).find("is [3,5]") != std::string::npos);
  CHECK(refused([&] {
          files::load(model, file.path(),
                      {.rename = [](const std::string& name) { return "layer." + name; }});
        }).find("nothing is named weight (layer.weight in the source)") != std::string::npos);
  const std::string whole = contents(file.path());
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{7}, whole.size() / 2, whole.size() - 1}) {
    std::filesystem::resize_file(file.path(), size);
    refused([&] { files::load(model, file.path()); });
  }
  files::SafetensorsWriter writer;
  writer.add_values("weight", std::vector<std::int64_t>{1, 2});
  writer.write(file.path());
  CHECK(refused([&] {
          files::load(model, file.path());
        }).find("is I64 [2] where F32 [2] is expected") != std::string::npos);
}

TEST_CASE("files: tensors that a module does not use are of any type, and are not read") {
  const TemporaryFile file("");
  const auto model = random_model<float>(3);
  files::SafetensorsWriter writer;
  files::add_parameters(writer, model, "encoder.");
  writer.add_values("encoder.position_ids", std::vector<std::int64_t>{0, 1, 2});
  writer.add_values("other", std::vector<double>{1});
  writer.write(file.path());
  auto loaded = random_model<float>(4);
  const auto prefixed = [](const std::string& name) { return "encoder." + name; };
  CHECK(error_of([&] {
          files::load(loaded, file.path(), {.rename = prefixed, .ignore = {"other"}});
        }).find("no parameter is loaded from encoder.position_ids [3]") != std::string::npos);
  files::load(loaded, file.path(),
              {.rename = prefixed, .ignore = {"other", "encoder.position_ids"}});
  CHECK(same_parameters(model, loaded));
  loaded = random_model<float>(4);
  CHECK(error_of([&] {
          files::load_torch(loaded, file.path(), {.prefix = "encoder."});
        }).find("no parameter is loaded from position_ids [3]") != std::string::npos);
  files::load_torch(loaded, file.path(), {.prefix = "encoder.", .ignore = {"position_ids"}});
  CHECK(same_parameters(model, loaded));
}

TEST_CASE("files: names that a header cannot hold are refused, odd ones come back") {
  files::SafetensorsWriter writer;
  CHECK_THROWS_AS(writer.add_values("__metadata__", std::vector<float>{}), heed::Error);
  CHECK_THROWS_AS(writer.add_values("\xff", std::vector<float>{}), heed::Error);
  const std::string odd = "a \"b\"\\\n\x01 ß漢😀";
  writer.add_values(odd, std::vector<float>{1, 2});
  CHECK_THROWS_AS(writer.add_values(odd, std::vector<float>{}), heed::Error);
  writer.add_values("none", std::vector<double>{});
  const auto bytes = [] { return std::vector<std::byte>(7); };
  CHECK_THROWS_AS(writer.add("x", "F33", {1}, bytes), heed::Error);
  CHECK_THROWS_AS(writer.add("x", "F32", {1ULL << 40U, 1ULL << 40U}, bytes), heed::Error);
  CHECK_THROWS_AS(writer.describe("note", "\xff"), heed::Error);
  CHECK_THROWS_AS(writer.describe("\xff", "note"), heed::Error);
  CHECK(error_of([&] {
          writer.add_values(std::string("a\0b", 3), std::vector<float>{});
        }).find("holds a NUL") != std::string::npos);
  writer.describe("note", odd);
  const TemporaryFile file("");
  writer.write(file.path());
  const files::Safetensors read(file.path());
  CHECK(read.values<float>(odd, std::array<std::uint64_t, 1>{2}) == std::vector<float>{1, 2});
  CHECK(read.metadata().at("note") == odd);
  CHECK(contents(file.path()).size() % 8 == 0);
  files::SafetensorsWriter wrong;
  wrong.add("x", "F32", {2}, bytes);
  CHECK(error_of([&] { wrong.write(file.path()); }).find("has 7 bytes where its shape has 8") !=
        std::string::npos);
  CHECK(files::Safetensors(file.path()).tensors().size() == 2);
}

TEST_CASE("files: where nothing can be written, the old file stays and the path is named") {
  const TemporaryFile file("old");
  nn::Linear<float> model(300, 100);  // more than the stream's buffers
  struct rlimit before {};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  for (const rlim_t bytes : {0U, 1000U, 100000U}) {  // as on a disk that is full after so many
    const struct rlimit full { bytes, before.rlim_max };
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &full) == 0);
    const std::string why = error_of([&] { files::save(model, file.path()); });
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    CHECK(why == "heed::files: cannot write " + file.path().string() + ": File too large");
    CHECK(contents(file.path()) == "old");
    CHECK(partial_files(file.path()) == 0);
  }
  CHECK(error_of([&] { files::save(model, "/no/such/folder/file"); }) ==
        "heed::files: cannot write /no/such/folder/file: No such file or directory");
  const auto folder = std::filesystem::temp_directory_path();
  CHECK(error_of([&] { files::save(model, folder / ""); }).find("cannot write") !=
        std::string::npos);
}

TEST_CASE("files: a link stays a link; a file keeps nothing of a longer one before") {
  const TemporaryFile file(std::string(100000, 'x'));
  const std::filesystem::path link = file.path().string() + "_link";
  std::filesystem::create_symlink(file.path(), link);
  files::save(random_model<float>(3), link);
  CHECK(std::filesystem::is_symlink(link));
  auto model = random_model<float>(4);
  files::load(model, file.path());
  CHECK(same_parameters(model, random_model<float>(3)));
  std::filesystem::remove(link);
}

TEST_CASE("files: what is not a regular file is not replaced, and permissions stay") {
  const TemporaryFile file("old");
  using std::filesystem::perms;
  for (const perms mode : {perms(0600), perms(0664)}) {
    std::filesystem::permissions(file.path(), mode);
    files::save(random_model<float>(3), file.path());
    CHECK(std::filesystem::status(file.path()).permissions() == mode);
  }
  const std::filesystem::path pipe = file.path().string() + "_pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(error_of([&] { files::save(random_model<float>(3), pipe); }) ==
        "heed::files: cannot write " + pipe.string() + ": it is not a regular file");
  CHECK(std::filesystem::is_fifo(pipe));
  std::filesystem::remove(pipe);
}

TEST_CASE("files: a link to a file that is not there yet stays one; a loop of links is refused") {
  const TemporaryFile file("");
  const std::filesystem::path link = file.path().string() + "_link";
  const std::filesystem::path second = file.path().string() + "_second";
  std::filesystem::remove(file.path());
  std::filesystem::create_symlink(file.path().filename(), second);
  std::filesystem::create_symlink(second.filename(), link);
  files::save(random_model<float>(3), link);
  CHECK(std::filesystem::is_symlink(link));
  CHECK(std::filesystem::is_symlink(second));
  CHECK(std::filesystem::is_regular_file(std::filesystem::symlink_status(file.path())));
  std::filesystem::remove(second);
  std::filesystem::create_symlink(link, second);
  CHECK(error_of([&] { files::save(random_model<float>(3), link); }) ==
        "heed::files: cannot write " + link.string() + ": Too many levels of symbolic links");
  std::filesystem::remove(second);
  std::filesystem::remove(link);
}

TEST_CASE("files: a name of 245 letters is written") {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() /
      (std::string(234, 'x') + std::to_string(10'000'000'000 + ::getpid()));
  files::save(random_model<float>(3), path);
  CHECK(std::filesystem::is_regular_file(path));
  std::filesystem::remove(path);
}

TEST_CASE("files: a process that is killed while it writes leaves the old file or the new one") {
  const TemporaryFile file("");
  files::save(random_model<float>(1), file.path());
  for (int round = 0; round < 20; ++round) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      for (std::uint64_t seed = 2;; seed = 3 - seed) {
        files::save(random_model<float>(seed), file.path());
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds(2000 + 137 * round));
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    auto model = random_model<float>(9);
    files::load(model, file.path());
    CHECK((same_parameters(model, random_model<float>(1)) ||
           same_parameters(model, random_model<float>(2))));
    for (const auto& entry : std::filesystem::directory_iterator(file.path().parent_path())) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("." + file.path().filename().string() + ".")) {
        std::filesystem::remove(entry.path());
      }
    }
  }
}

TEST_CASE("files: Python's safetensors reads the same names, shapes and numbers") {
  const TemporaryFile file("");
  files::SafetensorsWriter writer;
  writer.describe("format", "pt");
  writer.add("a", "F32", {2, 2}, [] {
    const std::vector<float> values{1, 2, 3, 0.5F};
    return files::bytes_of<float>(values);
  });
  writer.add_values("b", std::vector<double>{0.1});
  writer.add_values("c", std::vector<Eigen::half>{Eigen::half(1.5F)});
  writer.add_values("d", std::vector<std::int64_t>{-7, 8});
  writer.write(file.path());
  const std::string command = "python3 '" + std::string(HEED_TEST_DIR) +
                              "/files/read_safetensors.py' '" + file.path().string() + "'";
  std::FILE* pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string text(10000, ' ');
  text.resize(std::fread(text.data(), 1, text.size(), pipe));
  const int status = ::pclose(pipe);
  if (WEXITSTATUS(status) == 77) {
    WARN("skipped: Python's safetensors or numpy is not installed");
    return;
  }
  CHECK(text ==
        "{'format': 'pt'}\n"
        "a float32 [2, 2] [1.0, 2.0, 3.0, 0.5]\n"
        "b float64 [1] [0.1]\n"
        "c float16 [1] [1.5]\n"
        "d int64 [2] [-7, 8]\n");
}

TEST_CASE("files: sinks are saved as such, and loaded behind a prefix") {
  const TemporaryFile file("");
  nn::MultiHeadAttention<float> model(8, {.heads = 2, .sinks = true});
  scatter(model, 1, 3);
  files::save(model, file.path());
  CHECK(files::Safetensors(file.path()).tensors().at("sinks").shape ==
        std::vector<std::uint64_t>{2});
  auto loaded = model;
  scatter(loaded, 1, 4);
  files::load(loaded, file.path());
  CHECK(same_parameters(model, loaded));
  files::SafetensorsWriter writer;
  files::add_parameters(writer, model, "model.layers.0.self_attn.");
  writer.write(file.path());
  scatter(loaded, 1, 4);
  files::load_torch(loaded, file.path(), {.prefix = "model.layers.0.self_attn."});
  CHECK(same_parameters(model, loaded));
}

TEST_CASE("files: attention and blocks are saved under PyTorch's names, in its shapes") {
  using Attention = nn::MultiHeadAttention<float>;
  const std::map<std::string, std::vector<std::uint64_t>> attention{{"in_proj_weight", {24, 8}},
                                                                    {"in_proj_bias", {24}},
                                                                    {"out_proj.weight", {8, 8}},
                                                                    {"out_proj.bias", {8}}};
  for (const nn::Projection projection : {nn::Projection::fused, nn::Projection::separate}) {
    check_torch(Attention(8, {.heads = 2, .projection = projection}), attention);
  }
  std::map<std::string, std::vector<std::uint64_t>> encoder{
      {"linear1.weight", {12, 8}}, {"linear1.bias", {12}}, {"linear2.weight", {8, 12}},
      {"linear2.bias", {8}},       {"norm1.weight", {8}},  {"norm1.bias", {8}},
      {"norm2.weight", {8}},       {"norm2.bias", {8}}};
  for (const auto& [name, shape] : attention) encoder["self_attn." + name] = shape;
  check_torch(nn::EncoderBlock<float, nn::Relu>(8, nn::torch_block(2, 12)), encoder);
  auto decoder = encoder;
  for (const auto& [name, shape] : attention) decoder["multihead_attn." + name] = shape;
  decoder["norm3.weight"] = decoder["norm3.bias"] = {8};
  check_torch(nn::DecoderBlock<float, nn::Relu>(8, nn::torch_decoder_block(2, 12)), decoder);
  check_torch(
      Attention(8, {.heads = 2, .source_features = 6, .value_features = 5, .add_bias_kv = true}),
      {{"q_proj_weight", {8, 8}},
       {"k_proj_weight", {8, 6}},
       {"v_proj_weight", {8, 5}},
       {"in_proj_bias", {24}},
       {"bias_k", {1, 1, 8}},
       {"bias_v", {1, 1, 8}},
       {"out_proj.weight", {8, 8}},
       {"out_proj.bias", {8}}});
  const TemporaryFile file("old");
  for (const nn::Projection projection : {nn::Projection::fused, nn::Projection::separate}) {
    const Attention grouped(8, {.heads = 4, .kv_heads = 2, .projection = projection});
    CHECK(error_of([&] {
            files::save_torch(grouped, file.path());
          }).find("as many key heads as query heads") != std::string::npos);
  }
  using Options = nn::MultiHeadAttentionOptions;
  const std::map<std::string, Options> foreign{
      {"gate.weight", {.heads = 2, .gate = nn::OutputGate::per_head}},
      {"query_norm.weight", {.heads = 2, .qk_norm = nn::QkNorm::per_head}},
      {"sinks", {.heads = 2, .sinks = true}},
      {"query without output.weight", {.heads = 2, .output_projection = false}}};
  for (auto [why, options] : foreign) {
    for (const nn::Projection projection : {nn::Projection::fused, nn::Projection::separate}) {
      options.projection = projection;
      const std::string said = error_of(
          [&, &wanted = options] { files::save_torch(Attention(8, wanted), file.path()); });
      CHECK(said == "heed::files::save_torch: PyTorch's attention has no place for " + why);
    }
  }
  CHECK(contents(file.path()) == "old");
}
