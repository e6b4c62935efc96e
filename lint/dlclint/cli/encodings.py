"""`dlclint encodings`: convert, show and compare override files, and take one out of a QDQ model."""

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


def encodings(given: argparse.Namespace) -> int:
    """Run the command; returns the exit status (for diff 1 if the files differ).

    Raises:
        UsageError: a file cannot be read or written, or not be converted.
    """
    if given.action == "convert":
        return _convert(given)
    if given.action == "extract":
        return _extract(given)
    if given.action == "show":
        return _show(given)
    return _diff(given)


def _read(name: str) -> EncodingsDocument:
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"{plain(name)} does not exist or is not a file; check the path")
    document = _carried(path) if path.suffix.lower() in MODEL_SUFFIXES else read_encodings(path)
    if not document.whole or not document.sections:
        said = next((f": {flaw.message}" for flaw in document.flaws), "")
        raise UsageError(f"{plain(name)} is not a readable override file{plain(said)}; run `dlclint check`")
    return document


def _carried(path: Path) -> EncodingsDocument:
    """The encodings that a model carries by QuantizeLinear and DequantizeLinear."""
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


def _extract(given: argparse.Namespace) -> int:
    source, output = Path(given.path), Path(given.output)
    if not source.is_file():
        raise UsageError(f"{plain(given.path)} does not exist or is not a file; check the path")
    beside = Path(given.encodings) if given.encodings else output.with_suffix(".encodings")
    for path in (output, beside):
        if not path.parent.is_dir():
            raise UsageError(f"{plain(str(path.parent))} is not a folder; name an output in one that exists")
    if len({path.resolve() for path in (source, output, beside)}) < 3:
        raise UsageError("the model, the output and the override file must be three files")
    guard(output, OutputFile.MODEL, (source,), given.overwrite)
    guard(beside, OutputFile.OVERRIDES, (source,), given.overwrite)
    # Imported here because onnx takes longer than the rest of the command.
    from dlclint.engine.extract import ExtractedDiffers, NothingToExtract, extract
    from dlclint.model.reading import Unreadable
    from dlclint.model.writing import CannotWrite

    try:
        made = extract(source, output, given.to, given.lossy, lambda text: deliver(text, str(beside)))
    except Unreadable as problem:
        raise UsageError(f"{plain(given.path)} cannot be read: {plain(problem.message)}") from None
    except (NothingToExtract, CannotWrite) as problem:
        raise UsageError(plain(f"{given.path}: {problem}", 500)) from None
    except CannotConvert as error:
        return _refused(given, error)
    except ExtractedDiffers as problem:
        print(f"dlclint: {plain(str(problem), 500)}; nothing was written", file=sys.stderr)
        return 1
    print(f"{plain(str(output))}: the float model")
    print(f"{plain(str(beside))}: {counted(made.encodings, 'encoding')}, format {given.to}")
    print(plain(made.proof, 400))
    for line in (*made.apart, *made.left):
        print(plain(line, 400))
    return 0


def _placements(given: argparse.Namespace) -> dict[str, TensorFacts] | None:
    path = Path(given.model) if given.model else model_beside(Path(given.path))
    return None if path is None else apart(_placements_in, path)


def _placements_in(path: Path) -> dict[str, TensorFacts]:
    # Imported here because onnx takes longer than the rest of the command.
    from dlclint.analysis.placement import placements
    from dlclint.model.reading import Unreadable, read

    try:
        return placements(read(path))
    except Unreadable as problem:
        raise UsageError(f"{plain(str(path))} cannot be read: {plain(problem.message)}") from None


def _convert(given: argparse.Namespace) -> int:
    sources = [Path(given.path), Path(given.model) if given.model else model_beside(Path(given.path))]
    guard(given.output, OutputFile.OVERRIDES, sources, given.overwrite)
    document = _read(given.path)
    try:
        text = convert(document, given.to, _placements(given), given.lossy)
    except CannotConvert as error:
        return _refused(given, error)
    deliver(f"{text}\n", given.output)
    return 0


def _refused(given: argparse.Namespace, error: CannotConvert) -> int:
    print(f"dlclint: {plain(given.path)} cannot be converted to {given.to} without loss:", file=sys.stderr)
    for loss in error.losses[:20]:
        print(f"  {plain(loss, 400)}", file=sys.stderr)
    if len(error.losses) > 20:
        print(f"  and {len(error.losses) - 20} more", file=sys.stderr)
    return 1


def _show(given: argparse.Namespace) -> int:
    document = _read(given.path)
    head = ("tensor", "section", "type", "elements", "symmetric", "min", "max", "scale", "offset")
    lines: list[tuple[str, ...]] = [head]
    for row in rows(document, given.tensor):
        spans = (spelled(span) for span in (row.minimum, row.maximum, row.scale, row.offset))
        section = row.section.removesuffix("_encodings")
        lines.append((plain(row.name), section, plain(row.dtype), str(row.elements), row.symmetric, *spans))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return 0


def _diff(given: argparse.Namespace) -> int:
    found = False
    for line in differences(_read(given.path), _read(given.other)):
        found = True
        print(plain(line, 400))
    return 1 if found else 0
