"""Chooses the kernels of a coder: the compiled ones when numba is here and works, else the numpy definition.

A missing or broken numba costs speed and never data: both decode alike, and both write the same codes as the same
bytes. Where an encoder only weighs its choices (`codec.transform.mixture.search`), costs agree up to rounding, and a
choice may differ: other bytes, as good and as valid. A RuntimeWarning says why it is slow. numba is imported on first
use; the compiled modules have fixed signatures, so that importing them compiles them or loads them from numba's cache.
What is wrong with the kernels themselves is an error like any other.
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib import import_module
from traceback import walk_tb
from types import ModuleType


@cache
def kernels(package: str) -> ModuleType:
    """The module `package.cpu` if numba can compile it, else, with a RuntimeWarning, `package.reference`."""
    try:
        from numba.core.errors import NumbaError
    except (ImportError, OSError) as error:  # OSError: llvmlite does not find its shared library
        return _definition(package, error)
    try:
        return import_module(f"{package}.cpu")
    except (ImportError, NumbaError, OSError, RuntimeError) as error:
        if not (isinstance(error, NumbaError) or _import_of_another(error) or _raised_by_cache(error)):
            raise
        return _definition(package, error)


def _definition(package: str, reason: Exception) -> ModuleType:
    words = " ".join(str(reason).split()) or type(reason).__name__
    # no package in the text: of both coders' warnings the interpreter then shows one
    warnings.warn(f"compiled kernels are not used, coding is many times slower: {words}", RuntimeWarning, stacklevel=1)
    return import_module(f"{package}.reference")


def _import_of_another(error: Exception) -> bool:
    """Whether an import failed for something other than a module or name of ours."""
    return isinstance(error, ImportError) and (error.name or "").partition(".")[0] != "embdc_cli"


def _raised_by_cache(error: Exception) -> bool:
    """Whether numba found no folder for its cache (RuntimeError), or could not write there (OSError)."""
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    return any(frame.f_globals.get("__name__") == "numba.core.caching" for frame in frames)
