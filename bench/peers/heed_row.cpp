// heed's side of the table against its peers.
//
//   heed_row --list         the rows as a JSON array
//   heed_row NAME...        measures each row; one line of JSON a row
//   heed_row --serve        reads lines "NAME SECONDS", answers each with one such line
#include <cstring>
#include <functional>
#include <iostream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "support/measure.hpp"
#include "support/operands.hpp"
#include "support/peak.hpp"
#include "support/program.hpp"
#include "support/training.hpp"
#if defined(HEED_BENCH_MINILM)
#include "minilm/encoder.hpp"
#endif

namespace {

namespace mask = heed::mask;
namespace score = heed::score;
using heed::bench::Modifier;
using heed::bench::Pattern;
using heed::bench::Row;
using heed::bench::Type;

const char* name_of(Pattern pattern) {
  switch (pattern) {
    case Pattern::full:
      return "full";
    case Pattern::causal:
      return "causal";
    case Pattern::window:
      return "window";
    case Pattern::causal_window:
      return "causal_window";
    case Pattern::padding:
      break;
  }
  return "padding";
}

// One JSON object on one line; texts hold nothing that JSON escapes.
class Object {
 public:
  Object& text(const char* key, std::string_view value) {
    return raw(key, '"' + std::string(value) + '"');
  }
  template <class Number>
  Object& number(const char* key, Number value) {
    std::ostringstream digits;
    digits.precision(9);
    digits << value;
    return raw(key, digits.str());
  }
  Object& raw(const char* key, const std::string& value) {
    members_ += (members_.empty() ? "" : ", ") + ('"' + std::string(key) + "\": ") + value;
    return *this;
  }
  std::string str() const { return '{' + members_ + '}'; }

 private:
  std::string members_;
};

void list() {
  const char* separator = "[";
  for (const Row& row : heed::bench::rows) {
    if (!row.peers) continue;
    Object object;
    object.text("name", row.name).text("question", row.question);
    object.number("B", row.B).number("Hq", row.Hq).number("Hkv", row.Hkv);
    object.number("Lq", row.Lq).number("Lk", row.Lk).number("D", row.D).number("Dv", row.Dv);
    object.text("pattern", name_of(row.pattern)).number("window", Row::window_size);
    object.number("bias", row.modifier == Modifier::bias);
    object.number("bf16", row.type == Type::bf16).number("threads", row.threads);
    object.number("flops", heed::bench::useful_flops(row));
    object.number("goal", heed::bench::goal_of(row));
    std::cout << separator << object.str();
    separator = ",\n";
  }
  for (const heed::bench::TrainingRow& row : heed::bench::training_rows) {
    if (!row.peers) continue;
    Object object;
    object.text("name", row.name).text("question", "training").number("B", row.B);
    object.number("L", row.L).number("features", row.features).number("heads", row.heads);
    object.number("layers", row.layers).number("dropout", row.dropout);
    object.number("threads", row.threads).number("flops", useful_flops(row));
    object.number("goal", 0).number("bf16", 0);
    std::cout << separator << object.str();
  }
  std::cout << "]\n";
}

struct Measured {
  double seconds;
  double fma_flops;    // a second, by the FMA loop beside it
  double read_bytes;   // a second, by the read loop beside it; only for decode
  double extra_bytes;  // that the process grew by during a call
  std::string isa;
  std::vector<float> probe;  // eight values of the result
};

// Eight values spread evenly over the result, first and last among them.
template <class T>
std::vector<float> probe(const T* data, std::size_t size) {
  std::vector<float> values;
  for (std::size_t n = 0; n < 8; ++n) {
    values.push_back(static_cast<float>(data[n * (size - 1) / 7]));
  }
  return values;
}

// The gradients; d_q is probed.
template <class T, class M, class S>
Measured measure_backward(const Row& row, double seconds, const M& seen, const S& modify) {
  heed::bench::BackwardOperands<T> operands(row);
  const auto call = [&] { operands.differentiate(row.threads, seen, modify); };
  const heed::bench::FmaLoop fma(row.type, row.threads);
  const double extra = heed::bench::extra_memory(call);
  const auto best =
      heed::bench::alternate({call, fma}, {.seconds = seconds, .one_thread = row.threads == 1});
  const auto& d_q = operands.gradients.d_q;
  return {best[0], fma.flops() / best[1], 0,
          extra,   operands.report.isa,   probe(d_q.data(), static_cast<std::size_t>(d_q.size()))};
}

template <class T, class M, class S>
Measured measure(const Row& row, double seconds, const M& seen, const S& modify) {
  if (row.question == "backward") return measure_backward<T>(row, seconds, seen, modify);
  heed::bench::Operands<T> operands(row);
  const auto call = [&] { operands.attend(row.threads, seen, modify); };
  const bool decode = row.question == "decode";
  const heed::bench::FmaLoop fma(row.type, row.threads);
  heed::bench::Turns turns{.seconds = seconds, .one_thread = row.threads == 1};
  std::vector<std::function<void()>> contestants{call, fma};
  std::unique_ptr<heed::bench::ReadLoop> read;
  if (decode) {
    read = std::make_unique<heed::bench::ReadLoop>(row.threads,
                                                   heed::bench::swept_bytes(heed::bench::quick()));
    contestants.emplace_back([&] { (*read)(); });
    turns.slice = 0;  // the sweep empties the caches, so one call a turn
  }
  const double extra = heed::bench::extra_memory(call);
  const auto best = heed::bench::alternate(contestants, turns);
  const auto& out = operands.result.out;
  return {best[0], fma.flops() / best[1], decode ? read->bytes() / best[2] : 0,
          extra,   operands.report.isa,   probe(out.data(), static_cast<std::size_t>(out.size()))};
}

template <class T>
Measured measure(const Row& row, double seconds) {
  if (row.pattern == Pattern::causal)
    return measure<T>(row, seconds, mask::causal(), score::None{});
  return measure<T>(row, seconds, mask::None{}, score::None{});
}

Measured measure_row(const Row& row, double seconds) {
  using mask::operator&;
  if (row.type == Type::bf16) return measure<heed::BFloat16>(row, seconds);
  if (row.pattern == Pattern::causal_window) {
    return measure<float>(row, seconds, mask::causal() & mask::window(Row::window_size),
                          score::None{});
  }
  if (row.modifier == Modifier::bias) {
    const auto added = heed::bench::numbers<float>(4, 1, 1, row.Lq, row.Lk);
    return measure<float>(row, seconds, mask::None{}, score::bias(added));
  }
  return measure<float>(row, seconds);
}

#if defined(HEED_BENCH_MINILM)
Measured measure_encoder(const heed::bench::EncoderRow& row, double seconds) {
  static const heed::bench::Encoder encoder;
  const auto hidden = encoder(row, 1);
  const double extra = heed::bench::extra_memory([&] { encoder(row, 1); });
  const auto best =
      heed::bench::alternate({[&] { encoder(row, 1); }}, {.seconds = seconds, .one_thread = true});
  // The last row of padded sentences means nothing, so the probe stays in the last one's start.
  return {best[0], 0, 0, extra, "", probe(hidden.data() + encoder.last_sentence(row), 384)};
}
#endif

// Steps; the loss is probed.
Measured measure_training(const heed::bench::TrainingRow& row, double seconds) {
  heed::train::keep_freed_memory();
  heed::bench::TrainingStep step(row);
  const heed::bench::FmaLoop fma(Type::f32, row.threads);
  // Between steps both sides hold the model, its moments and its gradients; the first step is
  // apart, as it makes some of them.
  double loss = step();
  const double extra = heed::bench::extra_memory([&] { step(), step(); });
  const auto best = heed::bench::alternate({[&] { step(); }, fma},
                                           {.seconds = seconds, .one_thread = row.threads == 1});
  return {best[0], fma.flops() / best[1], 0, extra, "", {static_cast<float>(loss)}};
}

Measured measure_name(const std::string& name, double seconds) {
  for (const Row& row : heed::bench::rows) {
    if (row.name == name) {
      return measure_row(heed::bench::quick() ? heed::bench::shrunk(row) : row, seconds);
    }
  }
  for (const heed::bench::TrainingRow& row : heed::bench::training_rows) {
    if (row.name == name) {
      return measure_training(heed::bench::quick() ? shrunk(row) : row, seconds);
    }
  }
#if defined(HEED_BENCH_MINILM)
  for (const heed::bench::EncoderRow& row : heed::bench::encoder_rows) {
    if (row.name == name) return measure_encoder(row, seconds);
  }
#endif
  throw std::runtime_error("there is no row " + name);
}

std::string list_of(const std::vector<float>& values) {
  std::ostringstream text;
  text.precision(9);
  for (std::size_t n = 0; n < values.size(); ++n) text << (n > 0 ? ", " : "[") << values[n];
  return text.str() + "]";
}

// The name of a row, or that of the shape that runs in its place.
std::string shown_name(const std::string& name) {
  for (const Row& row : heed::bench::rows) {
    if (row.name == name && heed::bench::quick()) {
      return heed::bench::name_of(row, heed::bench::shrunk(row));
    }
  }
  return name;
}

// One line of JSON, whatever happens; whether the row could be measured.
bool answer(const std::string& name, double seconds) {
  Object object;
  object.text("name", shown_name(name));
  bool measured_it = false;
  try {
    const Measured measured = measure_name(name, seconds);
    object.number("seconds", measured.seconds).number("fma", measured.fma_flops);
    object.number("read", measured.read_bytes).number("extra", measured.extra_bytes);
    object.text("how", measured.isa).raw("probe", list_of(measured.probe));
    measured_it = true;
  } catch (const std::exception& error) {
    object.text("error", error.what());
  }
  std::cout << object.str() << std::endl;
  return measured_it;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--list") == 0) {
    list();
  } else if (argc == 2 && std::strcmp(argv[1], "--serve") == 0) {
    for (std::string line; std::getline(std::cin, line);) {
      std::istringstream words(line);
      std::string name;
      double seconds = 0;
      words >> name >> seconds;
      answer(name, seconds);
    }
  } else {
    const double seconds = heed::bench::Turns::from_environment(1).seconds;
    bool all = true;
    for (int n = 1; n < argc; ++n) all = answer(argv[n], seconds) && all;
    return all ? 0 : 1;
  }
}
