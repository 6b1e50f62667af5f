// Functions until end.inl may use the instructions that HEED_TARGET names.
#define HEED_PRAGMA_(text) _Pragma(#text)
#define HEED_PRAGMA(text) HEED_PRAGMA_(text)
#if defined(__clang__)
HEED_PRAGMA(clang attribute push(__attribute__((target(HEED_TARGET))), apply_to = function))
#else
HEED_PRAGMA(GCC push_options)
HEED_PRAGMA(GCC target(HEED_TARGET))
#endif
