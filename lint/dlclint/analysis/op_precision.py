"""Ops that HTP has, but not in the precision that a DLC needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType

from dlclint.analysis.layers import Presence, layers_of
from dlclint.analysis.view import ModelView
from dlclint.model.graph import Node
from dlclint.model.op_facts import QDQ
from dlclint.model.types import is_float
from dlclint.target import DlcKind, Runtime
from dlclint_schemas.precision import Voice, htp_voices
from dlclint_schemas.record import record
from dlclint_schemas.releases import Change, changes


@cache
def precision_changes() -> Mapping[str, tuple[Change, ...]]:
    """The precisions that a release added to an op, by op."""
    by_op: dict[str, tuple[Change, ...]] = {}
    for change in changes():
        if change.kind == "precision":
            by_op.update({op: (*by_op.get(op, ()), change) for op in change.ops})
    return MappingProxyType(by_op)


def gives(change: Change, precision: str, node: Node) -> bool:
    """Whether a change added the precision to a node; it may not cover every form of a recurrent op."""
    directions = change.fields.get("directions")
    one_way = not directions or (node.attribute("direction") or "forward") in directions
    return one_way and precision in change.fields["precisions"]


@record
class Lacking:
    """An op type without a form in a precision, by what the sources state; `node` is the first of `count`."""

    op: str
    voices: tuple[Voice, ...]
    node: Node
    count: int

    @property
    def agreed(self) -> bool:
        """Whether no source has the form."""
        return not any(voice.has for voice in self.voices)


def asked_precision(kind: DlcKind) -> str | None:
    """The precision of HTP that a DLC kind needs; None for float32, which is quantized at load."""
    if kind.quantize:
        return f"int{kind.act_bitwidth}"
    return "fp16" if kind.float_bitwidth == 16 else None


def reads_float(node: Node) -> bool:
    """Whether a node's first input is known to be float."""
    tensor_type = node.graph.type_of(node.input(0))
    return tensor_type is not None and is_float(tensor_type.data_type)


def lacking_on_htp(view: ModelView, precision: str) -> Iterator[Lacking]:
    """The ops of a model that HTP has, but according to a documented source not in the precision."""
    first: dict[tuple[str, tuple[Voice, ...]], Node] = {}
    count: Counter[tuple[str, tuple[Voice, ...]]] = Counter()
    release = view.target.release
    for node in view.nodes():
        if node.domain or node.op_type in QDQ or node.key in view.in_pattern or not reads_float(node):
            continue
        if view.verdict(node, Runtime.HTP).presence is Presence.NO:
            continue  # the op has no form there at all
        came = precision_changes().get(node.op_type, ())
        if any(gives(change, precision, node) and change.holds(release) for change in came):
            continue  # later documents than those without it
        rank = node.graph.rank(node.input(0))
        voices = htp_voices(node.op_type, layers_of(node), precision, rank)
        documented = [voice for voice in voices if voice.documented]
        if documented and not all(voice.has for voice in documented):
            first.setdefault((node.op_type, voices), node)
            count[node.op_type, voices] += 1
    for (op, voices), node in first.items():
        yield Lacking(op, voices, node, count[op, voices])
