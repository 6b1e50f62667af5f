// Some texts by the reference implementation: fixtures/minilm.json, see make_fixtures.py.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace heed::models::test {

struct Fixture {
  std::string name;
  std::string text;
  std::size_t max_tokens = 0;
  std::vector<int> ids;
  std::vector<float> embedding;  // [384], of length 1
};

// The inside of the model on one sentence.
struct InsideFixture {
  std::string text;
  std::vector<std::string> tokens;
  std::size_t token = 0;
  std::vector<float> token_embedding;                                           // [384], last layer
  std::map<std::size_t, std::vector<std::vector<std::vector<float>>>> weights;  // layer: [H, L, L]
};

const std::vector<Fixture>& fixtures();
const InsideFixture& inside_fixture();

}  // namespace heed::models::test
