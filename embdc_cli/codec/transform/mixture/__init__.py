"""Mixture of KLTs: tokens fall into tracks, runs of rows of one token, and every track into a mode with its own KLT.

Read in this order: `tracks` (what a track is), `modes` (what a mode is; its integers in `entries`), `stage` (tokens to
coefficients and back), `cutting` with `walk` and `motion` (a chunk's side information: tracks and their activities),
`rate_rounding` and `track_planes` (coefficients to codes to bytes) or `trellis_points` and `track_paths` in their
stead; then the encoder's side: `search` (which tracks, which modes), `columns` (the sample), `learning` (modes from
it), `mixture_fit` (how many modes pay at a step).
"""
