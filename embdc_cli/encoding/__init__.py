"""From tensors and a target to archive bytes: plan, choose steps, write; `pipeline.encode` walks through it.

plan      cuts, statistics, sample and codec of one stream
rate      the search for a step
choosing  from a target to steps
writing   a plan carried out, front to back
work      the unfinished file and how it is resumed
causal    one pass, for inputs that cannot be read twice
"""
