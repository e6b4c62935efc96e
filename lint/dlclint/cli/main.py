"""Commands and their options. Heavy imports wait until a command runs."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence

from dlclint import __version__

RUNTIMES = ("cpu", "gpu", "gpu_float16", "dsp", "htp", "aip")
FORMATS = ("rich", "concise", "json", "sarif")


class UsageError(Exception):
    """What was asked cannot be done; the argument is one sentence for the user. Exit status 2."""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="dlclint",
        description="Lint ONNX models before Qualcomm's DLC converters see them.",
        epilog="Exit status: 0 clean, 1 findings at or above --fail-on, 2 could not run.",
    )
    top.add_argument("--version", action="version", version=f"dlclint {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _check_options(commands.add_parser("check", help="lint models and override files"))
    rule = commands.add_parser("rule", help="explain a rule, or list them all")
    rule.add_argument("id", nargs="?", metavar="ID", help="such as ops/unsupported")
    _fix_options(commands.add_parser("fix", help="repair an override file"))
    _encodings_options(commands.add_parser("encodings", help="convert, show or compare override files"))
    ops = commands.add_parser("ops", help="show what the tables say of an op, or list them all")
    ops.add_argument("op", nargs="?", metavar="OP", help="such as Conv")
    return top


def _check_options(check: argparse.ArgumentParser) -> None:
    check.add_argument(
        "paths", nargs="+", metavar="PATH", help="models, override files, or folders to search for them"
    )
    target = check.add_argument_group("what the model is for")
    target.add_argument(
        "--runtime",
        action="append",
        default=[],
        metavar="R",
        help=f"one of {', '.join(RUNTIMES)}; repeatable (none: all are compared)",
    )
    target.add_argument(
        "--encodings",
        metavar="FILE",
        help="quantization overrides of the model (default: the file NAME.encodings beside NAME.onnx)",
    )
    target.add_argument("--quantize", action="store_true", help="the DLC will be quantized")
    converter = check.add_argument_group("converter options, with the converter's names and meaning")
    converter.add_argument(
        "-d",
        "--input-dim",
        "--input_dim",
        dest="input_dim",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "DIMS"),
        help="dimensions of an input, such as: -d data 1,3,224,224",
    )
    converter.add_argument(
        "-s",
        "--define-symbol",
        "--define_symbol",
        dest="symbol",
        nargs=2,
        action="append",
        default=[],
        metavar=("SYMBOL", "VALUE"),
        help="size of a symbolic dimension",
    )
    converter.add_argument("-b", "--batch", type=int, metavar="N", help="batch of every input")
    converter.add_argument(
        "-n",
        "--no-simplification",
        "--no_simplification",
        dest="no_simplification",
        action="store_true",
        help="the converter will not simplify (it never does with overrides or custom ops)",
    )
    rules = check.add_argument_group("rules and configuration")
    rules.add_argument("--select", action="append", default=[], metavar="RULES", help="ids or families")
    rules.add_argument("--ignore", action="append", default=[], metavar="RULES", help="ids or families")
    rules.add_argument(
        "--fail-on",
        choices=("error", "warning", "info", "never"),
        help="lowest severity that makes the exit status 1 (default: error)",
    )
    rules.add_argument("--config", metavar="FILE", help="dlclint.toml or pyproject.toml to use")
    rules.add_argument("--isolated", action="store_true", help="use no configuration file")
    output = check.add_argument_group("output")
    output.add_argument("--format", choices=FORMATS, default="rich", help="default: rich")
    output.add_argument("-o", "--output", metavar="FILE", help="write the report to a file")
    output.add_argument("-j", "--jobs", type=int, metavar="N", help="files linted at once")


def _fix_options(fix: argparse.ArgumentParser) -> None:
    fix.add_argument("path", metavar="FILE", help="an override file")
    where = fix.add_mutually_exclusive_group()
    where.add_argument("-o", "--output", metavar="OUT", help="write the repaired file here (default: stdout)")
    where.add_argument("--in-place", action="store_true", help="replace the file")
    where.add_argument("--diff", action="store_true", help="print what would change and write nothing")
    fix.add_argument("--unsafe", action="store_true", help="also fixes that may change the function a little")
    fix.add_argument("--model", metavar="M", help="its model (default: NAME.onnx beside NAME.encodings)")
    fix.add_argument("--select", action="append", default=[], metavar="RULES", help="ids or families")
    fix.add_argument("--ignore", action="append", default=[], metavar="RULES", help="ids or families")


def _encodings_options(encodings: argparse.ArgumentParser) -> None:
    actions = encodings.add_subparsers(dest="action", required=True, metavar="ACTION")
    convert = actions.add_parser("convert", help="write the file in another format version")
    convert.add_argument("path", metavar="FILE")
    convert.add_argument("--to", required=True, choices=("0.6.1", "1.0.0", "2.0.0"), help="format version")
    convert.add_argument("--model", metavar="M", help="its model, which tells weights and channel axes")
    convert.add_argument("-o", "--output", metavar="OUT", help="default: stdout")
    convert.add_argument("--lossy", action="store_true", help="convert even if something is lost")
    show = actions.add_parser("show", help="print a table")
    show.add_argument("path", metavar="FILE")
    show.add_argument("--tensor", default="*", metavar="GLOB", help="only tensors of these names")
    diff = actions.add_parser("diff", help="compare two files, whatever their formats")
    diff.add_argument("path", metavar="A")
    diff.add_argument("other", metavar="B")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    # Modules and models are many small objects that live to the end: collect rarely.
    gc.set_threshold(100_000, 20, 20)
    given = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # a name of the model may not fit the terminal's encoding
            reconfigure(errors="backslashreplace")
    try:
        if given.command == "check":
            from dlclint.cli.check import check

            return check(given)
        if given.command == "fix":
            from dlclint.cli.fix import fix

            return fix(given)
        if given.command == "encodings":
            from dlclint.cli.encodings import encodings

            return encodings(given)
        if given.command == "rule":
            from dlclint.cli.rule import show_rule

            return show_rule(given.id)
        from dlclint.cli.ops import show_op

        return show_op(given.op)
    except UsageError as error:
        print(f"dlclint: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
