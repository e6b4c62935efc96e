"""The DLC that the backend's own writer makes of a model."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from dlclint.confirm.process import Backend
from dlclint.confirm.question import Question
from dlclint.confirm.socs import AskedSoc

WHAT = (
    "this DLC is written by ONNX Runtime's QNN provider, with its translation of each op; it is not what "
    "snpe-onnx-to-dlc would write, and a SNPE release need not read it"
)


def write_dlc(
    backend: Backend, question: Question, soc: AskedSoc, fold: bool, out: Path
) -> tuple[tuple[str, ...], str]:
    """Write the DLC of each part of the graph that the backend takes.

    The first goes to `out`; further ones, where the graph falls apart, beside it as `NAME.2.dlc` and so
    on. Each file appears whole or not at all. Returns the paths written, and what they are.

    Raises:
        OSError: as from the file system.
        NotAvailable: the backend cannot be loaded.
    """
    with TemporaryDirectory(prefix=".dlclint-", dir=out.parent) as folder:
        answer = backend.ask(
            question.model,
            question.folder,
            str(soc.id),
            fold=fold,
            dlc=Path(folder),
        )
        made = sorted(Path(folder).rglob("*.dlc"), key=lambda path: (-path.stat().st_size, path.name))
        if not made:
            why = answer.ended or "the backend takes no part of the graph"
            return (), f"no DLC was written: {why}"
        written = []
        for number, path in enumerate(made, 1):
            place = out if number == 1 else out.with_name(f"{out.stem}.{number}{out.suffix}")
            shutil.copymode(out, path) if out.exists() else path.chmod(0o666 & ~_umask())
            path.replace(place)
            written.append(str(place))
    parts = f"; the graph falls into {len(made)} parts, one DLC each" if len(made) > 1 else ""
    return tuple(written), WHAT + parts


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
