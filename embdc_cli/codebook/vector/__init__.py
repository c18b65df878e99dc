"""Codebooks of kind vq: levels of codewords learnt from a corpus, then refined on what the codec makes of it."""
