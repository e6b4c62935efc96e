"""Options of `dlclint fix`."""

from __future__ import annotations

import argparse

from dlclint.cli.options import shared


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `fix`."""
    fix = commands.add_parser("fix", help="repair an override file")
    fix.set_defaults(run="dlclint.cli.fix:fix")
    fix.add_argument("path", metavar="FILE", help="an override file")
    where = fix.add_mutually_exclusive_group()
    where.add_argument("-o", "--output", metavar="OUT", help="write the repaired file here (default: stdout)")
    where.add_argument("--in-place", action="store_true", help="replace the file")
    where.add_argument("--diff", action="store_true", help="print what would change and write nothing")
    fix.add_argument("--unsafe", action="store_true", help="also fixes that may change the function a little")
    fix.add_argument("--model", metavar="M", help="its model (default: NAME.onnx beside NAME.encodings)")
    shared.add_rules(fix)
