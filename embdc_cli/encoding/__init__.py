"""From tensors and a target to archive bytes, in the order in which `pipeline.encode` needs them.

recipe, codebooks    what decides bytes, and the codebook to use
delivery, work       where the archive goes; the unfinished file and how it is resumed
twopass              the usual way: plan, choose, write, correct
  survey, plan       statistics of a stream; its sample and codec
  rate, choosing     the search for a step; from a target to steps
  header, writing    what comes first; a plan carried out, front to back
causal               the other way: one pass, for inputs that cannot be read twice
overhead, result     bytes beside payloads; what the command says in the end
"""
