"""Findings of one rule beyond a thousand are counted in every format, and never forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import helper

from dlclint.cli.main import main

COUNT = 1203
Ran = Callable[..., tuple[int, str]]


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ran:
    """Runs `check` on a chain of nodes of one name that each read what nothing makes."""
    monkeypatch.chdir(tmp_path)
    nodes = [
        helper.make_node("Add", [f"x{i}", f"ghost{i}"], [f"x{i + 1}"], name="same") for i in range(COUNT)
    ]
    ends = [helper.make_tensor_value_info(name, 1, [1, 4]) for name in ("x0", f"x{COUNT}")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    imports = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), tmp_path / "m.onnx")

    def run(*options: str) -> tuple[int, str]:
        status = main(["check", "m.onnx", "--select", "model", *options])
        return status, capsys.readouterr().out

    return run


def test_json_counts_all_and_lists_a_thousand(ran: Ran) -> None:
    status, text = ran("--format", "json")
    report = json.loads(text)
    (file,) = report["files"]
    assert status == 1
    listed = [finding["rule"] for finding in file["findings"]]
    assert listed.count("model/dangling-input") == listed.count("model/duplicate-name") == 1000
    assert file["unlisted"] == [
        {"rule": "model/dangling-input", "severity": "error", "count": COUNT - 1000},
        {"rule": "model/duplicate-name", "severity": "warning", "count": COUNT - 1 - 1000},
    ]
    assert report["counts"]["error"] == COUNT
    whole = json.loads(ran("--format", "json", "--all")[1])
    assert "unlisted" not in whole["files"][0]
    assert whole["counts"] == report["counts"]
    assert (
        sum(finding["rule"] == "model/dangling-input" for finding in whole["files"][0]["findings"]) == COUNT
    )


def test_every_format_says_how_many_more(ran: Ran, tmp_path: Path) -> None:
    forms = ("concise", "sarif", "github", "gitlab", "junit", "markdown")
    reports = [word for form in forms for word in ("--output-format", f"{form}={tmp_path / form}")]
    status, rich = ran(*reports)
    assert status == 1
    for form in forms:
        text = (tmp_path / form).read_text("utf-8")
        assert f"{COUNT - 1000} findings more of model/dangling-input; --all lists them" in text or (
            form == "markdown" and f"{COUNT} times" in text
        )
    concise = (tmp_path / "concise").read_text("utf-8")
    assert f"{COUNT} errors" in concise.splitlines()[-1]
    assert f"{COUNT - 1} can be fixed" in concise.splitlines()[-1]
    ran("--all", *reports)
    for form in forms:
        assert "--all lists them" not in (tmp_path / form).read_text("utf-8")
    assert f"error model/dangling-input  {COUNT} times" in rich
    assert f"+ {COUNT - 3} more like these (--all lists them)" in rich


def test_what_is_not_listed_is_ignored_and_fails_all_the_same(ran: Ran, tmp_path: Path) -> None:
    ignore = '[[ignores]]\nrule = "model/dangling-input"\nreason = "known"\n'
    (tmp_path / "dlclint.toml").write_text(ignore, "utf-8")
    status, text = ran("--format", "json")
    file = json.loads(text)["files"][0]
    assert status == 0
    assert file["ignored"] == COUNT
    assert "model/dangling-input" not in {
        finding["rule"] for finding in (*file["findings"], *file.get("unlisted", ()))
    }
    assert file["verdict"]["converts"]["word"] == "no"  # whatever is reported
    (tmp_path / "dlclint.toml").write_text(f'{ignore}tensor = "ghost[0-9]*"\n', "utf-8")
    assert json.loads(ran("--format", "json")[1])["files"][0]["ignored"] == COUNT
    (tmp_path / "dlclint.toml").write_text(f'{ignore}tensor = "ghost?"\n', "utf-8")  # the ten first
    status, text = ran("--format", "json")
    file = json.loads(text)["files"][0]
    assert (status, file["ignored"]) == (1, 10)
    assert file["unlisted"][0]["count"] == COUNT - 10 - 1000


def test_a_file_name_is_not_a_workflow_command(
    ran: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("::error title=x::x.onnx", "##[error]x.onnx"):
        (tmp_path / "m.onnx").rename(tmp_path / name)
        main(["check", name, "--format", "concise"])
        shown = capsys.readouterr().out
        assert not any(line.startswith("::") for line in shown.splitlines())
        assert "##[" not in shown
        (tmp_path / name).rename(tmp_path / "m.onnx")


def test_a_wrapped_name_is_not_a_workflow_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every width of the text ahead, so that each place of the name is once at the start of a line."""
    for width in range(60, 100):
        name = f"{'x' * width} ::error title=x::y"
        path = tmp_path / "w.onnx"
        body = helper.make_graph(
            [helper.make_node("Det", ["x"], ["y"], name=name)],
            "g",
            [helper.make_tensor_value_info("x", 1, [1, 2, 2])],
            [helper.make_tensor_value_info("y", 1, [1])],
        )
        path.write_bytes(helper.make_model(body).SerializeToString())
        main(["check", str(path), "--isolated"])
        shown = capsys.readouterr().out
        assert "error title=x" in " ".join(shown.split())
        assert not any(line.lstrip().startswith("::") for line in shown.splitlines())
