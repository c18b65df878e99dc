"""Chooses the kernels of a coder: the compiled ones when numba is here and works, else the numpy definition.

A missing or broken numba costs speed and never data, since both give the same bytes. numba is imported on first use;
the compiled modules have fixed signatures, so that importing them compiles them or loads them from numba's cache.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import ModuleType

_UNUSABLE = (ImportError, RuntimeError, OSError, SystemError, AttributeError)
"""What importing numba raises where it cannot run: a numpy it does not know, no folder to keep its cache in."""


@cache
def kernels(package: str) -> ModuleType:
    """The module `package.cpu` if it imports and compiles, else `package.reference`."""
    try:
        from numba.core.errors import NumbaError
    except _UNUSABLE:
        return import_module(f"{package}.reference")
    try:
        return import_module(f"{package}.cpu")
    except (*_UNUSABLE, NumbaError):
        return import_module(f"{package}.reference")
