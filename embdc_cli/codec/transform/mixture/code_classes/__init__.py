"""The class of every code, spread from its plane and its track: `reference.py` defines it, `cpu.py` compiles it."""
