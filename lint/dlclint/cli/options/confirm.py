"""Options of `dlclint confirm`."""

from __future__ import annotations

import argparse

from dlclint.cli.options import shared
from dlclint.report.render import FORMATS


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `confirm`."""
    confirm = commands.add_parser(
        "confirm",
        help="ask Qualcomm's own HTP backend, offline, and compare",
        description="Ask Qualcomm's own HTP backend about every node, without an SDK or a device, and "
        "compare its verdict with dlclint's.",
    )
    confirm.set_defaults(run="dlclint.cli.confirm:confirm", apart=True, runtime=["htp"])
    confirm.add_argument("paths", nargs="+", metavar="PATH", help="models, or folders to search")
    target = shared.add_target(confirm, runtime=False)
    target.add_argument(
        "--encodings",
        metavar="FILE",
        help="override file with the ranges for --quantize (default: NAME.encodings next to NAME.onnx)",
    )
    shared.add_converter(confirm)
    add_asking(confirm)
    sdk = confirm.add_argument_group("your own SDK")
    sdk.add_argument(
        "--sdk-root",
        metavar="DIR",
        help="folder of an unpacked SDK (default: QAIRT_SDK_ROOT, if --judge needs one)",
    )
    sdk.add_argument(
        "--judge",
        choices=("htp", "converter", "cpu"),
        help="htp: Qualcomm's backend from the extra; converter: a dry run of the SDK's converter; cpu: the"
        " SDK's libQnnCpu.so, through the extra (default: converter with --sdk-root, otherwise htp)",
    )
    shared.add_rules(confirm)
    shared.add_configuration(confirm)
    output = confirm.add_argument_group("output")
    output.add_argument("--format", choices=FORMATS["confirm"], default="rich", help="default: rich")
    output.add_argument("-o", "--output", metavar="FILE", help="write the report to a file")
    shared.add_overwrite(output)
    output.add_argument("--dlc", metavar="OUT", help="also write the backend's DLC of one model")


def add_asking(command: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Options that select the backend, and its limits; returns the group."""
    asking = command.add_argument_group("asking the backend (needs the extra: pip install 'dlclint[qnn]')")
    how = asking.add_mutually_exclusive_group()
    how.add_argument("--compile", action="store_true", help="validate and compile (the default)")
    how.add_argument(
        "--validate-only",
        action="store_true",
        help="only validate: faster; for Hexagon v68, compile as well",
    )
    add_limits(asking, 60.0)
    return asking


def add_limits(group: argparse._ArgumentGroup, seconds: float) -> None:
    """The limits of one question to the backend."""
    group.add_argument(
        "--timeout",
        type=float,
        default=seconds,
        metavar="S",
        help=f"seconds for one model in the backend (default: {seconds:g})",
    )
    group.add_argument(
        "--memory",
        type=float,
        default=8.0,
        metavar="GIB",
        help="memory for one model in the backend, in GiB (default: 8)",
    )
