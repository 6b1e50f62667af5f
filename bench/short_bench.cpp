// What is left of the speed where the sequences are short and the calls many?
#include "support/program.hpp"

int main(int argc, char** argv) {
  return heed::bench::run_rows(argc, argv, "short", heed::bench::measure_forward<float>);
}
