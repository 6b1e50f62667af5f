// The commands of minilm: each takes the checked arguments and the model, and prints.
#pragma once

#include "models/minilm/command_line.hpp"
#include "models/sentence_encoder.hpp"

namespace heed::models::minilm {

// All throw heed::Error, one line, for a file that cannot be used.
void embed(const CommandLine& line, const SentenceEncoder& encoder);
void similarity(const CommandLine& line, const SentenceEncoder& encoder);
void search(const CommandLine& line, const SentenceEncoder& encoder);
void senses(const CommandLine& line, const SentenceEncoder& encoder);
void heads(const CommandLine& line, const SentenceEncoder& encoder);
void methods(const CommandLine& line, const SentenceEncoder& encoder);
void highlight(const CommandLine& line, const SentenceEncoder& encoder);

}  // namespace heed::models::minilm
