"""How rules of the family report: with a place in the file, tensor by tensor, and with a limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dlclint.diagnostic import Safety, Source
from dlclint.encodings import json_text
from dlclint.encodings.document import EncodingsDocument, Flags, Flaw, Path_
from dlclint.encodings.edits import ReplaceText, SetValue
from dlclint.fix import Fix
from dlclint.rule import EncodingsContext, Finding, Place, Subject, rule

if TYPE_CHECKING:
    from dlclint.model.graph import Graph

encodings_rule = partial(rule, Subject.ENCODINGS)

QUANTIZATION = "80-63442-2 Rev BL, Quantized vs Non-Quantized Models"
OVERRIDES = Source(QUANTIZATION, "overrides")
ALGORITHM = Source(QUANTIZATION, "algorithm")
PER_CHANNEL = Source(QUANTIZATION, "per-channel overrides")
AIMET = "AIMET 2.42 loader"
FORMAT = "AIMET Encoding Format Specification"
JSON = Source("RFC 8259, The JSON Data Interchange Format")

Rows = npt.NDArray[np.int64]
_BLOCKS = ("PER_BLOCK", "LPBQ", "VECTOR")


def at(context: EncodingsContext, tensor: int, path: Path_, finding: Finding) -> Finding:
    """The finding with its tensor's name and its place in the file, or in the model that carries it."""
    document = context.document
    if context.nodes:
        # Encodings that a model carries have no text to edit.
        node = finding.node or context.nodes[tensor]
        return replace(finding, tensor=document.tensors.names[tensor], node=node, fix=None)
    pointer, line, column = document.place(tensor, path)
    return replace(finding, tensor=document.tensors.names[tensor], pointer=pointer, line=line, column=column)


def at_offset(context: EncodingsContext, offset: int, pointer: Path_ | None, finding: Finding) -> Finding:
    """The finding with a place given as an offset into the text."""
    if context.nodes:
        return replace(finding, fix=None)
    line, column = context.document.source.line_and_column(offset)
    path = context.document.path_at(offset) if pointer is None else pointer
    return replace(
        finding,
        pointer=json_text.pointer(path),
        line=line,
        column=column,
    )


def capped(
    context: EncodingsContext, items: Iterable[Any], finding: Callable[[Any], Finding], noun: str
) -> Iterator[Finding]:
    """A finding for each item up to the context's limit, then one that counts the rest."""
    pending = iter(items)
    for hit in islice(pending, context.limit):
        yield finding(hit)
    rest = next(pending, None)
    if rest is not None:
        more = 1 + sum(1 for _ in pending)
        yield replace(
            finding(rest),
            message=f"{more:,} more {noun} have the same flaw, from here on",
            evidence={"count": more},
            fix=None,
        )


def by_tensor(
    context: EncodingsContext, hits: npt.NDArray[np.bool_], finding: Callable[[int, Rows], Finding]
) -> Iterator[Finding]:
    """A finding for each tensor with a hit among its elements, from the tensor and the elements' rows."""
    rows = np.flatnonzero(hits)
    if not len(rows):
        return
    owners, first = np.unique(context.document.elements.tensor[rows], return_index=True)
    bounds = [*first.tolist(), len(rows)]

    def report(position: int) -> Finding:
        return finding(int(owners[position]), rows[bounds[position] : bounds[position + 1]])

    yield from capped(context, range(len(owners)), report, "tensors")


def channels(document: EncodingsDocument, tensor: int, rows: Rows) -> str:
    """ "" for a tensor of one element, else its affected channels."""
    count = int(document.tensors.count[tensor])
    if count == 1:
        return ""
    if len(rows) == count:
        return f" in all {count} channels"
    places = (rows - document.tensors.first[tensor]).tolist()
    listed = ", ".join(map(str, places[:3])) + (", ..." if len(places) > 3 else "")
    return f" in {len(rows)} of {count} channels ({listed})"


def said_offset(document: EncodingsDocument, row: int) -> str:
    """An element's offset with the name and the number in the file, such as `y_zero_point -0.5`."""
    path = document.field_path(row, "offset")
    name = next(part for part in reversed(path) if isinstance(part, str))
    written = document.spelling(int(document.elements.tensor[row]), path)
    return f"{name} {written or format(document.elements.offset[row], 'g')}"


def in_blocks(document: EncodingsDocument) -> Flags:
    """The tensors whose encodings are per block or vector, not per tensor or channel."""
    tensors = document.tensors
    by_block: Flags = tensors.enc_type.where(_BLOCKS.__contains__) | ~np.isnan(tensors.block_size)
    return by_block


def reported(context: EncodingsContext, kind: str, source: Source) -> Iterator[Finding]:
    """The flaws that reading recorded for a rule."""

    def finding(flaw: Flaw) -> Finding:
        unplaced = Finding(
            flaw.message,
            flaw.severity,
            source,
            help=flaw.help,
            fix=_fix(flaw),
            related=_first(context, flaw),
        )
        if flaw.tensor is None:
            return at_offset(context, flaw.offset or 0, flaw.pointer, unplaced)
        placed = at(context, flaw.tensor, flaw.path, unplaced)
        return replace(placed, message=f"{context.document.tensors.names[flaw.tensor]!r}: {flaw.message}")

    flaws = (flaw for flaw in context.document.flaws if flaw.kind == kind)
    yield from capped(context, flaws, finding, "places")


def _first(context: EncodingsContext, flaw: Flaw) -> tuple[Place, ...]:
    """The first occurrence of a repeated name or key."""
    if flaw.first is None:
        return ()
    if isinstance(flaw.first, str):
        return (entry(context, context.document.rows(flaw.first)[0], "first occurs here"),)
    return (text_place(context, flaw.first, "first occurs here"),)


def entry(context: EncodingsContext, row: int, what: str) -> Place:
    """Another entry of a finding, in the file or in the model that carries it."""
    name = context.document.tensors.names[row]
    if context.nodes:
        return Place(what, context.nodes[row], name)
    pointer, line, column = context.document.place(row)
    return Place(what, tensor=name, pointer=pointer, line=line, column=column)


def text_place(context: EncodingsContext, offset: int, what: str) -> Place:
    """Another place of the file, by its offset into the text."""
    line, column = context.document.source.line_and_column(offset)
    return Place(what, pointer=json_text.pointer(context.document.path_at(offset)), line=line, column=column)


def encoding_place(context: EncodingsContext, graph: Graph, name: str, what: str) -> Place:
    """Where a tensor gets its encoding, or else its producer."""
    rows = context.document.rows(name)
    if rows:
        return entry(context, rows[-1], what)
    return Place(what, graph.producer(name), name, graph)


def _fix(flaw: Flaw) -> Fix | None:
    if flaw.fix is None or flaw.tensor is None:
        return None
    path, text, title = flaw.fix
    return Fix(title, Safety.SAFE, (SetValue(flaw.tensor, path, text),))


def text_fix(context: EncodingsContext, offset: int) -> Fix | None:
    """The fix that turns a flawed span of text into JSON, if the flaw at this offset has one."""
    for flaw in context.document.source.flaws:
        if flaw.start == offset:
            edit = ReplaceText(flaw.start, flaw.end, flaw.replacement)
            return Fix("make it JSON", Safety.SAFE, (edit,))
    return None
