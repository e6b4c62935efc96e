"""A first override file: encodings of the weights, and of activations as far as the plan has any."""

from __future__ import annotations

import numpy as np

from dlclint.analysis.activations.estimate import Basis
from dlclint.analysis.needed import needed_range
from dlclint.analysis.plan.figures import carried
from dlclint.analysis.plan.model import Choice, Plan
from dlclint.analysis.roles import vector
from dlclint.analysis.side_inputs import side_inputs, takes_wide
from dlclint.analysis.view import ModelView
from dlclint.analysis.weights.biases import saturations
from dlclint.analysis.weights.clipping import best_clipping
from dlclint.analysis.weights.statistics import Floats
from dlclint.analysis.weights.store import ConvertedWeight
from dlclint.diagnostic import counted
from dlclint.encodings import grid
from dlclint.encodings.convert import CommonEntry, Overrides, written
from dlclint.model.op_facts import CONVOLUTIONS, MATRICES
from dlclint.model.tensors import Unavailable
from dlclint.target import Runtime
from dlclint.version import __version__
from dlclint_schemas.outputs import op_outputs
from dlclint_schemas.thresholds import threshold

RANGELESS = "0.6.1"
"""The format version in which an entry may set only a width and leave the range to calibration (80-63442-2
Rev BL, Quantized vs Non-Quantized Models, the examples of mixed precision).
"""
_WITHOUT_FLOAT = "2.0.0"
"""The format version in which a float16 tensor has no entry."""
_FLOAT_BITS = 16


def overrides_of_plan(view: ModelView, plan: Plan, version: str, estimated: bool) -> Overrides:
    """The override file of a plan.

    Weights of convolutions get a symmetric encoding for each channel if the plan chose that, others one for
    the tensor; a batch normalization that the converter folds is folded in. Matrices that the plan quantizes
    by row get none, because an entry would restrict them to one grid. Biases get none: the quantizer's
    --bias_bitwidth sets them. Activations that the plan gives 16 bits get an entry that sets the width; with
    `estimated` all that have an estimated range get one with that range, unless it is based only on the
    user's statistics of the inputs.
    """
    in_float = frozenset(plan.in_float) if version != _WITHOUT_FLOAT else frozenset()
    weights = [*_weights(view, plan.choice, in_float), *_side_inputs(view, plan)]
    activations = _activations(view, plan, estimated, version == RANGELESS, in_float)
    producer = {"package": "dlclint", "version": __version__}
    text = written([*weights, *activations], version, producer)
    return Overrides(text, tuple(_notes(plan, weights, activations, version, estimated)))


def _notes(
    plan: Plan, weights: list[CommonEntry], activations: list[CommonEntry], version: str, estimated: bool
) -> list[str]:
    choice = plan.choice
    kept = sum(entry.is_float for entry in (*weights, *activations))
    sentences = [f"written to the override file: {counted(len(weights), 'weight')}"]
    ranged = sum(bool(entry.scale) for entry in activations)
    if ranged:
        sentences[0] += f", {counted(ranged, 'activation')} with estimated ranges"
    if kept:
        sentences[0] += f", {kept} of all as float, which needs a chip with float16"
    elif plan.in_float:
        sentences.append(
            f"not written: the float entries of {counted(len(plan.in_float), 'tensor')}, because {version}"
            f" has none; use --encodings-version {RANGELESS}"
        )
    rangeless = sum(not entry.scale and not entry.is_float for entry in activations)
    if rangeless:
        sentences[0] += (
            f", {counted(rangeless, 'activation')} at 16 bits without a range, which calibration finds"
        )
    held = {entry.name for entry in activations}
    missing = [name for name in plan.wide if name not in held]
    if missing:
        sentences.append(
            f"not written: the 16-bit entries of {counted(len(missing), 'activation')}, because {version}"
            f" has no entry without a range; use --encodings-version {RANGELESS}, or --estimated-activations"
        )
    if not estimated:
        sentences.append(
            "not written: ranges of activations, which calibration finds (--estimated-activations writes"
            " what can be estimated)"
        )
    elif ranged < plan.activations:
        left = plan.activations - ranged
        sentences.append(
            f"not written: {counted(left, 'activation')} without an estimate that rests on the model's own"
            " numbers; calibration finds them"
        )
    if choice.per_row:
        sentences.append(
            "not written: weights of matrices, because the overrides are documented per channel for"
            " convolutions alone; --use_per_row_quantization quantizes them by row"
        )
    sentences.append(f"not written: biases, because --bias_bitwidth {choice.bias_bitwidth} sets them")
    return sentences


def _weights(view: ModelView, choice: Choice, in_float: frozenset[str]) -> list[CommonEntry]:
    by_name: dict[str, list[ConvertedWeight]] = {}
    for weight in view.weights.converted():
        if weight.statistics.finite == weight.statistics.count and weight.name not in view.encodings:
            by_name.setdefault(weight.name, []).append(weight)
    on_htp = choice.runtime is Runtime.HTP and choice.per_channel
    floors = {each.weight.name: each.floors for each in saturations(view, choice.kind)} if on_htp else {}
    return [
        # An op with one float tensor is float as a whole.
        CommonEntry(name, True, True, _FLOAT_BITS, False, False, (), ())
        if all(use.use.node.output(0) in in_float for use in uses)
        else _weight(name, uses, choice, floors.get(name))
        for name, uses in by_name.items()
        if not (choice.per_row and all(use.use.node.op_type in MATRICES for use in uses))
    ]


def _side_inputs(view: ModelView, plan: Plan) -> list[CommonEntry]:
    """Scales of normalizations and slopes at 8 bits, asymmetric, where activations have 16 on HTP.

    Quantizers give them the width of the activations, of which HTP supports few forms.
    """
    if plan.choice.runtime is not Runtime.HTP or (plan.choice.act_bitwidth == 8 and not plan.wide):
        return []
    wide = frozenset(plan.wide)
    hexagon = None if view.target.soc is None else view.target.soc.hexagon
    common_entries = []
    for side in side_inputs(view):
        if takes_wide(side.op, hexagon) or side.name in view.encodings:
            continue
        around = {side.node.input(0), side.node.output(0)}
        values = vector(side.node.graph, side.name)
        if plan.choice.act_bitwidth == 8 and not around & wide:
            continue
        if values is not None and values.size and np.isfinite(values).all():
            encoding = grid.fit([values.min()], [values.max()], 8)
            common_entries.append(_entry(side.name, True, encoding, False, False, None))
    return common_entries


def _weight(name: str, uses: list[ConvertedWeight], choice: Choice, floors: Floats | None) -> CommonEntry:
    """One entry for a tensor, however many ops read it; by channel no scale is below `floors`."""
    first, bits = uses[0], choice.weights_bitwidth
    axes = {use.use.axis for use in uses}
    convolved = all(use.use.node.op_type in CONVOLUTIONS for use in uses)
    by_channel = choice.per_channel and convolved and len(axes) == 1
    if by_channel:
        low: Floats = np.stack([use.minimum for use in uses]).min(axis=0)
        high: Floats = np.stack([use.maximum for use in uses]).max(axis=0)
        if floors is not None:
            high = np.maximum(high, floors * grid.steps(bits) / 2.0)
    else:
        low, high = np.array([min(use.low for use in uses)]), np.array([max(use.high for use in uses)])
        if choice.param_quantizer == "enhanced" and len(uses) == 1:
            low, high = _searched(first, bits, low, high)
    symmetric = by_channel or choice.param_quantizer == "symmetric"
    encoding = (grid.fit_symmetric if symmetric else grid.fit)(low, high, bits)
    axis = first.use.axis % len(first.use.tensor.shape) if by_channel and first.use.axis is not None else None
    return _entry(name, True, encoding, symmetric, by_channel, axis)


def _searched(weight: ConvertedWeight, bits: int, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    try:
        clipped_grid = best_clipping(weight, bits, threshold("long_tail_gain"))
    except Unavailable:
        clipped_grid = None
    return (
        (low, high) if clipped_grid is None else (np.array([clipped_grid.low]), np.array([clipped_grid.high]))
    )


def _activations(
    view: ModelView, plan: Plan, estimated: bool, rangeless: bool, in_float: frozenset[str]
) -> list[CommonEntry]:
    """Entries with estimated ranges, and those that set only float or 16 bits where the format allows it."""
    entries = []
    wide = frozenset(plan.wide)
    for name, node in dict(carried(view)).items():  # a name that is made twice has one entry
        if name in view.encodings:
            continue
        if name in in_float:
            entries.append(CommonEntry(name, False, True, _FLOAT_BITS, False, False, (), ()))
            continue
        estimate = view.activations.get(name) if estimated else None
        if estimate is not None and estimate.basis is Basis.STATED:
            estimate = None  # good enough to compare 8 bits with 16, but not to fix the quantizer's range
        bits = 16 if name in wide else plan.choice.act_bitwidth
        fixed = op_outputs().get(node.op_type)
        if estimate is not None:
            low, high = estimate.minimum, estimate.maximum
            if fixed is not None and fixed.fixed:
                # HTP requires the whole range, in steps of it by 2^bits.
                low, high = fixed.low, fixed.high - (fixed.high - fixed.low) / 2.0**bits
            low, high = needed_range(node, name, low, high, bits)
            encoding = grid.fit([low], [high], bits)
            entries.append(_entry(name, False, encoding, False, False, None))
        elif name in wide and rangeless:
            entries.append(CommonEntry(name, False, False, bits, False, False, (), ()))
    return entries


def _entry(
    name: str, is_param: bool, encoding: grid.Encoding, symmetric: bool, by_channel: bool, axis: int | None
) -> CommonEntry:
    bits = int(encoding.bitwidth.reshape(-1)[0])
    scale = tuple(encoding.scale.reshape(-1).tolist())
    offset = tuple(int(value) for value in encoding.offset.reshape(-1))
    return CommonEntry(name, is_param, False, bits, symmetric, by_channel, scale, offset, axis)
