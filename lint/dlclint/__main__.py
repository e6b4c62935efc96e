"""The command `dlclint`."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line as a process."""
    try:
        # Imported here so that a signal or error during the start is handled too.
        from dlclint.cli.early import start

        start(sys.argv[1:])
        # Imported here because a worker loads onnx meanwhile.
        from dlclint.cli.ends import handle_signals
        from dlclint.cli.main import main as run

        handle_signals()
        status = run()
        sys.stdout.flush()
        sys.stderr.flush()
    except KeyboardInterrupt as interrupt:
        status = 143 if type(interrupt).__name__ == "Terminated" else 130
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 2
    except (MemoryError, ImportError, SystemError) as error:
        os.write(2, f"dlclint: error: it cannot be loaded: {error or type(error).__name__}\n".encode())
        status = 2
    # Cleaning up a hundred modules before the end would take a tenth of a short run's time.
    os._exit(status)


if __name__ == "__main__":
    main()
