// What pairs.inl and tiles.inl ask of their includer, in GNU vectors.

HEED_INLINE Vec<float> round_pairs(Vec<float> low, Vec<float> high) {
  Array<BFloat16, 2 * width<float>> both;
  narrow<float>(low, both);
  narrow<float>(high, both + width<float>);
  return *reinterpret_cast<const typename Register<float, width<float>>::unaligned*>(both);
}
