// From text to the words that WordPiece cuts, as BERT's uncased models were trained to see it.
//
// In this order: control characters go and every kind of space becomes one; CJK ideographs stand
// alone; canonical decomposition, then accents (category Mn) go; lower case, one character at a
// time; words end at spaces, and each punctuation character is a word of its own. Properties and
// decompositions are utf8proc's, whose Unicode is newer than that of Hugging Face's tokenizers: a
// character that only the newer one knows is cut or stripped here and a plain letter there.
// Devlin et al., BERT (2018), section 3; the order is the reference implementation's.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace heed::models {

// Hands the words of valid UTF-8 to `visit`, in order, until it returns false. Of a word of more
// than `longest` characters the first longest + 1 come. Memory is O(longest), however long the
// text.
void each_bert_word(std::string_view text, std::size_t longest,
                    const std::function<bool(const std::u32string& word)>& visit);

// All of them, whole. Memory and time are O(text).
std::vector<std::u32string> bert_words(std::string_view text);

}  // namespace heed::models
