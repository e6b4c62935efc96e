"""Blocks of code in the documents: finding them, and comparing what a command prints with what they show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")],
    key=lambda path: path.as_posix(),
)
_FENCE = re.compile(r"(?ms)^( *)(`{3,})(\w*)\n(.*?)^\1\2 *$")


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is that of its first line."""

    language: str
    text: str
    line: int


def blocks_of(text: str) -> list[Block]:
    """The fenced blocks of a page, without the indentation of the list that they lie in."""
    blocks = []
    for match in _FENCE.finditer(text):
        inner = "\n".join(line.removeprefix(match[1]) for line in match[4].splitlines())
        blocks.append(Block(match[3], inner, text.count("\n", 0, match.start(4)) + 1))
    return blocks


def indented(text: str) -> list[str]:
    """Lines that Markdown takes for code without a fence: four spaces after an empty line, not in a list."""
    blocks = []
    lines = _FENCE.sub("", text).splitlines()
    outer = before = ""
    for line in lines:
        if line.startswith("    ") and not before.strip() and not re.match(r"[-*\d]", outer):
            blocks.append(line)
        if line.strip() and not line.startswith(" "):
            outer = line
        before = line
    return blocks


@dataclass(frozen=True)
class Command:
    """A line after `$`, the exit status that `$ echo $?` after it shows, and the output that is shown."""

    line: str
    output: str
    status: int | None


def commands_of(block: Block) -> Iterator[Command]:
    """The commands of a console block."""
    parts = re.split(r"(?m)^\$ ", block.text)
    assert not parts[0].strip(), "a console block begins with a command"
    shown = []
    for part in parts[1:]:
        line, _, output = part.partition("\n")
        while line.endswith("\\"):
            rest, _, output = output.partition("\n")
            line = line[:-1] + rest.removeprefix(">").strip()
        shown.append((line, output))
    for number, (line, output) in enumerate(shown):
        if line != "echo $?":
            after = shown[number + 1] if number + 1 < len(shown) else ("", "")
            yield Command(line, output.rstrip("\n"), int(after[1]) if after[0] == "echo $?" else None)


def agrees(shown: str, printed: str) -> bool:
    """Whether a command printed what the document shows; `...` represents omitted text.

    A line of `...` alone represents any number of lines, elsewhere it represents a part of a line.
    """
    pattern = ""
    for line in shown.splitlines():
        if line.strip() == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(re.escape(part.rstrip()) for part in line.rstrip().split("...")) + r"[ ]*\n"
    return re.fullmatch(pattern, printed.rstrip("\n") + "\n") is not None
