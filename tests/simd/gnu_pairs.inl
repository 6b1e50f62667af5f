// The operations that pairs.inl and tiles.inl ask of their includer, in GNU vectors.

HEED_INLINE Vec<float> round_pairs(Vec<float> low, Vec<float> high) {
  Array<BFloat16, 2 * vl<float>> both;
  store_as<float>(low, both);
  store_as<float>(high, both + vl<float>);
  return *reinterpret_cast<const typename Register<float, vl<float>>::unaligned*>(both);
}
