"""`dlclint equalize`: cross-layer equalization of the model itself."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dlclint.analysis.cle.absorption import HighBias
from dlclint.cli.errors import UsageError
from dlclint.cli.jobs import dimensions_of, names_of
from dlclint.cli.output import OutputFile, guard
from dlclint.cli.targets import sdk_of
from dlclint.diagnostic import plain
from dlclint.engine.config import ModelSection
from dlclint.engine.equalize import EqualizedDiffers, Options, QuantizedAlready, Relu6, UnknownName
from dlclint.engine.equalize import write_equalized as run
from dlclint.model.reading import Unreadable
from dlclint.model.writing import CannotWrite
from dlclint.report.render import render
from dlclint.verify import is_available


def equalize(args: argparse.Namespace) -> int:
    """Run the command; returns 0, or 1 if the comparison of both models fails.

    Raises:
        UsageError: the model cannot be read, the output cannot be written, or ONNX Runtime is missing.
    """
    path, output = Path(args.path), Path(args.output)
    if not path.is_file():
        raise UsageError(f"{plain(args.path)} does not exist or is not a file; check the path")
    if not output.parent.is_dir():
        raise UsageError(f"{plain(str(output.parent))} is not a folder; name an output in one that exists")
    if output.is_dir():
        raise UsageError(f"{plain(args.output)} is a folder; name a file")
    guard(output, OutputFile.MODEL, (path,), args.overwrite)
    if args.verify < 0:
        raise UsageError(f"--verify {args.verify}: give a number of at least 1")
    if args.verify and not is_available():
        raise UsageError("--verify needs ONNX Runtime; pip install 'dlclint[verify]'")
    options = Options(
        args.extended,
        Relu6(args.relu6),
        HighBias(args.high_bias),
        args.weights_bitwidth,
        args.verify,
        dimensions_of(args, ModelSection()),
        tuple(names_of(args, ModelSection())),
        sdk_of(args.sdk or ""),
    )
    try:
        outcome = run(path, output, options)
    except Unreadable as problem:
        raise UsageError(f"{plain(args.path)}: {plain(problem.message)}; {plain(problem.help)}") from None
    except (CannotWrite, QuantizedAlready, UnknownName) as problem:
        raise UsageError(plain(str(problem), 500)) from None
    except EqualizedDiffers as problem:
        print(f"dlclint: {plain(str(problem), 500)}; nothing was written", file=sys.stderr)
        return 1
    sys.stdout.write(render("equalize", args.format, outcome, sys.stdout))
    return 0
