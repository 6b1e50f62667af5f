// Short texts of two classes: tweets that people found negative or positive, or made sentences.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace sentences {

struct Texts {
  std::vector<std::string> texts;
  std::vector<int> labels;  // 0 negative, 1 positive
};

// `each` texts of each class from a table with the columns sentiment, confidence and text, drawn
// from the rows with a confidence of at least 0.6. Of texts that differ only in links, names and
// punctuation the first counts, so that none is both learnt and held out. Throws heed::Error where
// there are too few.
Texts read_tweets(const std::filesystem::path& file, std::size_t each);

// "this film was not very good", positive where the word is, but for a "not": each of the 128
// sentences once, shuffled.
Texts made_texts();

// Every fifth text is held out.
struct Split {
  Texts train, held_out;
};
Split split(const Texts& all);

// Lower-case words of letters, digits and apostrophes; "!" and "?" are words.
std::vector<std::string> words_of(std::string_view text);

}  // namespace sentences
