// expect: heed needs FLT_EVAL_METHOD 0.*-mfpmath=sse
// expect: heed needs FLT_EVAL_METHOD 0.*-mfpmath=sse
// The macros of g++ -m32 and -mfpmath=387; neither has headers everywhere.
#if HEED_WRONG == 1
#undef __FLT_EVAL_METHOD__
#define __FLT_EVAL_METHOD__ 2
#elif HEED_WRONG == 2
#undef __FLT_EVAL_METHOD__
#define __FLT_EVAL_METHOD__ 1
#endif
#include "heed/core/elementary.hpp"

int main() { return static_cast<int>(heed::tanh_of(0.0F)); }
