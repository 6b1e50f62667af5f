// The stops of the tour. Each prints what it shows and writes its pictures into a folder.
#pragma once

#include <filesystem>
#include <heed/core/eigen.hpp>
#include <string>
#include <vector>

namespace tour {

struct Sentence {
  std::vector<std::string> tokens;
  Eigen::MatrixXf embeddings;  // a row a token
};

// "the cat sat on the mat", its embeddings made by hand.
const Sentence& cat_sentence();

void hand_computed_case();                                      // three tokens, by hand and exactly
void sentence(const std::filesystem::path& folder);             // the cat sat on the mat
void layers(const std::filesystem::path& folder);               // layers.png, an animation
void mask_pictures(const std::filesystem::path& folder);        // attention_masks.png
void every_mask(const std::filesystem::path& folder);           // every_mask.png
void position_pictures(const std::filesystem::path& folder);    // position_encodings.png
void every_encoding(const std::filesystem::path& folder);       // every_encoding.png
void head_pictures(const std::filesystem::path& folder);        // attention_heads.png
void compare_pictures(const std::filesystem::path& folder);     // compare_attention_patterns.png
void every_approximation(const std::filesystem::path& folder);  // every_approximation.png
void gradients(const std::filesystem::path& folder);            // gradient_flow.png
void cost();                                                    // operations and memory by length
void debug_report();                                            // a call looked at from inside

void headline(const std::string& text);
void saved(const std::filesystem::path& file);

}  // namespace tour
