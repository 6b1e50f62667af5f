// Approximations beside exact attention, by length: time, error, memory, and the
// length from which they are faster.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "support/program.hpp"
#include "support/tokens.hpp"

namespace heed::bench {

struct Method {
  using Call = std::function<Tensor4<float>()>;

  std::string name;
  bool causal;                                 // and compared with exact attention that is
  std::function<Call(const Tokens&)> prepare;  // what a user would do once is not in the call
};

class Activation {
 public:
  void add(Method method) { methods_.push_back(std::move(method)); }

  // A row for each method and length, <name>/<length>, and one for the length at which it begins to
  // pay, <name>/crossing.
  void register_rows(const std::vector<Index>& lengths, Index longest_crossing);

  // All that was measured, as a table in Markdown: a length's column has the time of exact
  // attention by the method's, then its relative error where attention is sharp / soft; the memory
  // is that besides the result.
  void print() const;

 private:
  // One length under one mask.
  struct Case {
    Case(Index L, bool causal);

    Tokens sharp, soft;
    bool causal;
    Tensor4<float> exact_sharp, exact_soft;
    double seconds;  // the best of exact attention so far
  };

  struct Point {
    double gain, sharp, soft, bytes;
  };

  Case& case_of(Index L, bool causal);
  Point measure(const Method& method, Index L);
  // 0 where the method is slower even at the longest.
  Index crossing(const Method& method, Index longest);

  std::deque<Method> methods_;
  std::map<std::string, std::map<Index, Point>> points_;
  std::map<std::string, Index> crossings_;
  std::unique_ptr<Case> case_;  // the last one
};

}  // namespace heed::bench
