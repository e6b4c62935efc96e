"""Graphs, nodes and types as the analyses and rules see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from sys import intern
from typing import TYPE_CHECKING, Any

import onnx

from dlclint.model.attributes import DOMAINS, default_of, mistaken_type, schema_of, type_name, value_of
from dlclint.model.dimensions import NOTHING, DeclaredShapes
from dlclint.model.native import Crashes
from dlclint.model.op_facts import OFFICIAL_DOMAINS
from dlclint.model.ordering import topological_order
from dlclint.model.protos import (
    AttributeField,
    FunctionField,
    GraphField,
    ModelField,
    Names,
    NodeField,
    SparseField,
    WirePath,
    function_path,
    subgraphs,
)
from dlclint.model.tensors import Array, DecodedTensors, Produced, Tensor, tensor_of_numbers
from dlclint.model.types import TensorType, merged, tensor_type
from dlclint.model.wire import Payload

if TYPE_CHECKING:
    from dlclint.model.evaluation.values import Values


class Node:
    """A node. `index` counts within its graph."""

    __slots__ = (
        "_schema",
        "domain",
        "graph",
        "index",
        "inputs",
        "key",
        "name",
        "op_type",
        "outputs",
        "proto",
        "subgraphs",
    )

    def __init__(self, proto: onnx.NodeProto, graph: Graph, index: int) -> None:
        self.proto = proto
        self.graph = graph
        self.index = index
        self.key: tuple[str, int] = (graph.path, index)
        """Graph path and index: unique in a model."""
        self.name: str = proto.name
        self.op_type: str = intern(proto.op_type)
        self.domain: str = "" if proto.domain in OFFICIAL_DOMAINS else proto.domain
        self.inputs: tuple[str, ...] = tuple(proto.input)
        # A damaged node without outputs gets an unnamed one, so that every node has a first output.
        self.outputs = Names(proto.output) or ("",)
        self.subgraphs: tuple[Graph, ...] = ()
        self._schema: onnx.defs.OpSchema | bool | None = False

    @property
    def schema(self) -> onnx.defs.OpSchema | None:
        """The registry's schema at the model's opset, None for unknown ops."""
        if isinstance(self._schema, bool):  # not looked up yet
            opset = self.graph.opset(self.domain)
            self._schema = None if opset is None else schema_of(self.op_type, self.domain, opset)
        return self._schema

    @property
    def version(self) -> int | None:
        """The operator version (since_version) the node resolves to."""
        schema = self.schema
        return None if schema is None else int(schema.since_version)

    def input(self, position: int) -> str:
        """The name of an input, "" where it is left out."""
        return self.inputs[position] if position < len(self.inputs) else ""

    def output(self, position: int) -> str:
        """The name of an output, "" where it is left out."""
        return self.outputs[position] if position < len(self.outputs) else ""

    def has(self, attribute: str) -> bool:
        """Whether the node has a value of the attribute, of the right type."""
        proto = self._written(attribute)
        return proto is not None and not proto.ref_attr_name and self._is_well_typed(proto)

    def _written(self, attribute: str) -> onnx.AttributeProto | None:
        for proto in self.proto.attribute:
            if proto.name == attribute:
                return proto  # type: ignore[no-any-return]
        return None

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute's value; where absent, `default` or else the registry's default.

        None where the node is in a function and its caller determines the value. Strings are returned as str,
        lists as lists, tensors and graphs as protobuf messages. An attribute of another type than the
        operator's counts as absent, and so does a reference to a caller's attribute outside a function.
        """
        proto = self._written(name)
        if proto is not None:
            if not proto.ref_attr_name:
                if self._is_well_typed(proto):
                    return value_of(proto)
            elif self.graph.root.is_function:
                return None
        if default is not None:
            return default
        return default_of(self.op_type, self.domain, self.graph.opset(self.domain), name)

    def _is_well_typed(self, proto: onnx.AttributeProto) -> bool:
        opset = self.graph.opset(self.domain)
        return mistaken_type(self.op_type, self.domain, opset, proto) is None

    def mistyped(self) -> Iterator[tuple[str, str, str]]:
        """The attributes whose type is not the operator's: name, actual type, stated type."""
        if self.proto.attribute and self.domain in DOMAINS and not self.graph.model.is_function(self):
            opset = self.graph.opset(self.domain)
            for proto in self.proto.attribute:
                wanted = mistaken_type(self.op_type, self.domain, opset, proto)
                if wanted is not None:
                    yield proto.name, type_name(proto.type), type_name(wanted)

    def __repr__(self) -> str:
        return f"<{self.op_type} #{self.index} {self.name!r}>"


class Graph:
    """The main graph, a subgraph of a control-flow node, or the body of a model-local function."""

    def __init__(
        self,
        proto: onnx.GraphProto | onnx.FunctionProto,
        model: Model,
        path: str,
        wire_path: WirePath,
        parent: Graph | None = None,
        opsets: Mapping[str, int] | None = None,
    ) -> None:
        self.proto = proto
        self.model = model
        self.path = path
        self.parent = parent
        self.wire_path = wire_path
        self._opsets = opsets
        self.is_function = isinstance(proto, onnx.FunctionProto)
        self.initializers: dict[str, Tensor] = {}
        self.initializer_names: list[str] = []
        self._types: dict[str, TensorType] = {}
        self._elements: dict[str, TensorType] = {}
        self.variants: tuple[Mapping[str, TensorType], ...] = ()
        """In a function: the types at each call where these differ (see `dlclint.model.functions`)."""
        self.static_inputs: frozenset[str] = frozenset()
        """In a function: inputs that are stored values at every call."""
        self.input_values: Mapping[str, Array] = {}
        """In a function: inputs that are the same small value at every call."""
        if isinstance(proto, onnx.FunctionProto):
            self.inputs: tuple[str, ...] = tuple(proto.input)
            self.outputs = Names(proto.output)
        else:
            self._read_values(proto)
        self.nodes: tuple[Node, ...] = tuple(Node(node, self, i) for i, node in enumerate(proto.node))
        taken: set[str] = set()
        for node in self.nodes:
            self._open_subgraphs(node, (*wire_path, self._node_field, node.index), taken)
        self._bodies = tuple(body for node in self.nodes for body in node.subgraphs)

    @property
    def _node_field(self) -> int:
        return FunctionField.NODE if self.is_function else GraphField.NODE

    def _read_values(self, proto: onnx.GraphProto) -> None:
        for index, tensor in enumerate(proto.initializer):
            self.initializer_names.append(tensor.name)
            self.initializers[tensor.name] = self.model.tensor(
                tensor, (*self.wire_path, GraphField.INITIALIZER, index)
            )
        for index, sparse in enumerate(proto.sparse_initializer):
            self.initializer_names.append(sparse.values.name)
            steps = (GraphField.SPARSE_INITIALIZER, index, SparseField.VALUES, 0)
            values = self.model.tensor(sparse.values, (*self.wire_path, *steps))
            self._types[sparse.values.name] = TensorType(values.data_type, tuple(sparse.dims))
            self.initializers[sparse.values.name] = values
        self.inputs = tuple(value.name for value in proto.input if value.name not in self.initializers)
        self.outputs = Names(value.name for value in proto.output)
        self.read_types(proto)

    def read_types(self, proto: onnx.GraphProto) -> None:
        """Copy the types that a copy of this graph declares."""
        for group in (proto.value_info, proto.output, proto.input):
            for value in group:
                if value.name in self.initializers:
                    continue  # a stored tensor states its type itself, and runtimes use that
                declared = tensor_type(value.type)
                if declared is not None:
                    self._types[value.name] = declared
                elif value.type.HasField("sequence_type"):
                    element = tensor_type(value.type.sequence_type.elem_type)
                    if element is not None:
                        self._elements[value.name] = element

    def _open_subgraphs(self, node: Node, wire_path: WirePath, taken: set[str]) -> None:
        graphs: list[Graph] = []
        name = node.name or f"{node.op_type}#{node.index}"
        for steps, body in subgraphs(node.proto):
            _, position, field, occurrence = steps
            label = f"{name}.{node.proto.attribute[position].name}"
            if field == AttributeField.GRAPHS:
                label += f"[{occurrence}]"
            while label in taken:  # several nodes have this name, or one attribute occurs twice
                label += f"#{node.index}"
            taken.add(label)
            path = f"{self.path}/{label}" if self.path else label
            graphs.append(Graph(body, self.model, path, (*wire_path, *steps), self, self._opsets))
        node.subgraphs = tuple(graphs)

    def opset(self, domain: str) -> int | None:
        """The imported version of a domain here (functions have their own imports)."""
        return (self.model.opsets if self._opsets is None else self._opsets).get(domain)

    @cached_property
    def in_order(self) -> Sequence[Node]:
        """See `topological_order`; sorted once."""
        return topological_order(self)

    @cached_property
    def _producers(self) -> dict[str, Node]:
        return {output: node for node in reversed(self.nodes) for output in node.outputs if output}

    @cached_property
    def _consumers(self) -> dict[str, tuple[Node, ...]]:
        nodes: dict[str, list[Node]] = {}
        for graph in self.with_subgraphs():
            for node in graph.nodes:
                for name in filter(None, dict.fromkeys(node.inputs)):
                    nodes.setdefault(name, []).append(node)
        return {name: tuple(readers) for name, readers in nodes.items()}

    def with_subgraphs(self) -> Iterator[Graph]:
        """This graph and every graph below it, outermost first."""
        pending: list[Graph] = [self]
        for graph in pending:  # which grows in the loop
            yield graph
            pending.extend(graph._bodies)

    def producer(self, tensor: str) -> Node | None:
        """The node that produces a tensor, here or in an enclosing graph."""
        graph: Graph | None = self
        while graph is not None:
            node = graph._producers.get(tensor)
            if node is not None:
                return node
            graph = graph.parent
        return None

    def makes(self, tensor: str) -> bool:
        """Whether a node of this graph itself produces a tensor."""
        return tensor in self._producers

    def home(self, tensor: str) -> Graph:
        """The graph, this or an enclosing one, that stores or produces a tensor; this one where none does."""
        graph: Graph | None = self
        while graph is not None:
            if tensor in graph.initializers or graph.makes(tensor):
                return graph
            graph = graph.parent
        return self

    def consumers(self, tensor: str) -> tuple[Node, ...]:
        """The nodes here and in subgraphs that read a tensor, each once."""
        return self._consumers.get(tensor, ())

    def type_of(self, tensor: str) -> TensorType | None:
        """Type of a tensor visible here: declared, inferred, or an initializer's own."""
        graph: Graph | None = self
        while graph is not None:
            known = graph._types.get(tensor)
            if known is not None:
                return known
            initializer = graph.initializers.get(tensor)
            if initializer is not None:
                return TensorType(initializer.data_type, initializer.shape)
            graph = graph.parent
        return None

    def types_of(self, tensor: str) -> tuple[TensorType, ...]:
        """The types of a tensor: one, or in a function one for each way in which it is called."""
        common = self.type_of(tensor)
        if not self.variants:
            return () if common is None else (common,)
        each = (merged(common, types[tensor]) for types in self.variants if tensor in types)
        return tuple(dict.fromkeys(each)) or (() if common is None else (common,))

    def ranks(self, tensor: str) -> tuple[int, ...]:
        """The known ranks of a tensor, see `types_of`."""
        if not self.variants:
            rank = self.rank(tensor)
            return () if rank is None else (rank,)
        return tuple(sorted({len(kind.shape) for kind in self.types_of(tensor) if kind.shape is not None}))

    def element_of(self, tensor: str) -> TensorType | None:
        """The common type of the tensors of a sequence."""
        graph: Graph | None = self
        while graph is not None:
            element = graph._elements.get(tensor)
            if element is not None:
                return element
            graph = graph.parent
        return None

    @property
    def root(self) -> Graph:
        """The main graph, or the function, that contains this graph."""
        return self if self.parent is None else self.parent.root

    def types(self) -> dict[str, TensorType]:
        """A copy of the known types of this graph's tensors, without initializers."""
        return dict(self._types)

    def put_types(self, types: Mapping[str, TensorType]) -> None:
        """Replace all known types."""
        self._types = dict(types)

    def learn_type(self, tensor: str, value_type: TensorType) -> None:
        """Replace the known type of a tensor of this graph."""
        self._types[tensor] = value_type

    def rank(self, tensor: str) -> int | None:
        """Number of dimensions, if known."""
        value_type = self.type_of(tensor)
        return None if value_type is None or value_type.shape is None else len(value_type.shape)

    def constant(self, tensor: str) -> Tensor | None:
        """The stored value of a name: an initializer of this or an outer graph, or a Constant's tensor."""
        graph: Graph | None = self
        while graph is not None:
            stored = graph.initializers.get(tensor)
            if stored is not None:
                return stored
            node = graph._producers.get(tensor)
            if node is not None:
                return graph._constant_nodes.get(node.index) if node.op_type == "Constant" else None
            graph = graph.parent
        return None

    @property
    def stored(self) -> Iterator[Tensor]:
        """The initializers of this graph, and the values of its Constant nodes."""
        yield from self.initializers.values()
        yield from filter(None, self._constant_nodes.values())

    @cached_property
    def _constant_nodes(self) -> dict[int, Tensor | None]:
        return {node.index: self._constant_node(node) for node in self.nodes if node.op_type == "Constant"}

    def _constant_node(self, node: Node) -> Tensor | None:
        for position, attribute in enumerate(node.proto.attribute):
            if attribute.ref_attr_name or not node._is_well_typed(attribute):
                continue
            if attribute.name == "value":
                steps = (self._node_field, node.index, NodeField.ATTRIBUTE, position, AttributeField.T, 0)
                return self.model.tensor(attribute.t, (*self.wire_path, *steps))
            numbers = tensor_of_numbers(attribute, node.output(0), self.model.path)
            if numbers is not None:
                return numbers
        return None

    def small_value(self, tensor: str, limit: int = 4096) -> Array | None:
        """The value of a name if it is stored and has at most `limit` elements."""
        return self.model.decoded.small(self.constant(tensor), limit)


class Model:
    """A model read without its weight bytes."""

    def __init__(
        self,
        proto: onnx.ModelProto,
        path: Path,
        payloads: Mapping[WirePath, Payload | Produced],
        notes: tuple[str, ...],
        values: Values,
    ) -> None:
        self.proto = proto
        self.path = path
        self._notes = dict.fromkeys(notes)
        self.payloads = payloads
        """Values that are not in `proto`, by the location of their tensor."""
        self.decoded = DecodedTensors()
        self.values = values
        """Small values that follow from the model, whether or not the converter simplifies."""
        self.complaints: tuple[str, ...] = ()
        """onnx.checker's complaints, one line each."""
        self.consistent = False  # known to be so by onnx's strict inference
        self.crashes = Crashes()
        """Native calls that this model ended."""
        self.refined: set[str] = set()
        """Tensors about which more is known than onnx's inference of the whole model provides."""
        self.overridden: DeclaredShapes = NOTHING
        """What the inputs declared where dimension overrides were written."""
        self.opsets: dict[str, int] = _imports(proto.opset_import)
        self.functions: tuple[Graph, ...] = tuple(
            Graph(
                function,
                self,
                function_path(function),
                (ModelField.FUNCTIONS, index),
                opsets=_imports(function.opset_import) or self.opsets,
            )
            for index, function in enumerate(proto.functions)
        )
        self.graph = Graph(proto.graph, self, "", (ModelField.GRAPH, 0))

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user on how the model was read and checked, each once."""
        if self.values.exhausted:
            self.note(
                "shape arithmetic is followed in part only: its values come to more than are held at once"
            )
        return tuple(self._notes)

    def note(self, text: str) -> None:
        """Add such a note, for example that a budget ended an analysis."""
        self._notes[text] = None

    def copy(self) -> Model:
        """The same model with a separate structure, which may be changed; the weights stay in the file."""
        proto = onnx.ModelProto()
        proto.CopyFrom(self.proto)
        return Model(proto, self.path, self.payloads, self.notes, type(self.values)())

    def tensor(self, proto: onnx.TensorProto, wire_path: WirePath) -> Tensor:
        """A lazy view of a TensorProto at `wire_path` in the file."""
        return Tensor(
            proto.name, proto.data_type, tuple(proto.dims), proto, self.path, self.payloads.get(wire_path)
        )

    def graphs(self) -> Iterator[Graph]:
        """The main graph, its subgraphs, and the functions with theirs."""
        yield from self.graph.with_subgraphs()
        for function in self.functions:
            yield from function.with_subgraphs()

    def is_function(self, node: Node) -> bool:
        """Whether a node calls a model-local function."""
        return bool(self.functions) and (node.proto.domain, node.op_type) in self._function_names

    def function_of(self, node: Node) -> Graph | None:
        """The body of the model-local function that a node calls."""
        return self._by_call.get((node.proto.domain, node.op_type, node.proto.overload))

    @cached_property
    def _by_call(self) -> dict[tuple[str, str, str], Graph]:
        return {
            (proto.domain, proto.name, proto.overload): body
            for proto, body in zip(self.proto.functions, self.functions, strict=True)
        }

    @cached_property
    def calls(self) -> Mapping[str, list[Node]]:
        """The nodes that call each function, by the path of its body."""
        nodes: dict[str, list[Node]] = {function.path: [] for function in self.functions}
        if nodes:
            for graph in self.graphs():
                for node in graph.nodes:
                    body = self.function_of(node)
                    if body is not None:
                        nodes[body.path].append(node)
        return nodes

    @cached_property
    def tensor_names(self) -> frozenset[str]:
        """Every tensor name of every graph."""
        return frozenset(
            name
            for graph in self.graphs()
            for name in (
                *(*graph.inputs, *graph.initializer_names, *graph.outputs),
                *(name for node in graph.nodes for name in (*node.inputs, *node.outputs)),
            )
        )

    @cached_property
    def _function_names(self) -> frozenset[tuple[str, str]]:
        return frozenset((function.domain, function.name) for function in self.proto.functions)


def _imports(imports: Any) -> dict[str, int]:
    return {("" if opset.domain in OFFICIAL_DOMAINS else opset.domain): opset.version for opset in imports}
