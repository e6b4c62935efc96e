"""Options of `dlclint ops`."""

from __future__ import annotations

import argparse

from dlclint.cli.options import shared


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `ops`."""
    ops = commands.add_parser("ops", help="show what the tables say of an op, or list them all")
    ops.set_defaults(run="dlclint.cli.ops:show_op")
    ops.add_argument(
        "--sdk", choices=shared.SDKS, default=shared.SDKS[0], metavar="TABLE", help=" or ".join(shared.SDKS)
    )
    ops.add_argument("op", nargs="?", metavar="OP", help="such as Conv")
