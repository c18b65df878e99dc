"""The transform codec: tokens to integer codes to bytes, by one of three chains of stages for each token group.

    normalise, KLT over channels, DCT along time, dead zone, planes
    normalise, mixture of KLTs and DCTs along tracks, rounding by rate and planes, or a trellis and its paths
    normalise, sticky codes, time contexts: for sparse maps

`fit` says which, for any step; `models` holds the choice, `codec` applies it to chunks.
"""
