"""`dlclint init`: a commented configuration for the models of a folder, derived from the models."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from dlclint.analysis.options import shape_options
from dlclint.analysis.view import ModelView
from dlclint.cli.errors import UsageError
from dlclint.cli.folders import files
from dlclint.diagnostic import counted, plain
from dlclint.encodings.recognition import encodings_beside, is_encodings
from dlclint.model.dimensions import Dimensions
from dlclint.model.op_facts import is_qdq
from dlclint.model.reading import Unreadable, read
from dlclint.target import Target
from dlclint.writing import write_whole

NAME = "dlclint.toml"
_MOST = 50
"""Models that get a separate section."""
HEAD = """# Configuration of dlclint: docs/reference/configuration.md explains every key.
# The nearest dlclint.toml from a model's folder upward holds for it; extend = "FILE" builds on another one.

# Lowest severity that makes the exit status 1: "error", "warning", "info" or "never".
fail-on = "error"

# Rules to leave out, by id or family (`dlclint rule` lists them).
# ignore = ["FAMILY", "FAMILY/RULE"]

# What searching folders leaves out besides .git, .venv, node_modules and what .gitignore says.
# exclude = ["old/"]

# Known findings, written by: dlclint check --baseline dlclint-baseline.json --write-baseline FOLDER
# baseline = "dlclint-baseline.json"

# Other severities.
# [severity]
# "FAMILY/RULE" = "off"

# Findings that do not matter here, each with its reason.
# [[ignores]]
# rule = "FAMILY/RULE"
# path = "detector.onnx"
# reason = "why it does not matter"
"""


def init(args: argparse.Namespace) -> int:
    """Run the command; returns the exit status.

    Raises:
        UsageError: the folder is missing or holds no model, or a configuration exists already.
    """
    folder = Path(args.folder)
    if not folder.is_dir():
        raise UsageError(f"{plain(args.folder)} is not a folder; give the one that holds the models")
    path = folder / NAME
    if path.exists() and not args.overwrite:
        raise UsageError(f"{plain(str(path))} already exists; give --overwrite to replace it")
    models = [file for file in files([args.folder]) if not is_encodings(file)]
    sections = ["\n".join(_section(file, folder)) for file in models[:_MOST]]
    if len(models) > _MOST:
        sections.append(f"# {counted(len(models) - _MOST, 'model')} more have no section of their own.")
    try:
        write_whole(path, "\n\n".join([HEAD.rstrip(), *sections]) + "\n")
    except OSError as error:
        raise UsageError(f"cannot write {plain(str(path))}: {error.strerror}") from None
    print(f"wrote {plain(str(path))} for {counted(len(models), 'model')}; fill in the chip (`dlclint soc`)")
    return 0


def _section(path: Path, folder: Path) -> Iterator[str]:
    """The section of the configuration for one model."""
    yield "[[models]]"
    yield f"path = {_text(_escaped(path.relative_to(folder).as_posix()))}"
    yield '# soc = "SM8650"'
    overrides = encodings_beside(path)
    if overrides is not None:
        yield f"encodings = {_text(overrides.relative_to(folder).as_posix())}"
    try:
        model = read(path)
    except Unreadable as problem:
        yield f"# It cannot be read: {plain(problem.message)}"
        return
    if any(is_qdq(node.op_type, node.domain) for graph in model.graphs() for node in graph.nodes):
        yield "quantize = true  # it carries QuantizeLinear and DequantizeLinear"
    elif overrides is not None:
        yield "quantize = true  # it has an override file"
    else:
        yield "# quantize = true  # without it float and quantized are compared"
    yield from _inputs(ModelView(model, Target()))


def _inputs(view: ModelView) -> Iterator[str]:
    """The unknown sizes of inputs, for the user to fill in."""
    graph = view.model.graph
    rows = shape_options(view, Dimensions())
    if rows:
        yield "# Sizes that its inputs lack: put a number for each word in capitals, and remove the #."
    for name, sizes in rows:
        kind = plain(str(graph.type_of(name)))
        yield f"# input-dim.{_text(name)} = [{', '.join(sizes.split(','))}]  # {kind}"


def _escaped(path: str) -> str:
    """A path as a glob that matches only that path."""
    return "".join(f"[{mark}]" if mark in "*?[" else mark for mark in path)


def _text(text: str) -> str:
    """A text as a TOML string, which is written as in JSON."""
    return json.dumps(plain(text, 2000))
