"""A model with its analyses, each computed once and only when it is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from dlclint.analysis.batch import Batch
from dlclint.analysis.branches import NONE as NO_BRANCHES
from dlclint.analysis.branches import Branches, branches
from dlclint.analysis.folding import NodeKey, folded_nodes, is_static, shape_arithmetic
from dlclint.analysis.layers import LayerSupport, Presence, known_by, verdict_of
from dlclint.analysis.layout import image_tensors
from dlclint.analysis.lengths import Lengths, lengths
from dlclint.analysis.matching.patterns import Pattern, find_patterns
from dlclint.analysis.partition import PlacedNode, count_cuts, partition
from dlclint.analysis.subnets import Partition
from dlclint.analysis.support import Blocker, RuntimeSupport, SupportMatrix, dlc_handling
from dlclint.analysis.versions import newest_listed_opset
from dlclint.analysis.weights.store import Weights
from dlclint.diagnostic import plain
from dlclint.model.graph import Graph, Model, Node
from dlclint.model.op_facts import is_qdq
from dlclint.target import Runtime, Target
from dlclint_schemas.layers import layer_table
from dlclint_schemas.ops import OpTable, op_table
from dlclint_schemas.releases import changes

if TYPE_CHECKING:
    from dlclint.analysis.activations.certain import Interval
    from dlclint.analysis.activations.estimate import Estimate
    from dlclint.analysis.cle.matching import Matching
    from dlclint.analysis.qdq.encodings import CarriedEncodings
    from dlclint.analysis.weights.entries import WeightEntry
    from dlclint.model.contradictions import Contradiction

_NONE: Mapping[NodeKey, str] = MappingProxyType({})
_Case = tuple[str, str, str, tuple[str, ...]]
"""What the verdicts on a node depend on: its pattern's layer, why it is refused, its op, and its layers."""


class ModelView:
    """The input of rules: the model, and what follows from it for a target."""

    def __init__(self, model: Model, target: Target, overrides: Path | None = None) -> None:
        self.model = model
        self.target = target
        self._overrides = overrides

    def aimed(self, target: Target) -> ModelView:
        """The same model for another target; the statistics of its weights are shared."""
        other = ModelView(self.model, target, self._overrides)
        other.weights = self.weights
        for kept in ("carried", "contradictions"):
            if kept in vars(self):
                vars(other)[kept] = vars(self)[kept]
        return other

    @cached_property
    def encodings(self) -> Mapping[str, WeightEntry]:
        """The widths and grids of encodings, by name: those of the model, overridden by the file's.

        An override file takes precedence over what a model carries (80-63442-2 Rev BL, Tools,
        --quantization_overrides).
        """
        if self._overrides is None and self.carried is None:
            return MappingProxyType({})
        # Imported here because few models come with encodings.
        from dlclint.analysis.weights.entries import weight_entries
        from dlclint.encodings.reading import read_encodings

        carried = None if self.carried is None else self.carried.document
        named = None if self._overrides is None else read_encodings(self._overrides)
        return {**weight_entries(carried), **weight_entries(named)}

    @cached_property
    def carried(self) -> CarriedEncodings | None:
        """The encodings that the model carries in QuantizeLinear and DequantizeLinear nodes, if any."""
        if not any(is_qdq(node.op_type, node.domain) for g in self.model.graphs() for node in g.nodes):
            return None
        # Imported here because few models are quantized.
        from dlclint.analysis.qdq.encodings import carried_encodings

        return carried_encodings(self.model)

    @property
    def carries_encodings(self) -> bool:
        """Whether the model carries the grid of any tensor."""
        return self.carried is not None and bool(self.carried.nodes)

    @cached_property
    def as_float(self) -> ModelView:
        """The same model without the quantization that it carries, as the converter strips it.

        Every node has the index that it has here; Constants replace removed nodes.
        """
        if self.carried is None:
            return self
        view = ModelView(self.carried.model, self.target)
        vars(view)["encodings"] = self.encodings
        return view

    @property
    def table(self) -> OpTable:
        """The supported-ops table of the target's SDK."""
        return op_table(self.target.release.table)

    @cached_property
    def folded(self) -> frozenset[NodeKey]:
        """Nodes that the converter folds away; only Constant nodes if it does not simplify."""
        if self.target.simplify:
            return folded_nodes(self.model)
        return frozenset(
            node.key for graph in self.model.graphs() for node in graph.nodes if node.op_type == "Constant"
        )

    @cached_property
    def shape_arithmetic(self) -> frozenset[NodeKey]:
        """Nodes that process a shape which is not known at conversion time."""
        return shape_arithmetic(self.model, self.folded)

    @cached_property
    def lengths(self) -> Lengths:
        """Which sizes are not known at conversion time, and why."""
        return lengths(self.model, self.folded)

    def waits(self, tensor: str) -> bool:
        """Whether a tensor is not constant only because inputs lack sizes, which one finding reports."""
        return self.target.simplify and self.lengths.waits(tensor)

    @cached_property
    def patterns(self) -> tuple[Pattern, ...]:
        """Recognized subgraphs."""
        return find_patterns(self.as_float.model)

    @cached_property
    def in_pattern(self) -> dict[NodeKey, str]:
        """Node key to the layer its pattern becomes."""
        return {key: pattern.layer for pattern in self.patterns for key in pattern.nodes}

    @cached_property
    def cle(self) -> Matching:
        """What the quantizer's cross-layer equalization applies to."""
        # Imported here because only a model that will be quantized needs it.
        from dlclint.analysis.cle.matching import match

        return match(self.model, self.folded)

    @cached_property
    def contradictions(self) -> tuple[Contradiction, ...]:
        """Contradictory shapes and types of the model, see `dlclint.model.contradictions`."""
        # Imported here because a view may be used for other analyses only.
        from dlclint.model.contradictions import contradictions

        return contradictions(self.model)

    @cached_property
    def weights(self) -> Weights:
        """Statistics of the stored tensors, each read on the first request."""
        return Weights(self.model, self.target.quantize)

    def is_image(self, graph: Graph, tensor: str) -> bool:
        """Whether a 4-D tensor is NCHW, as far as the ops around it show."""
        if graph.path not in self._images:
            self._images[graph.path] = image_tensors(graph)
        return tensor in self._images[graph.path]

    @cached_property
    def _images(self) -> dict[str, frozenset[str]]:
        return {}

    @cached_property
    def batch(self) -> Batch:
        """Which leading dimensions of the inputs are a batch."""
        return Batch(self.model)

    @cached_property
    def activations(self) -> Mapping[str, Estimate]:
        """Estimated ranges of activations, see `dlclint.analysis.activations.ranges`."""
        # Imported here because most runs need none, and it costs 3 % of a short run.
        from dlclint.analysis.activations.ranges import activation_ranges

        moments = self.target.input_moments
        return activation_ranges(self.model.graph, self.folded, self.patterns, self.weights, moments)

    def certain(self, graph: Graph) -> Mapping[str, Interval]:
        """Guaranteed ranges of a graph's activations, see `dlclint.analysis.activations.certain`."""
        # Imported here because only a quantized model needs it.
        from dlclint.analysis.activations.certain import certain_ranges

        if graph.path not in self._certain:
            self._certain[graph.path] = certain_ranges(graph)
        return self._certain[graph.path]

    @cached_property
    def _certain(self) -> dict[str, Mapping[str, Interval]]:
        return {}

    def nodes(self) -> Iterator[Node]:
        """Every converted node of every graph, in order."""
        return iter(self._nodes)

    @cached_property
    def _nodes(self) -> tuple[Node, ...]:
        gone = self.folded | self.branches.resolved
        graphs = (graph for graph in self.model.graphs() if graph.path not in self.branches.dead)
        return tuple(node for graph in graphs for node in graph.nodes if node.key not in gone)

    @cached_property
    def branches(self) -> Branches:
        """The Ifs whose condition the converter's simplification knows, and the branches that it removes."""
        return branches(self.model) if self.target.simplify else NO_BRANCHES

    @cached_property
    def official_nodes(self) -> tuple[Node, ...]:
        """The converted nodes of ONNX's own domain, without calls of model-local functions."""
        return tuple(node for node in self._nodes if not node.domain and not self.model.is_function(node))

    @cached_property
    def by_op(self) -> dict[str, list[Node]]:
        """The converted nodes by op type, without those of other domains."""
        nodes: dict[str, list[Node]] = {}
        for node in self.nodes():
            if not node.domain:
                nodes.setdefault(node.op_type, []).append(node)
        return nodes

    @property
    def node_count(self) -> int:
        """Nodes of all graphs."""
        return sum(len(graph.nodes) for graph in self.model.graphs())

    @property
    def folded_count(self) -> int:
        """Nodes that are not converted."""
        return len(self.folded)

    @property
    def weight_bytes(self) -> int:
        """Bytes of all stored tensors as declared, in Constant nodes too, never less than 0."""
        return sum(max(0, tensor.nbytes) for graph in self.model.graphs() for tensor in graph.stored)

    @property
    def opsets(self) -> dict[str, int]:
        """Imported version by domain ("" is the default domain)."""
        return dict(self.model.opsets)

    @property
    def input_texts(self) -> tuple[str, ...]:
        """Each input as `name: type[dims]`."""
        graph = self.model.graph
        return tuple(f"{name}: {graph.type_of(name) or 'no tensor'}" for name in graph.inputs)

    @cached_property
    def newest_listed_opset(self) -> int | None:
        """See `dlclint.analysis.versions.newest_listed_opset`."""
        return newest_listed_opset(self.table, self.nodes())

    @property
    def unlisted_ops(self) -> bool:
        """Whether a converted op is in no row of the table."""
        return any(node.op_type not in self.table.rows for node in self.official_nodes)

    def support_matrix(self, refusals: Mapping[NodeKey, str] = _NONE) -> SupportMatrix:
        """One row per runtime that the SoC has. Nodes in a pattern count with the pattern's layer.

        `refusals` names, by graph and index, the nodes at which a rule found that the converter stops: no
        runtime takes them, even where the layer table has their op.
        """
        # Few nodes differ in what decides, so the verdict is computed once for each kind.
        alike: Counter[tuple[_Case, str, str, str]] = Counter()
        for node in self._judged:
            rule = refusals.get((plain(node.graph.path), node.index), "") if refusals else ""
            alike[self._case(node), self.in_pattern.get(node.key, node.op_type), node.op_type, rule] += 1
        return SupportMatrix(tuple(self._support(runtime, alike) for runtime in self.target.considered))

    def verdict(self, node: Node, runtime: Runtime) -> LayerSupport:
        """Whether a node runs on a runtime, with its pattern's layer and what the converter refuses."""
        return self._judge(self._case(node), runtime)

    def _judge(self, case: _Case, runtime: Runtime) -> LayerSupport:
        """The layer table's verdict, and what a later release added."""
        verdict = _judge(case, runtime.column)
        if verdict.presence is Presence.NO and case[2] in self._came.get(runtime.column, ()):
            return LayerSupport(Presence.YES, case[3], f"since SDK {self._came[runtime.column][case[2]]}")
        return verdict

    @cached_property
    def _came(self) -> dict[str, dict[str, str]]:
        """Ops that a release not newer than the target's added to a runtime, by column."""
        by_column: dict[str, dict[str, str]] = {}
        for change in changes():
            if change.kind == "op" and change.holds(self.target.release):
                by_column.setdefault(change.runtime, {}).update(dict.fromkeys(change.ops, change.since))
        return by_column

    def _case(self, node: Node) -> _Case:
        case = self._cases.get(node.key)
        if case is None:
            layer = self.in_pattern.get(node.key, "")
            refused = "" if layer else self._refused(node)
            case = self._cases[node.key] = (
                layer,
                refused,
                *(("", ()) if layer or refused else known_by(node)),
            )
        return case

    @cached_property
    def _cases(self) -> dict[NodeKey, _Case]:
        return {}

    def partition(self, runtime: Runtime) -> Partition:
        """The subnets of the main graph on a runtime, computed once."""
        if runtime not in self._partitions:
            self._partitions[runtime] = self._partition(runtime)
        return self._partitions[runtime]

    @cached_property
    def _partitions(self) -> dict[Runtime, Partition]:
        return {}

    def _partition(self, runtime: Runtime) -> Partition:
        placed = self._placed(runtime)
        unclear = sum(
            self.verdict(placed_node.node, runtime).presence is Presence.UNCLEAR for placed_node in placed
        )
        return partition(self.model.graph, placed, self.target.kind, runtime, unclear)

    def _placed(self, runtime: Runtime) -> list[PlacedNode]:
        return [
            PlacedNode(node, self.in_pattern.get(node.key, node.op_type), self.is_off(node, runtime))
            for node in self.model.graph.nodes
            if not self._is_absent(node)
        ]

    def _is_absent(self, node: Node) -> bool:
        """Whether a DLC has no layer for the node: it folds, in places only once inputs have sizes."""
        waits = self.target.simplify and node.key in self.lengths.waiting
        return waits or node.key in self.folded or node.key in self.branches.resolved

    def awaits(self, tensor: str) -> bool:
        """Whether the simplification computes a tensor once the open inputs have sizes."""
        return self.target.simplify and self.lengths.waits(tensor)

    def is_off(self, node: Node, runtime: Runtime) -> bool | None:
        """True: on the CPU; False: on the runtime; None: on neither. A function is like its worst node."""
        body = self.model.function_of(node)
        if body is not None:
            key = (body.path, runtime)
            if key not in self._off:
                self._off[key] = False  # what a recursive function finds for itself
                inner = [inner_node for inner_node in body.nodes if inner_node.key not in self.folded]
                sides = {self.is_off(inner_node, runtime) for inner_node in inner}
                self._off[key] = None if None in sides else True in sides
            return self._off[key]
        if self.verdict(node, runtime).presence is not Presence.NO:
            return False
        return None if self.verdict(node, Runtime.CPU).presence is Presence.NO else True

    @cached_property
    def _off(self) -> dict[tuple[str, Runtime], bool | None]:
        return {}

    def _refused(self, node: Node) -> str:
        """Why the converter refuses a node for every runtime, or ""."""
        if node.domain:
            known = (node.domain, node.op_type) in layer_table().other_domain_layers
            return "" if known else "custom op"
        if node.op_type not in self.table.rows:
            return "not in the supported-ops table"
        if node.op_type == "Erf":
            return "only taken inside GELU"
        if node.op_type == "Shape" and not self.waits(node.output(0)):
            return "not known at conversion time"
        if node.op_type == "Gemm" and not is_static(node.graph, node.input(1), self.folded):
            return "no fully connected layer"
        return ""

    @cached_property
    def _judged(self) -> list[Node]:
        """The nodes that a runtime supports or not; calls of functions are replaced by what they call."""
        return [node for node in self.nodes() if not self.model.is_function(node)]

    def _support(self, runtime: Runtime, alike: Mapping[tuple[_Case, str, str, str], int]) -> RuntimeSupport:
        counts: Counter[tuple[str, str, bool]] = Counter()
        for (case, label, op, rule), number in alike.items():
            verdict = self._judge(case, runtime)
            if verdict.presence is Presence.NO:
                counts[label, verdict.reason, not verdict.inferred] += number
            elif rule:
                counts[op, f"the converter refuses it: {rule}", True] += number
        blockers = tuple(
            Blocker(plain(op), count, reason, certain)
            for (op, reason, certain), count in counts.most_common()
        )
        total = sum(alike.values())
        taken = total - sum(counts.values())
        cuts = count_cuts(self._placed(runtime)) if counts and runtime is not Runtime.CPU else 0
        return RuntimeSupport(runtime, taken, total, blockers, dlc_handling(runtime, self.target).value, cuts)


def _judge(case: _Case, column: str) -> LayerSupport:
    layer, refused, op, layers = case
    if layer:
        row = layer_table().rows[layer]
        if row.runtimes[column]:
            return LayerSupport(Presence.YES, (layer,), "")
        return LayerSupport(Presence.NO, (layer,), f"part of row {row.number} {layer}: not on {column}")
    return LayerSupport(Presence.NO, (), refused) if refused else verdict_of(op, layers, column)
