"""The model that the archive itself names: that whose vision part embedded it, as it was on the hub then.

Of an encoder in a local folder an archive records the type alone, and of a dump nothing: neither names a model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from embdc_cli.errors import UsageError
from embdc_cli.handoff.choose import Chosen
from embdc_cli.handoff.model import LanguageModel, NoLanguageModel, read_model

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


def recorded_model(stack: str, chosen: Sequence[Chosen]) -> LanguageModel:
    """The model that all of `chosen` were embedded with. Raises: MissingModel, UsageError where none is recorded."""
    encoders = sorted({(one.encoder, str((one.item.header.encoder or {}).get("revision"))) for one in chosen})
    hint = f"--for {stack}:MODEL names the model"
    if len(encoders) > 1:
        names = ", ".join(f"{name or 'nothing'} at {revision}" for name, revision in encoders)
        raise UsageError(f"--for {stack}: expected one encoder in all items, found {names}", hint=hint)
    ((name, revision),) = encoders
    if not _COMMIT.fullmatch(revision):
        found = f"{name}, which was no model of the hub" if name else "none"
        raise UsageError(f"--for {stack}: expected the encoder that the archive records, found {found}", hint=hint)
    try:
        return read_model(name, revision)
    except NoLanguageModel as error:
        raise UsageError(
            f"--for {stack}: the recorded encoder has no language model that is known, {error.message}", hint=hint
        ) from error
