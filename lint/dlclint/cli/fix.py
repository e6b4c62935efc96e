"""`dlclint fix`: mend models and override files."""

from __future__ import annotations

import argparse

from dlclint.cli.errors import UsageError
from dlclint.cli.jobs import files
from dlclint.encodings.recognition import is_encodings


def fix(given: argparse.Namespace) -> int:
    """Run the command; returns 0, or 1 if errors are left in a file.

    Raises:
        UsageError: a file that cannot be mended or written.
    """
    paths = list(files(given.paths))
    if given.output and len(paths) > 1:
        raise UsageError("-o names one file, several are given; use --in-place")
    if given.format == "json" and len(paths) > 1:
        raise UsageError("--format json speaks of one model; give one")
    status = 0
    for path in paths:
        if is_encodings(path):
            if given.dims:
                raise UsageError(f"--dims is for models, and {path} is an override file")
            # Imported here because each kind of file needs what the other does not.
            from dlclint.cli.fix_encodings import fix_overrides

            status = max(status, fix_overrides(given, path))
        else:
            # Imported here for the same reason.
            from dlclint.cli.fix_model import fix_network

            status = max(status, fix_network(given, path))
    return status
