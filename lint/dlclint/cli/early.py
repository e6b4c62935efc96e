"""What a command on models does first: let its worker load, while the command line is understood."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from importlib import import_module

from dlclint.cli.streams import prepare_streams

_COMMANDS = {"check": "dlclint.cli.check", "plan": "dlclint.cli.plan"}
"""Commands that do all their work on models in a worker, and the module of each."""


def start(words: Sequence[str]) -> None:
    """Start a worker if these words of the command line name a model.

    Loading onnx takes half of a short run, and an override file needs none of it.
    """
    # Modules and models are many small objects that live to the end: collect rarely.
    gc.set_threshold(100_000, 20, 20)
    prepare_streams()  # first, or a pipe to the worker would take the place of a closed stream
    command = _COMMANDS.get(words[0]) if words else None
    if command is None or not any(word.endswith(".onnx") for word in words[1:]):
        return
    # numpy's threads take longer to start than all that is computed on them, and more on many cores.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Imported here because help and versions need no worker.
    from dlclint.contained.process import start_early

    start_early(lambda: _load(command))


def _load(command: str) -> None:
    for module in ("dlclint.engine.models", command):
        import_module(module)
