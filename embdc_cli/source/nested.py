"""Flattening of nested dicts and lists of tensors into named tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from embdc_cli.dump_formats import SINGLE
from embdc_cli.errors import SourceError

_MAX_DEPTH = 32
_MAX_ENTRIES = 1_000_000  # a few nested lists that share their parts can have more entries than there are atoms


def flatten(
    value: Any, is_tensor: Callable[[Any], bool], is_ragged: Callable[[Sequence[Any]], bool], shown: str
) -> tuple[list[tuple[str, Any]], list[str]]:
    """Pairs of a name and a tensor, or a ragged list of tensors, in order; and the names of everything else.

    Names are keys and list positions joined by "."; a value without keys is called `data`. is_ragged: whether a list
    of tensors is one tensor whose rows have different token counts. Raises SourceError for endless nesting.
    """
    found: list[tuple[str, Any]] = []
    others: list[str] = []
    visited = 0

    def visit(path: tuple[str, ...], one: Any) -> None:
        nonlocal visited
        visited += 1
        if visited > _MAX_ENTRIES:
            raise SourceError(f"{shown}: expected at most {_MAX_ENTRIES} entries in dicts and lists, found more")
        name = ".".join(path) or SINGLE
        inner: list[tuple[str, Any]] = []
        if is_tensor(one):
            found.append((name, one))
        elif isinstance(one, list | tuple) and one and all(map(is_tensor, one)) and is_ragged(one):
            found.append((name, list(one)))
        elif len(path) < _MAX_DEPTH and isinstance(one, list | tuple):
            inner = [(str(number), part) for number, part in enumerate(one)]
        elif len(path) < _MAX_DEPTH and isinstance(one, Mapping):
            inner = [(str(key), part) for key, part in one.items()]
        else:
            others.append(f"{name} ({type(one).__name__})")
        for key, part in inner:
            visit((*path, key), part)

    visit((), value)
    return found, others


def same_dim(shapes: Sequence[tuple[int, ...]], dtypes: Sequence[object]) -> bool:
    """Whether tensors of these shapes can be the rows [N_i, D] of one ragged tensor: one D and one type."""
    return all(len(shape) == 2 for shape in shapes) and len({shape[1] for shape in shapes}) == 1 == len(set(dtypes))
