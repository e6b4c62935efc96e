"""Options of `dlclint check`."""

from __future__ import annotations

import argparse

from dlclint.cli.options import shared
from dlclint.cli.options.confirm import add_asking
from dlclint.report.render import FORMATS


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `check`."""
    check = commands.add_parser("check", help="lint models and override files")
    check.set_defaults(
        run="dlclint.cli.check:check",
        apart=True,
        several=True,
        meanwhile="dlclint.cli.reporting:load_report",
    )
    check.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="models, override files, or folders to search; also addresses (https, s3, gs, az, hf), "
        "with / at the end for a folder, and patterns",
    )
    check.add_argument(
        "--skip-lfs-pointers",
        action="store_true",
        help="skip files that Git LFS has not fetched, with one note instead of an error for each",
    )
    target = shared.add_target(check, several=True)
    target.add_argument(
        "--encodings",
        metavar="FILE",
        help="quantization overrides of the model (default: NAME.encodings next to NAME.onnx)",
    )
    shared.add_converter(check)
    asking = add_asking(check)
    asking.add_argument(
        "--confirm",
        action="store_true",
        help="ask Qualcomm's backend for the SoC, and add its verdict to the findings",
    )
    rules = shared.add_rules(check)
    rules.add_argument(
        "--no-weights",
        action="store_true",
        help="do not read weights: rules that need them report less or nothing, and the report names them",
    )
    configuration = shared.add_configuration(check)
    configuration.add_argument(
        "--fail-on",
        choices=("error", "warning", "info", "never"),
        help="lowest severity that makes the exit status 1 (default: error)",
    )
    configuration.add_argument(
        "--baseline",
        metavar="FILE",
        help="hide the findings that the file lists; fingerprints depend on names, not on positions",
    )
    configuration.add_argument(
        "--write-baseline",
        action="store_true",
        help="write the current findings to that file (default: dlclint-baseline.json)",
    )
    configuration.add_argument(
        "--show-files", action="store_true", help="list the files that would be linted, and exit"
    )
    configuration.add_argument(
        "--show-settings",
        action="store_true",
        help="show the target of each file, and exit (JSON)",
    )
    configuration.add_argument(
        "--no-cache", action="store_true", help="read every file again, and store no results"
    )
    many = check.add_argument_group("many files")
    many.add_argument(
        "--on",
        metavar="CLUSTER",
        help="lint on a Dask cluster: dask://HOST:PORT of its scheduler, or dask for a local cluster",
    )
    many.add_argument(
        "--results",
        metavar="DIR",
        help="store each result in a folder as it arrives (`dlclint zoo` summarizes them)",
    )
    many.add_argument(
        "--resume",
        action="store_true",
        help="continue from the results in that folder: unchanged files are not linted again",
    )
    many.add_argument(
        "--shard",
        metavar="K/N",
        help="lint the K-th of N parts of the files, such as 1/4, for a matrix of CI jobs",
    )
    many.add_argument(
        "-j",
        "--jobs",
        type=int,
        metavar="N",
        help="files to lint in parallel (default: the number of processors)",
    )
    output = check.add_argument_group("output")
    output.add_argument("--format", choices=FORMATS["check"], default="rich", help="default: rich")
    output.add_argument(
        "-o", "--output", metavar="FILE", help="write the report to a file (default: standard output)"
    )
    shared.add_further(output, "sarif=dlclint.sarif")
    shared.add_overwrite(output)
    output.add_argument("-q", "--quiet", action="store_true", help="print the verdict without the findings")
    output.add_argument(
        "--min-severity",
        choices=("error", "warning", "info"),
        default="info",
        help="lowest severity to list (default: info); does not change the verdict or the exit status",
    )
    output.add_argument(
        "--statistics",
        action="store_true",
        help="count findings by rule instead of listing them (rich, json)",
    )
    output.add_argument(
        "--all",
        action="store_true",
        help="list every finding, location and consequence (default: fold groups, and only count the "
        "findings of a rule beyond 1,000 in a file)",
    )
