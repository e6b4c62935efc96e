"""Options of `dlclint fix`."""

from __future__ import annotations

import argparse

from dlclint.cli.options import shared
from dlclint.report.render import FORMATS


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `fix`."""
    fix = commands.add_parser("fix", help="apply the fixes of findings to models and override files")
    fix.set_defaults(run="dlclint.cli.fix:fix", prints=True)
    fix.add_argument("paths", nargs="+", metavar="FILE", help="models, or override files")
    where = fix.add_mutually_exclusive_group()
    where.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="write the fixed file (default: write no model, and print an override file)",
    )
    where.add_argument("--in-place", action="store_true", help="replace the files")
    where.add_argument("--diff", action="store_true", help="print the changes and write nothing")
    shared.add_overwrite(fix)
    fix.add_argument(
        "--unsafe", action="store_true", help="also apply fixes that may change the function slightly"
    )
    # The former spelling of both -d and -s.
    fix.add_argument("--dims", action="append", default=[], help=argparse.SUPPRESS)
    fix.add_argument(
        "--verify",
        action=argparse.BooleanOptionalAction,
        help="run both models on random inputs and compare (default: if ONNX Runtime is installed)",
    )
    fix.add_argument(
        "--exit-non-zero-on-fix",
        action="store_true",
        help="exit with 1 if something was fixed, as hooks do",
    )
    fix.add_argument("--format", choices=FORMATS["fix"], default="rich", help="default: rich")
    fix.add_argument(
        "--model",
        metavar="M",
        help="the model of an override file (default: NAME.onnx next to NAME.encodings)",
    )
    shared.add_target(fix)
    shared.add_converter(fix, "converter options; fix writes the dimensions into the model")
    shared.add_rules(fix)
    shared.add_configuration(fix)
