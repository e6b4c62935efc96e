"""Options of `dlclint explain`."""

from __future__ import annotations

import argparse

from dlclint.cli.options import shared


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `explain`."""
    explain = commands.add_parser(
        "explain",
        help="explain a converter's, quantizer's or runtime's log",
        description="Explain the log of a converter, the quantizer, snpe-net-run, QNN or ONNX Runtime: what "
        "failed, at which node, why, what to do, and which rule reports it before conversion.",
    )
    explain.set_defaults(run="dlclint.cli.explain:explain_log")
    explain.add_argument("log", metavar="LOG", help="the log file, or - for standard input")
    explain.add_argument("model", nargs="?", metavar="MODEL", help="the model, to point at its nodes")
    explain.add_argument(
        "--format", choices=("rich", "json"), default="rich", metavar="F", help="rich (default) or json"
    )
    explain.add_argument("-o", "--output", metavar="FILE", help="write the explanation to a file")
    shared.add_overwrite(explain)
