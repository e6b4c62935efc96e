"""Editor support for override files: findings, quick fixes, hover, completion, related entries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lsprotocol.types import (
    CodeAction,
    CodeActionKind,
    CompletionItem,
    CompletionItemKind,
    Diagnostic,
    Location,
    Range,
    TextEdit,
    WorkspaceEdit,
)

from dlclint.analysis.view import ModelView
from dlclint.diagnostic import Safety, first_few, plain
from dlclint.encodings.document import EncodingsDocument
from dlclint.encodings.edits import apply_to_document, splices
from dlclint.encodings.reading import read_bytes
from dlclint.encodings.show import rows, spelled
from dlclint.engine.encodings import context_of, view_of
from dlclint.engine.ignores import apply_ignores
from dlclint.engine.job import Job
from dlclint.engine.registry import ENCODINGS_GROUP, chosen_rules
from dlclint.engine.rules import CollectedFinding, run_rules
from dlclint.fix import CannotFix, Fix
from dlclint.model.graph import Graph, Node
from dlclint.rule import Subject
from dlclint.server.cursor import cursor_at
from dlclint.server.positions import Positions
from dlclint.server.wording import as_diagnostic, code

LIMIT = 100
"""Places that a rule reports individually: an editor shows more than a terminal does."""
_COMPLETIONS = 200


@dataclass(slots=True)
class _View:
    """A cached model, and the state of its file when it was read."""

    stamp: tuple[float, int]
    job: Job
    view: ModelView | None


class Views:
    """The models next to override files, each read again only if its file or its options change."""

    def __init__(self) -> None:
        self._known: dict[Path, _View] = {}

    def view(self, job: Job) -> ModelView | None:
        """The model of a job; None where it has no readable one."""
        if job.model is None:
            return None
        try:
            state = job.model.stat()
        except OSError:
            return None
        stamp = (state.st_mtime, state.st_size)
        known = self._known.get(job.model)
        if known is None or known.stamp != stamp or known.job != job:
            known = self._known[job.model] = _View(stamp, job, view_of(job)[0])
        return known.view


class OpenOverrides:
    """An override file as it is in the editor, with the model next to it if there is one."""

    def __init__(self, job: Job, text: str, uri: str, views: Views, units: str) -> None:
        self.job = job
        self.uri = uri
        self.view = views.view(job)
        self.positions = Positions(text, units)
        self.document: EncodingsDocument = read_bytes(text.encode("utf-8", "surrogatepass"), job.path)

    @cached_property
    def found(self) -> list[CollectedFinding]:
        """The rules' findings, without those that the configuration ignores."""
        rules = chosen_rules(self.job.select, self.job.ignore, (ENCODINGS_GROUP,))
        context = context_of(self.job, self.document, self.view, LIMIT)
        shown = plain(str(self.job.path), 500)
        collected_findings = list(run_rules(rules, Subject.ENCODINGS, context, shown))
        kept, _ = apply_ignores(
            [collected.shown for collected in collected_findings], self.job.ignores, shown
        )
        left = {id(finding) for finding in kept}
        return [collected for collected in collected_findings if id(collected.shown) in left]

    def diagnostics(self) -> list[Diagnostic]:
        """One for each finding, at the word or number that it is about."""
        return [as_diagnostic(collected.shown, self._range(collected)) for collected in self.found]

    def _range(self, collected: CollectedFinding) -> Range:
        location = collected.shown.location
        if location.line is None:
            return self.positions.token(0)
        return self.positions.token(self.positions.at(location.line, location.column or 1))

    def actions(self, wanted: Range) -> Iterator[CodeAction]:
        """A quick fix for each fixable finding in a range, and one that applies all safe fixes."""
        for collected in self.found:
            span = self._range(collected)
            outside = span.start.line > wanted.end.line or span.end.line < wanted.start.line
            edit = None if collected.fix is None or outside else self._edit([collected.fix])
            if collected.fix is not None and edit is not None:
                is_safe = collected.fix.safety is Safety.SAFE
                yield CodeAction(
                    f"{plain(collected.fix.title, 400)}{'' if is_safe else ' (unsafe)'}",
                    CodeActionKind.QuickFix,
                    [as_diagnostic(collected.shown, span)],
                    is_preferred=is_safe,
                    edit=edit,
                )
        safe = [each.fix for each in self.found if each.fix is not None and each.fix.safety is Safety.SAFE]
        edit = self._edit(safe) if safe else None
        if edit is not None:
            yield CodeAction("Make all safe fixes of dlclint", CodeActionKind.SourceFixAll, edit=edit)

    def _edit(self, fixes: list[Fix]) -> WorkspaceEdit | None:
        """The edits of fixes that can be applied together; None where none can."""
        wanted = []
        for fix in fixes:
            with suppress(CannotFix):
                wanted.append(fix.make())
        _, applied = apply_to_document(self.document, wanted)
        edits = {
            (start, end): TextEdit(self.positions.range(start, end), text)
            for number in applied
            for (start, end), text in splices(self.document, wanted[number]).items()
        }
        return WorkspaceEdit({self.uri: list(edits.values())}) if edits else None

    def tensor_at(self, offset: int) -> str:
        """The tensor whose entry contains an offset, or ""."""
        row = self.document.places.row_at(offset) if self.document.tensors.names else None
        if row is None:
            return ""
        entry = self.document.places[row]
        start = entry.start if entry.key_start < 0 else entry.key_start
        return self.document.tensors.names[row] if start <= offset < entry.end else ""

    def hover(self, offset: int) -> str:
        """The tensor's shape, its producer and readers, its real range, and its encoding in the file."""
        name = self.tensor_at(offset)
        if not name:
            return ""
        lines = [f"**{code(name)}**", *self._of_model(name)]
        lines += [
            f"entry: {row.dtype}, {row.elements} {'grid' if row.elements == 1 else 'grids'}, range "
            f"{spelled(row.minimum)} to {spelled(row.maximum)}, scale {spelled(row.scale)}, "
            f"offset {spelled(row.offset)}"
            for row in rows(self.document)
            if row.name == name
        ]
        return "\n\n".join(lines)

    def _of_model(self, name: str) -> Iterator[str]:
        if self.view is None:
            yield "no model lies beside this file"
            return
        graph = self._home(name)
        if graph is None:
            yield "not a tensor of the model"
            return
        producer = graph.producer(name)
        kind = graph.type_of(name)
        origin = "weight" if name in graph.initializers else "input" if producer is None else _node(producer)
        yield f"{code(str(kind)) if kind is not None else 'of unknown type'}, {origin}"
        readers = graph.consumers(name)
        if readers:
            yield f"read by {first_few(map(_node, readers), len(readers), 5)}"
        statistics = self.view.weights.statistics(graph, name) if name in graph.initializers else None
        if statistics is not None:
            yield f"real range {statistics.minimum:.6g} to {statistics.maximum:.6g}"

    def _home(self, name: str) -> Graph | None:
        assert self.view is not None
        for graph in self.view.model.graphs():
            if name in graph.initializers or name in graph.inputs or graph.makes(name):
                return graph
        return None

    def related(self, offset: int) -> list[Location]:
        """The entries of the other tensors of the ops that produce or read the tensor at an offset."""
        name = self.tensor_at(offset)
        graph = self._home(name) if name and self.view is not None else None
        if graph is None:
            return []
        producer = graph.producer(name)
        nodes = [*([producer] if producer is not None else []), *graph.consumers(name)]
        names = dict.fromkeys(
            other for node in nodes for other in (*node.inputs, *node.outputs) if other != name
        )
        entries = [self.document.places[row] for other in names for row in self.document.rows(other)]
        return [
            Location(self.uri, self.positions.token(entry.start if entry.key_start < 0 else entry.key_start))
            for entry in entries
        ]

    def completions(self, offset: int) -> list[CompletionItem]:
        """Names of tensors without an entry, where a tensor's name is written."""
        if self.view is None:
            return []
        cursor = cursor_at(self.document.source.original, offset)
        if cursor is None or not cursor.is_name:
            return []
        taken = set(self.document.tensors.names) - {cursor.written}
        items = []
        for graph in self.view.model.graphs():
            for name in (
                *graph.inputs,
                *graph.initializers,
                *(o for node in graph.nodes for o in node.outputs),
            ):
                if name and name not in taken and cursor.before in name and name.isprintable():
                    kind = graph.type_of(name)
                    taken.add(name)
                    items.append(
                        CompletionItem(
                            name,
                            kind=CompletionItemKind.Variable,
                            detail=plain(str(kind)) if kind is not None else None,
                            text_edit=TextEdit(self.positions.range(*cursor.inside), _escaped(name)),
                        )
                    )
                if len(items) >= _COMPLETIONS:
                    return items
        return items


def _node(node: Node) -> str:
    return f"{plain(node.op_type)} {code(node.name or node.outputs[0])}"


def _escaped(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')
