"""The evaluations that lie beside the data, $EMBDC_TEST_DATA/eval, imported from there."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType


def data() -> Path:
    """The folder with data/, models/ and eval/."""
    return Path(os.environ["EMBDC_TEST_DATA"])


def evaluation(name: str) -> ModuleType:
    """A module of its own with each call, so that its settings can be changed."""
    path = data() / f"eval/{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.exists():
        raise SystemExit(f"{path}: expected the evaluation there")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
