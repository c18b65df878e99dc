"""Codecs: chains of typed stages between arrays of embeddings and the bytes of a chunk. Read `stage` first."""
