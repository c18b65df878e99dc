"""embdc train-codebook: from dumps, archives and videos to a `.embdcb` file, with a report on inputs it has not seen.

inputs -> corpus (checked, split) -> statistics of a sample -> KLT in integers -> tables or levels -> file -> report
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from embdc_cli.codebook.basis import klt, mean_to_integers, to_integers
from embdc_cli.codebook.checkpoint import Checkpoint, checkpointed
from embdc_cli.codebook.codebook import Codebook
from embdc_cli.codebook.corpus import Chunk, Corpus, assemble, sample_chunks
from embdc_cli.codebook.engine import HERE, Engine, told
from embdc_cli.codebook.file import read, write
from embdc_cli.codebook.recipe import digest_of
from embdc_cli.codebook.reconstruction.training import with_network
from embdc_cli.codebook.report import held_out_report
from embdc_cli.codebook.statistics import CorpusStatistics, block_moments, blocks_of, pooled
from embdc_cli.codebook.table_training import trained_kinds, trained_tables
from embdc_cli.codec.weighting import Weighting
from embdc_cli.errors import SourceError, TargetMissed, UsageError
from embdc_cli.options import EncodeOptions
from embdc_cli.output import check_not_input, check_output
from embdc_cli.parallel import one_blas_thread
from embdc_cli.remote.filesystem import is_url
from embdc_cli.reporter import Reporter, Silent
from embdc_cli.values import Dump, Tensor

KINDS: Final = ("transform", "vq")
TOKENS_PER_CHANNEL = 10
"""Fewer tokens than this per channel, and the covariance of the last vectors is mostly chance."""
_TABLE_SHARE: Final = 0.1
"""Of a size limit that not all vectors meet. Tables save a percent or two of the bits, the first vectors far more."""

_REVISION: Final = 2
"""Raised when the same corpus and options would give another codebook: a checkpoint of before is refused then."""


@dataclass(frozen=True)
class TrainOptions:
    """Options of `embdc train-codebook`.

    max_bytes: size of the file that limits rank and levels. sample: tokens used of the training inputs. holdout: share
    of the inputs kept for the report. reading: how inputs are opened (encoder, fps, key ...), as for `embdc encode`.
    resume: go on from what an earlier run of the same training has kept (`checkpoint`).
    Of kind vq alone: refine: steps of refinement. init: file of a codebook to start from. weighting, probe: what counts
    as error (`vector.losses`), as `--weighting` of encode and `--probe` of compare.
    reconstruction: whether it gets a network (`reconstruction.training`); None is "auto" of kind vq, else "off".
    """

    kind: str = "transform"
    max_bytes: int | None = None
    sample: int = 2_000_000
    seed: int = 0
    holdout: float = 0.1
    force: bool = False
    resume: bool = False
    refine: int | None = None
    init: str | None = None
    weighting: str = "none"
    probe: str | None = None
    reconstruction: str | None = None
    reading: EncodeOptions = field(default_factory=EncodeOptions)


def train(
    inputs: Sequence[str],
    output: str,
    options: TrainOptions | None = None,
    reporter: Reporter | None = None,
    *,
    engine: Engine = HERE,
) -> dict[str, Any]:
    """Train a codebook on `inputs`, write it to `output`, and return what `--json` prints.

    The same inputs, options and libraries give the same file. `heldout` compares bits per value with and without the
    codebook on inputs that were not trained on, at the default effort of encode, every byte counted but those of the
    codebook; `break_even_bytes` is how much float16 data saves as much as the codebook costs, None when it never does.
    Raises: UsageError for options and inputs that do not go together, TargetMissed when not even one vector fits
    into `max_bytes`, OutputExists, SourceError; Stopped when it is interrupted and `resume` can go on.

    engine: what reads the inputs; the file is the same with any.
    """
    options, reporter = options or TrainOptions(), reporter or Silent()
    _check(inputs, options)
    check_output(output, force=options.force)
    check_not_input(output, *inputs)
    check_not_input(output, *(name for name in (options.init, options.probe) if name is not None))
    with one_blas_thread(), engine, _opened(inputs, options, reporter, engine) as (names, dumps):
        corpus = assemble(names, dumps, holdout=options.holdout, seed=options.seed)
        with checkpointed(output, _recipe(corpus, options, engine), resume=options.resume) as checkpoint:
            codebook, learnt = _learn(corpus, len(inputs), options, reporter, checkpoint, engine)
            codebook, learnt["reconstruction"] = _with_network(codebook, corpus, options, reporter, engine)
            report = held_out_report(codebook, corpus.heldout, reporter, engine)
            write(codebook, output, force=options.force)
    warnings = [*corpus.warnings, *_sample_warnings(codebook), *_init_warnings(learnt.get("init"))]
    if report.streams < len(corpus.heldout):
        warnings.append(f"the report covers {report.streams} of {len(corpus.heldout)} held-out streams")
    for warning in warnings:
        reporter.note(warning)
    return {
        "output": output,
        "digest": codebook.digest.hex(),
        "kind": options.kind,
        "file_bytes": len(codebook.file_bytes),
        "channels": codebook.channels,
        "rank": codebook.rank,
        "tables": trained_kinds(codebook.tables),
        "tokens_trained": codebook.training["tokens"],
        "inputs": len(inputs),
        "encoder": codebook.encoder,
        **learnt,
        "heldout": report.points,
        "break_even_bytes": report.break_even_bytes,
        "warnings": warnings,
        "exit": 0,
    }


def _check(inputs: Sequence[str], options: TrainOptions) -> None:
    if options.kind not in KINDS:
        raise UsageError(f"--kind: expected {' or '.join(KINDS)}, found {options.kind!r}")
    of_vq = {"refine": options.refine, "init": options.init, "probe": options.probe}
    given = [name for name, value in of_vq.items() if value is not None]
    given += ["weighting"] if options.weighting != "none" else []
    if options.kind != "vq" and given:
        raise UsageError(f"--{given[0]}: only for --kind vq")
    if options.probe is not None and options.weighting != "none":
        raise UsageError("--probe: does not go with --weighting", hint="both say what counts as error")
    if options.refine is not None and options.refine < 0:
        raise UsageError(f"--refine: expected 0 steps or more, found {options.refine}")
    if not inputs:
        raise UsageError("train-codebook: expected at least one input")
    if options.sample < 1:
        raise UsageError(f"--sample: expected at least 1 token, found {options.sample}")
    if options.max_bytes is not None and options.max_bytes < 1:
        raise UsageError(f"--max-bytes: expected at least 1, found {options.max_bytes}")
    names = [name if is_url(name) else os.path.realpath(name) for name in inputs if name != "-"]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"train-codebook: {twice[0]} is given twice", hint="it would be trained on and held out at the same time"
        )


@contextmanager
def _opened(
    inputs: Sequence[str], options: TrainOptions, reporter: Reporter, engine: Engine
) -> Iterator[tuple[list[str], list[Dump]]]:
    """All items of all inputs, with the input each came from; closed in the end."""
    names: list[str] = []
    dumps: list[Dump] = []
    try:
        opened = told(engine.open(inputs, options.reading, reporter), len(inputs), reporter, "open", "inputs")
        for name, items in zip(inputs, opened, strict=True):
            for dump in items:
                names.append(name)
                dumps.append(dump)
                for warning in dump.warnings:
                    reporter.note(warning)
        yield names, dumps
    finally:
        for dump in dumps:
            dump.close()


def _recipe(corpus: Corpus, options: TrainOptions, engine: Engine) -> str:
    """What a checkpoint is bound to."""
    decide = ("kind", "max_bytes", "sample", "seed", "holdout", "refine")
    settings = {name: getattr(options, name) for name in decide} | {"revision": _REVISION}
    if options.weighting != "none" or options.probe is not None:  # refined by gradients, on a GPU where there is one
        import torch

        settings["cuda"] = torch.cuda.is_available()
    files = (options.init, options.weighting, options.probe)
    return digest_of(settings, files, [*corpus.train, *corpus.heldout], engine)


def _statistics(
    corpus: Corpus,
    sample: Sequence[tuple[Tensor, list[Chunk]]],
    reporter: Reporter,
    checkpoint: Checkpoint,
    engine: Engine,
) -> CorpusStatistics:
    known = checkpoint.find("statistics")
    if known is not None:
        return CorpusStatistics.of(known)
    blocks = blocks_of(sample)
    moments = engine.map(block_moments, [(block.tensor, block.chunks) for block in blocks])
    statistics = pooled(corpus.channels, blocks, told(moments, len(blocks), reporter, "statistics", "blocks"))
    checkpoint.keep("statistics", statistics.arrays)
    return statistics


def _learn(
    corpus: Corpus, inputs: int, options: TrainOptions, reporter: Reporter, checkpoint: Checkpoint, engine: Engine
) -> tuple[Codebook, dict[str, Any]]:
    """The codebook, and what its kind adds to the report."""
    sample = sample_chunks(corpus.train, options.sample, options.seed)
    statistics = _statistics(corpus, sample, reporter, checkpoint, engine)
    covariance = statistics.covariance
    if not covariance.any():
        raise SourceError(
            f"train-codebook: {statistics.tokens} training tokens do not vary, expected embeddings that do"
        )
    basis = to_integers(*klt(covariance))
    mean, mean_exponent = mean_to_integers(statistics.mean)
    plain = Codebook(
        mean=mean,
        mean_exponent=mean_exponent,
        basis=basis.basis,
        exponents=basis.exponents,
        spectrum=basis.spectrum,
        tables=None,
        encoder=corpus.encoder,
        training={"inputs": inputs, "seed": options.seed, "tokens": statistics.tokens},
    )
    if options.kind == "vq":
        return _with_levels(plain, statistics, corpus, options, reporter, checkpoint, engine)
    codebook = plain if corpus.lossy else replace(plain, tables=trained_tables(plain, sample, reporter, engine))
    return codebook if options.max_bytes is None else _limited(codebook, options.max_bytes), {}


def _with_levels(
    plain: Codebook,
    statistics: CorpusStatistics,
    corpus: Corpus,
    options: TrainOptions,
    reporter: Reporter,
    checkpoint: Checkpoint,
    engine: Engine,
) -> tuple[Codebook, dict[str, Any]]:
    # the only ones that need torch and the reader of heads
    from embdc_cli.codebook.vector.losses import loss_of
    from embdc_cli.codebook.vector.size import VECTOR_SHARE
    from embdc_cli.codebook.vector.training import REFINE_STEPS, VectorOptions, learn_levels
    from embdc_cli.comparison.head import read_head

    head = None if options.probe is None else read_head(options.probe, reporter)
    if head is not None and head.channels != corpus.channels:
        raise UsageError(f"--probe: made for {head.channels} channels, the embeddings have {corpus.channels}")
    covariance, mean = statistics.covariance, statistics.mean
    weights = None if head is None else (head.weight, head.bias)
    loss = loss_of(Weighting.parse(options.weighting), weights, covariance, mean)
    if options.max_bytes is not None:
        plain = _limited(plain, max(1, int(VECTOR_SHARE * options.max_bytes)))
    vector = VectorOptions(
        refine=REFINE_STEPS if options.refine is None else options.refine,
        init=None if options.init is None else read(options.init),
        max_bytes=options.max_bytes,
        seed=options.seed,
    )
    learnt = learn_levels(plain, covariance, corpus.train, corpus.heldout, loss, vector, reporter, checkpoint, engine)
    return learnt.codebook, learnt.report


def _with_network(
    codebook: Codebook, corpus: Corpus, options: TrainOptions, reporter: Reporter, engine: Engine
) -> tuple[Codebook, dict[str, Any] | None]:
    mode = options.reconstruction or ("auto" if options.kind == "vq" else "off")
    if mode == "off" or (mode == "auto" and (not corpus.heldout or corpus.lossy)):
        return codebook, None
    return with_network(codebook, corpus.train, corpus.heldout, mode, options.max_bytes, options.seed, reporter, engine)


def _limited(codebook: Codebook, max_bytes: int) -> Codebook:
    """The codebook with as many of its first vectors as `max_bytes` hold; without tables where these take too much."""
    if len(codebook.file_bytes) <= max_bytes:
        return codebook
    plain = replace(codebook, tables=None)
    if len(codebook.file_bytes) - len(plain.file_bytes) > _TABLE_SHARE * max_bytes:
        codebook = plain
    low, high = 0, codebook.rank + 1
    while high - low > 1:
        rank = (low + high) // 2
        if len(_truncated(codebook, rank).file_bytes) <= max_bytes:
            low = rank
        else:
            high = rank
    if low == 0:
        least = len(_truncated(codebook, 1).file_bytes)
        raise TargetMissed(f"--max-bytes: {max_bytes} bytes allowed, a codebook of one vector has {least}")
    return _truncated(codebook, low)


def _truncated(codebook: Codebook, rank: int) -> Codebook:
    return replace(
        codebook,
        basis=codebook.basis[:rank],
        exponents=codebook.exponents[:rank],
        spectrum=codebook.spectrum[:rank],
    )


def _sample_warnings(codebook: Codebook) -> list[str]:
    wanted = TOKENS_PER_CHANNEL * codebook.channels
    if codebook.training["tokens"] >= wanted:
        return []
    found = codebook.training["tokens"]
    return [f"small sample: {found} tokens for {codebook.channels} channels, expected at least {wanted}"]


def _init_warnings(init: dict[str, float] | None) -> list[str]:
    """Where a start from another codebook did worse than none."""
    if init is None or init["cost"] <= init["cost_without"]:
        return []
    more = 100 * (init["cost"] / init["cost_without"] - 1)
    return [f"--init: error and bits together are {more:.0f} % more than from a start afresh, leave it out"]
