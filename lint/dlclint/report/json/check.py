"""Format `json`, version 1: its schema is `dlclint_schemas/report-v1.schema.json`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from textwrap import indent
from typing import TYPE_CHECKING, Any, TextIO

from dlclint.chains import stage_of
from dlclint.diagnostic import Cause, Diagnostic, Location
from dlclint.outcome import FileOutcome, Outcome
from dlclint.report.counts import by_severity
from dlclint.target import Soc

if TYPE_CHECKING:
    from dlclint.analysis.subnets import Partition


def render(outcome: Outcome, stream: TextIO | None) -> Iterator[str]:
    """The report as strict JSON, file by file."""
    head = _text(_head(outcome) | {"files": []})
    if not outcome.files:
        yield f"{head}\n"
        return
    yield head.removesuffix("]\n}")
    between = "\n"
    for file in outcome.files:
        yield between + indent(_text(_file(file)), "    ")
        between = ",\n"
    yield "\n  ]\n}\n"


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False)


def _head(outcome: Outcome) -> dict[str, Any]:
    """The report without its files."""
    return {
        "version": 1,
        "tool": {"name": "dlclint", "version": outcome.version},
        "fail_on": outcome.fail_on.value if outcome.fail_on else "never",
        "failed": outcome.failed,
        "counts": by_severity(outcome),
    }


def check_report(outcome: Outcome) -> dict[str, Any]:
    """The report as plain dicts and lists."""
    return _head(outcome) | {"files": [_file(file) for file in outcome.files]}


def _file(file: FileOutcome) -> dict[str, Any]:
    summary, support = file.summary, file.support
    unlisted = [
        {"rule": counted_rule.rule, "severity": counted_rule.severity.value, "count": counted_rule.count}
        for counted_rule in file.unlisted
    ]
    chips = [
        {
            "soc": _soc(chip.soc),
            "verdict": chip.verdict and asdict(chip.verdict),
            "counts": {severity.value: count for severity, count in chip.counts.items()},
        }
        for chip in file.chips
    ]
    return (
        ({"unlisted": unlisted} if unlisted else {})
        | ({"baselined": file.baselined} if file.baselined else {})
        | ({"chips": chips} if chips else {})
        | {
            "path": file.path,
            "kind": file.kind,
            "target": {
                "runtimes": [runtime.value for runtime in file.target.runtimes],
                "soc": file.target.soc and _soc(file.target.soc),
                "quantize": file.target.quantize,
                "kind": asdict(file.target.kind),
                "simplify": file.target.simplify,
                "sdk": file.target.release.name,
            },
            "verdict": file.verdict and asdict(file.verdict),
            "notes": list(file.notes),
            "ignored": file.ignored,
            "summary": summary
            and {
                "nodes": summary.nodes,
                "folded": summary.folded,
                "weight_bytes": summary.weight_bytes,
                "opsets": summary.opsets,
                "inputs": list(summary.inputs),
                "newest_listed_opset": summary.newest_listed_opset,
            },
            "support": support
            and [
                {
                    "runtime": row.runtime.value,
                    "whole": row.whole,
                    "taken": row.taken,
                    "total": row.total,
                    "dlc": row.dlc,
                    "cuts": row.cuts,
                    "blockers": [
                        {"op": b.op, "nodes": b.nodes, "reason": b.reason, "certain": b.certain}
                        for b in row.blockers
                    ],
                }
                for row in support.rows
            ],
            "partitions": [_partition(partition) for partition in file.partitions],
            "commands": list(file.commands),
            "precision": [asdict(row) for row in file.precision],
            "findings": list(_findings(file.diagnostics)),
        }
    )


def _partition(partition: Partition) -> dict[str, Any]:
    return {
        "runtime": partition.runtime.value,
        "cuts": partition.cuts,
        "bytes": partition.bytes,
        "unclear": partition.unclear,
        "nowhere": partition.nowhere,
        "costliest": partition.costliest and asdict(partition.costliest),
        "subnets": [
            {
                "processor": partition.runtime.value if subnet.on_runtime else "cpu",
                "nodes": subnet.nodes,
                "first": subnet.first,
                "ops": dict(subnet.ops),
            }
            for subnet in partition.subnets
        ],
        "borders": [asdict(border) for border in partition.borders],
    }


def _soc(soc: Soc) -> dict[str, Any]:
    return {
        "name": soc.name,
        "marketing": soc.marketing,
        "hexagon": soc.hexagon,
        "runtimes": [runtime.value for runtime in soc.runtimes],
        "fp16": soc.fp16,
        "listed": soc.listed,
    }


def _findings(findings: tuple[Diagnostic, ...]) -> Iterator[dict[str, Any]]:
    """Each finding with its stage, and the finding that it follows from."""
    numbers = {
        Cause(diagnostic.rule, diagnostic.location): number
        for number, diagnostic in reversed(list(enumerate(findings)))
    }
    for finding in findings:
        cause = None if finding.cause is None else numbers.get(finding.cause)
        yield _finding(finding) | {"stage": stage_of(finding).name.lower(), "cause": cause}


def _place(location: Location) -> dict[str, Any]:
    return {
        "graph": location.graph,
        "node": location.node,
        "node_index": location.node_index,
        "op": location.op,
        "tensor": location.tensor,
        "pointer": location.pointer,
        "line": location.line,
        "column": location.column,
    }


def _finding(finding: Diagnostic) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "confidence": finding.confidence.value,
        "message": finding.message,
        "help": finding.help,
        "location": _place(finding.location),
        "related": [
            {"what": other.description, "file": other.location.file, "location": _place(other.location)}
            for other in finding.related
        ],
        "evidence": {key: _number(value) for key, value in finding.evidence.items()},
        "fix": finding.fix and {"title": finding.fix.title, "safety": finding.fix.safety.value},
        "source": finding.source and {"document": finding.source.document, "row": finding.source.row},
    } | ({"socs": list(finding.socs)} if finding.socs else {})


def _number(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
