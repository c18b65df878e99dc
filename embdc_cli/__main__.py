"""`python -m embdc_cli` is `embdc`."""

from __future__ import annotations

import sys

from embdc_cli.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
