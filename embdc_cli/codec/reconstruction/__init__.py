"""What a decoder adds to dequantised tokens: a network of a codebook, which looks at tokens and their past and future.

network     the network: what it sees, what it says, its bytes
stage       the stage of a chain that runs it
strength    whether a segment wants it, and how much of it
"""
