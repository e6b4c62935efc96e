"""Options of `dlclint zoo`."""

from __future__ import annotations

import argparse

from dlclint.cli.options import shared
from dlclint.report.render import FORMATS


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `zoo`."""
    zoo = commands.add_parser(
        "zoo",
        help="summarize the results of many models",
        description="Summarize the results that `dlclint check --results DIR` stores: which ops, rules and "
        "chips block most models, and which single fix would help most of them.",
    )
    zoo.set_defaults(run="dlclint.cli.zoo:show_zoo")
    zoo.add_argument(
        "folders",
        nargs="+",
        metavar="DIR",
        help="folders of results; for a model with the same target in several, the last one counts",
    )
    zoo.add_argument(
        "--format", choices=FORMATS["zoo"], default="rich", help="default: rich; parquet needs -o"
    )
    zoo.add_argument("-o", "--output", metavar="FILE", help="write the report to a file")
    shared.add_overwrite(zoo)
