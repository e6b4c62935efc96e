"""The DLC that the backend's own writer makes of a model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from dlclint.confirm.process import Backend
from dlclint.confirm.question import Question
from dlclint.confirm.socs import AskedSoc
from dlclint.model.writing import CannotWrite, put_in_place, refuse_other_than_files
from dlclint.writing import clear, temporary_prefix

WHAT = (
    "this DLC is written by ONNX Runtime's QNN provider, with its translation of each op; it is not what "
    "snpe-onnx-to-dlc would write, and a SNPE release need not read it"
)


def check_place(out: Path, inputs: Iterable[Path]) -> None:
    """Check whether a DLC may be written to `out`, before the backend is asked, which takes a while.

    Raises:
        CannotWrite: the path is not a file, its folder does not exist, or it is one of the inputs.
    """
    refuse_other_than_files(out)
    if not out.parent.is_dir():
        raise CannotWrite(f"there is no folder {out.parent}")
    for path in inputs:
        if out.exists() and path.exists() and out.samefile(path):
            raise CannotWrite(f"{out} is what is asked about; name another output")


def write_dlc(
    backend: Backend, question: Question, soc: AskedSoc, fold: bool, out: Path
) -> tuple[tuple[str, ...], str]:
    """Write the DLC of each part of the graph that the backend accepts.

    The first is written to `out`; further ones, where the graph has several parts, next to it as `NAME.2.dlc`
    and so on. Each file is written whole or not at all. Returns the paths written, and a description of them.

    Raises:
        CannotWrite: the folder or disk cannot be written, or the path is not a file.
        NotAvailable: the backend cannot be loaded.
    """
    try:
        return _write(backend, question, soc, fold, out)
    except OSError as error:
        raise CannotWrite(f"cannot write {out}: {error.strerror or error}") from None


def _write(
    backend: Backend, question: Question, soc: AskedSoc, fold: bool, out: Path
) -> tuple[tuple[str, ...], str]:
    clear(out.parent)
    with TemporaryDirectory(prefix=temporary_prefix(out), dir=out.parent) as folder:
        answer = backend.ask(
            question.model,
            question.folder,
            str(soc.id),
            fold=fold,
            dlc=Path(folder).resolve(),
        )
        paths = sorted(Path(folder).rglob("*.dlc"), key=lambda path: (-path.stat().st_size, path.name))
        if not paths:
            why = answer.ended or "the backend takes no part of the graph"
            return (), f"no DLC was written: {why}"
        places = [
            out,
            *(out.with_name(f"{out.stem}.{number}{out.suffix}") for number in range(2, len(paths) + 1)),
        ]
        for target in places:
            refuse_other_than_files(target)
        for path, target in zip(paths, places, strict=True):
            put_in_place(path, target)
    parts = f"; the graph splits into {len(paths)} parts, one DLC each" if len(paths) > 1 else ""
    return tuple(map(str, places)), WHAT + parts
