"""Tracks to symbols and back, in order: `reference.py` defines it, `cpu.py` compiles the same loops."""
