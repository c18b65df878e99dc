"""The lossless codec: every bit pattern back, in the smallest of a few rearrangements per chunk."""
