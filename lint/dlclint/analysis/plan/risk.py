"""What a plan without data states about whole networks: which outputs may be lost; none is known to be safe.

Each tensor may keep 20 dB and the output of two hundred of them 8: errors accumulate. They are added here
along the deepest chain that leads to an output, as if they were independent and nothing damped them. That is
not a prediction of accuracy; where it is low the output is named, and where it is not, nothing is promised
(docs/quantization.md, Outputs).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dlclint.analysis.plan.figures import activation_figures, carried
from dlclint.analysis.plan.model import Advice, Choice, LayerFigures, Topic
from dlclint.analysis.spectra import Spectrum
from dlclint.analysis.view import ModelView
from dlclint.analysis.weights.noise import decibels
from dlclint.diagnostic import counted, first_few
from dlclint.model.types import is_float
from dlclint_schemas.record import record
from dlclint_schemas.thresholds import threshold


@record
class _Path:
    """The path to a tensor: noise to signal of the worst chain, and how many of its tensors have a figure."""

    noise: float = 0.0
    judged: int = 0
    length: int = 0


def output_risk(
    view: ModelView,
    choice: Choice,
    layers: Iterable[LayerFigures],
    lost: Iterable[str],
    spectra: Iterable[Spectrum],
) -> Advice:
    """Which outputs of the model may be lost, in words; `lost` are tensors whose grid loses a part."""
    graph = view.model.graph
    outputs = [name for name in graph.outputs if (k := graph.type_of(name)) is None or is_float(k.data_type)]
    paths = _paths(view, choice, layers)
    behind = dict.fromkeys(_reached(view, outputs, set(lost)), "one grid for several loses a part of it")
    ends = {end for spectrum in spectra for end in (*spectrum.tensors, spectrum.root.output(0))}
    behind |= dict.fromkeys(_reached(view, outputs, ends), "it follows from a spectrum")
    least, worst = threshold("output_sqnr"), float("inf")
    for name in outputs:
        path = paths.get(name, _Path())
        left = float(decibels(1.0, path.noise)) if path.noise > 0 else float("inf")
        worst = min(worst, left)
        if left < least:
            behind.setdefault(
                name, f"the errors of weights and {path.judged} tensors before it add up to {left:.1f} dB"
            )
    judged, length = _share(paths, outputs)
    at = f"{choice.act_bitwidth}-bit activations"
    # Where most of the path has no figure the sum is a bound and not a prediction.
    known = {"predicted_db": worst} if worst < float("inf") and 2 * judged >= length > 0 else {}
    if behind:
        texts = (f"{name!r}: {why}" for name, why in behind.items())
        named = first_few(texts, len(behind), separator="; ")
        reason = f"may be lost with {at}: {named}"
        return Advice(
            Topic.OUTPUTS, "at risk", reason, {"at_risk": len(behind), "outputs": len(outputs), **known}
        )
    sums = f" to {worst:.1f} dB where they are known" if worst < float("inf") else ""
    reason = (
        f"what {at} leave of {counted(len(outputs), 'output')} is unknown without data: errors add"
        f" up{sums} (known for {judged} of {length} tensors on the longest path);"
        " dlclint simulate --inputs measures"
    )
    return Advice(Topic.OUTPUTS, "not known", reason, {"at_risk": 0, "outputs": len(outputs), **known})


def _paths(view: ModelView, choice: Choice, layers: Iterable[LayerFigures]) -> Mapping[str, _Path]:
    """The worst chain to every tensor of the main graph."""
    own = {name for name, _ in carried(view)}
    weights = {row.weight: 10.0 ** (-row.chosen / 10.0) for row in layers}
    paths: dict[str, _Path] = {}
    for node in view.model.graph.nodes:
        if node.key in view.folded:
            continue
        before = [paths.get(name, _Path()) for name in node.inputs if name]
        noise = max((path.noise for path in before), default=0.0)
        noise += sum(weights.get(name, 0.0) for name in node.inputs)
        longest = max(before, key=lambda path: path.length, default=_Path())
        for name in filter(None, node.outputs):
            if name not in own:
                paths[name] = _Path(noise, longest.judged, longest.length)
                continue
            estimate = view.activations.get(name)
            figures = None if estimate is None else activation_figures(name, estimate)
            added = 0.0
            if figures is not None:
                left = figures.sqnr8 if choice.act_bitwidth == 8 else figures.sqnr16
                added = 10.0 ** (-left / 10.0)
            paths[name] = _Path(noise + added, longest.judged + (figures is not None), longest.length + 1)
    return paths


def _share(paths: Mapping[str, _Path], outputs: Iterable[str]) -> tuple[int, int]:
    """Tensors with a figure, and all tensors, on the longest path to an output."""
    longest = max(
        (paths.get(name, _Path()) for name in outputs), key=lambda path: path.length, default=_Path()
    )
    return longest.judged, longest.length


def _reached(view: ModelView, outputs: Iterable[str], tensors: set[str]) -> list[str]:
    """The outputs that follow from some tensors, in order."""
    graph = view.model.graph
    if not tensors:
        return []
    behind = set(tensors)
    for node in graph.nodes:
        if behind.intersection(node.inputs):
            behind.update(node.outputs)
    return [name for name in outputs if name in behind]
