"""The backend's verdicts compared with dlclint's own findings, node by node."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from typing import NamedTuple

from dlclint.analysis.folding import NodeKey
from dlclint.analysis.view import ModelView
from dlclint.confirm.verdict import NodeVerdict, Said
from dlclint.diagnostic import About, Diagnostic, Severity, plain
from dlclint_schemas.record import record


def decides(verdict: NodeVerdict, about: About) -> bool:
    """Whether a verdict confirms or contradicts what a finding states about the node.

    An op that is computed in float, although the question was about a quantized one, shows that HTP has the
    op, but not in which quantized forms.
    """
    if verdict.said is Said.TAKEN and verdict.in_float:
        return about is About.PRESENCE
    return about.speaks_of_runtime and (verdict.said is Said.TAKEN or verdict.said.is_backends_no)


class Relation(enum.Enum):
    """How the backend's verdict relates to dlclint's."""

    AGREED = "agreed"
    MISSED = "missed"
    """The backend refuses it, and dlclint reported nothing."""
    FALSE_ALARM = "false-alarm"
    """The backend accepts it, and dlclint reported with an error that HTP does not."""
    WARNED = "warned"
    """The backend accepts it, and dlclint reported with a warning that HTP may not."""
    IN_FLOAT = "in-float"
    """The backend computes it in float, or would if that could be compiled, although the question was about a
    quantized op.
    """
    CONVERTER = "converter"
    """The backend accepts it; dlclint's error is about the converter, which the backend does not know."""
    WRAPPER = "wrapper"
    """The provider refuses it by itself, and dlclint reported nothing: no evidence about Hexagon.
    """
    UNJUDGED = "unjudged"
    """The backend did not see the node."""


class ClaimedRule(NamedTuple):
    """An error or warning of dlclint about a node."""

    rule: str
    severity: Severity
    about: About


@record
class ComparedNode:
    """One node with both verdicts. `claims` are dlclint's errors and warnings."""

    graph: str
    node: str
    node_index: int
    op: str
    tensor: str
    verdict: NodeVerdict
    relation: Relation
    claims: tuple[ClaimedRule, ...] = ()


@record
class Confirmation:
    """The result of the question about one file.

    `unasked` is why there is no verdict at all ("" if there is one); `failure` why the graph as a whole
    failed although its nodes were checked; `stopped` why the process ended early.
    """

    path: str
    soc: str
    asked_soc: str
    compiled: bool
    quantized: str = ""
    """How quantization was inserted, "" if the question was about the unchanged model."""
    rows: tuple[ComparedNode, ...] = ()
    unasked: str = ""
    failure: str = ""
    stopped: str = ""
    notes: tuple[str, ...] = ()
    dlc: tuple[str, ...] = ()
    build: str = ""
    """The backend's own version, as it reports it."""
    seconds: float = 0.0
    judge: str = ""
    """The name of the backend or tool, "" for the HTP backend."""
    dry_run: bool = False
    """Whether a converter's dry run answered, and no backend."""

    @property
    def refuses(self) -> bool:
        """Whether the backend refuses any part of the model."""
        return bool(self.failure) or any(
            row.verdict.said.is_backends_no or row.verdict.said is Said.NOT_OFFERED for row in self.rows
        )

    @property
    def could_not_ask(self) -> bool:
        """Whether there is no verdict, or only an incomplete one."""
        return bool(self.unasked or self.stopped)

    @property
    def counts(self) -> Counter[Relation]:
        """Nodes by relation."""
        return Counter(row.relation for row in self.rows)


@record
class ConfirmOutcome:
    """A whole run, with the versions that its verdicts belong to."""

    version: str
    files: tuple[Confirmation, ...]
    packages: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def status(self) -> int:
        """The exit status: 2 if any file could not be asked about, 1 if anything is refused, else 0."""
        if any(file.could_not_ask for file in self.files):
            return 2
        return 1 if any(file.refuses for file in self.files) else 0


def rows_of(
    view: ModelView,
    verdicts: Mapping[NodeKey, NodeVerdict],
    diagnostics: Iterable[Diagnostic],
    relation: Callable[[NodeVerdict, Iterable[Diagnostic]], Relation] | None = None,
) -> Iterator[ComparedNode]:
    """One row per node, in the order of the file; `relation` is `relation_of` by default."""
    relate = relation or relation_of
    claims: dict[NodeKey, list[Diagnostic]] = {}
    elsewhere: dict[NodeKey, list[Diagnostic]] = {}
    of_tensors: dict[str, list[Diagnostic]] = {}
    of_model: list[Diagnostic] = []
    for finding in diagnostics:
        location = finding.location
        if finding.severity is Severity.INFO:
            continue
        for other in (related.location for related in finding.related if related.holds):
            if other.node_index is not None:
                elsewhere.setdefault((other.graph, other.node_index), []).append(finding)
        if location.node_index is not None:
            claims.setdefault((location.graph, location.node_index), []).append(finding)
        elif location.tensor:
            of_tensors.setdefault(location.tensor, []).append(finding)
        elif finding.about.speaks_of_runtime:
            of_model.append(finding)
    for graph in view.model.graphs():
        shown = plain(graph.path)
        for node in graph.nodes:
            verdict = verdicts[node.key]
            if node.key in view.folded and verdict.said is not Said.TAKEN:
                # What the converter computes in advance never reaches the runtime.
                verdict = NodeVerdict(Said.GONE, by=verdict.by)
            said = list(claims.get((shown, node.index), ()))
            if verdict.said.is_backends_no:
                # For example a SoC without float16: reported once, about every op.
                said += of_model
                # The compiler names one node of those that it fuses.
                said += elsewhere.get((shown, node.index), ())
            if verdict.said.is_backends_no or verdict.said is Said.NOT_OFFERED:
                # A flaw in a graph input or a stored tensor is a flaw in the ops that read it.
                for name in filter(None, node.inputs):
                    if name in graph.inputs or graph.constant(name) is not None:
                        said += of_tensors.get(plain(name), ())
            yield ComparedNode(
                shown,
                plain(node.name),
                node.index,
                plain(node.op_type),
                plain(next(filter(None, node.outputs), "")),
                verdict,
                relate(verdict, said),
                tuple(
                    dict.fromkeys(
                        ClaimedRule(diagnostic.rule, diagnostic.severity, diagnostic.about)
                        for diagnostic in said
                    )
                ),
            )


def relation_of(verdict: NodeVerdict, said: Iterable[Diagnostic]) -> Relation:
    """How a verdict relates to dlclint's errors and warnings about the same node."""
    said = list(said)
    told = any(claim.about.tells_of_failure for claim in said)
    if verdict.said.is_backends_no:
        refused = Relation.IN_FLOAT if verdict.in_float else Relation.MISSED
        return Relation.AGREED if told else refused
    if verdict.said is Said.NOT_OFFERED:
        return Relation.AGREED if told else Relation.WRAPPER
    if verdict.said is not Said.TAKEN:
        return Relation.UNJUDGED
    contradicted = {diagnostic.severity for diagnostic in said if decides(verdict, diagnostic.about)}
    if Severity.ERROR in contradicted:
        return Relation.FALSE_ALARM
    if any(finding.severity is Severity.ERROR and not finding.about.speaks_of_runtime for finding in said):
        return Relation.CONVERTER
    if contradicted:
        return Relation.WARNED
    return Relation.IN_FLOAT if verdict.in_float else Relation.AGREED


def converter_relation(verdict: NodeVerdict, said: Iterable[Diagnostic]) -> Relation:
    """How a converter's verdict relates to dlclint's findings on the conversion of the same node."""
    told = [
        diagnostic for diagnostic in said if diagnostic.about in (About.FILE, About.SIZES, About.CONVERSION)
    ]
    if verdict.said is Said.REFUSED:
        return Relation.AGREED if told else Relation.MISSED
    if verdict.said is not Said.TAKEN:
        return Relation.UNJUDGED
    wrong = any(finding.severity is Severity.ERROR for finding in told)
    return Relation.FALSE_ALARM if wrong else Relation.AGREED
