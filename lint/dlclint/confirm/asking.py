"""Asking about one file, from its model to a `Confirmation`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dlclint.analysis.view import ModelView
from dlclint.confirm.compare import Confirmation, rows_of
from dlclint.confirm.log import read_log
from dlclint.confirm.process import Backend
from dlclint.confirm.question import CannotAsk, question_of
from dlclint.confirm.reasons import failure_reason
from dlclint.confirm.socs import AskedSoc
from dlclint.confirm.verdict import verdicts_of
from dlclint.diagnostic import Diagnostic, plain
from dlclint.target import DlcKind, Runtime, Target

FLOAT_LATER = 68
"""Hexagon version whose validator passes float ops that compiling then refuses: always compiled.

Measured with QNN 2.51.0 on SM8350.
"""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of the backend: for which SoC, and whether it compiles."""

    soc: AskedSoc
    compile: bool = True

    @property
    def compiles(self) -> bool:
        """Whether the backend compiles: as wished, and always where validation alone misleads."""
        return self.compile or self.soc.hexagon == FLOAT_LATER


def asked_target(target: Target) -> Target:
    """The target as the backend takes it: HTP, and of a float model that it computes in float16."""
    kind = target.kind if target.quantize else DlcKind(float_bitwidth=16, stated=True)
    return replace(target, runtimes=(Runtime.HTP,), kind=kind)


def confirm(
    backend: Backend,
    path: str,
    view: ModelView,
    diagnostics: Iterable[Diagnostic],
    target: Target,
    wish: Wish,
) -> Confirmation:
    """Ask about a model as it was linted, and compare.

    Raises:
        NotAvailable: the backend cannot be loaded.
    """
    soc = str(target.soc) if target.soc is not None else wish.soc.name
    compiled = wish.compiles
    notes = [wish.soc.note] if wish.soc.note else []
    if compiled and not wish.compile:
        notes.append(f"compiled all the same: for Hexagon v{FLOAT_LATER} validation alone passes too much")
    try:
        question = question_of(view.model)
    except CannotAsk as problem:
        return Confirmation(path, soc, wish.soc.name, compiled, unasked=plain(str(problem), 400))
    answer = backend.ask(
        question.model, question.folder, str(wish.soc.id), compile=compiled, fold=target.simplify
    )
    log = read_log(answer.log)
    verdicts = verdicts_of(view.model, question, answer, log, compiled)
    judged = any(log.groups())
    unasked = ""
    if log.old_opset:
        unasked = "the model's opset is too old for the provider's layout change; export at opset 13 or later"
    elif not judged and not answer.ended:
        unasked = failure_reason(answer.error, log) or "nothing of the model reaches the backend"
    return Confirmation(
        path,
        soc,
        wish.soc.name,
        compiled,
        rows=() if unasked else tuple(rows_of(view, verdicts, diagnostics)),
        unasked=plain(unasked, 400),
        failure="" if unasked else plain(failure_reason(answer.error, log), 400),
        stopped=answer.ended,
        notes=tuple(map(plain, notes)),
        build=plain(log.build),
        seconds=answer.seconds,
    )
