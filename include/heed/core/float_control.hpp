// The floating-point control of a thread: rounding mode, flush-to-zero, traps. Exception flags are
// not part of it.
//
// A worker of a pool has the settings of the day it was started. It takes those of its caller for
// the length of a job, so that bits do not depend on who computes them.
#pragma once

#include <cstdint>

#include "heed/core/abi.hpp"

#if !defined(__GNUC__) || !(defined(__SSE2__) || defined(__aarch64__))
#include <cfenv>
#endif

namespace heed {

inline namespace HEED_ABI {

#if defined(__SSE2__) && defined(__GNUC__)
using FloatControl = std::uint32_t;  // of MXCSR

inline constexpr FloatControl raised_flags = 0x3f;

inline FloatControl float_control() { return __builtin_ia32_stmxcsr() & ~raised_flags; }
inline void set_float_control(FloatControl control) {
  __builtin_ia32_ldmxcsr((__builtin_ia32_stmxcsr() & raised_flags) | control);
}
#elif defined(__aarch64__) && defined(__GNUC__)
using FloatControl = std::uint64_t;  // FPCR, which holds nothing else

inline FloatControl float_control() {
  FloatControl control = 0;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  return control;
}
inline void set_float_control(FloatControl control) {
  asm volatile("msr fpcr, %0" : : "r"(control));
}
#else
using FloatControl = int;  // the rounding mode

inline FloatControl float_control() { return std::fegetround(); }
inline void set_float_control(FloatControl control) { std::fesetround(control); }
#endif

// Sets this thread's settings for a scope. Costs a comparison where they are the same already.
class FloatControlScope {
 public:
  explicit FloatControlScope(FloatControl control)
      : before_(float_control()), changed_(control != before_) {
    if (changed_) set_float_control(control);
  }
  FloatControlScope(const FloatControlScope&) = delete;
  FloatControlScope& operator=(const FloatControlScope&) = delete;
  ~FloatControlScope() {
    if (changed_) set_float_control(before_);
  }

 private:
  FloatControl before_;
  bool changed_;
};

}  // namespace HEED_ABI
}  // namespace heed
