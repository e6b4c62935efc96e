"""`dlclint soc`, `ops` and `rule` as a reader of their output meets them: lists, families, wrong names."""

from __future__ import annotations

import pytest

from dlclint.cli.main import main
from dlclint.own_rules import OWN_DOCS


def lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out.splitlines()


def test_the_list_of_chips_names_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    head, first, *_ = lines(capsys, "soc")
    columns = ("chip", "known as", "hexagon", "runtimes")
    assert head.split("  ")[0] == "chip"
    starts = [head.index(column) for column in columns]
    assert [first[start - 1 : start] for start in starts[1:]] == [" "] * 3
    assert [first[start] != " " for start in starts] == [True] * 4


def test_a_family_lists_its_rules(capsys: pytest.CaptureFixture[str]) -> None:
    names = lines(capsys, "rule", "htp")
    assert {line.partition("/")[0] for line in names} == {"htp"}
    assert any(line.startswith("htp/refused-form ") for line in names)


def test_a_rule_is_found_in_any_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(capsys, "rule", "HTP/Refused-Form")[0] == "htp/refused-form"


@pytest.mark.parametrize("rule", OWN_DOCS)
def test_what_no_rule_finds_is_explained(rule: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, _, title, *_ = lines(capsys, "rule", rule)
    assert (name, title) == (rule, OWN_DOCS[rule].partition("\n")[0])


@pytest.mark.parametrize(
    ("op", "says"),
    [
        ("GRU", "  Gru on htp by QNN's own table: float16 ("),
        ("Conv", "  Conv2d on htp by QNN's own table: float16, 16-bit, 8-bit ("),
        ("gru", "  version 3: not listed, read as 1, whose structure differs"),
    ],
)
def test_an_op_with_what_each_table_says(op: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert any(line.startswith(says) for line in lines(capsys, "ops", op))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ops", "Convv"], "'Convv' is not in 80-63442-2 Rev BL, Supported ONNX Ops, so the converter does "),
        (["ops", "Convv"], "; did you mean Conv?"),
        (["ops", ""], "'' is not in "),
        (["rule", "nothing"], "unknown rule 'nothing'; `dlclint rule` lists them"),
        (["rule", "htp/refused-from"], "did you mean htp/refused-form?"),
        (["soc", "zzz"], "unknown SoC 'zzz'; `dlclint soc` lists them"),
    ],
)
def test_wrong_names(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_an_op_that_is_not_listed_has_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ops", "softsign"]) == 2
    assert "does not take it; write it as x / (1 + Abs(x))" in capsys.readouterr().err


def test_a_word_too_many_is_not_called_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ops", "Relu", "Conv"])
    assert capsys.readouterr().err == (
        "dlclint: error: unexpected argument 'Conv' of dlclint ops (see dlclint ops --help)\n"
    )


def test_an_op_of_onnx_is_not_a_misspelling_of_another(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ops", "Selu"]) == 2
    assert "did you mean" not in capsys.readouterr().err


@pytest.mark.parametrize("command", ["soc", "ops", "rule", "confirm"])
def test_help_says_what_the_command_does(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    usage, described, *_ = capsys.readouterr().out.split("\n\n")
    assert usage.startswith(f"usage: dlclint {command}")
    assert described[0].isupper() and described.rstrip().endswith(".")


def test_no_command_prints_help_and_an_unknown_one_its_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 0
    assert "usage: dlclint" in capsys.readouterr().out
    assert main(["chek", "m.onnx"]) == 2
    assert capsys.readouterr().err == "dlclint: error: unknown command 'chek'; did you mean check?\n"
    assert main(["\x1b[31m"]) == 2
    assert "\x1b" not in capsys.readouterr().err
