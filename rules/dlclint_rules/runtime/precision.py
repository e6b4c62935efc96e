"""Precisions that a chip's Hexagon, or an op on it, does not have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dlclint.analysis.folding import is_static
from dlclint.analysis.layers import Presence, layers_of
from dlclint.analysis.op_precision import (
    asked_precision,
    lacking_on_htp,
    precision_changes,
    reads_float,
)
from dlclint.diagnostic import About, Confidence, Severity, Source, counted
from dlclint.model.graph import Node
from dlclint.rule import Finding, ModelContext, rule
from dlclint.target import DlcKind, Runtime, Soc
from dlclint_rules import sources
from dlclint_schemas.precision import (
    COMPILED,
    OBSERVED,
    PRECISIONS,
    SUPPLEMENT,
    Voice,
    compiled_at,
    float_not_compiled,
    wide_weights,
)

_V66 = 66
"""Between float and fixed point: the tables have one column for both."""


@rule(about=About.FORM)
def precision(context: ModelContext) -> Iterator[Finding]:
    """The chip, or an op on it, does not have the precision of this DLC.

    Why: Hexagon v66 supports 16-bit activations only on the HTA; 16-bit weights need 16-bit activations and,
    on HTP, v73 or newer; float16 on HTP depends on the SoC and not on the Hexagon version; some ops have no
    8-bit, 16-bit or float16 form there. If documents and measurements disagree, the finding names both, and
    is inferred.
    What to do: choose other bit widths, replace the op, or choose another chip.
    """
    kind = context.target.kind
    if not kind.stated:
        return
    for findings in (
        *(_v66, _wide_weights, _computed_weights, _weights_in_3d),
        *(_float16, _not_compiled, _ops_on_htp, _ops_on_gpu, _float_only),
    ):
        yield from findings(context, kind)


def _hexagon(context: ModelContext) -> int | None:
    """The Hexagon version of the target: the SoC's, or v66 where dsp or aip is chosen."""
    soc = context.target.soc
    if soc is not None:
        return soc.hexagon
    return _V66 if {Runtime.DSP, Runtime.AIP} & set(context.target.chosen) else None


def _v66(context: ModelContext, kind: DlcKind) -> Iterator[Finding]:
    if not kind.quantize or kind.act_bitwidth != 16 or _hexagon(context) != _V66:
        return
    chosen = context.target.chosen
    if chosen and not {Runtime.DSP, Runtime.AIP} & set(chosen):
        return
    only_hta = chosen == (Runtime.AIP,)
    soc = context.target.soc
    absent = f", and {soc} has none" if soc is not None and soc.lacks(Runtime.AIP) else ""
    yield Finding(
        f"16-bit activations on Hexagon v66 run on the HTA alone, with 8-bit weights{absent}"
        + ("; the DSP cannot run what HTA leaves to it" if only_hta else ": the DSP rejects them"),
        Severity.WARNING if only_hta else Severity.ERROR,
        Source("80-63442-2 Rev BL, Tools", "--act_bitwidth; qualcomm/qidk#36"),
        Confidence.FIELD_REPORTED,
        help="use --act-bitwidth 8, or a chip with HTP (v68 or newer)",
        evidence={"act_bitwidth": 16, "hexagon": _V66},
    )


def _wide_weights(context: ModelContext, kind: DlcKind) -> Iterator[Finding]:
    wide, hexagon = wide_weights(), _hexagon(context)
    if not kind.quantize or kind.weights_bitwidth != 16 or not context.target.means_hexagon:
        return
    count = sum(
        not node.domain
        and node.op_type in wide.ops
        and is_static(node.graph, node.input(1), context.view.folded)
        for node in context.view.nodes()
    )
    if not count:
        return
    nodes = counted(count, "node", "with weights")
    if kind.act_bitwidth != wide.act_bitwidth:
        yield Finding(
            f"16-bit weights need 16-bit activations on HTP, and these are {kind.act_bitwidth}-bit ({nodes})",
            Severity.ERROR,
            Source(SUPPLEMENT, "Conv2d, FullyConnected, MatMul"),
            help="add --act-bitwidth 16, or use --weights-bitwidth 8",
            evidence={"act_bitwidth": kind.act_bitwidth, "weights_bitwidth": 16, "nodes": count},
        )
    elif hexagon is not None and hexagon < wide.hexagon:
        soc = context.target.soc
        where = f"{soc} has" if soc is not None else f"{Runtime.DSP.value} is"
        yield Finding(
            f"16-bit weights need Hexagon v{wide.hexagon} or newer, {where} v{hexagon} ({nodes})",
            Severity.ERROR,
            Source(SUPPLEMENT, "Conv2d, FullyConnected, MatMul"),
            Confidence.DOCUMENTED if hexagon != _V66 else Confidence.INFERRED,
            help="use --weights-bitwidth 8, which 16-bit activations allow"
            if hexagon != _V66
            else "use 8-bit weights and activations",
            evidence={"hexagon": hexagon, "needs": wide.hexagon, "nodes": count},
        )


def _computed_weights(context: ModelContext, kind: DlcKind) -> Iterator[Finding]:
    """Weights that are computed: with 16-bit activations they have 16 bits too."""
    wide, hexagon = wide_weights(), _hexagon(context)
    if hexagon is None or not _V66 < hexagon < wide.hexagon or not _has_wide_activations(context, kind):
        return
    nodes = [node for node in _of_weights(context, wide.computed) if _is_computed_wide(context, node)]
    if nodes:
        soc = context.target.soc
        yield Finding(
            f"the weight of {nodes[0].op_type} is computed, so that it has the 16 bits of activations, which"
            f" need Hexagon v{wide.hexagon} or newer: {soc} has v{hexagon} ({counted(len(nodes), 'node')})",
            Severity.ERROR,
            Source(OBSERVED, "16-bit weights"),
            Confidence.FIELD_REPORTED,
            help="store the weight, or give it 8 bits by an override file",
            node=nodes[0],
            evidence={"hexagon": hexagon, "needs": wide.hexagon, "nodes": len(nodes)},
        )


def _weights_in_3d(context: ModelContext, kind: DlcKind) -> Iterator[Finding]:
    """16-bit weights of convolutions with three spatial axes, stored or computed."""
    wide = wide_weights()
    if not _has_wide_activations(context, kind) or _hexagon(context) == _V66:
        return
    nodes = [
        node
        for node in _of_weights(context, wide.not_in_3d)
        if node.graph.rank(node.input(0)) == _VOLUME
        and (_is_computed_wide(context, node) or (kind.weights_bitwidth == 16 and _is_stored(context, node)))
    ]
    if nodes:
        yield Finding(
            f"{nodes[0].op_type} with three spatial axes has no form with 16-bit weights on HTP"
            f" ({counted(len(nodes), 'node')})",
            Severity.ERROR,
            Source(OBSERVED, "16-bit weights"),
            Confidence.FIELD_REPORTED,
            help="give the weight 8 bits, stored, which 16-bit activations allow",
            node=nodes[0],
            evidence={"nodes": len(nodes)},
        )


_VOLUME = 5
"""Rank of the input of a convolution with three spatial axes."""


def _has_wide_activations(context: ModelContext, kind: DlcKind) -> bool:
    """Whether the DLC has 16-bit activations and runs on HTP."""
    return kind.quantize and kind.act_bitwidth == 16 and context.target.means(Runtime.HTP)


def _of_weights(context: ModelContext, ops: frozenset[str]) -> Iterator[Node]:
    return (node for op in sorted(ops) for node in context.view.by_op.get(op, ()) if not node.domain)


def _is_stored(context: ModelContext, node: Node) -> bool:
    return is_static(node.graph, node.input(1), context.view.folded)


def _is_computed_wide(context: ModelContext, node: Node) -> bool:
    """Whether the weight is computed, and no file gives it another width."""
    entry = context.view.encodings.get(node.input(1))
    return not _is_stored(context, node) and (entry is None or entry.bitwidth == 16)


def _float16(context: ModelContext, kind: DlcKind) -> Iterator[Finding]:
    soc = context.target.soc
    if kind.quantize or kind.float_bitwidth != 16 or soc is None or soc.fp16:
        return
    if not context.target.means(Runtime.HTP):
        return
    refused = soc.fp16 is False
    yield Finding(
        f"HTP of {soc} does not support float16"
        if refused
        else f"whether HTP of {soc} supports float16 is not known",
        Severity.ERROR if refused else Severity.INFO,
        _fp16_source(soc),
        Confidence.FIELD_REPORTED if refused else Confidence.INFERRED,
        help="quantize the DLC; support depends on the SoC, and others of the same Hexagon version differ",
        evidence={"soc": soc.name, "hexagon": soc.hexagon or 0},
    )


def _not_compiled(context: ModelContext, kind: DlcKind) -> Iterator[Finding]:
    """Float ops that validate on the chip and then have no implementation; one finding for all."""
    soc = context.target.soc
    if kind.quantize or kind.float_bitwidth != 16 or soc is None or not context.target.means(Runtime.HTP):
        return
    refused = float_not_compiled(soc.name)
    nodes = [node for node in context.view.nodes() if not node.domain and _label(context, node) in refused]
    if nodes:
        count = Counter(_label(context, node) for node in nodes)
        named = ", ".join(f"{op} x{times}" if times > 1 else op for op, times in sorted(count.items()))
        yield Finding(
            f"float16 ops that pass validation on {soc} and then cannot be compiled: {named}",
            Severity.WARNING,
            Source(OBSERVED, f"{soc.name}, float ops"),
            Confidence.FIELD_REPORTED,
            help="quantize the DLC, or choose a chip with Hexagon v69 or newer",
            node=nodes[0],
            evidence={"soc": soc.name, "ops": sorted(count)},
        )


def _label(context: ModelContext, node: Node) -> str:
    return context.view.in_pattern.get(node.key, node.op_type)


def _fp16_source(soc: Soc) -> Source:
    return Source(soc.fp16_source) if soc.fp16_source else Source("no document or measurement", soc.name)


def _ops_on_htp(context: ModelContext, kind: DlcKind) -> Iterator[Finding]:
    """Ops that HTP has, but not in this precision; one finding per op."""
    asked = asked_precision(kind)
    if asked is None or not context.target.means(Runtime.HTP):
        return
    for lacking in lacking_on_htp(context.view, asked):
        op, voices, agreed = lacking.op, lacking.voices, lacking.agreed
        named = f"{PRECISIONS[asked]} form on HTP"
        nodes = f" ({lacking.count} nodes)" if lacking.count > 1 else ""
        said = f"{' and '.join(voice.source for voice in voices)}{_newer(context, op, asked)}"
        yield Finding(
            f"{op} has no {named}{nodes} ({said})"
            if agreed
            else f"sources disagree whether {op} has a {named}{nodes}: {_said(voices)}",
            Severity.WARNING if agreed else Severity.INFO,
            Source(next(voice.source for voice in voices if not voice.has), op),
            Confidence.DOCUMENTED if agreed else Confidence.INFERRED,
            help=f"replace {op}, or mark it float in an override file"
            if asked != "fp16"
            else f"replace {op}, or quantize it",
            node=lacking.node,
            evidence={"op": op, "precision": asked, "nodes": lacking.count},
        )


def _newer(context: ModelContext, op: str, precision: str) -> str:
    """The first release in which the op has the precision, where it is newer than the target's."""
    release = context.target.release
    newer = [
        change.since_text
        for change in precision_changes().get(op, ())
        if precision in change.fields["precisions"] and not change.holds(release)
    ]
    return f"; it came with SDK {newer[0]}" if newer else ""


def _said(voices: tuple[Voice, ...]) -> str:
    """A text such as: A says no; B and C say yes."""
    parts = []
    for word, has in (("no", False), ("yes", True)):
        who = [voice.source for voice in voices if voice.has is has]
        if who:
            parts.append(f"{' and '.join(who)} say{'s' * (len(who) == 1)} {word}")
    return "; ".join(parts)


def _ops_on_gpu(context: ModelContext, kind: DlcKind) -> Iterator[Finding]:
    """Ops that the layer table gives the GPU and that did not compile for it when tried."""
    if not {Runtime.GPU, Runtime.GPU_FLOAT16} & set(context.target.chosen):
        return
    seen: set[str] = set()
    for node in context.view.nodes():
        op = node.op_type
        if node.domain or op in seen or node.key in context.view.in_pattern or not reads_float(node):
            continue
        verdict = context.view.verdict(node, Runtime.GPU)
        if verdict.presence is not Presence.YES or not verdict.layers:
            continue  # without a layer it is removed before it runs
        if compiled_at(op, "gpu", True, node.graph.rank(node.input(0))) is False:
            seen.add(op)
            yield Finding(
                f"sources disagree whether {op} runs on the GPU: the layer table says yes; "
                f"{COMPILED} for Adreno says no",
                Severity.INFO,
                sources.layer_row(f"column gpu, {', '.join(layers_of(node))}"),
                Confidence.INFERRED,
                help="try it on the device before relying on it",
                node=node,
                evidence={"op": op},
            )


def _float_only(context: ModelContext, kind: DlcKind) -> Iterator[Finding]:
    if not kind.quantize or Runtime.DSP not in context.target.chosen:
        return
    for node in context.view.nodes():
        if node.op_type == "ArgMax" and not node.domain:
            yield Finding(
                "ArgMax yields float on DSP, its output is not quantized",
                Severity.INFO,
                sources.limit("LIM022"),
                help="read its output as float, and keep quantized ops from reading it",
                node=node,
            )
