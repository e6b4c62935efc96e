"""Options of `dlclint init`."""

from __future__ import annotations

import argparse

from dlclint.cli.options import shared


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `init`."""
    init = commands.add_parser(
        "init",
        help="write a configuration for a folder of models",
        description="Write a dlclint.toml with comments for the models that a folder holds, as they are: "
        "open inputs, override files, quantization.",
    )
    init.set_defaults(run="dlclint.cli.init:init", apart=True)
    init.add_argument("folder", nargs="?", default=".", metavar="FOLDER", help="default: the working folder")
    shared.add_overwrite(init)
