"""From a model and a chip to a plan."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from dlclint.analysis.masks import coarse_masks
from dlclint.analysis.options import shape_options
from dlclint.analysis.plan.commands import placeholders, toolchains
from dlclint.analysis.plan.figures import activation_figures, carried, layer_figures
from dlclint.analysis.plan.inputs import notes as input_notes
from dlclint.analysis.plan.inputs import source_inputs, truncated
from dlclint.analysis.plan.joined import shared_grids
from dlclint.analysis.plan.kept import kept
from dlclint.analysis.plan.model import (
    ActivationFigures,
    Advice,
    Choice,
    LayerFigures,
    Plan,
    PlanRequest,
    Topic,
)
from dlclint.analysis.plan.risk import output_risk
from dlclint.analysis.plan.settings import (
    Settled,
    biases,
    bits,
    equalization,
    four_bits,
    grids,
    held_weight_bits,
    range_search,
    restricted_steps,
    weight_bits,
)
from dlclint.analysis.spectra import Spectrum, find_spectra, float_is_open
from dlclint.analysis.view import ModelView
from dlclint.analysis.weights.store import distinct, home
from dlclint.diagnostic import counted, first_few, plain
from dlclint.model.op_facts import QDQ, QOPERATORS
from dlclint.model.types import is_float
from dlclint.target import Runtime, Target
from dlclint_schemas.precision import wide_weights
from dlclint_schemas.quantization import runtime_compatibility, widths
from dlclint_schemas.thresholds import threshold

_FLOAT_RUNTIMES = (Runtime.CPU, Runtime.GPU, Runtime.GPU_FLOAT16)


def make_plan(view: ModelView, asked: PlanRequest) -> Plan:
    """The plan for the view's target, for its first runtime (or the SoC's best)."""
    runtime, why = chosen_runtime(view.target)
    notes: list[str] = []
    layers: tuple[LayerFigures, ...] = ()
    narrow: list[ActivationFigures] = []
    wide: tuple[str, ...] = ()
    if stays_float(view.target, asked.is_float):
        choice, advice = _stay_float(view, runtime, asked)
        if asked.model_overrides:
            notes.append(
                f"{plain(asked.model_overrides)} is not used: a DLC that stays float takes no encodings"
            )
        if asked.settled.keys() - {"float_bitwidth", "float_bias_bitwidth"}:
            notes.append("widths of the quantizer were given; they do not apply to a DLC that stays float")
    elif view.carries_encodings:
        return _kept(view, runtime, why, asked)
    else:
        choice, advice, narrow, wide = _quantize(view, runtime, asked)
        weights = distinct(view.weights.converted())
        layers = layer_figures(
            weights, choice.weights_bitwidth, choice.per_channel, choice.per_row, view.encodings
        )
        notes += _held_notes(view, [weight.name for weight in weights])
    outputs = [name for name, _ in carried(view) if not choice.quantize or name not in view.encodings]
    estimated = sum(name in view.activations for name in outputs)
    if choice.quantize and outputs and not asked.measured:
        notes.append(
            f"{estimated} of {counted(len(outputs), 'activation')}"
            f" {'has' if 1 in (estimated, len(outputs)) else 'have'} an estimated range (no data was seen);"
            " calibration with real inputs decides"
        )
        if 2 * estimated < len(outputs) and not view.target.input_moments:
            notes += _moments_would_help(view)
    if wide and not asked.overrides:
        notes.append(f"--emit-overrides FILE writes the 16-bit entries of {counted(len(wide), 'activation')}")
    spectra = [each for each in find_spectra(view) if not _is_float(view, each)] if choice.quantize else []
    in_float = _kept_float(view, spectra)
    if choice.quantize:
        lost = {str(row.evidence["output"]) for row in advice if row.topic is Topic.ONE_GRID}
        lost.difference_update(wide if asked.overrides else ())
        advice.insert(0, output_risk(view, choice, layers, lost, spectra))
    if in_float and not asked.overrides:
        notes.append(f"--emit-overrides FILE writes the float entries of {counted(len(in_float), 'tensor')}")
    notes += placeholders(view, choice)
    graph = view.model.graph
    sizes = dict(shape_options(view, asked.dimensions))
    notes += input_notes(graph, source_inputs(graph, sizes), view.target)
    file = asked.file if choice.quantize else ""
    if asked.overrides:
        notes.append(
            "with --quantization_overrides the converter does not simplify the model: simplify it before"
            " (onnxsim), and make the overrides from the simplified model"
        )
    if file:
        notes.append(_float_default(choice))
    return Plan(
        str(view.model.path),
        view.target,
        choice,
        (*_first(view, choice), *_spectra(spectra, in_float)),
        (Advice(Topic.RUNTIME, runtime.value, why), *advice),
        layers,
        tuple(narrow),
        wide,
        estimated,
        len(outputs),
        toolchains(view, choice, asked.dimensions, file),
        tuple(notes),
        in_float=in_float,
        truncated=truncated(graph),
    )


def _held_notes(view: ModelView, weights: list[str]) -> list[str]:
    """What the override file settles, a sentence each."""
    notes = []
    activations = [name for name, _ in carried(view)]
    for noun, names, source in (
        ("weight", weights, "width and grid from"),
        ("activation", activations, "an entry in"),
    ):
        held = sum(name in view.encodings for name in names)
        if held:
            notes.append(
                f"{held} of {counted(len(names), noun)} {'has' if held == 1 else 'have'} {source}"
                " the override file; the settings are for the others"
            )
    return notes


def _kept(view: ModelView, runtime: Runtime, why: str, asked: PlanRequest) -> Plan:
    """The plan of a model that carries its own encodings, which apply."""
    choice, advice, layers = kept(view, runtime, asked)
    outputs = [name for name, _ in carried(view.as_float)]
    graph, sizes = view.model.graph, dict(shape_options(view, asked.dimensions))
    return Plan(
        str(view.model.path),
        view.target,
        choice,
        tuple(_spectra(find_spectra(view), ())),
        (
            output_risk(view.as_float, choice, layers, (), ()),
            Advice(Topic.RUNTIME, runtime.value, why),
            *advice,
        ),
        layers,
        (),
        (),
        sum(name in view.as_float.activations for name in outputs),
        len(outputs),
        toolchains(view, choice, asked.dimensions, asked.file),
        (
            _float_default(choice),
            "dlclint encodings extract writes the encodings as an override file, with the float model",
            *placeholders(view, choice),
            *input_notes(graph, source_inputs(graph, sizes), view.target),
        ),
        truncated=truncated(graph),
    )


def _float_default(choice: Choice) -> str:
    return (
        "once encodings are given qairt-converter makes float16 of what stays float, by default; its"
        f" command says --float_bitwidth {choice.float_bitwidth}"
    )


def rechosen(view: ModelView, plan: Plan, choice: Choice, asked: PlanRequest) -> Plan:
    """A plan with another choice: its figures of weights and its commands are updated."""
    weights = distinct(view.weights.converted())
    layers = layer_figures(
        weights, choice.weights_bitwidth, choice.per_channel, choice.per_row, view.encodings
    )
    commands = toolchains(view, choice, asked.dimensions, asked.file)
    return replace(plan, choice=choice, layers=layers, toolchains=commands)


def _kept_float(view: ModelView, spectra: list[Spectrum]) -> tuple[str, ...]:
    """The tensors of the main graph that an override file should keep float, where the target allows it."""
    if not float_is_open(view.target):
        return ()
    named = (name for spectrum in spectra if not spectrum.root.graph.path for name in spectrum.tensors)
    return tuple(dict.fromkeys(name for name in named if name not in view.encodings))


def _is_float(view: ModelView, spectrum: Spectrum) -> bool:
    """Whether the override file keeps all of a spectrum float."""
    return all(name in view.encodings and view.encodings[name].is_float for name in spectrum.tensors)


def _spectra(spectra: list[Spectrum], in_float: tuple[str, ...]) -> list[Advice]:
    """What to do about spectra inside the graph."""
    if not spectra:
        return []
    ends = first_few((repr(spectrum.root.output(0)) for spectrum in spectra), len(spectra))
    cut = f"cut the model after {ends}"
    if in_float:
        cut += f", or keep {counted(len(in_float), 'tensor')} float"
    reason = "squares of a spectrum need more than 8 or 16 bits can represent"
    return [Advice(Topic.SPECTRA, cut, reason, {"spectra": len(spectra), "tensors": len(in_float)})]


def _moments_would_help(view: ModelView) -> list[str]:
    graph = view.model.graph
    kinds = {name: graph.type_of(name) for name in graph.inputs}
    floats = [name for name, kind in kinds.items() if kind is not None and is_float(kind.data_type)]
    if not floats:
        return []
    return [f"--input-moments {floats[0]} MEAN DEVIATION describes the input, for more estimates"]


def stays_float(target: Target, is_float: bool) -> bool:
    """Whether a plan for a target is one for a float DLC; `is_float` is the option `--float`."""
    return is_float or chosen_runtime(target)[0] in _FLOAT_RUNTIMES


def chosen_runtime(target: Target) -> tuple[Runtime, str]:
    """The runtime that a plan is for, and why."""
    considered = target.considered
    if target.runtimes and considered:
        return considered[0], "was requested" + (f"; {target.soc.hexagon_text}" if target.soc else "")
    for runtime in (Runtime.HTP, Runtime.DSP, Runtime.GPU, Runtime.CPU):
        if runtime in considered:
            return runtime, "" if target.soc is None else f"what {target.soc} has ({target.soc.hexagon_text})"
    return Runtime.CPU, "no other runtime is known there"


def _stay_float(view: ModelView, runtime: Runtime, asked: PlanRequest) -> tuple[Choice, list[Advice]]:
    width = asked.settled.get("float_bitwidth", 32)
    choice = Choice(
        runtime,
        False,
        float_bitwidth=width,
        float_bias_bitwidth=asked.settled.get("float_bias_bitwidth"),
    )
    prefix = "given (--float); " if asked.is_float else ""
    if runtime in _FLOAT_RUNTIMES:
        effect = runtime_compatibility()[runtime.dlc_row, True].effect
        reason = f"{prefix}a quantized DLC on {runtime.value} is {effect}"
        if runtime is Runtime.GPU_FLOAT16:
            reason += "; the runtime itself computes in float16"
    elif width == 16:
        soc = view.target.soc
        taken = soc is not None and soc.fp16
        reason = prefix + (
            f"{soc} takes float16" if taken else "whether float16 runs there depends on the chip"
        )
    else:
        reason = f"{prefix}{runtime_compatibility()[runtime.dlc_row, False].effect}"
    return choice, [Advice(Topic.DLC, f"float{width}", reason)]


def _quantize(
    view: ModelView, runtime: Runtime, asked: PlanRequest
) -> tuple[Choice, list[Advice], list[ActivationFigures], tuple[str, ...]]:
    soc, settled = view.target.soc, asked.settled
    v66 = runtime in (Runtime.DSP, Runtime.AIP)
    hexagon = soc.hexagon if soc is not None else (66 if v66 else None)
    weights = [each for each in distinct(view.weights.converted()) if each.name not in view.encodings]
    narrow = _narrow(view)
    choice = Choice(
        runtime,
        True,
        weights_bitwidth=settled.get("weights_bitwidth", 8 if weights else held_weight_bits(view)),
        float_bitwidth=settled.get("float_bitwidth", 32),
        float_bias_bitwidth=settled.get("float_bias_bitwidth"),
    )
    choice, width_advice, wide = _activations(choice, view, narrow, asked, v66)
    joined, wider = shared_grids(view, choice)
    wide = tuple(dict.fromkeys((*wide, *wider)))
    advice = [width_advice, *joined]
    choice, more = grids(choice, weights, settled, v66)
    held = [each for each in distinct(view.weights.converted()) if each.name in view.encodings]
    figures = layer_figures(held, choice.weights_bitwidth, False, False, view.encodings)
    advice += [*more, weight_bits(choice, weights, settled, hexagon, figures)]
    advice += four_bits(choice, weights, settled, v66)
    if choice.weights_bitwidth == 16 and runtime is Runtime.HTP:
        choice, width_advice = restricted_steps(choice, view)
        advice.append(width_advice)
    else:
        choice, more = range_search(choice, weights)
        advice += more
    choice, width_advice = biases(choice, view, settled)
    advice.append(width_advice)
    choice, more = equalization(choice, view, weights, v66)
    return choice, [*advice, *more], narrow, wide


def _narrow(view: ModelView) -> list[ActivationFigures]:
    """Activations with a predicted SQNR below the threshold at 8 bits, the worst first."""
    narrow = []
    for name, _ in carried(view):
        estimate = None if name in view.encodings else view.activations.get(name)
        figures = None if estimate is None else activation_figures(name, estimate)
        if figures is not None and figures.sqnr8 < threshold("activation_sqnr"):
            narrow.append(figures)
    return sorted(narrow, key=lambda row: row.sqnr8)


def _activations(
    choice: Choice, view: ModelView, narrow: list[ActivationFigures], asked: PlanRequest, v66: bool
) -> tuple[Choice, Advice, tuple[str, ...]]:
    """The width of activations, and which of them get 16 bits only by an override file."""
    reason, numbers, known = _figures_of_activations(view, narrow)
    fixed_width = _set_width(asked.settled) or _held_width(view)
    if fixed_width is not None:
        width, said = fixed_width
        reason = "; ".join(filter(None, (said, reason)))
        advice = Advice(Topic.ACTIVATIONS, bits(width), reason, numbers)
        return replace(choice, act_bitwidth=width), advice, ()
    if v66:
        if narrow:
            reason += "; Hexagon v66 has no 16-bit activations outside HTA: keep those layers out, or retrain"
        elif not known:
            reason += "; DSP v66 has 8 bits only"
        return choice, Advice(Topic.ACTIVATIONS, "8 bits", reason, numbers), ()
    if not narrow:
        reason += "; 16 bits if accuracy is short after calibration" if not known else ""
        return choice, Advice(Topic.ACTIVATIONS, "8 bits", reason, numbers), ()
    lacking = ", ".join(sorted(asked.lacking))
    if len(narrow) > known / 10:
        if lacking:
            reason += f"; {lacking} has no 16-bit form there, so it stays at 8"
            return choice, Advice(Topic.ACTIVATIONS, "8 bits", reason, numbers), ()
        return replace(choice, act_bitwidth=16), Advice(Topic.ACTIVATIONS, "16 bits", reason, numbers), ()
    wide = tuple(row.tensor for row in narrow if not _touches(view, row.tensor, asked.lacking))
    if not wide:
        reason += f"; {lacking}, which reads or produces them, has no 16-bit form there"
        return choice, Advice(Topic.ACTIVATIONS, "8 bits", reason, numbers), ()
    reason += f"; so few that an override file can give 16 bits to {len(wide)} of them alone"
    return choice, Advice(Topic.ACTIVATIONS, "8 bits, 16 for those few", reason, numbers), wide


def _set_width(settled: Settled) -> tuple[int, str] | None:
    """The width of activations that was given or follows from what was given, and how to explain it."""
    if "act_bitwidth" in settled:
        return settled["act_bitwidth"], "given (--act-bitwidth)"
    if settled.get("weights_bitwidth") == 16:
        return wide_weights().act_bitwidth, "16-bit weights need 16-bit activations"
    return None


def _held_width(view: ModelView) -> tuple[int, str] | None:
    """The width of most entries of activations, if half of these have one, and how to say so.

    Tensors without an entry then need no conversion next to those with one.
    """
    names = {name for name, _ in carried(view)}
    held = Counter(
        view.encodings[name].bitwidth
        for name in names & view.encodings.keys()
        if not view.encodings[name].is_float
    )
    if 2 * held.total() < len(names):
        return None
    count, width = max(((held[bits], bits) for bits in held.keys() & widths("activations")), default=(0, 8))
    if not count:
        return None
    return width, f"as {count} of the {counted(held.total(), 'activation')} in the override file"


def _figures_of_activations(
    view: ModelView, narrow: list[ActivationFigures]
) -> tuple[str, dict[str, float | str], int]:
    """What 8 bits leave of the activations: in words, in numbers, and for how many that is known."""
    outputs = [name for name, _ in carried(view) if name not in view.encodings]
    if not outputs and view.encodings:
        return "all have an entry in the override file", {"not_judged": 0}, 0
    known = sum((estimate := view.activations.get(name)) is not None and estimate.known for name in outputs)
    least = threshold("activation_sqnr")
    if not known:
        none = f"none of {counted(len(outputs), 'activation')} has a range that can be estimated well enough"
        return f"{none} to choose its width", {"not_judged": len(outputs)}, 0
    left = len(outputs) - known
    unjudged = f"; {left} are unknown" if left > 1 else "; 1 is unknown" if left else ""
    if not narrow:
        whose = f"(of {len(outputs)}) whose range can be estimated"
        judged = f"none of the {known} {whose} falls" if known > 1 else f"the one {whose} does not fall"
        reason = f"taken alone, {judged} below {least:g} dB at 8 bits{unjudged}"
        return reason, {"estimated": known, "not_judged": left}, known
    worst = narrow[0]
    reason = (
        f"{len(narrow)} of {known} estimated activations keep{'s' * (len(narrow) == 1)} less than"
        f" {least:g} dB at 8 bits; worst {worst.tensor!r}: {worst.sqnr8:.1f} dB, {worst.sqnr16:.1f} dB at 16"
        f"{unjudged}"
    )
    numbers: dict[str, float | str] = {
        "narrow": len(narrow),
        "estimated": known,
        "not_judged": left,
        "worst_db_8": worst.sqnr8,
        "worst_db_16": worst.sqnr16,
    }
    return reason, numbers, known


def _touches(view: ModelView, tensor: str, ops: frozenset[str]) -> bool:
    """Whether one of these ops produces or reads a tensor."""
    graph = view.model.graph
    producer = graph.producer(tensor)
    around = [*graph.consumers(tensor), *([] if producer is None else [producer])]
    return any(node.op_type in ops and not node.domain for node in around)


def _first(view: ModelView, choice: Choice) -> list[Advice]:
    """What to fix before the tools run, in addition to the errors of the rules."""
    if not choice.quantize:
        return []
    advice = []
    counts = sum(
        node.op_type in QDQ | QOPERATORS and not node.domain for g in view.model.graphs() for node in g.nodes
    )
    if counts:
        advice.append(
            Advice(
                Topic.QUANTIZED_ALREADY,
                "export the float model, or keep its encodings with --override_params",
                f"{counts} nodes quantize or compute in integers",
            )
        )
    masks = coarse_masks(view, choice.act_bitwidth)
    if masks:
        worst = max(masks, key=lambda mask: abs(mask.value))
        advice.append(
            Advice(
                Topic.ATTENTION_MASKS,
                f"use {threshold('mask_advice'):g} instead (dlclint fix --quantize)",
                f"a mask of {worst.value:.4g} takes the whole range of the scores",
                {"masks": len(masks)},
            )
        )
    lost = sum(
        home(weight.use.node.graph, weight.name) in view.weights.non_finite
        for weight in view.weights.converted()
    )
    if lost:
        reason = f"NaN or infinity in {lost} of them"
        advice.append(Advice(Topic.WEIGHTS, "train or export again", reason))
    return advice
