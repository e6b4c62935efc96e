"""The plan of a model that carries its quantization: its widths and grids apply, nothing is chosen again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from dlclint.analysis.plan.figures import layer_figures
from dlclint.analysis.plan.model import Advice, Choice, LayerFigures, PlanRequest, Topic
from dlclint.analysis.qdq.encodings import CarriedEncodings
from dlclint.analysis.qdq.leaks import leaks
from dlclint.analysis.roles import weight_uses
from dlclint.analysis.view import ModelView
from dlclint.analysis.weights.store import distinct
from dlclint.diagnostic import counted
from dlclint.encodings.document import FLOAT
from dlclint.model.graph import Graph
from dlclint.model.op_facts import CONVOLUTIONS
from dlclint.target import Runtime
from dlclint_schemas.quantization import widths
from dlclint_schemas.thresholds import threshold

_BIAS_BITS = 32


def kept(
    view: ModelView, runtime: Runtime, asked: PlanRequest
) -> tuple[Choice, list[Advice], tuple[LayerFigures, ...]]:
    """The settings that go with the encodings of a model: tensors without one get the width of the others."""
    assert view.carried is not None
    model = view.as_float
    held = _widths(view.carried)
    biases = {name for name, use in weight_uses(model.model) if use.is_bias}
    stored = {name for graph in model.model.graphs() for name in _stored(graph)}
    activations = Counter(bits for name, bits in held.items() if name not in stored)
    weights = Counter(bits for name, bits in held.items() if name in stored - biases)
    choice = Choice(
        runtime,
        True,
        act_bitwidth=asked.settled.get("act_bitwidth", _most(activations, widths("activations"))),
        weights_bitwidth=asked.settled.get("weights_bitwidth", _most(weights, widths("weights"))),
        bias_bitwidth=asked.settled.get("bias_bitwidth", _BIAS_BITS),
        float_bitwidth=asked.settled.get("float_bitwidth", 32),
        float_bias_bitwidth=asked.settled.get("float_bias_bitwidth"),
    )
    converted_weights = distinct(model.weights.converted())
    convolved = [weight for weight in converted_weights if weight.use.node.op_type in CONVOLUTIONS]
    by_channel = sum(
        weight.name in view.encodings and view.encodings[weight.name].by_channel for weight in convolved
    )
    choice = replace(choice, per_channel=bool(by_channel) or "per_channel" in asked.settled)
    layers = layer_figures(
        converted_weights, choice.weights_bitwidth, choice.per_channel, False, view.encodings
    )
    count = len(view.carried.nodes)
    reason = (
        f"{counted(count, 'tensor')} {'has' if count == 1 else 'have'} a grid by quantizing nodes, which the"
        " converter strips and whose numbers --override_params keeps; nothing needs to be quantized again"
    )
    advice = [
        Advice(Topic.ENCODINGS, "those of the model", reason, {"encodings": count}),
        _of_activations(model, held, activations),
        _of_weights(choice, layers, weights, by_channel, len(convolved)),
    ]
    if biases:
        advice.append(_of_biases(held, biases, choice))
    return choice, advice, layers


def _stored(graph: Graph) -> Iterable[str]:
    yield from graph.initializers
    yield from (node.output(0) for node in graph.nodes if node.op_type == "Constant" and node.outputs)


def _widths(encodings: CarriedEncodings) -> dict[str, int]:
    """Bits of every tensor with an integer grid."""
    document = encodings.document
    first = document.tensors.first
    bits, kinds = document.elements.bitwidth[first], document.elements.kind[first]
    return {
        name: int(width)
        for name, width, kind in zip(document.tensors.names, bits, kinds, strict=True)
        if kind != FLOAT and np.isfinite(width)
    }


def _most(counts: Counter[int], taken: frozenset[int]) -> int:
    """The most frequent width that the quantizer supports, for tensors without one."""
    return max(counts.keys() & taken, key=lambda bits: (counts[bits], bits), default=8)


def _in_words(counts: Counter[int]) -> str:
    parts = [f"{count} at {bits}" for bits, count in sorted(counts.items())]
    return f"{', '.join(parts)} bits"


def _choice(counts: Counter[int]) -> str:
    return " and ".join(map(str, sorted(counts))) + " bits"


def _of_activations(model: ModelView, held: Mapping[str, int], counts: Counter[int]) -> Advice:
    left = sum(len(leak.nodes) for leak in leaks(model, held))
    numbers = {f"at_{bits}_bits": count for bits, count in counts.items()} | {"ops_in_float": left}
    if not counts:
        return Advice(Topic.ACTIVATIONS, "calibration", "no activation has a grid in the model", numbers)
    reason = f"from the model: {_in_words(counts)}"
    if left:
        reason += f"; {counted(left, 'op')} between them without a grid take calibration, or stay float"
    return Advice(Topic.ACTIVATIONS, _choice(counts), reason, numbers)


def _of_weights(
    choice: Choice,
    layers: Sequence[LayerFigures],
    counts: Counter[int],
    by_channel: int,
    convolved: int,
) -> Advice:
    numbers: dict[str, float | str] = {f"at_{bits}_bits": count for bits, count in counts.items()}
    if not counts:
        none = "no weight has a grid in the model" if layers else "no stored weights"
        return Advice(Topic.WEIGHTS, f"{choice.weights_bitwidth} bits", none, numbers)
    reason = f"from the model: {_in_words(counts)}"
    if convolved:
        reason += f"; {by_channel} of {counted(convolved, 'convolution')} with a grid for each channel"
    if layers:
        worst = layers[0]
        numbers |= {"worst": worst.weight, "worst_db": worst.chosen}
        reason += f"; worst {worst.weight!r}: {worst.chosen:.1f} dB"
        least = threshold("weight_sqnr")
        if worst.chosen < least:
            reason += f", less than {least:g}: it needs more bits or a grid for each channel"
    return Advice(Topic.WEIGHTS, _choice(counts), reason, numbers)


def _of_biases(held: Mapping[str, int], biases: set[str], choice: Choice) -> Advice:
    count = sum(name in held for name in biases)
    reason = (
        f"{count} of {len(biases)} {'carries' if count == 1 else 'carry'} a grid; all are added in 32 bits"
    )
    return Advice(
        Topic.BIASES, f"{choice.bias_bitwidth} bits", reason, {"biases": len(biases), "carried": count}
    )
