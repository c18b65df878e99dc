"""Options of `embdc compare` alone: what is compared, heads and labels, limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from embdc_cli.cli import quantities
from embdc_cli.cli.input_options import Axes, Key, RawLayout
from embdc_cli.cli.options import Codebooks
from embdc_cli.cli.parameters import choice, option
from embdc_cli.dump_formats import FORMATS
from embdc_cli.options import PROBE_ON, CompareOptions


@dataclass(frozen=True)
class Reference:
    """How the dumps that are compared are read."""

    TITLE: ClassVar = "Dumps"

    key: Key = None
    input_format: Annotated[
        str | None, choice("--input-format", choices=FORMATS, help="Format, where the content does not tell.")
    ] = None
    raw: RawLayout = None
    axes: Axes = None
    codebook: Codebooks = None


@dataclass(frozen=True)
class Head:
    """A task that both inputs are put to."""

    TITLE: ClassVar = "Task"

    probe: Annotated[
        str | None, option("--probe", metavar="FILE", help="Linear head: weight (K, D) and perhaps bias (K).")
    ] = None
    probe_on: Annotated[
        str,
        choice("--probe-on", choices=PROBE_ON, help="Mean of a row's tokens, its first token, or every token."),
    ] = CompareOptions.probe_on
    labels: Annotated[
        str | None, option("--labels", metavar="FILE", help="Class of every row: integers, npy. Needs --probe.")
    ] = None


def _limit(name: str, words: str) -> Any:
    return option(name, metavar="X", read=quantities.number, help=words)


@dataclass(frozen=True)
class Limits:
    """What every stream must reach."""

    TITLE: ClassVar = "Limits (exit 4 beyond one)"

    min_cosine: Annotated[float | None, _limit("--min-cosine", "Mean cosine of tokens.")] = None
    min_cosine_p1: Annotated[float | None, _limit("--min-cosine-p1", "First percentile of the cosines.")] = None
    min_centred_cosine: Annotated[
        float | None, _limit("--min-centred-cosine", "Mean cosine about the channel means.")
    ] = None
    max_nmse: Annotated[float | None, _limit("--max-nmse", "Squared error over squared deviation.")] = None
    max_channel_nmse: Annotated[float | None, _limit("--max-channel-nmse", "Mean NMSE of the channels.")] = None
    min_cka: Annotated[float | None, _limit("--min-cka", "Centred kernel alignment of tokens.")] = None
    min_recall: Annotated[float | None, _limit("--min-recall", "Recall@10 of token vectors.")] = None
    min_pooled_recall: Annotated[float | None, _limit("--min-pooled-recall", "Recall@10 of mean vectors of rows.")] = (
        None
    )
    min_agreement: Annotated[float | None, _limit("--min-agreement", "Top-1 agreement of --probe.")] = None
    max_kl: Annotated[float | None, _limit("--max-kl", "Mean KL divergence of --probe, in nats.")] = None
    max_accuracy_loss: Annotated[
        float | None, _limit("--max-accuracy-loss", "Accuracy before minus after, of --labels.")
    ] = None
