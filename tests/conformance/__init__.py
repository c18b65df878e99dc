"""What the format means, apart from embdc: a second reader, and test vectors that both readers agree on.

    reader/          the second reader, written from embdc(5), embdc-codec(5) and embdc-tables(5) alone
    vectors/         NAME.embdc, NAME.json what readers must make of it, NAME.npz decoded values, NAME.embdcb a codebook
    cases.py         how each vector came about (`making` has the means), and what embdc must answer
    make_vectors.py  makes those that are not there; never changes one
    verdicts.py      what each reader says of an archive, in the same words

Integers are the same for every decoder, so their digests are compared; values may differ in their last bits, by 1/64 of
a quantiser step at most, so they are compared with those that the second reader computes in float64.
"""
