"""The command `dlclint`."""

from __future__ import annotations

import sys

from dlclint.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
