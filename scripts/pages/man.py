"""The manual page, from the same parsers as the page on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from dlclint.cli.main import parser
from dlclint.version import __version__
from pages.command_line import commands_below, meaning, shown_actions, value_of

EXIT = (
    ("0", "clean"),
    ("1", "findings at or above --fail-on"),
    ("2", "could not run"),
    ("70", "an error of dlclint's own"),
    ("130, 141, 143", "interrupted, the reader of the output went away, terminated"),
)
FILES = (
    ("dlclint.toml", "the configuration; the nearest one from a model's folder upward"),
    ("pyproject.toml", "the same in its table [tool.dlclint]"),
    ("NAME.encodings", "the override file of NAME.onnx in the same folder"),
)
VARIABLES = (("DLCLINT_DEBUG", "set to 1: show tracebacks, and what native code prints, on standard error"),)


def files() -> dict[str, str]:
    """share/man/man1/dlclint.1."""
    top = parser()
    summary = str(top.description).rstrip(".")
    lines = [
        '.\\" Made by scripts/generate.py from scripts/pages/man.py.',
        f'.TH DLCLINT 1 "" "dlclint {__version__}"',
        ".SH NAME",
        f"dlclint \\- {_text(summary[:1].lower() + summary[1:])}",
        ".SH SYNOPSIS",
        ".B dlclint",
        ".I COMMAND",
        "[options] [arguments]",
        ".SH DESCRIPTION",
        "Every report begins with a verdict: whether the model converts, which runtimes run all of it, and",
        "which risks for its accuracy are known. Neither an SDK nor a device is needed.",
        ".SH COMMANDS",
    ]
    for title, about, command in commands_below(top, "dlclint"):
        lines += [f".SS {_text(title)}", _text(about), *_options(command)]
    for name, rows in (("EXIT STATUS", EXIT), ("ENVIRONMENT", VARIABLES), ("FILES", FILES)):
        lines.append(f".SH {name}")
        for key, about in rows:
            lines += [".TP", f".B {_text(key)}", _text(about)]
    return {"share/man/man1/dlclint.1": "\n".join(lines) + "\n"}


def _options(command: argparse.ArgumentParser) -> Iterator[str]:
    for group in command._action_groups:
        for action in shown_actions(group):
            yield ".TP"
            value = _text(value_of(action))
            names = [f"\\fB{_text(name)}\\fR" for name in action.option_strings]
            shown = f" \\fI{value}\\fR" if value else ""
            yield ", ".join(f"{name}{shown}" for name in names) if names else f"\\fI{value}\\fR"
            yield _text(meaning(action))


def _text(text: str) -> str:
    """A text in which nothing is a request or an escape of roff."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
