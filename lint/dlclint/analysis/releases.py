"""Which parts of a model need which release of the SDK: what an older one does not support.

One analysis serves the rules, which report what the chosen release lacks, and the report, which states what
an older one would refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dlclint.analysis.folding import is_static
from dlclint.analysis.op_precision import asked_precision, gives, reads_float
from dlclint.analysis.view import ModelView
from dlclint.diagnostic import counted
from dlclint.model.graph import Node
from dlclint.model.types import element_name
from dlclint.target import Runtime
from dlclint_schemas.precision import PRECISIONS
from dlclint_schemas.record import record
from dlclint_schemas.releases import Change, Release, changes, oldest_stated, opset_since, release_number

_RUNTIMES = {
    "htp": (Runtime.HTP,),
    "gpu": (Runtime.GPU, Runtime.GPU_FLOAT16),
    "cpu": (Runtime.CPU,),
}


@record
class Need:
    """A form that a release added: what it is, its first node (None: the whole model), how many."""

    says: str
    change: Change | None
    node: Node | None
    count: int
    since: str
    """The first release that is known to support it."""
    not_before: str
    """Where one of several releases added it, the first of them."""

    def lacks(self, release: Release) -> bool | None:
        """Whether a release does not support it; None: unknown."""
        if self.change is None:
            return release_number(self.since) > release.number
        holds = self.change.holds(release)
        return None if holds is None else not holds

    @property
    def before_text(self) -> str:
        """A text such as `before 2.45`."""
        return f"before {self.not_before or self.since}"


def needs(view: ModelView) -> Iterator[Need]:
    """What the model needs that not every release supports, for the target's runtimes and DLC kind."""
    opset = view.opsets.get("")
    since = "" if opset is None else opset_since(opset)
    if since and since != oldest_stated():
        yield Need(f"opset {opset}", None, None, 1, since, "")
    for change in changes():
        yield from form_needs(view, change)


def form_needs(view: ModelView, change: Change) -> Iterator[Need]:
    """The nodes that need what one change added, as one `Need`."""
    judge = _JUDGES.get(change.kind)
    if judge is None or not _concerns(view, change):
        return
    ops = view.as_float.by_op
    nodes = [node for op in change.ops for node in ops.get(op, ()) if node.key not in view.in_pattern]
    matches = [(node, said) for node in nodes if (said := judge(view, change, node))]
    if matches:
        node, said = matches[0]
        many = f" ({counted(len(matches), 'node')})" if len(matches) > 1 else ""
        yield Need(said + many, change, node, len(matches), change.since, change.not_before)


def _concerns(view: ModelView, change: Change) -> bool:
    """Whether the model is meant for the runtime that changed."""
    if change.runtime == "converter":
        return True
    return any(map(view.target.means, _RUNTIMES[change.runtime]))


def _asked(view: ModelView, change: Change) -> str:
    """The changed precision that the DLC kind needs; "" where it needs another, or none was given."""
    kind = view.target.kind
    asked = (asked_precision(kind) or "") if kind.stated else ""
    if kind.is_float:
        asked = "fp16"  # HTP computes float32 graphs in float16
    return asked if asked in change.fields["precisions"] else ""


def _rank(view: ModelView, change: Change, node: Node) -> str:
    asked = _asked(view, change)
    ranks = [rank for name in (node.input(0), node.output(0)) if (rank := node.graph.rank(name))]
    rank = max(ranks, default=0)
    if not asked or not change.fields["before"] < rank <= change.fields["now"] or not reads_float(node):
        return ""
    return f"{node.op_type} at rank {rank} in {PRECISIONS[asked]} on HTP"


def _precision(view: ModelView, change: Change, node: Node) -> str:
    asked = _asked(view, change)
    if not asked or not gives(change, asked, node):
        return ""
    return f"{node.op_type} in {PRECISIONS[asked]} form on HTP"


def _weights(view: ModelView, change: Change, node: Node) -> str:
    kind = view.target.kind
    if not _asked(view, change) or kind.weights_bitwidth not in change.fields["bitwidths"]:
        return ""
    if not is_static(node.graph, node.input(1), view.folded):
        return ""
    widths = f"{kind.weights_bitwidth}-bit weights and {kind.act_bitwidth}-bit activations"
    return f"{node.op_type} with {widths} on HTP"


def _type(view: ModelView, change: Change, node: Node) -> str:
    element = element_name(node.graph.type_of(node.input(0)))
    return f"{node.op_type} on {element} on HTP" if element in change.fields["types"] else ""


def _reduction(view: ModelView, change: Change, node: Node) -> str:
    said = node.attribute("reduction") or "none"
    element = element_name(node.graph.type_of(node.input(0)))
    if said not in change.fields["reductions"] or element not in change.fields["types"]:
        return ""
    return f"{node.op_type} with reduction {said} on {element} on HTP"


def _op(view: ModelView, change: Change, node: Node) -> str:
    # The converter's own rules report what the table lacks.
    return f"{node.op_type} on {change.runtime.upper()}" if node.op_type in view.table.rows else ""


def _attribute(view: ModelView, change: Change, node: Node) -> str:
    name = change.fields["attribute"]
    return f"{node.op_type} with {name} {node.attribute(name)}" if node.attribute(name) else ""


_JUDGES: dict[str, Callable[[ModelView, Change, Node], str]] = {
    "rank": _rank,
    "precision": _precision,
    "weights": _weights,
    "type": _type,
    "reduction": _reduction,
    "op": _op,
    "converter": _attribute,
}
