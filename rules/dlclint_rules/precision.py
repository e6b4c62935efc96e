"""Family `precision`: the effect of an override file on each op of its model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from dlclint.analysis.precision import OpPrecision, Precision, entry_precisions, has_bias
from dlclint.analysis.roles import weight_uses
from dlclint.diagnostic import About, Confidence, Severity, Source, first_few
from dlclint.model.op_facts import WEIGHTED_OPS
from dlclint.rule import EncodingsContext, Finding, Subject, rule
from dlclint.target import Runtime
from dlclint_rules import places
from dlclint_rules.causes import here
from dlclint_rules.encodings.reporting import QUANTIZATION, at, at_offset, capped, encoding_place
from dlclint_schemas.quantization import widths

MIXED = Source(QUANTIZATION, "mixed precision")
PARTIAL = Source(QUANTIZATION, "partial overrides")
INT32 = Source(QUANTIZATION, "int32 overrides")


def _ops(context: EncodingsContext) -> list[OpPrecision]:
    return [] if context.precision is None else context.precision.ops


def _at_op(
    context: EncodingsContext, op: OpPrecision, name: str, finding: Finding, others: Iterable[str] = ()
) -> Finding:
    """The finding at the op and at the entry of a tensor, or else at another entry of the op, or at the top.

    `others` are the tensors that conflict with this one: their entries are named too.
    """
    beside = [other for other in dict.fromkeys(others) if other and other != name][: places.MOST]
    related = tuple(
        encoding_place(
            context,
            op.node.graph,
            other,
            repr(other) if context.document.rows(other) else f"{other!r}, without an entry",
        )
        for other in beside
    )
    finding = replace(finding, node=op.node, related=related)
    for tensor in (name, *op.node.outputs, *op.node.inputs):
        rows = context.document.rows(tensor)
        if rows:
            return replace(at(context, rows[-1], (), finding), tensor=name)
    section = context.document.sections[0]
    return replace(at_offset(context, section.start, section.pointer, finding), tensor=name)


@rule(Subject.ENCODINGS)
def float_spread(context: EncodingsContext) -> Iterator[Finding]:
    """One float entry makes a complete op float.

    Why: for Conv2d, Conv3d, TransposeConv2d, DepthwiseConv2d, FullyConnected and MatMul, a float output,
    weight or bias makes all three float, at the width of that entry, whatever the file says about the others;
    --float_bias_bitwidth may set another width for a bias without an entry.
    What to do: give output, weight and bias the same type, so that the file matches what runs.
    """

    def spread() -> Iterator[tuple[OpPrecision, str, dict[str, list[str]], bool]]:
        for op in _ops(context):
            if not op.forced:
                continue
            parts = {"output": op.output, "weight": op.weight, "bias": op.bias}
            becomes: dict[str, list[str]] = {}
            contradicts = False
            for part, precision in parts.items():
                if _has(op, part) and (precision is None or not precision.is_float):
                    final = op.bias_runs if part == "bias" else op.runs
                    contradicts |= precision is not None
                    said = f"{part} without entry" if precision is None else f"{part} {precision}"
                    becomes.setdefault(str(final), []).append(said)
            cause = next(
                part for part, part_precision in parts.items() if part_precision and part_precision.is_float
            )
            if becomes:
                yield op, cause, becomes, contradicts

    def finding(hit: tuple[OpPrecision, str, dict[str, list[str]], bool]) -> Finding:
        op, cause, becomes, contradicts = hit
        changes = " and ".join(
            f"{', '.join(others)} becomes {final}{' too' * (final == str(op.runs))}"
            for final, others in becomes.items()
        )
        unplaced = Finding(
            f"{op.node.op_type}: its {cause} is {op.runs}, so {changes}",
            Severity.WARNING if contradicts else Severity.INFO,
            PARTIAL,
            help="give output, weight and bias the same type",
        )
        parts = (_name(op, part) for part in ("output", "weight", "bias") if _has(op, part))
        return _at_op(context, op, _name(op, cause), unplaced, parts)

    yield from capped(context, spread(), finding, "ops")


def _has(op: OpPrecision, part: str) -> bool:
    node = op.node
    if part == "weight":
        return any(name and node.graph.constant(name) is not None for name in node.inputs[:2])
    return part == "output" or has_bias(node)


def _activations(op: OpPrecision) -> list[str]:
    """The inputs of an op that are not stored, each with its entry in `inputs`."""
    return [name for name in op.node.inputs if name and op.node.graph.constant(name) is None]


def _name(op: OpPrecision, part: str) -> str:
    if part == "output":
        return next(filter(None, op.node.outputs), "")
    return op.node.input(1 if part == "weight" else 2)


@rule(
    Subject.ENCODINGS,
    follows=here(
        "precision/float-spread",
        "precision/mixed-inputs",
        "precision/int32-incomplete",
        "precision/int32-with-weights",
    ),
)
def convert_inserted(context: EncodingsContext) -> Iterator[Finding]:
    """The tools will insert a Convert op before an op.

    Why: if type or width changes from one op to the next, the tools insert a Convert, which costs time and
    memory.
    What to do: keep ops of one precision together.
    """

    default = Precision(False, context.target.kind.act_bitwidth)

    def changes() -> Iterator[tuple[OpPrecision, str, str, str]]:
        for op in _ops(context):
            for name, source, is_computed in zip(_activations(op), op.inputs, op.computed, strict=True):
                if source == op.runs:
                    continue
                if source is not None and op.runs is not None:
                    yield op, name, str(source), str(op.runs)
                elif is_computed and (source or op.runs or default).is_float:
                    # Ops without an entry run as without a file, so a float neighbor ends there.
                    unsaid = f"{default} (no entry)"
                    yield op, name, str(source or unsaid), str(op.runs or unsaid)
                else:
                    continue
                break

    def finding(hit: tuple[OpPrecision, str, str, str]) -> Finding:
        op, name, source, runs = hit
        unplaced = Finding(
            f"{op.node.op_type}: its input is {source}, it runs in {runs}: a Convert is inserted",
            Severity.INFO,
            MIXED,
            help="keep neighboring ops in one precision",
        )
        return _at_op(context, op, next(filter(None, op.node.outputs), ""), unplaced, [name])

    yield from capped(context, changes(), finding, "ops")


@rule(Subject.ENCODINGS, about=About.FORM)
def mixed_inputs(context: EncodingsContext) -> Iterator[Finding]:
    """An op has float and integer inputs.

    Why: inputs, outputs and parameters of one op are either all float or all fixed point; a MatMul with one
    fp16 input stops with "FLOAT_16 x UFIXED_POINT_8 not supported".
    What to do: give all inputs of the op one type, or use --float_fallback.
    """

    def mixed() -> Iterator[OpPrecision]:
        for op in _ops(context):
            known = {precision.is_float for precision in op.inputs if precision is not None}
            if len(known) == 2:
                yield op

    def finding(op: OpPrecision) -> Finding:
        said = " and ".join(dict.fromkeys(str(precision) for precision in op.inputs if precision is not None))
        unplaced = Finding(
            f"{op.node.op_type}: its inputs are {said}",
            Severity.WARNING,
            Source("qualcomm/aimet#4090", "FLOAT_16 x UFIXED_POINT_8"),
            Confidence.FIELD_REPORTED,
            "give all inputs one type, or use --float_fallback",
        )
        return _at_op(context, op, next(filter(None, op.node.outputs), ""), unplaced, _activations(op))

    yield from capped(context, mixed(), finding, "ops")


def _int32(precision: Precision | None) -> bool:
    return precision is not None and not precision.is_float and precision.bitwidth == 32


def _int32_tensors(context: EncodingsContext, op: OpPrecision) -> tuple[list[str], list[str]]:
    """Activations of an op with an int32 override in the file, and those without one."""
    precisions = entry_precisions(context.document)
    graph = op.node.graph
    names = [n for n in (*op.node.inputs, *op.node.outputs) if n and graph.constant(n) is None]
    return [n for n in names if _int32(precisions.get(n))], [
        n for n in names if not _int32(precisions.get(n))
    ]


@rule(Subject.ENCODINGS, about=About.FORM)
def int32_incomplete(context: EncodingsContext) -> Iterator[Finding]:
    """An op is overridden to int32 in part.

    Why: either every input and output of the op has an int32 override, or none does; the tools add Dequantize
    and Cast around it.
    What to do: give the others int32 too, or none.
    """

    def partly() -> Iterator[tuple[OpPrecision, list[str], list[str]]]:
        for op in _ops(context):
            if _int32(op.output) and op.node.op_type not in WEIGHTED_OPS:
                have, lack = _int32_tensors(context, op)
                if have and lack:
                    yield op, have, lack

    def finding(hit: tuple[OpPrecision, list[str], list[str]]) -> Finding:
        op, have, lack = hit
        unplaced = Finding(
            f"{op.node.op_type}: {have[0]!r} is overridden to int32,"
            f" {first_few(map(repr, lack), len(lack))} {'is' if len(lack) == 1 else 'are'} not",
            Severity.ERROR,
            INT32,
            help="give every input and output of the op an int32 override",
        )
        return _at_op(context, op, have[0], unplaced, lack)

    yield from capped(context, partly(), finding, "ops")


@rule(Subject.ENCODINGS, about=About.FORM)
def int32_with_weights(context: EncodingsContext) -> Iterator[Finding]:
    """An op with weights is overridden to int32.

    Why: int32 overrides do not apply to ops with weights or bias. (An int32 bias is a different case, and
    common.)
    What to do: use 8 or 16 bits for its output.
    """

    def wrong() -> Iterator[OpPrecision]:
        for op in _ops(context):
            stored = any(op.node.graph.constant(name) for name in op.node.inputs[1:3] if name)
            if op.node.op_type in WEIGHTED_OPS and stored and _int32(op.output):
                yield op

    def finding(op: OpPrecision) -> Finding:
        unplaced = Finding(
            f"{op.node.op_type}: its output is overridden to int32, but it has weights",
            Severity.ERROR,
            INT32,
            help="use 8 or 16 bits" if Runtime.HTP in context.target.considered else "use 8 bits",
        )
        return _at_op(context, op, next(filter(None, op.node.outputs), ""), unplaced)

    yield from capped(context, wrong(), finding, "ops")


@rule(Subject.ENCODINGS)
def bias_bits(context: EncodingsContext) -> Iterator[Finding]:
    """A bias gets a width that costs accuracy, or one that is not documented.

    Why: biases are 8 or 32 bits wide. If the file has no entry, the tools use 8 bits unless --bias_bitwidth
    says otherwise. In an op with a float output or weight, a bias without an entry is as wide as that tensor
    unless --float_bias_bitwidth says 16 or 32. AIMET up to 1.0.0 writes no bias encodings.
    What to do: pass --bias_bitwidth 32, and --float_bias_bitwidth 32 if ops run in float16.
    """
    if context.view is None or not context.document.tensors.names:
        return
    precisions = entry_precisions(context.document)
    biases = [(name, use) for name, use in weight_uses(context.view.model) if use.is_bias]
    documented = widths("bias")

    def odd() -> Iterator[tuple[str, Precision]]:
        for name in dict.fromkeys(name for name, _ in biases):
            precision = precisions.get(name)
            if precision is not None and not precision.is_float and precision.bitwidth not in documented:
                yield name, precision

    def finding(hit: tuple[str, Precision]) -> Finding:
        name, precision = hit
        # AIMET's 16-bit exports for HTP have 16-bit biases, so these are not a flaw of the file.
        usual = precision.bitwidth == 16
        unplaced = Finding(
            f"bias {name!r} is {precision}; the documents have"
            f" {' and '.join(map(str, sorted(documented)))} bits",
            Severity.INFO if usual else Severity.WARNING,
            Source(QUANTIZATION, "bit widths, bias"),
            Confidence.INFERRED if usual else Confidence.DOCUMENTED,
            "32 bits are documented and never narrower",
            evidence={"bitwidth": precision.bitwidth},
        )
        return at(context, context.document.rows(name)[-1], (), unplaced)

    yield from capped(context, odd(), finding, "biases")
    silent = [(name, use) for name, use in biases if name not in precisions]
    floats = {op.node.key: op.bias_runs for op in _ops(context) if op.forced}
    yield from _silent_integers(context, {name for name, use in silent if use.node.key not in floats})
    yield from _silent_floats(context, {name: floats.get(use.node.key) for name, use in silent})


def _silent_integers(context: EncodingsContext, silent: set[str]) -> Iterator[Finding]:
    default = context.target.kind.bias_bitwidth
    if not silent or default == max(widths("bias")):
        return
    finding = Finding(
        f"biases without an encoding: {len(silent)}; they become {default} bits wide",
        Severity.INFO,
        Source("80-63442-2 Rev BL, Tools", "--bias_bitwidth"),
        help="pass --bias_bitwidth 32 to the quantizer",
        evidence={"biases": len(silent)},
    )
    yield _on_top(context, finding)


def _silent_floats(context: EncodingsContext, becoming: dict[str, Precision | None]) -> Iterator[Finding]:
    """The biases by name that become float with fewer bits than possible."""
    widest = max(widths("float_bias"))
    narrow = [
        precision for precision in becoming.values() if precision is not None and precision.bitwidth < widest
    ]
    if not narrow:
        return
    finding = Finding(
        f"biases without an encoding in float ops: {len(narrow)}; they become"
        f" {' or '.join(sorted(set(map(str, narrow))))}",
        Severity.INFO,
        Source("80-63442-2 Rev BL, Tools", "--float_bias_bitwidth"),
        help=f"pass --float_bias_bitwidth {widest} to the quantizer (--float_bias_bw to snpe-onnx-to-dlc)",
        evidence={"biases": len(narrow)},
    )
    yield _on_top(context, finding)


def _on_top(context: EncodingsContext, finding: Finding) -> Finding:
    section = context.document.sections[0]
    return at_offset(context, section.start, section.pointer, finding)
