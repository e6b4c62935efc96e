"""Options of `dlclint server`."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `server`."""
    server = commands.add_parser(
        "server",
        help="run the language server for editors",
        description="Run the language server for override files and dlclint.toml on standard input and "
        "output. Needs the extra: pip install 'dlclint[server]'.",
    )
    server.set_defaults(run="dlclint.cli.server:run_server")
