"""The command `dlclint`."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from dlclint.cli import main as command_line


def main() -> NoReturn:
    """Run the command line as a process of its own."""
    status = command_line.main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Taking a hundred modules apart before the end would take a tenth of a short run's time.
    os._exit(status)


if __name__ == "__main__":
    main()
