// The tokens that a token attends to most: the documents' sentence with its true numbers, ties as
// ties.
#include <cmath>
#include <string>
#include <vector>

#include "heed/attention/reference/forward.hpp"
#include "heed/inspect/attends.hpp"
#include "support/catch.hpp"

namespace {

using Eigen::MatrixXd;
using Eigen::MatrixXf;
using heed::inspect::attends_most;
using heed::inspect::attends_text;

const std::vector<std::string> sentence{"the", "cat", "sat", "on", "the", "mat"};

// The documents' hand-made features: noun, verb, article, preposition, rhymes with cat, …
MatrixXf embeddings() {
  MatrixXf x(6, 8);
  x << 0, 0, 1, 0, 0, 0, 1, 0,   // the
      1, 0, 0, 0, 1, 1, 0, 0,    // cat
      0, 1, 0, 0, 1, 0, 0, 1,    // sat
      0, 0, 0, 1, 0, 0, .5F, 0,  // on
      0, 0, 1, 0, 0, 0, 1, 0,    // the
      1, 0, 0, 0, 1, 1, 0, 0;    // mat
  return x;
}

TEST_CASE("the cat sat on the mat, in true numbers") {
  const MatrixXf x = embeddings();
  const auto rows = attends_most(heed::reference::attention(x, x, x).weights);
  REQUIRE(rows.size() == 6);
  CHECK(attends_text(rows[0], sentence) ==
        "'the' (1) attends most to 'the' (1) and 'the' (5), 24.6 % each");
  CHECK(attends_text(rows[1], sentence) == "'cat' attends most to 'cat' and 'mat', 28.3 % each");
  CHECK(attends_text(rows[2], sentence) == "'sat' attends most to 'sat', 33.1 %");
  CHECK(attends_text(rows[3], sentence) == "'on' attends most to 'on', 22.4 %");
  CHECK(attends_text(rows[4], sentence) ==
        "'the' (5) attends most to 'the' (1) and 'the' (5), 24.6 % each");
  CHECK(attends_text(rows[5], sentence) == "'mat' attends most to 'cat' and 'mat', 28.3 % each");
  const auto weights = heed::reference::attention(x, x, x).weights;
  CHECK(weights(2, 1) == Approx(0.163).margin(5e-4));
  CHECK(weights(2, 5) == Approx(0.163).margin(5e-4));
}

TEST_CASE("ties are within the tolerance and in order of position") {
  MatrixXd w(1, 4);
  w << 0.3, 0.1, 0.3 * (1 - 1e-7), 0.299;
  CHECK(attends_most(w)[0].keys == std::vector<heed::Index>{0, 2});
  CHECK(attends_most(w, 0)[0].keys == std::vector<heed::Index>{0});
  CHECK(attends_most(w, 0.01)[0].keys == std::vector<heed::Index>{0, 2, 3});
}

TEST_CASE("an even row, a fully masked row and a NaN row say so") {
  MatrixXd w(4, 4);
  w << .25, .25, .25, .25, 0, 0, 0, 0, .5, std::nan(""), .5, 0, .5, .5, 0, 0;
  const auto rows = attends_most(w);
  const std::vector<std::string> abcd{"a", "b", "c", "d"};
  CHECK(attends_text(rows[0], abcd) == "'a' attends equally to all 4 tokens it sees, 25.0 % each");
  CHECK(attends_text(rows[1], abcd) == "'b' attends to nothing");
  CHECK(attends_text(rows[2], abcd) == "'c' has a NaN among its weights");
  CHECK(attends_text(rows[3], abcd) == "'d' attends most to 'a' and 'b', 50.0 % each");
}

TEST_CASE("queries and keys may be different sentences; a missing token is an error") {
  MatrixXd w(1, 2);
  w << 0.2, 0.8;
  const auto rows = attends_most(w);
  CHECK(attends_text(rows[0], {"chat"}, {"the", "cat"}) == "'chat' attends most to 'cat', 80.0 %");
  CHECK_THROWS_WITH(attends_text(rows[0], {"chat"}),
                    "heed::inspect::attends_text: position 1 but only 1 tokens");
  CHECK(attends_text(rows[0], {"a\x1b"}, {"the", "c\nt"}) ==
        "'a\xEF\xBF\xBD' attends most to 'c\xEF\xBF\xBDt', 80.0 %");
  CHECK(attends_most(MatrixXd(0, 3)).empty());
}

}  // namespace
