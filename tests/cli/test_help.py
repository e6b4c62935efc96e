"""What `--help` says: what a command does, examples that parse, exit statuses, defaults."""

from __future__ import annotations

import shlex

import pytest

from dlclint.cli.main import COMMANDS, main, parser
from dlclint.cli.options.helps import HELPS

NAMES = [command.__name__.rpartition(".")[2] for command in COMMANDS]


PARTS = tuple(f"encodings {action}" for action in ("convert", "diff", "extract", "show"))


def help_of(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        main([*name.split(), "--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


def test_every_command_has_its_help() -> None:
    assert set(HELPS) == {*NAMES, *PARTS}


@pytest.mark.parametrize("name", [*NAMES, *PARTS])
def test_help_has_description_examples_and_statuses(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(name, capsys)
    usage, _, rest = text.partition("\n\n")
    assert usage.startswith(f"usage: dlclint {name}")
    description = rest.partition("\n\n")[0]
    assert len(description.split()) > 5 and not description.startswith(("options", "positional"))
    assert "Examples:\n  dlclint " in text
    assert "Exit status: 0 " in " ".join(text.split())


@pytest.mark.parametrize("name", [*NAMES, *PARTS])
def test_examples_parse(name: str) -> None:
    for example in HELPS[name].examples:
        _, command, *words = shlex.split(example)
        assert example.startswith(f"dlclint {name}")
        parser(command).parse_args([command, *words])


def test_check_says_its_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(help_of("check", capsys).split())
    for said in (
        "default: compare all",
        "default: the newest known",
        "default 8",
        "default 32",
        "default: compare float and quantized",
        "default: error",
        "default: rich",
        "default: info",
        "default: the number of processors",
        "default: all rules",
        "default: the nearest",
        "default: dlclint-baseline.json",
        "default: standard output",
    ):
        assert said in text, said
