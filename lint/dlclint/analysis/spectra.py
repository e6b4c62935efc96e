"""Spectra computed inside a graph: a Fourier transform, its squares, their sums, and a root or logarithm.

Squares span twice as many decibels as their input, so a grid that holds the loud ones has no step left for
the quiet ones, and the root or the logarithm that follows brings out just those.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dlclint.analysis.matching.terms import scalar, squared
from dlclint.analysis.moving import moved_inputs
from dlclint.model.graph import Graph, Node
from dlclint.model.op_facts import COMBINING, FACTORS, FOURIER, LOGARITHMS, SQUARE_SUMS, WEIGHTED_OPS
from dlclint.model.tensors import Tensor, Unavailable
from dlclint.target import Runtime, Target
from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.analysis.view import ModelView

_PRODUCTS = (*WEIGHTED_OPS, "Einsum")
_ONE_CONSTANT = frozenset(COMBINING) - {"Sum"}
_REACH = 64
"""Nodes that are visited after one root or logarithm."""
_SHORTEST = 16
"""Points of the shortest transform that is recognized: a kernel of 3 x 3 has such a spectrum too."""
_LARGEST = 1 << 24
"""Values of the largest weight that is read."""
_LOBE = 3
"""Bins on either side of a sinusoid's own over which its window spreads it."""
_SHARE = 0.85
"""The share of a sinusoid's power within its lobe."""
_ROWS = 0.8
"""The share of a transform's rows that are sinusoids; some transforms have other rows as well."""
_BINS = 0.4
"""Frequencies per row: a cosine and a sine of each make half."""


@record
class Spectrum:
    """A spectrum in one graph, found from the root or logarithm at its end.

    `tensors` are those that no grid represents, in graph order: the outputs of the transform, squares and
    sums, and that of the root or logarithm, which runs in one precision with its input. `transform` is the
    constant transform in front, where one was recognized.
    """

    root: Node
    squares: tuple[Node, ...]
    transform: Node | None
    tensors: tuple[str, ...]


def find_spectra(view: ModelView) -> list[Spectrum]:
    """Every spectrum, in graph order; one that ends in both a root and a logarithm once."""
    spectra: list[Spectrum] = []
    taken: set[tuple[str, int]] = set()
    patterns = view.in_pattern
    for node in view.as_float.nodes():
        if node.domain or node.key in patterns or not _ends(node):
            continue
        walk = _Walk(view.as_float, node)
        spectrum = walk.run()
        if spectrum is None:
            continue
        keys = {square.key for square in spectrum.squares}
        if keys & taken:
            # The logarithm of a root: the later one extends further.
            spectra = [
                candidate for candidate in spectra if not keys & {square.key for square in candidate.squares}
            ]
        taken |= keys
        spectra.append(spectrum)
    return spectra


def float_is_open(target: Target) -> bool:
    """Whether a part of a quantized DLC may be float on the target: on HTP with a chip that has float16."""
    return Runtime.HTP in target.considered and not target.lacks_float16


def is_transform(tensor: Tensor, by_column: bool = False) -> bool:
    """Whether the rows of a weight (by_column: its columns) are sinusoids: a windowed Fourier transform.

    Rows of zeros, such as the sine of frequency 0, are ignored.
    """
    shape = [size for size in tensor.shape if size != 1]
    if len(shape) != 2 or not 2 * _SHORTEST <= tensor.count <= _LARGEST:
        return False
    rows, points = (shape[1], shape[0]) if by_column else (shape[0], shape[1])
    if points < _SHORTEST or rows < _SHORTEST // 2:
        return False
    try:
        values = tensor.numbers().reshape(shape)
    except Unavailable:
        return False
    return bool(np.isfinite(values).all()) and _are_sinusoids(values.T if by_column else values)


def _are_sinusoids(rows: npt.NDArray[np.float64]) -> bool:
    rows = rows[np.abs(rows).max(axis=1) > 1e-9 * max(float(np.abs(rows).max()), 1e-300)]
    if len(rows) < _SHORTEST // 2:
        return False
    power = np.abs(np.fft.rfft(rows, axis=1)) ** 2
    peak = power.argmax(axis=1)
    near = np.abs(np.arange(power.shape[1])[None, :] - peak[:, None]) <= _LOBE
    share = (power * near).sum(axis=1) / np.maximum(power.sum(axis=1), 1e-300)
    # Smooth rows of other weights have their power in one place as well, but all in the same few bins.
    return bool((share >= _SHARE).mean() >= _ROWS and len(np.unique(peak)) >= _BINS * len(rows))


def _ends(node: Node) -> bool:
    if node.op_type in ("Sqrt", "ReduceL2", *LOGARITHMS):
        return True
    exponent = scalar(node.graph, node.input(1)) if node.op_type == "Pow" else None
    return exponent is not None and 0 < exponent < 1


@dataclass(slots=True)
class _Walk:
    """Backward from a root or logarithm to the squares, and from these to the transform."""

    view: ModelView
    root: Node
    squares: list[Node] = field(default_factory=list)
    between: dict[tuple[str, int], Node] = field(default_factory=dict)
    """The nodes from the squares on, including the root."""
    joined: bool = False
    """Whether two squares are added: real and imaginary part."""
    filtered: bool = False
    """Whether a stored matrix sums the squares, as a bank of filters does."""
    averaged: bool = False

    def run(self) -> Spectrum | None:
        graph = self.root.graph
        self.between[self.root.key] = self.root
        if self.root.op_type == "ReduceL2":
            self.squares.append(self.root)
        pending = [(graph, self.root.input(0))] if not self.squares else []
        while pending and len(self.between) < _REACH:
            where, name = pending.pop()
            node = where.producer(name)
            if node is None or node.key in self.between or node.key in self.view.folded:
                continue
            if _is_square(node):
                self.squares.append(node)
                self.between[node.key] = node
                continue
            reads = self.passes(node)
            if reads:
                self.between[node.key] = node
                pending.extend((node.graph, read) for read in reads)
        return self.judged()

    def passes(self, node: Node) -> tuple[str, ...]:
        """The activations that a node sums, scales or moves; () where it does something else."""
        moved = moved_inputs(node)
        if moved:
            return moved
        if node.domain:
            return ()
        activations = tuple(name for name in node.inputs if name and not self.is_stored(node.graph, name))
        if node.op_type in _ONE_CONSTANT:
            if len(activations) == 2 and node.op_type == "Add":
                self.joined = True
                return activations
            return activations if len(activations) == 1 else ()
        if node.op_type in ("ReduceSum", "Clip", "Cast", "Sum", "Sqrt", "AveragePool"):
            return activations if node.op_type == "Sum" else activations[:1]
        if node.op_type == "ReduceMean":
            self.averaged = True
            return ()
        if node.op_type in _PRODUCTS and len(activations) == 1:
            self.filtered = True
            return activations
        return ()

    def is_stored(self, graph: Graph, name: str) -> bool:
        producer = graph.producer(name)
        return graph.constant(name) is not None or (producer is not None and producer.key in self.view.folded)

    def judged(self) -> Spectrum | None:
        if not self.squares or self.averaged:
            return None
        sources = [self.source(square) for square in self.squares]
        nodes = {node.key: node for node in sources if node is not None}
        transform = next((node for node in nodes.values() if self.transforms(node)), None)
        logs = any(node.op_type in LOGARITHMS for node in self.between.values())
        complex_ = self.joined and len(self.squares) == 2 and len(nodes) == 1 and None not in sources
        if transform is None and not (logs and self.filtered) and not (complex_ and not self.normalizes()):
            return None
        tensors = [node.output(0) for node in nodes.values()] + [
            node.output(0) for node in self.between.values()
        ]
        order = {name: position for position, name in enumerate(_outputs(self.root.graph))}
        ordered = sorted(dict.fromkeys(tensors), key=lambda name: order.get(name, len(order)))
        return Spectrum(self.root, tuple(self.squares), transform, tuple(ordered))

    def source(self, square: Node) -> Node | None:
        """The product or transform whose output is squared, found through nodes that only move or scale."""
        node: Node | None = square
        name = square.input(0)
        for _ in range(_REACH):
            assert node is not None
            node = node.graph.producer(name)
            if node is None:
                return None
            if node.op_type in (*_PRODUCTS, *FOURIER) and not node.domain:
                return node
            moved = moved_inputs(node)
            scaled = [
                operand for operand in node.inputs if operand and not self.is_stored(node.graph, operand)
            ]
            if len(moved) == 1:
                name = moved[0]
            elif node.op_type in ("Cast", *FACTORS) and len(scaled) == 1 and not node.domain:
                name = scaled[0]
            else:
                return None
        return None

    def transforms(self, node: Node) -> bool:
        """Whether a node is a Fourier transform, by its op or by its stored weight."""
        if node.op_type in FOURIER:
            return True
        graph = node.graph
        stored = [(index, graph.constant(name)) for index, name in enumerate(node.inputs[:2])]
        for position, tensor in stored:
            if tensor is not None:
                by_column = node.op_type == "MatMul" and position == 1
                by_column |= node.op_type == "Gemm" and not node.attribute("transB", 0)
                return is_transform(tensor, by_column)
        return False

    def normalizes(self) -> bool:
        """Whether something is divided by the root, as by a norm."""
        readers = self.root.graph.consumers(self.root.output(0))
        return any(node.op_type == "Div" and node.input(1) == self.root.output(0) for node in readers)


def _is_square(node: Node) -> bool:
    return bool(squared(node)) or (not node.domain and node.op_type in SQUARE_SUMS)


def _outputs(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        yield from node.outputs
