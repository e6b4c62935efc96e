"""An explained log, for people."""

from __future__ import annotations

from typing import TextIO

from rich.padding import Padding
from rich.text import Text

from dlclint.diagnostic import counted, plain
from dlclint.explain.model import Explained, Explanation
from dlclint.report.rich.console import paper, printed

_STYLE = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def render(explanation: Explanation, stream: TextIO | None) -> str:
    """Causes first; colored only if the stream is a terminal."""
    console = paper(stream)
    console.print(Text(explanation.log, "bold"))
    if explanation.cut:
        console.print(Padding(Text("note: only the beginning of the log was read", "italic"), (0, 0, 0, 2)))
    console.print()
    causes = any(
        not item.message.consequence and item.message.severity == "error" for item in explanation.explained
    )
    for item in explanation.explained:
        head = Text.assemble(
            (item.message.severity, _STYLE[item.message.severity]),
            " ",
            (item.says, "bold"),
            " (follows from the above)" if item.message.consequence and causes else "",
        )
        console.print(Padding(head, (0, 0, 0, 2)))
        for text, style in _lines(item):
            console.print(Padding(Text(text, style), (0, 0, 0, 4)))
        console.print()
    known = len(explanation.explained)
    tail = f"{counted(known, 'message')} recognized in {counted(explanation.lines, 'line')}"
    if not known:
        tail += "; the log holds no message that dlclint knows"
    console.print(Text(tail, "bold"))
    return printed(console, stream)


def _lines(item: Explained) -> list[tuple[str, str]]:
    message = item.message
    times = f", {item.count} times" if item.count > 1 else ""
    lines = [(f"line {item.line}{times}: {item.text}", "dim")]
    if item.place is not None:
        place = item.place
        graph = f"{place.graph}/" if place.graph else ""
        name = f" {place.name}" if place.name else ""
        lines.append((f"at {graph}node {place.index}{name} ({place.op}, tensor {place.tensor})", ""))
    elif message.names_node_later and "node" in item.groups:
        lines.append((f"at {plain(item.groups['node'])}", ""))
    if item.code:
        lines.append((f"code {item.groups['code']}: {item.code}", ""))
    lines += [(f"why: {message.why}", ""), (f"help: {item.help}", "")]
    if message.rule:
        lines.append((f"`dlclint check` reports it before conversion: {message.rule}", ""))
    lines.append((f"source: {message.source}", "dim"))
    return lines
