"""Options of `dlclint fix`."""

from __future__ import annotations

import argparse

from dlclint.cli.options import shared


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `fix`."""
    fix = commands.add_parser("fix", help="mend models and override files, as far as findings carry fixes")
    fix.set_defaults(run="dlclint.cli.fix:fix")
    fix.add_argument("paths", nargs="+", metavar="FILE", help="models, or override files")
    where = fix.add_mutually_exclusive_group()
    where.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="write the mended file here (default: write no model, and an override file to stdout)",
    )
    where.add_argument("--in-place", action="store_true", help="replace the files")
    where.add_argument("--diff", action="store_true", help="print what would change and write nothing")
    fix.add_argument("--unsafe", action="store_true", help="also fixes that may change the function a little")
    fix.add_argument(
        "--dims",
        action="append",
        default=[],
        metavar="NAME=DIMS",
        help="write an input's dimensions into the model, or a symbol's size: data=1,3,224,224 or batch=1",
    )
    fix.add_argument(
        "--verify",
        action=argparse.BooleanOptionalAction,
        help="run both models on random inputs and compare (default: where ONNX Runtime is installed)",
    )
    fix.add_argument(
        "--exit-non-zero-on-fix",
        action="store_true",
        help="exit with 1 where something was mended, as hooks do",
    )
    fix.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    fix.add_argument(
        "--model",
        metavar="M",
        help="the model of an override file (default: NAME.onnx beside NAME.encodings)",
    )
    shared.add_target(fix)
    fix.add_argument(
        "-n",
        "--no-simplification",
        "--no_simplification",
        dest="no_simplification",
        action="store_true",
        help="the converter will not simplify: fold and name what override files speak of",
    )
    shared.add_rules(fix)
    configuration = fix.add_argument_group("configuration")
    configuration.add_argument("--config", metavar="FILE", help="dlclint.toml or pyproject.toml to use")
    configuration.add_argument("--isolated", action="store_true", help="use no configuration file")
