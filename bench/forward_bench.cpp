// Exact attention against the processor's own limit.
#include "support/program.hpp"

int main(int argc, char** argv) {
  return heed::bench::run_rows(argc, argv, "forward", heed::bench::measure_forward<float>);
}
