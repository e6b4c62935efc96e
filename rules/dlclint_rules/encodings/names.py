"""Names compared with the graph: unknown ones, wrong sections, and coverage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from dlclint.analysis.roles import absorbed_chain, weight_uses
from dlclint.diagnostic import About, Confidence, Safety, Severity, Source, counted
from dlclint.encodings.document import ACTIVATIONS, ENCODINGS, PARAMS
from dlclint.encodings.edits import RenameKey
from dlclint.fix import Fix
from dlclint.model.op_facts import CONVOLUTIONS
from dlclint.rule import EncodingsContext, Finding
from dlclint_rules import places
from dlclint_rules.causes import anywhere
from dlclint_rules.encodings.reporting import OVERRIDES, at, at_offset, capped, encodings_rule

if TYPE_CHECKING:
    from dlclint.model.graph import Model, Node

_MANY = 4000
"""Names among which the nearest spelling is searched; more would take several seconds."""


def tensor_names(model: Model) -> set[str]:
    """Every tensor of every graph: inputs, outputs of nodes, initializers."""
    names: set[str] = set()
    for graph in model.graphs():
        names.update(graph.inputs, graph.outputs, graph.initializers)
        for node in graph.nodes:
            names.update(node.outputs)
    names.discard("")
    return names


@encodings_rule(about=About.FILE)
def unknown_tensor(context: EncodingsContext) -> Iterator[Finding]:
    """A name is not in the graph.

    Why: the encoding applies to nothing. Unmodified exports have no such name; they appear if the model was
    simplified, renamed or exported again after quantization ("Can't simplify the model when custom ops or
    quantization overrides are specified").
    What to do: simplify before AIMET, not after, and give the converter the model that AIMET wrote. If the
    unknown names match in number, order and channels the weights and biases of convolutions with a batch
    normalization after them, the file was created after folding: one warning gives the number.
    Fix: unsafe, renamed to the one name that differs only in spelling.
    """
    if context.view is None:
        return
    document = context.document
    graph, known = context.view.model.graph, tensor_names(context.view.model)
    strays = [row for row, name in enumerate(document.tensors.names) if name not in known]
    if not strays:
        return
    folded = _names_of_folded(context, strays)
    if folded:
        yield at(context, strays[0], (), folded)
        return
    by_core: dict[str, list[str]] = {}
    for name in known:
        by_core.setdefault(_core(name), []).append(name)
    share = len(strays) / len(document.tensors.names)
    simplified = share > 0.2 and len(strays) > 2
    taken = set(document.tensors.names)

    def finding(row: int) -> Finding:
        name = document.tensors.names[row]
        alike = [other for other in by_core.get(_core(name), ()) if other not in taken]
        near = alike or (_spelled_alike(name, known) if len(known) <= _MANY else [])
        help = f"did you mean {near[0]!r}?" if near else "remove it, or give the model it was made for"
        if simplified:
            help += " (so many strays look like names from before simplification or another export)"
        fix = None
        if len(alike) == 1:
            fix = Fix(f"rename {name} to {alike[0]}", Safety.UNSAFE, (RenameKey(row, (), alike[0]),))
        unplaced = Finding(
            f"{name!r} is not a tensor of the model",
            Severity.ERROR,
            Source("qualcomm/aimet#2422", "names after simplification"),
            Confidence.FIELD_REPORTED,
            help,
            fix=fix,
            evidence={"strays": len(strays), "names": len(document.tensors.names)},
            related=(places.source(graph, near[0], "what may be meant"),) if near else (),
        )
        return at(context, row, (), unplaced)

    yield from capped(context, strays, finding, "names")


def _names_of_folded(context: EncodingsContext, strays: list[int]) -> Finding | None:
    """One finding for names that a simplifier gave when it folded batch normalizations."""
    assert context.view is not None
    counts = context.document.tensors.count[strays].tolist()
    pairs = [
        use.channels
        for _, use in weight_uses(context.view.model)
        if use.node.op_type in CONVOLUTIONS and not use.is_bias and _normalized(use.node)
    ]
    for expected in ([c for c in pairs for _ in "wb"], pairs):
        if (
            pairs
            and len(expected) == len(counts)
            and all(count in (1, channels) for count, channels in zip(counts, expected, strict=True))
        ):
            return Finding(
                f"{len(strays)} names are not tensors of the model: in number and channels they are those of"
                f" its {counted(len(pairs), 'convolution')} after batch normalization is folded in",
                Severity.WARNING,
                Source("qualcomm/aimet#2422", "names after simplification"),
                Confidence.INFERRED,
                "give the converter the folded model that the file was made for",
                evidence={"strays": len(strays), "pairs": len(pairs)},
            )
    return None


def _spelled_alike(name: str, known: Iterable[str]) -> list[str]:
    """The only known name with the most similar spelling, if there is one."""
    # Imported here because a file without its model has no known names.
    import difflib

    return difflib.get_close_matches(name, sorted(known), 1, 0.8)


def _normalized(node: Node) -> bool:
    return any(following.op_type == "BatchNormalization" for following in absorbed_chain(node)[:1])


def _core(name: str) -> str:
    """A name without the parts that exporters add or change: case, separators, :0, _output_0."""
    name = re.sub(r":\d+$|_output_\d+$", "", name.lower())
    return re.sub(r"[/._]+", "/", name).strip("/")


@encodings_rule(about=About.FILE)
def wrong_section(context: EncodingsContext) -> Iterator[Finding]:
    """A tensor is in the section of the other kind.

    Why: activation_encodings contains output tensors, param_encodings contains weights and biases; the
    converter only looks up a weight in param_encodings. A stored constant that is not a weight, such as the
    addend of an Add, may be among the activations, as AIMET writes it.
    What to do: move the entry.
    """
    if context.view is None:
        return
    document = context.document
    if all(section.name == ENCODINGS for section in document.sections):
        return
    model = context.view.model
    weights = {name for name, _ in weight_uses(model)}
    made_by = {
        output
        for graph in model.graphs()
        for node in graph.nodes
        if node.key not in context.view.folded and node.op_type != "Constant"
        for output in node.outputs
    } | set(model.graph.inputs)

    def wrong() -> Iterator[tuple[int, str]]:
        for row, name in enumerate(document.tensors.names):
            section = document.section_of(row).name
            if section == ACTIVATIONS and name in weights:
                yield row, f"{name!r} is a weight or bias, but is in {ACTIVATIONS}"
            elif section == PARAMS and name in made_by and name not in weights:
                yield row, f"{name!r} is computed, but is in {PARAMS}"

    def finding(hit: tuple[int, str]) -> Finding:
        row, message = hit
        return at(context, row, (), Finding(message, Severity.ERROR, OVERRIDES, help="move it"))

    yield from capped(context, wrong(), finding, "tensors")


@encodings_rule(
    about=About.FILE,
    follows=anywhere("encodings/unknown-tensor", "encodings/wrong-section", "encodings/missing-section"),
)
def coverage(context: EncodingsContext) -> Iterator[Finding]:
    """Not every tensor has an encoding.

    Why: tensors without an encoding get their range from the calibration list. Unmodified exports omit about
    a quarter of the activations, because data movement keeps its input's encoding and a fused activation has
    the encoding of its group, so this finding is only information.
    What to do: nothing, or `--float_fallback` if there is no calibration list.
    """
    document = context.document
    if context.view is None or not document.tensors.names:
        return
    names = set(document.tensors.names)
    weights = dict(weight_uses(context.view.model))
    covered = sum(1 for name in weights if name in names)
    nodes = [node for node in context.view.nodes() if node.outputs]
    tensors = {output for node in nodes for output in node.outputs if output}
    tensors |= set(context.view.model.graph.inputs)
    active = len(tensors & names)
    if active == len(tensors) and covered == len(weights):
        return
    biases = sum(1 for name, use in weights.items() if use.is_bias and name not in names)
    message = (
        f"{active} of {len(tensors)} activations and {covered} of {len(weights)} weights and biases"
        " have an encoding; the rest is calibrated"
    )
    section = document.sections[0]
    finding = Finding(
        message,
        Severity.INFO,
        Source(OVERRIDES.document, "partial overrides"),
        help=f"biases without an encoding, which take --bias_bitwidth: {biases}" if biases else "",
        evidence={
            "activations": len(tensors),
            "activations_covered": active,
            "weights": len(weights),
            "weights_covered": covered,
        },
    )
    yield at_offset(context, section.start, section.pointer, finding)
