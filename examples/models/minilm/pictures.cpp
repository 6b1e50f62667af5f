#include "models/minilm/commands.hpp"
namespace heed::models::minilm {
void heads(const CommandLine&, const SentenceEncoder&) {}
void highlight(const CommandLine&, const SentenceEncoder&) {}
}
