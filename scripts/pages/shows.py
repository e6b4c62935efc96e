"""The reports of four networks, as the command prints them: complete as text, the first screen as SVG."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import onnx
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from pages._networks import NETWORKS

OPTIONS = ("--soc", "sm8650", "--quantize")
SCREEN = 24
"""Lines of a terminal."""
_TIME = re.compile(r"\s+\(\d+\.\d\d\s+s\)")
_FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)

INTRODUCTION = """# What a report looks like

These are reports of `dlclint check` on four networks, with `--soc sm8650 --quantize`. The pictures show the
first screen of what the command prints on a terminal; each section links to the complete report.
`scripts/pages/_networks.py` builds the networks.

`--format html` writes the same report as one page that opens offline. The picture shows the page of the
detector (`scripts/html_picture.py` takes it): the verdict, findings to filter, the network in blocks, and
charts by layer. `plan` and `simulate` write such pages too.

![The page of the detector](pictures/page.png)
"""


def files() -> dict[str, str]:
    """docs/reports.md, and for each network docs/shows/NAME.txt and NAME.svg."""
    page = [INTRODUCTION]
    texts = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (build, about) in NETWORKS.items():
            path = Path(folder, f"{name}.onnx")
            onnx.save(build(), path)
            command = ["check", *OPTIONS, path.name]
            texts[f"docs/shows/{name}.txt"] = _printed(command, folder)
            colored = _printed(command, folder, True)
            texts[f"docs/shows/{name}.svg"] = _picture(f"dlclint {' '.join(command)}", colored)
            page.append(
                f"## {about[:1].upper()}{about[1:]}\n\n![The first screen](shows/{name}.svg)\n\n"
                f"[The complete report](shows/{name}.txt)\n"
            )
    return texts | {"docs/reports.md": "\n".join(page)}


def _printed(command: list[str], folder: str, colored: bool = False) -> str:
    """The output of the command, without the elapsed time."""
    left_out = ("NO_COLOR", "FORCE_COLOR", "COLUMNS")
    environment = {name: text for name, text in os.environ.items() if name not in left_out}
    environment |= {"DLCLINT_CACHE_DIR": "", "TERM": "xterm-256color"}
    environment |= {"FORCE_COLOR": "1"} if colored else {}
    line = [sys.executable, "-m", "dlclint", *command[:1], "--isolated", *command[1:]]
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, encoding="utf-8")
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr)
    return _TIME.sub("", done.stdout)


def _picture(command: str, text: str) -> str:
    """The first screen as SVG, which loads no external font."""
    paper = io.StringIO()
    # Without a height, rich takes 80 columns where TERM is dumb.
    console = Console(
        record=True, width=100, height=SCREEN, file=paper, force_terminal=True, color_system="truecolor"
    )
    console.print(Text(f"$ {command}", "bold"))
    for line in text.splitlines()[: SCREEN - 1]:
        console.print(Text.from_ansi(line), no_wrap=True, overflow="ellipsis")
    svg = console.export_svg(title="dlclint", theme=MONOKAI, unique_id=f"dlclint-{number_of(command)}")
    return _FONTS.sub("", svg).rstrip("\n") + "\n"


def number_of(text: str) -> int:
    """A number for a text, the same in every run."""
    return sum(position * ord(mark) for position, mark in enumerate(text, 1))
