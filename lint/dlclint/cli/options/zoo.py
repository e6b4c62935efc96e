"""Options of `dlclint zoo`."""

from __future__ import annotations

import argparse

from dlclint.cli.options import shared
from dlclint.report.render import FORMATS


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `zoo`."""
    zoo = commands.add_parser(
        "zoo",
        help="sum up what many models came to",
        description="Sum up the results that `dlclint check --results DIR` keeps: which ops, rules and chips "
        "stand in the way of most models, and which one fix would help most of them.",
    )
    zoo.set_defaults(run="dlclint.cli.zoo:show_zoo")
    zoo.add_argument(
        "folders",
        nargs="+",
        metavar="DIR",
        help="folders of results; of one model with the same target the last folder's counts",
    )
    zoo.add_argument(
        "--format", choices=FORMATS["zoo"], default="rich", help="default: rich; parquet wants -o"
    )
    zoo.add_argument("-o", "--output", metavar="FILE", help="write the report there")
    shared.add_overwrite(zoo)
