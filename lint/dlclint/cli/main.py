"""The command line: the parser of all commands, and running the one that is asked for."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from dlclint import __version__
from dlclint.cli.errors import UsageError
from dlclint.cli.options import check, encodings, fix, ops, rule

COMMANDS = (check, fix, encodings, rule, ops)
"""In the order in which `--help` lists them."""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="dlclint",
        description="Lint ONNX models before Qualcomm's DLC converters see them.",
        epilog="Exit status: 0 clean, 1 findings at or above --fail-on, 2 could not run.",
    )
    top.add_argument("--version", action="version", version=f"dlclint {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    # Modules and models are many small objects that live to the end: collect rarely.
    gc.set_threshold(100_000, 20, 20)
    given = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # a name of the model may not fit the terminal's encoding
            reconfigure(errors="backslashreplace")
    module, _, function = given.run.partition(":")
    try:
        # Imported here because what commands need takes longer than showing help.
        return int(getattr(import_module(module), function)(given))
    except UsageError as error:
        print(f"dlclint: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
