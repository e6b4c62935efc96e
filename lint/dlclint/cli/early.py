"""What a command on models does first: start its worker, which loads while the command line is parsed."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from importlib import import_module

from dlclint.cli.streams import prepare_streams

_COMMANDS = {"check": "dlclint.cli.check", "plan": "dlclint.cli.plan"}
"""Commands that do all work on models in a worker, and the module of each."""


def start(words: Sequence[str]) -> None:
    """Start a worker if the words of the command line name a model.

    Loading onnx takes half of a short run, and linting an override file does not need it.
    """
    # Modules and models are many small objects that live until the process ends: collect rarely.
    gc.set_threshold(100_000, 20, 20)
    prepare_streams()  # first, or a pipe to the worker would take the descriptor of a closed stream
    command = _COMMANDS.get(words[0]) if words else None
    if command is None or not any(word.endswith(".onnx") for word in words[1:]):
        return
    # numpy's threads take longer to start than all computation on them, and longer still on many cores.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Imported here because help and version need no worker.
    from dlclint.contained.process import start_early

    start_early(lambda: _load(command, _address(words)))


def _address(words: Sequence[str]) -> str:
    """The address of the one model that is checked, if it is on a server; else ""."""
    models = [word for word in words[1:] if word.endswith(".onnx")]
    is_alone = words[0] == "check" and len(models) == 1
    return models[0] if is_alone and models[0].startswith(("http://", "https://")) else ""


def _load(command: str, address: str) -> None:
    if address:
        # Imported here because local files do not need it. The first bytes arrive while onnx loads.
        from dlclint.remote.listing import look_ahead

        look_ahead(address)
    for module in ("dlclint.engine.models", command):
        import_module(module)
