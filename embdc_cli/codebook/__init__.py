"""Codebooks: what one corpus teaches about an encoder, kept in a `.embdcb` file beside the archives that use it."""
