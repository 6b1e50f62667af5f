// The speed of many calls on short sequences.
#include "support/program.hpp"

int main(int argc, char** argv) {
  return heed::bench::run_rows(argc, argv, "short", heed::bench::measure_forward<float>);
}
