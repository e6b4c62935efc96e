"""One file's question to the backend, from its model to a `Confirmation`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from dlclint.analysis.qdq.lifting import holds_quantization
from dlclint.analysis.view import ModelView
from dlclint.confirm.compare import Confirmation, rows_of
from dlclint.confirm.dlc import write_dlc
from dlclint.confirm.log import read_log
from dlclint.confirm.process import Backend
from dlclint.confirm.quantize import insert_quantization
from dlclint.confirm.question import CannotAsk, question_of, with_places
from dlclint.confirm.ranges import ActivationGrids
from dlclint.confirm.reasons import failure_reason
from dlclint.confirm.socs import AskedSoc
from dlclint.confirm.stored import StoredGrids
from dlclint.confirm.verdict import verdicts_of
from dlclint.diagnostic import Diagnostic, counted, plain
from dlclint.encodings.document import EncodingsDocument
from dlclint.target import DlcKind, Runtime, Target
from dlclint_schemas.record import record

FLOAT_LATER = 68
"""Hexagon version whose validator accepts float ops that compiling then refuses: always compiled.

Measured with QNN 2.51.0 on SM8350.
"""


@record
class ConfirmRequest:
    """The question to the backend: the SoC, whether it compiles, and whether it writes a DLC."""

    soc: AskedSoc
    compile: bool = True
    dlc: Path | None = None
    """Where the backend writes its DLC, if anywhere."""
    cpu_backend: Path | None = None
    """The CPU backend of a user's own SDK, where it replaces the HTP backend."""

    @property
    def compiles(self) -> bool:
        """Whether the backend compiles: as requested, and always where validation alone is misleading."""
        return self.compile or self.soc.hexagon == FLOAT_LATER


def cpu_target(target: Target) -> Target:
    """The target as the CPU backend takes it, which computes a float model in float32."""
    kind = target.kind if target.quantize else DlcKind(stated=True)
    return replace(target, runtimes=(Runtime.CPU,), soc=None, kind=kind)


def asked_target(target: Target) -> Target:
    """The target as the backend takes it: HTP, which computes a float model in float16."""
    kind = target.kind if target.quantize else DlcKind(float_bitwidth=16, stated=True)
    return replace(target, runtimes=(Runtime.HTP,), kind=kind)


def compare_with_backend(
    backend: Backend,
    path: str,
    view: ModelView,
    diagnostics: Iterable[Diagnostic],
    wish: ConfirmRequest,
    document: EncodingsDocument | None = None,
) -> Confirmation:
    """Ask about a model as it was linted, and compare; for a quantized DLC, quantization is inserted.

    `document` is the model's override file, from which ranges and widths of activations are taken.

    Raises:
        NotAvailable: the backend cannot be loaded.
        CannotWrite: the DLC cannot be written.
    """
    target = view.target
    soc = str(target.soc) if target.soc is not None else wish.soc.name
    compiled = wish.compiles
    notes = [wish.soc.note] if wish.soc.note else []
    if compiled and not wish.compile:
        notes.append(f"compiled anyway: for Hexagon v{FLOAT_LATER} validation alone passes too much")
    carries = holds_quantization(view.model)
    grids, stored = ActivationGrids(view, document), StoredGrids(target.kind, document)
    inserts = target.quantize and not carries
    insert = partial(insert_quantization, view, grids=grids, stored=stored) if inserts else None
    try:
        question = question_of(view.model, insert)
    except CannotAsk as problem:
        return Confirmation(path, soc, wish.soc.name, compiled, unasked=plain(str(problem), 400))
    quantized = "quantized as the model itself says" if carries else _widths(grids, stored) if inserts else ""
    answer = backend.ask(
        question.model,
        question.folder,
        str(wish.soc.id),
        compile=compiled,
        fold=target.simplify,
        library=wish.cpu_backend,
    )
    log = read_log(answer.log)
    verdicts = verdicts_of(view.model, question, answer, log, compiled)
    judge = "" if wish.cpu_backend is None else wish.cpu_backend.name
    if judge:
        verdicts = {key: replace(verdict, by=judge) for key, verdict in verdicts.items()}
    judged = any(log.groups())
    failure = with_places(failure_reason(answer.error, log))
    unasked = ""
    if log.unloaded:
        unasked = f"the backend cannot be loaded: {log.unloaded}"
    elif log.old_opset:
        unasked = "the model's opset is too old for the provider, which starts at 7; export at a newer one"
    elif not judged and not answer.ended:
        unasked = failure or "nothing of the model reaches the backend"
    dlc: tuple[str, ...] = ()
    if wish.dlc is not None and not unasked and not answer.ended:
        dlc, note = write_dlc(backend, question, wish.soc, target.simplify, wish.dlc)
        notes.append(note)
    notes += _quantization_notes(target, carries, grids, stored)
    open_inputs = [
        name
        for name in view.model.graph.inputs
        if (tensor_type := view.model.graph.type_of(name)) is not None and tensor_type.static_shape is None
    ]
    if open_inputs:
        sizes = ", ".join(open_inputs[:3]) + (" ..." if len(open_inputs) > 3 else "")
        notes.append(f"the backend takes no dynamic shapes: give the sizes of {sizes} (-d NAME DIMS)")
    return Confirmation(
        path,
        soc,
        wish.soc.name,
        compiled,
        quantized=quantized,
        dlc=dlc,
        rows=() if unasked else tuple(rows_of(view, verdicts, diagnostics)),
        unasked=plain(unasked, 400),
        failure="" if unasked else plain(failure, 400),
        stopped=answer.ended,
        notes=tuple(map(plain, notes)),
        build=plain(log.build),
        seconds=answer.seconds,
        judge=judge,
    )


def _widths(grids: ActivationGrids, stored: StoredGrids) -> str:
    """The widths that were actually inserted, such as `8- and 16-bit activations, unsigned 8-bit scales`."""
    widths = sorted(grids.widths)
    parts = ["- and ".join(map(str, widths)) + "-bit activations"] if widths else []
    return ", ".join([*parts, *stored.words()]) or "nothing of it quantized"


def _quantization_notes(
    target: Target, carries: bool, grids: ActivationGrids, stored: StoredGrids
) -> Iterable[str]:
    """The source of the quantization, one sentence each."""
    if carries:
        if target.quantize or grids.document is not None:
            yield "the model carries its quantization and was asked about as it is"
        return
    if not target.quantize:
        return
    text = f"quantization was inserted: {grids.words()}"
    if stored.from_file:
        text += f"; {counted(len(stored.from_file), 'stored input')} from the override file"
    yield text
    first = next(iter(stored.unused.items()), None)
    if first is not None:
        more = f"; so are {len(stored.unused) - 1} more" if len(stored.unused) > 1 else ""
        yield f"not as in the override file: {first[0]} {first[1]}{more}"
