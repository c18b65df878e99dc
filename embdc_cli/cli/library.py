"""The functions behind the commands. Each is imported when it is called, so that `--help` and a usage error never
wait for torch; this is also the one place where tests put something else in their stead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embdc_cli.forecast.options import PlanOptions
    from embdc_cli.forecast.rows import Row
    from embdc_cli.listing.listing import Listing
    from embdc_cli.options import CompareOptions, DecodeOptions, EncodeOptions, SearchOptions
    from embdc_cli.reporter import Reporter

Document = dict[str, Any]


def plan(source: str, options: PlanOptions, reporter: Reporter) -> Document:
    """What `forecast.forecast` returns."""
    from embdc_cli.forecast.forecast import forecast

    return forecast(source, options, reporter)


def write_recipe(path: str, row: Row, coding: EncodeOptions, documents: Sequence[Document], *, force: bool) -> None:
    """What `forecast.recipe_file.write` does."""
    from embdc_cli.forecast import recipe_file

    recipe_file.write(path, row, coding, documents, force=force)


def encode(source: str, output: str, options: EncodeOptions, reporter: Reporter) -> Document:
    """What `pipeline.encode` returns."""
    from embdc_cli import pipeline

    return pipeline.encode(source, output, options, reporter)


def encode_on_cluster(jobs: Sequence[Document], options: EncodeOptions, **how: Any) -> list[Document]:
    """What `distributed.encode.run` returns; `how` are its keyword arguments."""
    from embdc_cli.distributed import encode

    return encode.run(jobs, options, **how)


def decode(archive: str, output: str, options: DecodeOptions, reporter: Reporter) -> Document:
    """What `pipeline.decode` returns."""
    from embdc_cli import pipeline

    return pipeline.decode(archive, output, options, reporter)


def chosen(archive: str, options: DecodeOptions) -> list[str]:
    """The names of the streams that `decode` takes."""
    from embdc_cli.decoding import opened, select

    with opened(archive, options) as found:
        return [view.name for view in select(found, options)]


def inspect(path: str, **detail: Any) -> Document:
    """What `inspection.inspect` returns; `detail` are its keyword arguments."""
    from embdc_cli import inspection

    return inspection.inspect(path, **detail)


def verify(path: str, *, reporter: Reporter, **detail: Any) -> Document:
    """What `inspection.verify` returns; `detail` are its keyword arguments."""
    from embdc_cli import inspection

    return inspection.verify(path, reporter=reporter, **detail)


def repair(path: str, output: str, *, force: bool) -> Document:
    """What `repairing.repair` returns."""
    from embdc_cli import repairing

    return repairing.repair(path, output, force=force)


def compare(reference: str, other: str, options: CompareOptions, reporter: Reporter) -> Document:
    """What `comparison.compare.compare` returns."""
    from embdc_cli.comparison.compare import compare

    return compare(reference, other, options, reporter)


def cat(inputs: Sequence[str], output: str, *, join: str | None, force: bool) -> Document:
    """What `joining.cat` returns."""
    from embdc_cli import joining

    return joining.cat(inputs, output, join=join, force=force)


def listing(arguments: Sequence[str], which: dict[str, Any]) -> Listing:
    """A `listing.listing.Listing`; `which` are fields of its `Wanted`, None meaning the default there."""
    from embdc_cli.listing.listing import Listing, Wanted

    return Listing(arguments, Wanted(**{name: value for name, value in which.items() if value is not None}))


def split(archive: str, output: str | None, *, every: str, force: bool) -> Document:
    """What `splitting.split` returns."""
    from embdc_cli import splitting

    return splitting.split(archive, output, every=every, force=force)


def search(archives: Sequence[str], query: str, options: SearchOptions, reporter: Reporter) -> Document:
    """What `searching.search` returns."""
    from embdc_cli import searching

    return searching.search(archives, query, options, reporter)


def train(inputs: Sequence[str], output: str, settings: dict[str, Any], reporter: Reporter) -> Document:
    """What `codebook.training.train` returns; `settings` are the fields of its `TrainOptions`."""
    from embdc_cli.codebook.training import TrainOptions, train

    return train(inputs, output, TrainOptions(**settings), reporter)


def train_on_cluster(
    inputs: Sequence[str], output: str, settings: dict[str, Any], reporter: Reporter, **place: Any
) -> Document:
    """The same with the inputs read on a cluster; `place` are keyword arguments of `distributed.training.OnCluster`."""
    from embdc_cli.codebook.training import TrainOptions, train
    from embdc_cli.distributed.training import OnCluster

    engine = OnCluster(inputs, reporter=reporter, **place)
    return train(inputs, output, TrainOptions(**settings), reporter, engine=engine)
