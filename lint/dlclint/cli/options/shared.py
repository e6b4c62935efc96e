"""Options that several commands have: target, converter options, rule selection, output."""

from __future__ import annotations

import argparse

RUNTIMES = ("cpu", "gpu", "gpu_float16", "dsp", "htp", "aip")
FORMATS = ("rich", "concise", "json", "sarif")


def add_target(command: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Runtime and DLC kind; returns the group, for what only one command adds to it."""
    target = command.add_argument_group("what the model is for")
    target.add_argument(
        "--runtime",
        action="append",
        default=[],
        metavar="R",
        help=f"one of {', '.join(RUNTIMES)}; repeatable (none: all are compared)",
    )
    target.add_argument("--quantize", action="store_true", help="the DLC will be quantized")
    return target


def add_converter(command: argparse.ArgumentParser) -> None:
    """The dimension overrides and the simplification switch of the converter."""
    converter = command.add_argument_group("converter options, with the converter's names and meaning")
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


def add_rules(command: argparse.ArgumentParser) -> None:
    """Selection of rules by id or family."""
    rules = command.add_argument_group("rules")
    rules.add_argument("--select", action="append", default=[], metavar="RULES", help="ids or families")
    rules.add_argument("--ignore", action="append", default=[], metavar="RULES", help="ids or families")
