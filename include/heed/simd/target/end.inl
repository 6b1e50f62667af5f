// Ends what begin.inl began.
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef HEED_PRAGMA
#undef HEED_PRAGMA_
#undef HEED_TARGET
