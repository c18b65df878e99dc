"""Makes `embdc_cli/codec/vq/gaussian_tables.py`: codebooks for vectors of 8 Gaussian numbers, one for each stage.

    python tests/bench/make_gaussian_codebooks.py > embdc_cli/codec/vq/gaussian_tables.py

Stage s codes what the stages before it left, in units of 2^(OFFSETS[s] / 4) / 32 deviations of the original numbers.
k-means on a sample gives the codewords; integers as they are stored give what is left for the next stage.
"""

from __future__ import annotations

import base64
import sys
import zlib

import numpy as np

from embdc_cli.codec.k_means import k_means, nearest

WIDTH, CODEWORDS, OFFSETS, UNIT = 8, 256, (0, -3, -7, -10), 32
VECTORS, ROUNDS = 1 << 18, 60
COLUMNS = 110


def main() -> None:
    rng = np.random.default_rng(20261122)
    left = rng.standard_normal((VECTORS, WIDTH)).astype(np.float32)
    stages = []
    for offset in OFFSETS:
        scale = np.float32(2 ** (offset / 4) / UNIT)
        codewords = np.clip(np.rint(k_means(left, CODEWORDS, rng, ROUNDS) / scale), -127, 127).astype(np.int8)
        codewords = codewords[np.lexsort(codewords.T)]
        stages.append(codewords)
        centres = codewords.astype(np.float32) * scale
        left = left - centres[nearest(left, centres)]
        print(f"offset {offset}: {float((left**2).mean()):.4f} of the variance is left", file=sys.stderr)
    text = base64.b85encode(zlib.compress(np.stack(stages).tobytes(), 9)).decode()
    print('"""Codebooks of `gaussian`: made by tests/bench/make_gaussian_codebooks.py, never changed."""')
    print("\nfrom __future__ import annotations\n\nCODEWORDS = (")
    for start in range(0, len(text), COLUMNS):
        print(f'    "{text[start : start + COLUMNS]}"')
    print(")")


if __name__ == "__main__":
    main()
