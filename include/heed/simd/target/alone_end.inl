// Closes what alone.inl opened.
}  // namespace heed::simd::alone
#pragma GCC diagnostic pop
