"""Options of `dlclint init`."""

from __future__ import annotations

import argparse

from dlclint.cli.options import shared


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `init`."""
    init = commands.add_parser(
        "init",
        help="write a configuration for a folder of models",
        description="Write a commented dlclint.toml for the models in a folder, based on their open inputs, "
        "override files and quantization.",
    )
    init.set_defaults(run="dlclint.cli.init:init", apart=True)
    init.add_argument("folder", nargs="?", default=".", metavar="FOLDER", help="default: the current folder")
    shared.add_overwrite(init)
