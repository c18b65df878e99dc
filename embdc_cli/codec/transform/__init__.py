"""The transform codec: normalise, KLT over channels, DCT along time, dead-zone quantiser, entropy-coded planes."""
