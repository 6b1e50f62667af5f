"""The numbers of a row, as bench/support/operands.hpp makes them."""

import numpy as np


def numbers(seed, *shape):
    with np.errstate(over="ignore"):
        x = np.arange(np.prod(shape), dtype=np.uint32) + np.uint32(seed * 0x9E3779B9 % 2**32)
        x *= np.uint32(0x85EBCA6B)
        x = (x ^ (x >> np.uint32(15))) * np.uint32(0xC2B2AE35)
        x ^= x >> np.uint32(13)
    unit = (x >> np.uint32(8)).astype(np.float32) * np.float32(2**-23) - np.float32(1)
    return (unit * np.float32(1.7320508)).reshape(shape)


def qkv(row):
    """q [B, Hq, Lq, D], k [B, Hkv, Lk, D], v [B, Hkv, Lk, Dv]"""
    return (numbers(1, row["B"], row["Hq"], row["Lq"], row["D"]),
            numbers(2, row["B"], row["Hkv"], row["Lk"], row["D"]),
            numbers(3, row["B"], row["Hkv"], row["Lk"], row["Dv"]))


def d_out(row):
    return numbers(5, row["B"], row["Hq"], row["Lq"], row["Dv"])


def bias(row):
    return numbers(4, 1, 1, row["Lq"], row["Lk"])


def allowed(row):
    """The mask [Lq, Lk] of a causal window."""
    i = np.arange(row["Lq"])[:, None] + row["Lk"] - row["Lq"]
    j = np.arange(row["Lk"])[None, :]
    return (j <= i) & (j >= i - row["window"])


def probe(out):
    """Eight values spread evenly over a result, first and last among them."""
    flat = np.asarray(out).reshape(-1)
    return [float(flat[n * (flat.size - 1) // 7]) for n in range(8)]


# bench/minilm/encoder.hpp: name, sentences, shortest and longest in tokens
ENCODER_ROWS = [("minilm_64_short", 64, 6, 16), ("minilm_512", 1, 512, 512)]


def sentences(name):
    """ids [B, L] padded with 0, lengths [B]"""
    _, count, shortest, longest = next(row for row in ENCODER_ROWS if row[0] == name)
    lengths = np.array([shortest + 7 * s % (longest - shortest + 1) for s in range(count)],
                       dtype=np.int32)
    s, place = np.arange(count)[:, None], np.arange(longest)[None, :]
    ids = 1000 + (7919 * s + 104729 * place) % 28000
    return np.where(place < lengths[:, None], ids, 0).astype(np.int32), lengths
