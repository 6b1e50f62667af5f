#include "heed/softmax/dense.hpp"

#include <cmath>
#include <numeric>
#include <vector>

#include "support/catch.hpp"

using heed::mask_if;
using heed::softmax::dense;

TEST_CASE("the softmax of known scores") {
  std::vector<double> scores = {0.0, std::log(2.0), std::log(5.0)};
  CHECK(dense(scores.data(), 3) == Approx(std::log(8.0)).epsilon(1e-14));
  CHECK(scores[0] == Approx(1.0 / 8).epsilon(1e-14));
  CHECK(scores[1] == Approx(2.0 / 8).epsilon(1e-14));
  CHECK(scores[2] == Approx(5.0 / 8).epsilon(1e-14));
}

TEST_CASE("weights of a row sum to 1, whatever is added to all its scores") {
  for (const float shift : {-1e4f, -50.0f, 0.0f, 50.0f, 1e4f}) {
    std::vector<float> scores(1000);
    for (std::size_t n = 0; n < scores.size(); ++n) {
      scores[n] = mask_if(n % 5 == 0, shift + static_cast<float>(n % 7));
    }
    dense(scores.data(), 1000);
    CAPTURE(shift);
    CHECK(std::accumulate(scores.begin(), scores.end(), 0.0) == Approx(1).epsilon(1e-5));
    for (std::size_t n = 0; n < scores.size(); n += 5) CHECK(scores[n] == 0.0f);
  }
}

TEST_CASE("one key has weight 1, and its score is the lse") {
  float score = -3.25f;
  CHECK(dense(&score, 1) == -3.25f);
  CHECK(score == 1.0f);
}

TEST_CASE("a dense row that sees no key keeps weights of 0") {
  std::vector<double> scores(3, mask_if(true, 0.0));
  CHECK(heed::is_masked(dense(scores.data(), 3)));
  CHECK(scores == std::vector<double>(3, 0.0));
}
