"""A second reader of embdc archives, written from the manual pages embdc(5), embdc-codec(5), embdc-tables(5) alone.

It shares no line with embdc: plain Python and numpy, made to be read and not to be fast, in float64 throughout. What
it and embdc both make of an archive is what the pages say. Read in this order:

    fields, bits      small fields, packed bits, columns
    records, header   what chunks and the header say
    container, index  the file from front to back, and what remains after damage
    lossless          kind 0
    rans, integers    entropy coding
    transform         kind 1: models, token groups, and the chain of stages
    stages, mixture, time_context, video, codebook, network    its stages and what they use
    archive           all together: open, verify, decode

Not here: the bitstreams of video codecs, which somebody else has to decode (`video`).
"""
