"""The samples that a command runs a model on: files that the user names, or random values from a seed."""

from __future__ import annotations

import argparse
from pathlib import Path

from dlclint.cli.errors import UsageError
from dlclint.diagnostic import plain
from dlclint.engine.job import Job
from dlclint.model.graph import Graph
from dlclint.simulate.inputs.drawn import drawn
from dlclint.simulate.inputs.files import from_path
from dlclint.simulate.inputs.samples import LAYOUTS, Samples


def check_inputs(args: argparse.Namespace) -> None:
    """Reject invalid options of inputs.

    Raises:
        UsageError: an option is invalid.
    """
    if args.samples < 1:
        raise UsageError(f"--samples {args.samples}: give a number of at least 1")
    if args.seed < 0:
        raise UsageError(f"--seed {args.seed}: give a number of at least 0")
    for name, layout in args.input_layout:
        if layout.lower() not in LAYOUTS:
            raise UsageError(f"--input-layout {plain(name)} {plain(layout)}: give nchw or nhwc")


def samples_of(args: argparse.Namespace, graph: Graph, job: Job) -> Samples:
    """The samples that the command line selects.

    Raises:
        UsageError: a layout is for an input that the model does not have.
        BadInput: the samples cannot be read or drawn.
    """
    for name, _ in args.input_layout:
        if name not in graph.inputs:
            known = ", ".join(map(plain, graph.inputs)) or "none"
            raise UsageError(f"--input-layout names {plain(name)!r}, not an input; inputs: {known}")
    if args.inputs:
        layouts = {name: layout.lower() for name, layout in args.input_layout}
        return from_path(Path(args.inputs), graph, layouts).first(args.samples)
    moments = {name: (mean, deviation) for name, mean, deviation in job.target.input_moments}
    return drawn(graph, args.samples, args.seed, moments)
