"""Learning the network of a codebook (`codec.reconstruction`) from what the codecs make of its corpus.

pairs      streams, coded at several steps, as sums that the network's error is a function of
learning   the weights
training   whether the codebook gets it, and the report
"""
