"""Which rules read weights, which `--no-weights` makes silent."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from dlclint.cli.jobs import config_of, jobs_of
from dlclint.cli.main import parser
from dlclint.engine.job import Job
from dlclint.engine.registry import all_rules
from dlclint.engine.run import lint_file, lint_local
from dlclint.model.tensors import ChunkReader, Tensor
from dlclint.rule import Rule

FIXTURES = Path(__file__).parents[1] / "fixtures"
PARAMETERS = 2
"""Axes from which on a float tensor is a weight, not a bound or a scale that belongs to the structure."""


def reads(path: Path, rule: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a rule reads a weight of a fixture."""
    touched: list[str] = []

    def touch(tensor: Tensor) -> None:
        if len(tensor.shape) >= PARAMETERS and tensor.data_type in (1, 10, 11, 16):
            touched.append(tensor.name)

    array, chunks = Tensor.array, ChunkReader.chunks
    with monkeypatch.context() as patch:
        patch.setattr(Tensor, "array", lambda self: (touch(self), array(self))[1])
        patch.setattr(ChunkReader, "chunks", lambda self, tensor: (touch(tensor), chunks(self, tensor))[1])
        model = path.with_suffix(".onnxtxt")
        first = model.read_text("utf-8").partition("\n")[0] if model.exists() else ""
        options = shlex.split(first[1:]) if first.startswith("#") else []
        args = parser("check").parse_args(["check", "--isolated", *options, str(path)])
        for job in jobs_of(args, config_of(args), [rule], []):
            # What decides a verdict is looked at whatever is selected; here the rule alone counts.
            monkeypatch.setattr("dlclint.engine.models._hidden", lambda *_: [])
            monkeypatch.setattr("dlclint.engine.models._overview", lambda *_: {"support": None})
            monkeypatch.setattr("dlclint.engine.models.model_verdict", lambda *_: None)
            lint_local(replace(job, select=(rule,), names=()))
    return bool(touched)


RULES = [rule for rule in all_rules() if rule.id != "model/crashes-onnx"]  # its fixtures need a worker


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_that_reads_weights_says_so(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FIXTURES)
    bad = [path for path in sorted((FIXTURES / rule.id).glob("bad*")) if path.suffix in (".onnxtxt", ".json")]
    if any(reads(path.relative_to(FIXTURES), rule.id, monkeypatch) for path in bad):
        assert rule.weights


def test_weights_are_withheld_and_the_silent_rules_are_named(tmp_path: Path) -> None:
    weight = np.ones((64, 64), np.float32)
    weight[0] = np.nan
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", 1, [1, 64])],
        [onnx.helper.make_tensor_value_info("y", 1, [1, 64])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    path = tmp_path / "m.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)]), path)
    read, withheld = (lint_file(Job(path, weights=allowed)) for allowed in (True, False))
    assert "model/non-finite-weights" in {finding.rule for finding in read.diagnostics}
    assert "model/non-finite-weights" not in {finding.rule for finding in withheld.diagnostics}
    (note,) = (note for note in withheld.notes if "--no-weights" in note)
    assert "model/non-finite-weights" in note and "ops/not-listed" not in note
    assert not any("--no-weights" in note for note in read.notes)
