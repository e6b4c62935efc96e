"""An explained log, version 1 (`explain-v1.schema.json`)."""

from __future__ import annotations

import json
from typing import Any, TextIO

from dlclint.diagnostic import plain
from dlclint.explain.model import Explained, Explanation


def render(explanation: Explanation, stream: TextIO | None) -> str:
    """The log's messages as JSON."""
    whole = {
        "version": 1,
        "log": explanation.log,
        "model": explanation.model or None,
        "lines": explanation.lines,
        "cut": explanation.cut,
        "messages": [_entry(item) for item in explanation.explained],
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _entry(item: Explained) -> dict[str, Any]:
    message, place = item.message, item.place
    return {
        "id": message.id,
        "tool": message.tool,
        "severity": message.severity,
        "consequence": message.consequence,
        "line": item.line,
        "count": item.count,
        "text": item.text,
        "says": item.says,
        "why": message.why,
        "code": item.code or None,
        "help": item.help,
        "rule": message.rule or None,
        "named": plain(item.groups.get("node") or item.groups.get("tensor") or item.groups.get("op") or ""),
        "source": message.source,
        "node": None
        if place is None
        else {
            "graph": place.graph,
            "index": place.index,
            "name": place.name,
            "op": place.op,
            "tensor": place.tensor,
        },
    }
