"""The sentences that all formats of a confirmation share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dlclint.confirm.compare import ClaimedRule, ComparedNode, Confirmation, Relation
from dlclint.confirm.verdict import Said
from dlclint.diagnostic import Severity, counted

HEXAGON = "Hexagon's validator"
BACKEND = {
    Said.TAKEN: "takes it",
    Said.REFUSED: "Hexagon's validator refuses it",
    Said.NOT_COMPILED: "does not compile",
    Said.VALIDATED: "passes validation",
    Said.NOT_OFFERED: "the wrapper refuses it",
    Said.CRASHED: "the backend crashes",
    Said.GONE: "folded or merged",
    Said.UNASKED: "not asked",
}
_STANDS = {
    Relation.AGREED: "agreed",
    Relation.MISSED: "dlclint passed it",
    Relation.FALSE_ALARM: "dlclint says HTP does not take it",
    Relation.WARNED: "dlclint warns that HTP may not take it",
    Relation.IN_FLOAT: "this says nothing about the quantized op",
    Relation.CONVERTER: "dlclint's error is about the converter, which the backend does not know",
    Relation.WRAPPER: "dlclint passed it; this says nothing about Hexagon",
    Relation.UNJUDGED: "",
}


def stands(row: ComparedNode, claims: Iterable[ClaimedRule]) -> str:
    """How the backend's verdict relates to dlclint's, with the claims that it is about."""
    text, relation = _STANDS[row.relation], row.relation
    if row.verdict.by:
        text = text.replace("HTP does not take it", f"{row.verdict.by} does not take it")
    if relation is Relation.FALSE_ALARM and row.verdict.by:
        claims = (claim for claim in claims if claim.severity is Severity.ERROR)
    elif relation in (Relation.FALSE_ALARM, Relation.WARNED, Relation.IN_FLOAT):
        claims = (claim for claim in claims if claim.about.speaks_of_runtime)
    elif relation is Relation.CONVERTER:
        claims = (claim for claim in claims if claim.severity is Severity.ERROR)
    else:
        claims = (claim for claim in claims if claim.about.tells_of_failure)
    told = ", ".join(f"{claim.rule} ({claim.severity.value})" for claim in dict.fromkeys(claims))
    if told and relation is Relation.IN_FLOAT:
        text += ", of which dlclint says"
    return f"{text}: {told}" if told else text


def is_shown(row: ComparedNode) -> bool:
    """Whether a row says more than that a node is accepted, as expected."""
    return (
        row.verdict.said.is_backends_no
        or row.verdict.said is Said.NOT_OFFERED
        or row.relation in (Relation.FALSE_ALARM, Relation.WARNED, Relation.IN_FLOAT, Relation.CONVERTER)
    )


def node_sentence(row: ComparedNode) -> str:
    """The backend's verdict on a node, why, and with which code."""
    verdict = row.verdict
    text = f"{row.op}: {BACKEND[verdict.said]}"
    if verdict.by:
        text = text.replace("Hexagon's validator", verdict.by)
    if verdict.said is Said.TAKEN and verdict.in_float:
        text += ", but computes it in float between Dequantize and Quantize"
    elif verdict.in_float:
        text += " in float, between Dequantize and Quantize"
    if verdict.reason:
        text += f": {verdict.reason}"
    return f"{text} (code {verdict.code})" if verdict.code is not None else text


def summary(file: Confirmation) -> str:
    """Counts of nodes by their result."""
    counts = {said: sum(row.verdict.said is said for row in file.rows) for said in Said}
    words = (
        (Said.TAKEN, "taken"),
        (Said.VALIDATED, "passed by the validator alone"),
        (Said.REFUSED, f"refused by {file.judge or HEXAGON}"),
        (Said.NOT_COMPILED, "not compiled"),
        (Said.CRASHED, "crashed the backend"),
        (Said.NOT_OFFERED, "refused by the wrapper"),
        (Said.GONE, "folded or merged before"),
        (Said.UNASKED, "not asked"),
    )
    parts = [f"{counts[said]} {word}" for said, word in words if counts[said]]
    return f"{len(file.rows)} node{'s' * (len(file.rows) != 1)}: {', '.join(parts)}" if parts else "no nodes"


def agreement(file: Confirmation) -> str:
    """How often dlclint and the backend agree."""
    counts = file.counts
    judged = sum(counts.values()) - counts[Relation.UNJUDGED]
    if not judged:
        return f"nothing to compare: for every node it is unknown whether {file.judge or 'HTP'} takes it"
    of = f"{counts[Relation.AGREED]} of {judged} checked nodes"
    # Next to a graph that fails, a word such as "agrees" reads as if nothing were wrong.
    text = f"node by node, dlclint says the same of {of}" if file.failure else f"dlclint agrees on {of}"
    extra = [
        f"{counts[relation]} {word}"
        for relation, word in (
            (Relation.MISSED, "missed"),
            (Relation.FALSE_ALARM, "false alarms"),
            (Relation.WARNED, "taken though dlclint warns"),
            (Relation.IN_FLOAT, "computed in float"),
            (Relation.CONVERTER, "about the converter only"),
            (Relation.WRAPPER, "refused by the wrapper only"),
        )
        if counts[relation]
    ]
    if extra:
        text += f" ({', '.join(extra)})"
    passed = sum(row.verdict.said is Said.VALIDATED for row in file.rows)
    if file.failure and passed:
        text += (
            f", and {counted(passed, 'node')} that pass{'es' * (passed == 1)} validation cannot be built"
            " into a graph"
        )
    return text


def asked(file: Confirmation) -> str:
    """The target of the question, and how it was asked."""
    if file.dry_run:
        build = f" {file.build}" if file.build else ""
        return f"checked by {file.judge}{build}: dry run, nothing converted"
    how = "validated and compiled" if file.compiled else "validated, not compiled"
    as_what = f", {file.quantized}" if file.quantized else ""
    build = f"; backend {file.build}" if file.build else ""
    return f"checked for {file.soc}{as_what}: {how}{build}"


def troubles(file: Confirmation) -> Iterator[str]:
    """What is wrong with the answer as a whole, one sentence each."""
    if file.unasked:
        yield f"could not ask: {file.unasked}"
    if file.stopped:
        yield f"could not ask to the end: {file.stopped}"
    if file.failure:
        yield file.failure


def words(file: Confirmation) -> str:
    """A whole answer in one sentence."""
    return f"backend {asked(file)}; {summary(file)}; {agreement(file)}"
