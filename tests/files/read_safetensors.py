"""Reads a file with Python's safetensors and prints each tensor's name, type, shape and numbers.

Returns 77 where that package or numpy is not installed.
"""

import sys

try:
    from safetensors import safe_open
    import numpy  # safe_open gives numpy's arrays
except ImportError:
    sys.exit(77)

with safe_open(sys.argv[1], framework="np") as file:
    print(file.metadata())
    for name in sorted(file.keys()):
        tensor = file.get_tensor(name)
        print(name, tensor.dtype, list(tensor.shape), tensor.flatten().tolist())
