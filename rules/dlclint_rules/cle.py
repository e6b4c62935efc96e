"""Family `cle`: which convolutions the quantizer's cross-layer equalization covers, and why not the others.

These rules apply where the model will be quantized with one scale for each weight, which is the tools'
default: weights with a grid for each channel need no equalization, although activations may gain. What they
depend on is imported only for such a model: importing it would take a tenth of the check of a small model.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from dlclint.diagnostic import About, Confidence, Safety, Severity, counted, first_few
from dlclint.model.graph import Node
from dlclint.rule import Finding, ModelContext, Place, rule
from dlclint.target import Runtime
from dlclint_rules import places, repairs, sources
from dlclint_rules.causes import here

if TYPE_CHECKING:
    from dlclint.analysis.cle.cutting import Cuts
    from dlclint.analysis.cle.matching import Matching, Pair, Stop

ASK = "--algorithms cle of snpe-dlc-quant (qairt-quantizer: --apply_algorithms cle)"
PER_CHANNEL = "--use_per_channel_quantization"
_ONE_EACH = "give one encoding per channel"
_AGAIN = (
    "the encodings hold for these weights alone: equalize the float model (dlclint equalize), and make its"
    " encodings then"
)
WORTH_IT = 6.02
"""Decibels from which equalization is reported: what one more bit of width would gain."""
_NAMED = 20
"""Convolutions named in the evidence."""


def _matching(context: ModelContext) -> Matching | None:
    """The pairs of a model where equalization is possible: it has at least two convolutions."""
    kind = context.target.kind
    view = context.view.as_float
    if not kind.quantize or kind.per_channel or len(view.cle.convolutions) < 2:
        return None
    if all(_has_own_grids(context, conv) for conv in view.cle.convolutions):
        return None
    return view.cle


def _has_own_grids(context: ModelContext, conv: Node) -> bool:
    """Whether the override file gives a convolution's weight a grid for each channel, or keeps it float."""
    entry = context.view.encodings.get(conv.input(1))
    return entry is not None and (entry.by_channel or entry.is_float)


def _are_held(context: ModelContext, convolutions: Iterable[Node]) -> bool:
    """Whether encodings fix the weights of convolutions, which equalization changes."""
    return any(conv.input(1) in context.view.encodings for conv in convolutions)


def _extended(context: ModelContext) -> Matching:
    """The pairs that `dlclint equalize --extended` covers."""
    # Imported here because only a model that will be quantized is matched.
    from dlclint.analysis.cle.matching import match

    view = context.view.as_float
    return match(view.model, view.folded, extended=True)


def _names(nodes: Iterable[Node]) -> list[str]:
    return [node.name or node.outputs[0] for node in nodes][:_NAMED]


@rule(about=About.SETTINGS)
def pairs(context: ModelContext) -> Iterator[Finding]:
    """How many convolutions cross-layer equalization takes.

    Why: cross-layer equalization (CLE) gives neighboring convolutions the same range of weights, without
    calibration data. The quantizer only supports two chains: Conv-BN-[Relu]-Conv-BN-[Relu], and the same with
    a depthwise convolution in between; a chain of n convolutions makes n - 1 pairs. If it finds no chain, the
    option changes nothing.
    What to do: if there are pairs, try `--algorithms cle`; the other rules of this family report what keeps
    convolutions out. `dlclint equalize` equalizes the model itself, and with `--extended` supports more ops
    than the quantizer.
    """
    matching = _matching(context)
    if matching is None:
        return
    inside, total = len(matching.paired), len(matching.convolutions)
    whole = sum(pair.is_whole for pair in matching.pairs)
    more = _extended(context)
    reach = len(more.pairs) - len(matching.pairs)
    # Imported here because only a model with ReLU6 in a pair is measured.
    from dlclint.analysis.cle.cutting import cuts

    help = f"{ASK} would change nothing"
    if matching.pairs:
        help = (
            _AGAIN
            if _are_held(context, (conv for pair in matching.pairs for conv in (pair.first, pair.second)))
            else _advice(cuts(matching.pairs))
        )
    if reach > 0:
        help += f"; dlclint equalize --extended reaches {counted(reach, 'pair')} more"
    yield Finding(
        f"CLE takes {inside} of {counted(total, 'convolution')}, in {counted(len(matching.pairs), 'pair')}"
        + ("" if whole == len(matching.pairs) else f", {whole or 'none'} with batch normalization")
        if matching.pairs
        else f"CLE takes none of {counted(total, 'convolution')}",
        Severity.INFO,
        sources.CLE,
        help=help,
        evidence={
            "convolutions": total,
            "in_pairs": inside,
            "pairs": len(matching.pairs),
            "pairs_with_batchnorm": whole,
            "extended_pairs": len(more.pairs),
        },
    )


def _advice(cuts: Cuts) -> str:
    """Whether to use the quantizer's CLE, given its effect on ReLU6."""
    if cuts.destroyed:
        return (
            f"do not ask for {ASK}: it makes Relu of a ReLU6 that cuts off much (cle/relu6); dlclint equalize"
            " leaves such pairs alone"
        )
    if cuts.doubtful:
        return (
            f"before {ASK}, which makes Relu of ReLU6, measure what that changes: dlclint equalize --relu6"
            " replace; without the option it leaves such pairs alone"
        )
    return f"try {ASK}"


def _left_out(
    context: ModelContext, obstacle: Literal["branch", "activation", "chain"], why: str, help: str = ""
) -> Iterator[Finding]:
    """One finding on all convolutions that one kind of obstacle keeps out of every pair."""
    matching = _matching(context)
    stops: list[Stop] = (
        [] if matching is None else [s for s in matching.outside() if s.obstacle.value == obstacle]
    )
    if not stops:
        return
    causes = Counter(stop.at for stop in stops).most_common()
    named = (f"{at} ({count} times)" if count > 1 else at for at, count in causes)
    within = _extended(context).paired
    reached = sum(stop.conv.key in within for stop in stops)
    if reached:
        help += f"{'; ' if help else ''}dlclint equalize --extended takes {reached} of them"
    yield Finding(
        f"CLE leaves out {counted(len(stops), 'convolution')}: {why} {first_few(named, len(causes), 4)}",
        Severity.INFO,
        sources.CLE,
        help=help,
        node=stops[0].conv,
        evidence={"count": len(stops), "convolutions": _names(stop.conv for stop in stops)},
        related=_ends(stops[0]),
    )


def _ends(stop: Stop) -> tuple[Place, ...]:
    """The ops at which the path from a convolution ends."""
    return places.destinations(stop.conv.graph, stop.tensor, "reads the tensor at which the chain ends")


def _partners(pair: Pair) -> tuple[Place, ...]:
    """Both convolutions of a pair."""
    return Place("is the first of the pair", pair.first), Place("is the second of the pair", pair.second)


@rule(about=About.SETTINGS)
def branch(context: ModelContext) -> Iterator[Finding]:
    """A second reader keeps a convolution out of cross-layer equalization.

    Why: all ops of a chain must be on one branch. If an output has two readers, or is also an output of the
    model, scaling one reader would change the other.
    What to do: usually nothing: the network needs its skip connections. Per-channel weights
    (`--use_per_channel_quantization`) help such convolutions too.
    """
    yield from _left_out(
        context,
        "branch",
        "read more than once, by",
        ""
        if _per_tensor_only(context)
        else "per-channel weights (--use_per_channel_quantization) work for them, where the runtime allows",
    )


@rule(about=About.SETTINGS)
def activation(context: ModelContext) -> Iterator[Finding]:
    """An activation keeps a convolution out of cross-layer equalization.

    Why: only Relu counts as an activation (the quantizer converts ReLU6 to Relu); before any other
    activation, the convolution drops out of CLE.
    What to do: use Relu if you can train the network again. PRelu and LeakyRelu scale as Relu does, so
    `dlclint equalize --extended` supports them.
    """
    yield from _left_out(
        context,
        "activation",
        "the activation after it is",
        "CLE takes Relu only",
    )


@rule(about=About.SETTINGS)
def incomplete_chain(context: ModelContext) -> Iterator[Finding]:
    """A convolution meets another op before the next convolution.

    Why: a chain is convolution, batch normalization, optionally Relu, and the next convolution; any other op
    ends it. A depthwise convolution counts only if a convolution follows it.
    What to do: nothing if the network needs the op. If a Pad of zeros precedes a convolution, let the
    convolution pad (its attribute `pads`). `dlclint equalize --extended` also supports pooling, Pad and
    Resize, which scale as their input does.
    """
    matching = _matching(context)
    padded = matching is not None and any(stop.at == "Pad" for stop in matching.outside())
    yield from _left_out(
        context,
        "chain",
        "before the next convolution comes",
        "move each Pad of zeros into the pads of the convolution after it"
        if padded
        else "no action needed if this is intended",
    )


@rule(fix=[Safety.UNSAFE], about=About.SETTINGS)
def relu6(context: ModelContext) -> Iterator[Finding]:
    """Cross-layer equalization turns ReLU6 into Relu.

    Why: a bound of 6 does not scale, so CLE silently replaces Clip(0, 6) by Relu; if activations exceed 6,
    the results change. Batch normalization shows how many do: its beta and gamma are mean and deviation of
    each channel. Measured on trained networks: EfficientNet-Lite0, where one in ten values of the first ReLU6
    is above 6, drops to 1.3 dB and 40 % top-1 agreement; MobileNetV2, with at most one in a hundred, keeps
    every top-1. Small changes add up: of nine ReLU6 in a row that cut off one value in forty each, 73 % of
    the answers remain, and 99.5 % if they cut off one in a thousand (`benchmarks/relu6.py`).
    What to do: if many values exceed 6, do not use the quantizer's CLE; `dlclint equalize` leaves such pairs
    alone and equalizes the others. If few do in many places, or if batch normalization was folded and the
    model does not show it, `dlclint equalize --relu6 replace` runs both networks before it writes. Otherwise
    compare accuracy with and without CLE.
    """
    matching = _matching(context)
    clipped = [] if matching is None else [pair for pair in matching.pairs if pair.relu6]
    if not clipped:
        return
    # Imported here because only a model with ReLU6 in a pair is measured.
    from dlclint.analysis.cle.cutting import cuts

    known = cuts(clipped)
    worst = known.known[0] if known.known else None
    said, help = "", "compare accuracy with and without CLE"
    evidence: dict[str, Any] = {
        "pairs": len(clipped),
        "convolutions": _names(pair.first for pair in clipped),
        "unknown": known.unknown,
    }
    activation = clipped[0].activation if worst is None else worst.pair.activation
    if worst is not None:
        share = f"{worst.share:.2g}" if worst.share < 0.001 else f"{worst.share:.1%}"
        said = f"; {share} of what the worst makes lies above 6"
        evidence |= {"above": round(worst.share, 6)}
        if math.isfinite(worst.kept):
            said += f", and Relu there keeps {worst.kept:.1f} dB of its output"
            evidence |= {"kept_db": round(worst.kept, 2), "destroyed": known.destroyed}
            if len(known.known) > 1:
                said += f", all of them at most {known.together:.1f} dB"
                evidence |= {"kept_by_all_db": round(known.together, 2)}
    if known.unknown:
        said += f"; of {known.unknown} it is unknown how much lies above" if worst else ""
    if known.doubtful:
        help = "dlclint equalize --relu6 replace measures what that changes in the outputs"
    if known.destroyed:
        help = "do not ask for CLE; dlclint equalize leaves these pairs alone and takes the others"
    # The quantization of the clipped tensor would be wrong after Relu.
    fixable = not context.view.carried and not known.destroyed
    verb = "lies" if len(clipped) == 1 else "lie"
    yield Finding(
        f"{counted(len(clipped), 'pair')} of CLE {verb} across ReLU6, which it turns into Relu{said}",
        Severity.WARNING if known.destroyed and _per_tensor_only(context) else Severity.INFO,
        sources.CLE,
        Confidence.INFERRED if worst is not None else Confidence.DOCUMENTED,
        help=help,
        node=activation,
        evidence=evidence,
        related=_partners(clipped[0] if worst is None else worst.pair),
        fix=repairs.layers.relus_of_clips([p.activation for p in clipped if p.activation is not None])
        if fixable
        else None,
    )


@rule(about=About.SETTINGS)
def folded_batchnorm(context: ModelContext) -> Iterator[Finding]:
    """A chain has no batch normalization, so high biases are not absorbed.

    Why: CLE needs gamma and beta of the batch normalization. If the export folded it into the convolution (or
    there never was one), the run is partial: weights are scaled, but high biases remain ("Invalid model for
    HBA quantization algorithm"), and a scaled bias can widen the activation's range.
    What to do: export with batch normalization kept (PyTorch: training mode PRESERVE, constant folding off)
    and convert with `--disable_batchnorm_folding`.
    """
    matching = _matching(context)
    bare = [] if matching is None else [pair for pair in matching.pairs if not pair.is_whole]
    if matching is not None and bare:
        one = len(bare) == 1
        yield Finding(
            f"{len(bare)} of {counted(len(matching.pairs), 'pair')} {'lacks' if one else 'lack'} batch "
            f"normalization: {'it is' if one else 'they are'} scaled, but high biases stay "
            '("Invalid model for HBA quantization algorithm")',
            Severity.INFO,
            sources.CLE,
            help="if training had batch normalization, export with it kept and convert with "
            "--disable_batchnorm_folding",
            node=bare[0].first,
            evidence={"pairs": len(bare), "convolutions": _names(pair.first for pair in bare)},
            related=_partners(bare[0])[1:],
        )


@rule(about=About.SETTINGS, follows=here("quantization/channel-spread"), weights=True)
def would_help(context: ModelContext) -> Iterator[Finding]:
    """Weights lose precision that cross-layer equalization would restore.

    Why: with one scale for a complete weight, channels with a small range get few of its steps. The gain is
    computed from the weights: the quantization noise of all paired convolutions before and after, each
    relative to its weight, with every channel weighted by the factor that its neighbors apply to it; 6 dB is
    one bit. The gain covers only weights: the ranges of activations between paired convolutions change too,
    for better or worse. Chains whose weights would lose are left out, and so are pairs across a ReLU6 that
    cuts off many values.
    What to do: quantize with `--algorithms cle`, or run `dlclint equalize`; if the runtime supports
    per-channel weights, `--use_per_channel_quantization` gains as much for the weights.
    """
    matching = _matching(context)
    if matching is None or not matching.pairs:
        return
    # Imported here because only a model with pairs is planned.
    from dlclint.analysis.cle.absorption import HighBias
    from dlclint.analysis.cle.cutting import cuts
    from dlclint.analysis.cle.plan import EqualizedChain, gained, planned_chains
    from dlclint.analysis.cle.scaling import Effort

    clipped = cuts(matching.pairs)
    against = clipped.destroyed > 0
    bits = context.target.kind.weights_bitwidth
    layers: list[tuple[Node, float, float]] = []
    effort = Effort()
    for chain in planned_chains(matching.pairs, not against, HighBias.KEEP, bits, effort):
        if isinstance(chain, EqualizedChain):
            layers += [
                (layer.conv, old.chain_sqnr, new.chain_sqnr)
                for layer, old, new in zip(chain.layers, chain.before, chain.after, strict=True)
                if not _has_own_grids(context, layer.conv)
            ]
    if effort.spent:
        context.view.model.note(
            "cle/would-help follows long chains of convolutions in part only; CLE may gain more"
        )
    gain = gained((row[1] for row in layers), (row[2] for row in layers))
    if gain < WORTH_IT:
        return
    conv, before, after = min(layers, key=lambda row: row[1])
    per_tensor = _per_tensor_only(context)
    held = _are_held(context, (layer[0] for layer in layers))
    advice = _advice(clipped) + ("" if against or clipped.doubtful else ", or dlclint equalize")
    advice = (_AGAIN if held else advice) + (
        "" if per_tensor else f"; or {_ONE_EACH if held else PER_CHANNEL}"
    )
    yield Finding(
        f"{'dlclint equalize' if against else 'CLE'} would gain {gain:.1f} dB on"
        f" {counted(len(layers), 'paired weight')} of {bits} bits per tensor (weights alone); the worst, of"
        f" {conv.name or conv.outputs[0]}, goes from {before:.1f} to {after:.1f} dB",
        Severity.WARNING if per_tensor else Severity.INFO,
        sources.CLE,
        Confidence.INFERRED,
        help=advice,
        node=conv,
        evidence={
            "gain_db": round(gain, 2),
            "worst_before_db": round(before, 2),
            "worst_after_db": round(after, 2),
            "weights": len(layers),
        },
        related=places.nodes(
            (
                partner
                for pair in matching.pairs
                for partner, other in ((pair.first, pair.second), (pair.second, pair.first))
                if other.key == conv.key
            ),
            "is paired with it",
        ),
    )


def _per_tensor_only(context: ModelContext) -> bool:
    """Whether the model is meant for Hexagon v66, where AIMET's configurations quantize per tensor."""
    return any(context.target.means(runtime) for runtime in (Runtime.DSP, Runtime.AIP))
