"""Mixture of KLTs: tokens fall into tracks, runs of rows of one token, and every track into a mode with its own KLT.

Read in this order: `tracks` (what a track is), `modes` (what a mode is), `stage` (tokens to coefficients and back),
`track_planes` (coefficients to bytes); then the encoder's side: `search` (which tracks, which modes), `learning` (modes
from a sample), `mixture_fit` (how many modes pay at a step). Decoders need the first four only.
"""
