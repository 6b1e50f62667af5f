// A file that fills options links without the header of a call.
#include <heed/attention/options.hpp>

int main() {
  heed::Options options;
  options.compute = heed::Compute::bfloat16;
  return options.compute == heed::Compute::half ? 1 : 0;
}
