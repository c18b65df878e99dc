"""Rows as a file that other programs read: NDJSON, CSV, parquet, or bare names; written as they come."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO, Final

from embdc_cli.errors import UsageError
from embdc_cli.listing.rows import FIELDS, Row

_GROUP_ROWS: Final = 4096  # of a parquet row group


def write_ndjson(rows: Iterable[Row], out: BinaryIO) -> None:
    """A JSON object a line."""
    for row in rows:
        out.write(json.dumps(row, allow_nan=False).encode() + b"\n")


def write_csv(rows: Iterable[Row], out: BinaryIO) -> None:
    """A heading and a line for each row (RFC 4180); lists as JSON, what is not known is empty."""
    text = io.TextIOWrapper(out, "utf-8", errors="surrogateescape", newline="", write_through=True)
    writer = csv.DictWriter(text, FIELDS)
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {key: json.dumps(value) if isinstance(value, bool | list) else value for key, value in row.items()}
        )
    text.detach()


def write_parquet(rows: Iterable[Row], out: BinaryIO) -> None:
    """A row group for every few thousand rows. Raises: UsageError without pyarrow."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError("--format parquet: needs pyarrow", hint="pip install 'embdc[parquet]'") from error
    schema = _schema(pyarrow)
    remaining = iter(rows)
    with parquet.ParquetWriter(out, schema) as writer:
        while group := [_unicode(row) for row in islice(remaining, _GROUP_ROWS)]:
            writer.write_table(pyarrow.Table.from_pylist(group, schema))


def write_names(field: str, *, null: bool) -> Callable[[Iterable[Row], BinaryIO], None]:
    """A writer of `path` or `input` of the rows that have one, each once, a line or NUL behind it."""

    def write(rows: Iterable[Row], out: BinaryIO) -> None:
        for name in _distinct(row[field] for row in rows):
            out.write(os.fsencode(name) + (b"\0" if null else b"\n"))

    return write


def _distinct(names: Iterable[str | None]) -> Iterator[str]:
    seen = set()
    for name in names:
        if name is not None and name not in seen:
            seen.add(name)
            yield name


def _schema(pyarrow: Any) -> Any:
    text, whole, flag, number = pyarrow.string(), pyarrow.int64(), pyarrow.bool_(), pyarrow.float64()
    stream = pyarrow.struct({"name": text, "shape": pyarrow.list_(whole), "dtype": text, "codec": text})
    kinds = dict.fromkeys(FIELDS, text)
    kinds |= dict.fromkeys(("item", "item_bytes", "file_bytes", "source_bytes", "exit"), whole)
    kinds |= {"complete": flag, "add": pyarrow.list_(text), "seconds": number, "streams": pyarrow.list_(stream)}
    return pyarrow.schema(list(kinds.items()))


def _unicode(row: Row) -> Row:
    """A row whose names are Unicode, as parquet wants them: a byte that is not shows as `\\xNN`."""
    return {key: _shown(value) for key, value in row.items()}


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return [_shown(one) for one in value]
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
