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
        help="models, override files, or folders to search for them; also addresses (https, s3, gs, az, hf), "
        "of a folder with / at the end, and patterns",
    )
    check.add_argument(
        "--skip-lfs-pointers",
        action="store_true",
        help="leave out files that Git LFS has not fetched, with one note, instead of an error for each",
    )
    target = shared.add_target(check, several=True)
    target.add_argument(
        "--encodings",
        metavar="FILE",
        help="quantization overrides of the model (default: the file NAME.encodings beside NAME.onnx)",
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
        help="do not read weights: rules that need them stay silent, and the report names them",
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
        help="leave out the findings that the file lists; fingerprints go by names, not by positions",
    )
    configuration.add_argument(
        "--write-baseline",
        action="store_true",
        help="write what is found now to that file (default: dlclint-baseline.json)",
    )
    configuration.add_argument(
        "--show-files", action="store_true", help="list the files that would be linted, and stop"
    )
    configuration.add_argument(
        "--show-settings",
        action="store_true",
        help="show what each file would be linted for, and stop (JSON)",
    )
    configuration.add_argument(
        "--no-cache", action="store_true", help="read every file again, and keep no result for the next run"
    )
    many = check.add_argument_group("many files")
    many.add_argument(
        "--on",
        metavar="CLUSTER",
        help="lint on a Dask cluster: dask://HOST:PORT of its scheduler, or dask for one on this machine",
    )
    many.add_argument(
        "--results",
        metavar="DIR",
        help="keep each result in a folder as it arrives (`dlclint zoo` sums them up)",
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
        help="files linted at once (default: as many as there are processors)",
    )
    output = check.add_argument_group("output")
    output.add_argument("--format", choices=FORMATS["check"], default="rich", help="default: rich")
    output.add_argument(
        "-o", "--output", metavar="FILE", help="write the report to a file (default: standard output)"
    )
    shared.add_further(output, "sarif=dlclint.sarif")
    shared.add_overwrite(output)
    output.add_argument("-q", "--quiet", action="store_true", help="print the verdict, and list no findings")
    output.add_argument(
        "--min-severity",
        choices=("error", "warning", "info"),
        default="info",
        help="list findings from this severity on (default: info); verdict and exit status stay",
    )
    output.add_argument(
        "--statistics", action="store_true", help="count findings by rule, without a list (rich, json)"
    )
    output.add_argument(
        "--all",
        action="store_true",
        help="list every finding, place and consequence; else groups are folded, and those of one rule "
        "beyond 1,000 in a file only counted",
    )
