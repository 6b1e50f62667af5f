// Closes what alone.inl opened.
}  // namespace HEED_ALONE::alone
}  // namespace HEED_ABI
}  // namespace heed::simd
#pragma GCC diagnostic pop
