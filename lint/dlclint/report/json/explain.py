"""An explained log, version 1 (`explain-v1.schema.json`)."""

from __future__ import annotations

import json
from typing import Any, TextIO

from dlclint.diagnostic import plain
from dlclint.explain.model import Explained, Explanation, LogPlace

_LISTED = 20
"""Nodes that a message lists where any of them may be meant."""


def render(explanation: Explanation, stream: TextIO | None) -> str:
    """The log's messages as JSON."""
    whole = {
        "version": 1,
        "log": explanation.log,
        "model": explanation.model or None,
        "lines": explanation.lines,
        "cut": explanation.cut,
        "messages": [_entry(explained) for explained in explanation.explained],
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _entry(explained: Explained) -> dict[str, Any]:
    message = explained.message
    return {
        "id": message.id,
        "tool": message.tool,
        "severity": message.severity,
        "consequence": message.consequence,
        "line": explained.line,
        "count": explained.count,
        "text": explained.text,
        "says": explained.says,
        "why": message.why,
        "code": explained.code or None,
        "help": explained.help,
        "rule": message.rule or None,
        "named": plain(
            explained.groups.get("node") or explained.groups.get("tensor") or explained.groups.get("op") or ""
        ),
        "source": message.source,
        "node": None if explained.node is None else _place(explained.node),
        "alike": {
            "count": len(explained.alike),
            "nodes": [_place(place) for place in explained.alike[:_LISTED]],
        },
    }


def _place(place: LogPlace) -> dict[str, Any]:
    return {
        "graph": place.graph,
        "index": place.index,
        "name": place.name,
        "op": place.op,
        "tensor": place.tensor,
    }
