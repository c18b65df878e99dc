"""Decoding and encoding on a device: what the stages of the transform codec do there, in torch, chunk by chunk.

Where what is done, when a slice is decoded on a device:

    every stage that takes an array        on the device (`chain.inverse_of`)
    codes of planes and of tracks, codes   on the device where Triton runs (`plane_coders`, `context_coder`), else as
    under time contexts                    those that follow
    codes of vq, bitstreams of video       on the CPU, in threads (`coders`); they are copied to the device
    lossless chunks                        on the CPU, and copied
    exact values, tracks, flags of planes, read on the CPU, and used on the device
    scales of tokens

A chunk is always decoded whole and by itself: the shape of every product follows from the chunk alone, so that a value
does not depend on what else was asked for. Products are in float32 throughout (`precision`). Before the cast to the
storage type values agree with those of the CPU within 1/64 of the rms of the quantisation step in each chunk; codes are
the same integers.

When a chunk is encoded on a device (`encoder`):

    every stage that takes an array and    on the device (`forwards.forward_of`)
    gives codes, of the stages there
    tracks of a mixture, side information, on the CPU, between
    records of exact values
    codes of planes and of tracks of a     on the device where Triton runs, of a batch of chunks (`packing`), with their
    mixture                                CRC-32; else on the CPU, in threads, where codes come in as few bytes as fit
    errors of what a decoder gives         on the device (`distortion`), which decodes its codes as above

Of the same coefficients the codes are those of the CPU, and of the same codes the bytes; coefficients differ in the
last bits, so that some fall to the other side of an edge. Chunks whose chain has another stage are encoded by the CPU
(`forwards`): those of efforts 2 and 3, of vq and video codecs, and maps full of zeros.
"""
