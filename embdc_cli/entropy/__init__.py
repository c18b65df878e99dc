"""Integers to bytes and back: static tables per class, interleaved rANS, raw bits; the same bytes on every machine.

`levels` is the coder that codecs use (signed integers with a class each); it splits them into table symbols for `rans`
and raw bits for `bits`. `tables` says what a class is. Kernels come as a numpy definition (`reference.py`) and a
compiled twin (`cpu.py`), chosen in `backend.py`; some have a third (`cuda.py`) that takes and gives tensors on a CUDA
device, of many chunks at once, and `cuda` says whether it can run. Nothing here knows of streams, chunks or bases.
"""
