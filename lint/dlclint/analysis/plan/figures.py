"""The numbers that decisions depend on: SQNR of weights and of estimated activations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from dlclint.analysis.activations.estimate import Estimate
from dlclint.analysis.plan.model import ActivationFigures, LayerFigures
from dlclint.analysis.roles import absorbed_chain, layer_name
from dlclint.analysis.view import ModelView
from dlclint.analysis.weights.entries import WeightEntry
from dlclint.analysis.weights.noise import channel_sqnr, decibels, per_channel_scale, per_tensor_scale
from dlclint.analysis.weights.store import ConvertedWeight
from dlclint.encodings import grid
from dlclint.model.graph import Node
from dlclint.model.op_facts import CONVOLUTIONS, MATRICES, WEIGHTED_OPS
from dlclint.model.types import is_float
from dlclint_schemas.quantization import quantization_facts


def layer_figures(
    weights: list[ConvertedWeight],
    bits: int,
    per_channel: bool,
    per_row: bool,
    weight_entries: Mapping[str, WeightEntry] = MappingProxyType({}),
) -> tuple[LayerFigures, ...]:
    """Both grids of every nonzero weight; the one that the options choose counts, worst first.

    A grid for each channel is that of convolutions, a grid for each row that of matrices; the weights of
    recurrent ops have one for all. A weight with a grid in the override file (`weight_entries`) has that one.
    """
    rows = []
    for weight in weights:
        if not weight.mean_square.any():
            continue
        op = weight.use.node.op_type
        whole = channel_sqnr(weight, per_tensor_scale(weight, bits))
        each = channel_sqnr(weight, per_channel_scale(weight, bits))
        own = per_channel if op in CONVOLUTIONS else per_row and op in MATRICES
        scale = per_channel_scale(weight, 4) if own else per_tensor_scale(weight, 4)
        at_4_bits = channel_sqnr(weight, scale)
        chosen = each if own else whole
        entry = weight_entries.get(weight.name)
        if entry is not None and entry.scale is not None and len(entry.scale) in (1, len(weight.minimum)):
            chosen = channel_sqnr(weight, entry.scale)
        label = layer_name(weight.use.node)
        rows.append(LayerFigures(label, op, weight.name, whole, each, chosen, at_4_bits))
    return tuple(sorted(rows, key=lambda row: row.chosen))


def carried(view: ModelView) -> Iterator[tuple[str, Node]]:
    """The float activations that carry an encoding themselves, with the op that produces them.

    This excludes outputs inside a supergroup or a fused subgraph, of which only the last has one, and outputs
    of ops that move data, which keep that of their input (AIMET's HTP configuration).
    """
    movers = frozenset(quantization_facts()["aimet_htp_config"]["output_not_quantized_ops"])
    inside: set[str] = set()
    graph = view.model.graph
    for node in graph.nodes:
        if node.op_type in WEIGHTED_OPS and not node.domain:
            chain = [node, *absorbed_chain(node)]
            inside.update(output for member in chain[:-1] for output in member.outputs)
    for pattern in view.patterns:
        inside |= pattern.inner(view.as_float.model.graph)
    for node in graph.nodes:
        if node.key in view.folded or node.op_type in movers:
            continue
        for output in node.outputs:
            kind = graph.type_of(output) if output else None
            if output and output not in inside and (kind is None or is_float(kind.data_type)):
                yield output, node


def activation_figures(name: str, estimate: Estimate) -> ActivationFigures | None:
    """SQNR on the grids over the estimated range; None where the moments are not known."""
    square = estimate.mean_square
    if square is None or square <= 0.0:
        return None
    figures = []
    for bits in (8, 16):
        step = grid.step_of_range(estimate.minimum, estimate.maximum, bits)
        noise = step * step / 12.0  # which becomes infinite where a power would raise an error
        if not math.isfinite(noise):
            return None
        figures.append(float(decibels(square, noise)))
    return ActivationFigures(name, estimate.minimum, estimate.maximum, estimate.basis.words, *figures)
