"""`dlclint server`: the language server, where its library is installed."""

from __future__ import annotations

import argparse
from importlib import import_module
from importlib.util import find_spec

from dlclint.cli.errors import UsageError


def run_server(args: argparse.Namespace) -> int:
    """Run the server until the client ends it.

    Raises:
        UsageError: the library of the protocol is not installed.
    """
    if find_spec("pygls") is None:
        raise UsageError("the language server needs pygls; pip install 'dlclint[server]'")
    # By name, because the server is a layer above the command line, whose options it reads.
    return int(import_module("dlclint.server.app").serve_editor(args))
