"""Rows of a benchmark, appended to the CSV beside its script with commit and machine."""

from __future__ import annotations

import csv
import datetime
import platform
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def append(name: str, rows: list[dict[str, Any]]) -> None:
    """Append `rows` to NAME.csv and show them."""
    path = HERE / f"{name}.csv"
    common = {"date": datetime.date.today().isoformat(), "commit": commit(), "machine": machine()}
    complete = [{**common, **row} for row in rows]
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(complete[0]))
        if new:
            writer.writeheader()
        writer.writerows(complete)
    for row in rows:
        print("  ".join(f"{key}={value}" for key, value in row.items()))


def commit() -> str:
    """Short hash, with + when the tree has changes."""
    short = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE).stdout
    elsewhere = ["git", "status", "--porcelain", "--", ":/", ":!/tests/bench"]  # a run must not taint the next
    dirty = subprocess.run(elsewhere, capture_output=True, text=True, cwd=HERE).stdout
    return short.strip() + ("+" if dirty.strip() else "")


def machine() -> str:
    """Processor model and core count."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = f"{lines[0].split(':')[1].strip()} x{len(lines)}" if lines else model
    return model
