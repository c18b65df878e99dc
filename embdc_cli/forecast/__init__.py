"""What encoding would give, found by encoding a sample in every way that is asked for: `embdc plan`.

options, rows    what is asked: the sample, the ways to encode
sampling         whole chunks, spread over a dump or a video
calibration      how much each of the chunks stands for
fits             what ways of equal effort share
prediction       one way to encode, carried out on the sample and scaled to all of it
probe            what a linear head makes of the decoded sample
forecast         all of it, in the order in which it happens
total            what several inputs take together
recipe_file      the way that was chosen, as `embdc encode --config` reads it
"""
