"""Options from a TOML file (`--config`): a key is the name of a long option, a value what would be typed after it.

An option that is typed goes before the file, and a target that is typed before any target of the file.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from dataclasses import fields
from typing import Any, Final

from embdc_cli.cli.encode_options import Codec, Rate
from embdc_cli.cli.input_options import Dumps, Video
from embdc_cli.cli.options import Compute
from embdc_cli.cli.video_codec_options import VideoCodec
from embdc_cli.errors import SourceError, UsageError

_TITLES: Final = {group.TITLE for group in (Rate, Codec, VideoCodec, Video, Dumps, Compute)}
"""Headings of the options that a file may hold: not what is read, nor where it goes."""


def apply(path: str, context: Any) -> None:
    """Set the parameters of `context` that the file names and the command line does not.

    Raises: SourceError for a file that is missing, UsageError for what is no TOML, no option or no value of it.
    """
    known = {option.opts[-1][2:]: option for option in context.command.params if _kept(option)}
    typed = {name for name in context.params if context.get_parameter_source(name).name != "DEFAULT"}
    rates = {field.name for field in fields(Rate)}
    if typed & rates:
        typed |= rates
    for key, value in _read(path).items():
        option = known.get(key.replace("_", "-"))
        if option is None:
            close = difflib.get_close_matches(key.replace("_", "-"), known, 1)
            hint = f"did you mean {close[0]}?" if close else f"it may have {', '.join(known)}"
            raise UsageError(f"--config: {path}: expected options of encode, found {key!r}", hint=hint)
        try:
            wanted = _value(option, value, context)
        except UsageError as error:
            raise UsageError(f"--config: {path}: {error.message}", hint=error.hint) from error
        if option.name not in typed:
            context.params[option.name] = wanted


def _kept(option: Any) -> bool:
    return getattr(option, "rich_help_panel", None) in _TITLES


def _read(path: str) -> dict[str, Any]:
    if not os.path.isfile(path):
        raise SourceError(f"--config: {path}: no such file")
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config: {path}: expected TOML, found: {error}") from error
    except OSError as error:
        raise SourceError(f"--config: {path}: {error.strerror}") from error


def _value(option: Any, value: Any, context: Any) -> Any:
    """What the option makes of the value; numbers and lists are read as they would be typed."""
    flag = option.opts[-1]
    if option.is_flag or isinstance(value, bool):
        if not (option.is_flag and isinstance(value, bool)):
            expected = "true or false" if option.is_flag else "a value"
            raise UsageError(f"{flag}: expected {expected}, found {value!r}")
        return value
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        value = ",".join(value)
    if not isinstance(value, str | int | float):
        raise UsageError(f"{flag}: expected a value, found {value!r}")
    return option.process_value(context, str(value))
