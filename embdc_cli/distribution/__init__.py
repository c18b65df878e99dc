"""How the values of a tensor are distributed: `embdc inspect --stats DUMP`, which says what kind of codec they suit.

sample          what is looked at: whole rows, evenly spaced, a bounded number of values
amplitudes, correlation, compaction, natural, forecast      one family of measures each
planes          the pictures that a video codec would be given of the sample
picture         planes, histogram and spectra as one PNG
verdict         what the measures say in a word
describe        all measures of one tensor; of all tensors of an input: read this first
opened          the same of a dump or an archive that the user names
"""
