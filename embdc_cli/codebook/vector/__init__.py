"""Codebooks of kind vq: levels of vector quantisation learnt from a corpus, then refined on what the codec makes of it."""
