"""The main graph as steps that run one after another, after the converter's own folding.

A batch normalization after a convolution is folded into its weight and bias, as in the converter, and nodes
that depend only on constants are computed once. Every step is one node, so that a step can be run alone on
any values: float ones, quantized ones, or a mixture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import numpy_helper

from dlclint.analysis.folding import NodeKey
from dlclint.analysis.roles import absorbed_chain, channel_axis, fold_factors, vector
from dlclint.analysis.view import ModelView
from dlclint.model.graph import Graph, Model, Node
from dlclint.model.op_facts import CONVOLUTIONS, is_qdq
from dlclint.model.tensors import Array, Tensor, Unavailable
from dlclint_schemas.record import record


class CannotSimulate(Exception):
    """The model cannot be run; the argument states why in one sentence."""


@record
class Step:
    """One node to run. `reads` are the tensors that it needs; those that only its bodies read are last."""

    index: int
    node: Node
    """The node of the file, or the convolution that a batch normalization was folded into."""
    proto: onnx.NodeProto
    inputs: tuple[str, ...]
    """By position, "" where left out."""
    outputs: tuple[str, ...]
    reads: tuple[str, ...]

    @property
    def op(self) -> str:
        """The op type."""
        return self.node.op_type

    @property
    def key(self) -> NodeKey:
        """The key of the node of the file."""
        return self.node.key

    @property
    def official(self) -> bool:
        """Whether the op is one of ONNX's own."""
        return not self.node.domain


@dataclass(slots=True)
class Constants:
    """Stored and folded values by name, each read when it is needed."""

    _sources: dict[str, Callable[[], Array]] = field(default_factory=dict)

    def put(self, name: str, source: Callable[[], Array]) -> None:
        """Define a name as what `source` returns."""
        self._sources[name] = source

    def __contains__(self, name: object) -> bool:
        return name in self._sources

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __getitem__(self, name: str) -> Array:
        try:
            return self._sources[name]()
        except Unavailable as error:
            raise CannotSimulate(f"the values of {name!r} cannot be read: {error}") from None


@dataclass(slots=True)
class Network:
    """Steps in order, with their inputs and the outputs of the graph.

    `inner` are the tensors inside a subgraph that becomes one layer, which nothing quantizes; `folded_norms`
    the batch normalizations that were folded into a convolution.
    """

    view: ModelView
    steps: tuple[Step, ...]
    constants: Constants
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    inner: frozenset[str]
    folded_norms: Mapping[str, str]
    """The output of each such normalization, and that of its convolution."""
    moved: Mapping[str, str] = field(default_factory=dict)
    """Each such constant, and the stored tensor."""

    @property
    def graph(self) -> Graph:
        """The main graph as read."""
        return self.view.model.graph

    def consumers(self) -> dict[str, list[Step]]:
        """The steps that read each tensor."""
        steps: dict[str, list[Step]] = {}
        for step in self.steps:
            for name in dict.fromkeys(step.reads):
                steps.setdefault(name, []).append(step)
        return steps


def network_of(view: ModelView) -> Network:
    """The steps of a model's main graph that its outputs depend on.

    Raises:
        CannotSimulate: the model is quantized already, the graph has no output, or a tensor of it comes
            from nowhere.
    """
    if any(is_qdq(node.op_type, node.domain) for node in view.model.graph.nodes):
        raise CannotSimulate(
            "the model holds quantization already; split it into a float model and an override file"
            " (dlclint encodings extract), and simulate those"
        )
    builder = _Builder(view)
    builder.constants_of_file()
    steps = builder.steps(builder.needed())
    graph = view.model.graph
    fused = {name for pattern in view.patterns for name in pattern.inner(graph)}
    inner = fused & {name for step in steps for name in step.outputs}
    return Network(
        view,
        steps,
        builder.constants,
        graph.inputs,
        graph.outputs,
        frozenset(inner),
        builder.norms,
    )


class _Builder:
    def __init__(self, view: ModelView) -> None:
        self.view = view
        self.graph = view.model.graph
        self.constants = Constants()
        self.norms: dict[str, str] = {}
        # Bodies hold weights too, and a step contains its bodies: their bytes are put into a copy.
        self.copy: Model | None = None

    def constants_of_file(self) -> None:
        for name, tensor in self.graph.initializers.items():
            self.constants.put(name, tensor.array)
        for node in self.graph.nodes:
            stored = self.graph.constant(node.output(0)) if node.op_type == "Constant" else None
            if stored is not None:
                self.constants.put(node.output(0), stored.array)

    def needed(self) -> list[Node]:
        """The nodes that the outputs depend on, in the order of the file."""
        if not self.graph.outputs:
            raise CannotSimulate("the graph has no output")
        wanted = set(self.graph.outputs)
        kept: list[Node] = []
        outputs: set[str] = set()
        for node in reversed(self.graph.nodes):
            if wanted.isdisjoint(node.outputs) or node.op_type == "Constant":
                continue
            kept.append(node)
            outputs.update(node.outputs)
            wanted.update(_reads(node))
        known = outputs | set(self.graph.inputs) | set(self.constants)
        lost = sorted(name for name in wanted if name and name not in known and not self._is_made(name))
        if lost:
            raise CannotSimulate(f"tensor {lost[0]!r} comes from nowhere")
        return kept[::-1]

    def _is_made(self, name: str) -> bool:
        producer = self.graph.producer(name)
        return producer is not None and producer.op_type == "Constant"

    def steps(self, nodes: list[Node]) -> tuple[Step, ...]:
        built: list[Step] = []
        for node in nodes:
            if node.output(0) in self.norms:
                continue
            folded = self._folded(node)
            built.append(self._step(len(built), node) if folded is None else folded(len(built)))
        return tuple(built)

    def _step(self, index: int, node: Node) -> Step:
        proto = node.proto
        if node.subgraphs:
            if self.copy is None:
                self.copy = _with_bytes(self.view.model)
            proto = self.copy.graph.nodes[node.index].proto
        return Step(index, node, proto, node.inputs, node.outputs, _reads(node))

    def _folded(self, node: Node) -> Callable[[int], Step] | None:
        """The step of a convolution into which a batch normalization is folded; None for any other node."""
        if node.op_type not in CONVOLUTIONS or node.domain:
            return None
        chain = absorbed_chain(node)
        if not chain or chain[0].op_type != "BatchNormalization" or chain[0].domain:
            return None
        norm = chain[0]
        group = int(node.attribute("group", 1) or 1)
        weight = self.graph.constant(node.input(1))
        factors = fold_factors(norm)
        shift, mean = (vector(self.graph, norm.input(position)) for position in (2, 3))
        if weight is None or factors is None or shift is None or mean is None:
            return None
        axis = channel_axis(node, 1)
        if node.op_type == "ConvTranspose" and group != 1:
            return None
        if weight.shape[axis : axis + 1] != factors.shape or not shift.shape == mean.shape == factors.shape:
            return None
        readers = self.graph.consumers(node.input(1))
        if len(readers) > 1 or (node.input(2) and self.graph.constant(node.input(2)) is None):
            return None
        return lambda index: self._fold(index, node, norm, weight, (factors, shift, mean), axis)

    def _fold(
        self,
        index: int,
        node: Node,
        norm: Node,
        weight: Tensor,
        values: tuple[Array, Array, Array],
        axis: int,
    ) -> Step:
        factors, shift, mean = values
        spread = [1] * len(weight.shape)
        spread[axis] = -1

        def scaled() -> Array:
            stored = weight.array()
            return np.asarray(stored.astype(np.float64) * factors.reshape(spread)).astype(stored.dtype)

        before = self.constants[node.input(2)].astype(np.float64) if node.input(2) else 0.0
        bias = np.asarray((before - mean) * factors + shift)
        kind = onnx.helper.tensor_dtype_to_np_dtype(weight.data_type)
        name = node.input(2) or norm.input(2)
        self.constants.put(node.input(1), scaled)
        self.constants.put(name, lambda: bias.astype(kind))
        self.norms[norm.output(0)] = node.output(0)
        proto = onnx.NodeProto()
        proto.CopyFrom(node.proto)
        del proto.input[:], proto.output[:]
        inputs = (node.input(0), node.input(1), name)
        proto.input.extend(inputs)
        proto.output.append(norm.output(0))
        return Step(index, node, proto, inputs, (norm.output(0),), inputs)


def _reads(node: Node) -> tuple[str, ...]:
    """The tensors of its graph that a node reads: its inputs, and what its bodies read from outside."""
    names = dict.fromkeys(name for name in node.inputs if name)
    for body in node.subgraphs:
        for graph in body.with_subgraphs():
            named = [name for inner in graph.nodes for name in inner.inputs]
            names.update((name, None) for name in (*named, *graph.outputs) if _is_outside(name, graph, node))
    return tuple(names)


def _is_outside(name: str, graph: Graph, node: Node) -> bool:
    """Whether a name in a body of a node belongs to the graph that contains the node."""
    inner: Graph | None = graph
    while inner is not None and inner is not node.graph:
        if name in inner.inputs or name in inner.initializers or inner.makes(name):
            return False
        inner = inner.parent
    return bool(name)


def _with_bytes(model: Model) -> Model:
    """A copy of a model in which the bodies of its nodes hold their own weights."""
    copy = model.copy()
    for graph in copy.graphs():
        if graph is copy.graph or graph.is_function:
            continue
        tensors = list(graph.initializers.values())
        for node in graph.nodes:
            stored = graph.constant(node.output(0)) if node.op_type == "Constant" else None
            tensors += [stored] if stored is not None and stored.payload is not None else []
        for tensor in tensors:
            if tensor.payload is None and not tensor.is_external:
                continue
            try:
                tensor.proto.CopyFrom(numpy_helper.from_array(tensor.array(), tensor.name))
            except Unavailable as error:
                raise CannotSimulate(f"the values of {tensor.name!r} cannot be read: {error}") from None
    return copy
