"""What an override file holds never steers the terminal that `dlclint fix` shows it on."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from dlclint.cli.main import main

ESCAPES = {
    "ESC": "\x1b",
    "BEL": "\x07",
    "CSI of C1": "\x9b",
    "NEL": "\x85",
    "override": "\u202e",
    "isolate": "\u2066",
}


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def steering(text: str) -> set[str]:
    return set(ESCAPES.values()) & set(text)


def override_file(folder: Path, mark: str) -> Path:
    """An override file whose names and values hold a mark, with a trailing comma to fix."""
    entry = json.dumps([{"bitwidth": 8, "min": 0.0, "max": 1.0, "note": f"{mark}[2J"}], ensure_ascii=False)
    name = json.dumps(f"a{mark}[31mb", ensure_ascii=False)
    text = f'{{"activation_encodings": {{{name}: {entry},}}, "param_encodings": {{}}}}\n'
    path = folder / f"m{mark if mark != chr(0x1B) else ''}.encodings"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("options", [(), ("--diff",), ("--in-place",)], ids=" ".join)
@pytest.mark.parametrize("mark", ESCAPES.values(), ids=ESCAPES)
def test_nothing_of_the_file_steers_a_terminal(
    mark: str, options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = override_file(tmp_path, mark)
    output, errors = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", errors)
    assert main(["fix", "--isolated", *options, str(path)]) in (0, 1, 2)
    shown = output.getvalue() + errors.getvalue()
    assert "[2J" in shown or "--in-place" in options
    assert "encodings" in shown
    assert steering(shown) == set()


def test_a_pipe_gets_the_file_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = override_file(tmp_path, "\x9b")
    main(["fix", "--isolated", str(path)])
    assert "\x9b" in capsys.readouterr().out
