"""Options of `dlclint ops`."""

from __future__ import annotations

import argparse

from dlclint.cli.options import shared


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `ops`."""
    ops = commands.add_parser(
        "ops",
        help="show the table entries of an op with their releases, or list all ops",
        description="Show versions, conditions and runtimes of an ONNX op, or list every op with its layers.",
    )
    ops.set_defaults(run="dlclint.cli.ops:show_op")
    shared.add_sdk(ops)
    ops.add_argument("op", nargs="?", metavar="OP", help="such as Conv")
