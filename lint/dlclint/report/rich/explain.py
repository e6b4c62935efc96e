"""An explained log, for people."""

from __future__ import annotations

from typing import TextIO

from rich.padding import Padding
from rich.text import Text

from dlclint.diagnostic import counted, first_few, plain
from dlclint.explain.model import Explained, Explanation, LogPlace
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
        not each.message.consequence and each.message.severity == "error" for each in explanation.explained
    )
    for explained in explanation.explained:
        head = Text.assemble(
            (explained.message.severity, _STYLE[explained.message.severity]),
            " ",
            (explained.says, "bold"),
            " (follows from the above)" if explained.message.consequence and causes else "",
        )
        console.print(Padding(head, (0, 0, 0, 2)))
        for text, style in _lines(explained):
            console.print(Padding(Text(text, style), (0, 0, 0, 4)))
        console.print()
    known = len(explanation.explained)
    tail = f"{counted(known, 'message')} recognized in {counted(explanation.lines, 'line')}"
    if not known:
        tail += "; the log holds no message that dlclint knows"
    console.print(Text(tail, "bold"))
    return printed(console, stream)


def _lines(explained: Explained) -> list[tuple[str, str]]:
    message = explained.message
    times = f", {explained.count} times" if explained.count > 1 else ""
    lines = [(f"line {explained.line}{times}: {explained.text}", "dim")]
    if explained.node is not None:
        lines.append((f"at {_place(explained.node)}", ""))
    elif explained.alike:
        places = first_few(map(_place, explained.alike), len(explained.alike), 4)
        lines.append((f"at one of {len(explained.alike)} nodes: {places}", ""))
    elif message.names_node_later and "node" in explained.groups:
        lines.append((f"at {plain(explained.groups['node'])}", ""))
    if explained.code:
        lines.append((f"code {explained.groups['code']}: {explained.code}", ""))
    lines += [(f"why: {message.why}", ""), (f"help: {explained.help}", "")]
    if message.rule:
        lines.append((f"`dlclint check` reports it before conversion: {message.rule}", ""))
    lines.append((f"source: {message.source}", "dim"))
    return lines


def _place(place: LogPlace) -> str:
    graph = f"{place.graph}/" if place.graph else ""
    name = f" {place.name}" if place.name else ""
    return f"{graph}node {place.index}{name} ({place.op}, tensor {place.tensor})"
