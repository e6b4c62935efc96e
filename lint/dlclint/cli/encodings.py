"""`dlclint encodings`: convert, show and compare override files, or extract one from a QDQ model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dlclint.cli.apart import apart
from dlclint.cli.errors import UsageError
from dlclint.cli.output import OutputFile, deliver, guard
from dlclint.diagnostic import counted, plain
from dlclint.encodings.convert import CannotConvert, TensorFacts, convert
from dlclint.encodings.document import EncodingsDocument
from dlclint.encodings.reading import read_encodings
from dlclint.encodings.recognition import MODEL_SUFFIXES, model_beside
from dlclint.encodings.show import differences, rows, spelled


def encodings(args: argparse.Namespace) -> int:
    """Run the command; returns the exit status (1 for `diff` if the files differ).

    Raises:
        UsageError: a file cannot be read, converted or written.
    """
    if args.action == "convert":
        return _convert(args)
    if args.action == "extract":
        return _extract(args)
    if args.action == "show":
        return _show(args)
    return _diff(args)


def _read(name: str) -> EncodingsDocument:
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"{plain(name)} does not exist or is not a file; check the path")
    is_model = path.suffix.lower() in MODEL_SUFFIXES
    document = apart(_carried, path) if is_model else read_encodings(path)
    if not document.whole or not document.sections:
        said = next((f": {flaw.message}" for flaw in document.flaws), "")
        raise UsageError(f"{plain(name)} is not a readable override file{plain(said)}; run `dlclint check`")
    return document


def _carried(path: Path) -> EncodingsDocument:
    """The encodings that a model carries in QuantizeLinear and DequantizeLinear nodes."""
    # Imported here because onnx takes longer than the rest of the command.
    from dlclint.analysis.qdq.encodings import carried_encodings
    from dlclint.model.reading import Unreadable, read

    try:
        carried = carried_encodings(read(path))
    except Unreadable as problem:
        raise UsageError(f"{plain(str(path))} cannot be read: {plain(problem.message)}") from None
    if carried is None:
        raise UsageError(
            f"{plain(str(path))} is a model without QuantizeLinear and DequantizeLinear, so it carries no"
            " encodings; give an override file"
        )
    return carried.document


def _extract(args: argparse.Namespace) -> int:
    source, output = Path(args.path), Path(args.output)
    if not source.is_file():
        raise UsageError(f"{plain(args.path)} does not exist or is not a file; check the path")
    beside = Path(args.encodings) if args.encodings else output.with_suffix(".encodings")
    for path in (output, beside):
        if not path.parent.is_dir():
            raise UsageError(f"{plain(str(path.parent))} is not a folder; name an output in one that exists")
    if len({path.resolve() for path in (source, output, beside)}) < 3:
        raise UsageError("the model, the output and the override file must be three files")
    guard(output, OutputFile.MODEL, (source,), args.overwrite)
    guard(beside, OutputFile.OVERRIDES, (source,), args.overwrite)
    # Imported here because onnx takes longer than the rest of the command.
    from dlclint.engine.extract import ExtractedDiffers, NothingToExtract, extract
    from dlclint.model.reading import Unreadable
    from dlclint.model.writing import CannotWrite

    try:
        extracted = extract(source, output, args.to, args.lossy, lambda text: deliver(text, str(beside)))
    except Unreadable as problem:
        raise UsageError(f"{plain(args.path)} cannot be read: {plain(problem.message)}") from None
    except (NothingToExtract, CannotWrite) as problem:
        raise UsageError(plain(f"{args.path}: {problem}", 500)) from None
    except CannotConvert as error:
        return _refused(args, error)
    except ExtractedDiffers as problem:
        print(f"dlclint: {plain(str(problem), 500)}; nothing was written", file=sys.stderr)
        return 1
    print(f"{plain(str(output))}: the float model")
    print(f"{plain(str(beside))}: {counted(extracted.encodings, 'encoding')}, format {args.to}")
    print(plain(extracted.proof, 400))
    for line in (*extracted.apart, *extracted.kept):
        print(plain(line, 400))
    return 0


def _placements(args: argparse.Namespace) -> dict[str, TensorFacts] | None:
    path = Path(args.model) if args.model else model_beside(Path(args.path))
    return None if path is None else apart(_placements_in, path)


def _placements_in(path: Path) -> dict[str, TensorFacts]:
    # Imported here because onnx takes longer than the rest of the command.
    from dlclint.analysis.placement import placements
    from dlclint.model.reading import Unreadable, read

    try:
        return placements(read(path))
    except Unreadable as problem:
        raise UsageError(f"{plain(str(path))} cannot be read: {plain(problem.message)}") from None


def _convert(args: argparse.Namespace) -> int:
    sources = [Path(args.path), Path(args.model) if args.model else model_beside(Path(args.path))]
    guard(args.output, OutputFile.OVERRIDES, sources, args.overwrite)
    document = _read(args.path)
    try:
        text = convert(document, args.to, _placements(args), args.lossy)
    except CannotConvert as error:
        return _refused(args, error)
    deliver(f"{text}\n", args.output)
    return 0


def _refused(args: argparse.Namespace, error: CannotConvert) -> int:
    print(f"dlclint: {plain(args.path)} cannot be converted to {args.to} without loss:", file=sys.stderr)
    for loss in error.losses[:20]:
        print(f"  {plain(loss, 400)}", file=sys.stderr)
    if len(error.losses) > 20:
        print(f"  and {len(error.losses) - 20} more", file=sys.stderr)
    return 1


def _show(args: argparse.Namespace) -> int:
    document = _read(args.path)
    head = ("tensor", "section", "type", "elements", "symmetric", "min", "max", "scale", "offset")
    lines: list[tuple[str, ...]] = [head]
    for row in rows(document, args.tensor):
        spans = (spelled(span) for span in (row.minimum, row.maximum, row.scale, row.offset))
        section = row.section.removesuffix("_encodings")
        lines.append((plain(row.name), section, plain(row.dtype), str(row.elements), row.symmetric, *spans))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return 0


def _diff(args: argparse.Namespace) -> int:
    differs = False
    for line in differences(_read(args.path), _read(args.other)):
        differs = True
        print(plain(line, 400))
    return 1 if differs else 0
