"""Reports in a real browser: they show something, in light and dark, and the console stays empty."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.html_report.reports import FULL

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed; reports are only parsed")
DARK = "--blink-settings=preferredColorScheme=0"


def screenshot(page: Path, picture: Path, *flags: str) -> str:
    """Take a picture of `page`; returns what the browser said, its console included."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *flags]
    command += [f"--user-data-dir={picture.parent / 'profile'}", "--window-size=1000,1600", "--enable-logging=stderr"]
    command += [f"--screenshot={picture}", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stderr


@pytest.mark.parametrize("flags", [(), (DARK,)], ids=["light", "dark"])
@pytest.mark.parametrize("command", FULL)
def test_screenshot(tmp_path: Path, command: str, flags: tuple[str, ...]) -> None:
    make, document = FULL[command]
    page, picture = tmp_path / "report.html", tmp_path / "report.png"
    page.write_text(make(document), "utf-8")
    said = screenshot(page, picture, *flags)
    assert re.findall(r".*CONSOLE.*", said) == []
    with Image.open(picture) as image:
        grey = image.convert("L")
        counts = grey.histogram()
        paper = grey.getpixel((2, 2))
    assert isinstance(paper, int)
    assert (paper < 64) == bool(flags)
    # text and figures: between 2 and 50 % of a page is ink of some kind
    assert 0.02 < 1 - counts[paper] / sum(counts) < 0.5


def test_the_console_is_heard(tmp_path: Path) -> None:
    page = tmp_path / "broken.html"
    page.write_text("<!doctype html><script>console.error('heard')</script>", "utf-8")
    assert "heard" in screenshot(page, tmp_path / "broken.png")
