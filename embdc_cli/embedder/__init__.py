"""Embedders: networks (and one cosine transform) that turn video frames into token vectors; `open` chooses one."""
