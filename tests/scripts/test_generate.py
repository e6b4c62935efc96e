"""What is generated is fresh, and the check sees what is not."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from dlclint.cli.main import COMMANDS

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "scripts"))
import generate
import pages
from pages import command_line, hooks


def test_everything_is_fresh() -> None:
    assert generate.stale(generate.ROOT, pages.all_files()) == []


def test_what_is_changed_missing_or_left_over_is_stale(tmp_path: Path) -> None:
    wanted = {"docs/rules/a.md": "a\n", "docs/rules/b.md": "b\n", "top.yaml": "c\n"}
    generate.write(tmp_path, wanted)
    assert generate.stale(tmp_path, wanted) == []
    (tmp_path / "docs/rules/a.md").unlink()
    (tmp_path / "docs/rules/b.md").write_text("by hand\n")
    (tmp_path / "docs/rules/old.md").write_text("of a rule that is gone\n")
    (tmp_path / "docs/by-hand.md").write_text("ours\n")
    assert generate.stale(tmp_path, wanted) == ["docs/rules/a.md", "docs/rules/b.md", "docs/rules/old.md"]
    generate.write(tmp_path, wanted)
    assert generate.stale(tmp_path, wanted) == []
    assert (tmp_path / "docs/by-hand.md").exists()


def test_check_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "all_files", lambda: {"docs/rules/a.md": "a\n"})
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().out == "docs/rules/a.md is not fresh; run python scripts/generate.py\n"
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    assert generate.main(["--chekc"]) == 2


@pytest.mark.parametrize("module", COMMANDS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_every_option_is_documented(module: ModuleType) -> None:
    commands = argparse.ArgumentParser().add_subparsers()
    module.add(commands)
    pending, options = list(commands.choices.values()), set()
    while pending:
        command = pending.pop()
        for action in command._actions:
            if isinstance(action, argparse._SubParsersAction):
                pending.extend(action.choices.values())
            if action.help != argparse.SUPPRESS:  # kept for old scripts only
                options.update(set(action.option_strings) - {"-h", "--help"})
    text = command_line.files()["docs/reference/command-line.md"]
    section = text.partition(f"## dlclint {module.__name__.rpartition('.')[2]}\n")[2]
    for option in options:
        assert re.search(rf"`{option}[ `]", section), option


@pytest.mark.parametrize(
    ("path", "ids"),
    [
        ("a.onnx", ["dlclint", "dlclint-fix"]),
        ("deep/folder/a.onnx", ["dlclint", "dlclint-fix"]),
        ("a.onnx.data", []),
        ("a_onnx", []),
        ("a.encodings", ["dlclint-encodings", "dlclint-encodings-fix"]),
        ("deep/a.encodings", ["dlclint-encodings", "dlclint-encodings-fix"]),
        ("a.encodings.bak", []),
        ("package.json", []),
    ],
)
def test_hook_patterns(path: str, ids: list[str]) -> None:
    assert [hook.id for hook in hooks.HOOKS if re.search(hook.pattern, path)] == ids
