"""Video codecs as tensor codecs: channels as luma planes through H.264, H.265 or AV1.

    normalise -> rotation (none, KLT, `hadamard`) -> `samples`: round to nearest, tile into frames, video codec

hadamard   incoherence processing: outliers spread over all channels
levels     values to the 8 or 10 bits of a sample: a step, and per channel a coarser scale and a zero point
tiling     where every sample lies in the frames
stream     the parameters of a bitstream; backend, software, nvidia: who codes it
samples    the quantiser: its codes are the samples that the decoder of the bitstream gives
fit        which rotation, layout and prediction, by measurement

Source: LLM.265, "Video Codecs are Secretly Tensor Codecs", MICRO 2025.
"""
