"""Values against values: `embdc compare`, and `embdc verify --against`.

opening, pairing    what the user names, as streams; which of them belong together
block               rows of both, chunk by chunk, as token vectors: everything below takes these
fidelity, series, channels, cka, neighbours, probe      one family of measures each
stream, compare     all measures of one stream; of all streams, with sizes and gates
against             what `verify` asks: is the archive as good as it says
"""
