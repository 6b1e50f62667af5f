// From text to the words that WordPiece cuts, as BERT's uncased models were trained to see it.
//
// In this order: control characters go and every kind of space becomes one; CJK ideographs stand
// alone; canonical decomposition, then accents (category Mn) go; lower case, one character at a
// time; words end at spaces, and each punctuation character is a word of its own. Properties and
// decompositions are utf8proc's, so characters newer than its Unicode version count as unassigned.
// Devlin et al., BERT (2018), section 3; the order is the reference implementation's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace heed::models {

// The words of valid UTF-8, in order. Memory and time are O(text).
std::vector<std::u32string> bert_words(std::string_view text);

}  // namespace heed::models
