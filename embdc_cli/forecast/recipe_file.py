"""The recipe of a row as a TOML file: options of `embdc encode --config`, with what was predicted in comments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from embdc_cli.forecast.options import RECIPE_OPTIONS
from embdc_cli.forecast.rows import Row
from embdc_cli.options import EncodeOptions
from embdc_cli.output import atomic_output


def write(
    path: str, row: Row, coding: EncodeOptions, documents: Sequence[dict[str, Any]], *, force: bool = False
) -> None:
    """Write the recipe of `row`. documents: forecasts that have this row.

    Raises: OutputExists unless `force`, UsageError for a folder that does not exist.
    """
    with atomic_output(path, force=force) as out:
        out.write(_text(row, coding, documents).encode(errors="replace"))


def _text(row: Row, coding: EncodeOptions, documents: Sequence[dict[str, Any]]) -> str:
    comments = [f"{row.name}, as `embdc plan` predicted:"]
    for document in documents:
        found = next(one for one in document["rows"] if one["name"] == row.name)
        figures = [f"{found['file_bytes']} bytes"]
        for name, key in (("bits per value", "bits_per_value"), ("nmse", "nmse"), ("cosine", "cosine")):
            if found[key] is not None:
                figures.append(f"{name} {found[key]:.4g}")
        comments.append(f"{document['input'] or 'arrays'}: {', '.join(figures)}")
    comments.append("for `embdc encode --config`, which says what each line means")
    options = row.options(coding)
    settings = {name: getattr(options, name) for name in (*row.settings, *RECIPE_OPTIONS)}
    lines = [f"# {_printable(comment)}" for comment in comments]
    lines += [
        f"{name.replace('_', '-')} = {_value(value)}"
        for name, value in settings.items()
        if value != getattr(EncodeOptions, name)
    ]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """TOML of a value of an option; its strings are those of JSON, with one more character that is escaped."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
