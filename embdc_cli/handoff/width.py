"""Whether embeddings have the channels that a language model takes."""

from __future__ import annotations

from embdc_cli.errors import UsageError
from embdc_cli.handoff.choose import Chosen
from embdc_cli.handoff.model import LanguageModel


def check_width(chosen: Chosen, model: LanguageModel) -> None:
    """Nothing, when a token has the channels of the model, with its DeepStack layers if it takes some.

    Raises: UsageError with what is there instead.
    """
    channels, layers = chosen.view.spec.channels, len(chosen.deepstack)
    if model.deepstack and is_joined(chosen, model):
        return
    if channels == model.hidden and layers == model.deepstack:
        return
    made_by = f"they are of {chosen.encoder}; " if chosen.encoder else ""
    hint = f"{made_by}embeddings are taken as they leave the projector of the same model"
    raise wrong_width(chosen, model, hint)


def wrong_width(chosen: Chosen, model: LanguageModel, hint: str) -> UsageError:
    """The error that says what `model` takes and what there is."""
    channels, layers = chosen.view.spec.channels, len(chosen.deepstack)
    expected, found = f"{model.hidden} channels", f"{channels}"
    if model.deepstack:
        expected += f" and {model.deepstack} streams deepstack0, ..., or {joined_width(model)} channels"
        found += f" and {layers} such streams"
    elif layers:
        expected += " and no DeepStack streams"
        found += f" and {layers} of these"
    return UsageError(
        f"--for: stream {chosen.view.name!r} for model {model.shown}, expected {expected}, found {found}", hint=hint
    )


def joined_width(model: LanguageModel) -> int:
    """Channels of a token with its DeepStack layers behind it."""
    return model.hidden * (1 + model.deepstack)


def is_joined(chosen: Chosen, model: LanguageModel) -> bool:
    """Whether the tokens of the stream already have their DeepStack layers behind them."""
    return bool(model.deepstack) and not chosen.deepstack and chosen.view.spec.channels == joined_width(model)
