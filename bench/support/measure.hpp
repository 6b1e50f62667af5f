// Contestants take turns: on a machine that others use too, whoever runs longer meets the same
// disturbance, and the best slice of each is what it can do.
#pragma once

#include <functional>
#include <vector>

namespace heed::bench {

// HEED_BENCH_QUICK in the environment: the shapes are shrunk and everything runs once.
bool quick();

struct Turns {
  double seconds = 0.6;  // for all contestants together; HEED_BENCH_SECONDS overrides it
  double slice = 0.015;  // a turn is as many calls as take this long; 0: one call
  // Work on the calling thread alone is timed by its processor seconds, to which other
  // programs on the machine add little; what runs on several, by the clock on the wall.
  bool one_thread = false;
  // The median of the turns, not the best: memory that others use too is now and then twice as fast
  // for a moment, which the best of one contestant meets and the best of another does not.
  bool median = false;

  static Turns from_environment(int threads);
};

// The seconds of one call of each contestant, its best; each runs at least once, short calls eight
// times even where a long one has used up the time.
//   before  is called ahead of each turn and not timed
std::vector<double> alternate(const std::vector<std::function<void()>>& contestants,
                              const Turns& turns, const std::function<void()>& before = {});

// By how many bytes the process grew during the call, at its largest; 0 where it cannot be known.
double extra_memory(const std::function<void()>& call);

// Bytes of the process that lie in pages of 2 MiB; 0 where it cannot be known. A system with none
// left gives small pages to those who ask for large ones.
double large_page_memory();

}  // namespace heed::bench
