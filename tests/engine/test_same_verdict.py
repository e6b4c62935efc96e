"""What is shown never changes the verdict, the matrix or the exit status of other findings."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper, parser

from dlclint.diagnostic import Severity
from dlclint.engine.ignores import Ignore
from dlclint.engine.job import Job
from dlclint.engine.registry import all_rules
from dlclint.engine.run import lint_file
from dlclint.outcome import FileOutcome, Outcome
from dlclint.own_rules import UNUSED_IGNORE
from dlclint.socs import resolve_soc
from dlclint.target import DlcKind, Runtime, Target

NETWORKS = {
    "refused": """g (float[N,3,8,8] x, bool[8] keep) => (float[N] d, float[N,3,8,8] y) {
        e = Erf(x) r = Relu(e) y = PRelu(r, slope) d = ReduceMean<keepdims = 0, axes = [1, 2, 3]>(y)
        c = Compress<axis = 0>(r, keep) s = Shape(c)
    }""",
    "at risk": """g (float[1,4,8] x) => (float[1,8,8] y) {
        s = Sigmoid(x) t = Tanh(x) b = Mul(t, size) y = Concat<axis = 1>(s, b) }""",
    "cut": "g (float[1,4,8,8] x) => (float[1,4,8,8] y) { a = Relu(x) b = Softplus(a) y = Relu(b) }",
}
TARGETS = (
    Target(),
    Target((Runtime.HTP,), kind=DlcKind(quantize=True, stated=True)),
    Target((), resolve_soc("SM8650"), DlcKind(quantize=True, stated=True)),
)
SELECTORS = sorted({rule.family for rule in all_rules()} | {rule.id for rule in all_rules()})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models_folder = tmp_path_factory.mktemp("verdicts")
    for name, body in NETWORKS.items():
        proto = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {body}')
        for tensor, value in (("slope", np.full((3, 1, 1), 0.1)), ("size", np.array(640.0))):
            if f"{tensor})" in body:
                proto.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), tensor))
        (models_folder / f"{name}.onnx").write_bytes(proto.SerializeToString())
    return models_folder


@cache
def whole(path: Path, target: Target) -> FileOutcome:
    return lint_file(Job(path, target))


@given(
    name=st.sampled_from(sorted(NETWORKS)),
    target=st.sampled_from(TARGETS),
    chosen=st.lists(st.sampled_from(SELECTORS), max_size=3),
    ignored=st.lists(st.sampled_from(SELECTORS), max_size=3),
    severities=st.dictionaries(st.sampled_from(SELECTORS), st.sampled_from(Severity), max_size=3),
    ignores=st.lists(st.sampled_from(SELECTORS), max_size=2, unique=True),
    listed=st.sampled_from([None, 50]),
)
@settings(max_examples=40)
def test_what_is_shown_decides_nothing(
    folder: Path,
    name: str,
    target: Target,
    chosen: list[str],
    ignored: list[str],
    severities: dict[str, Severity],
    ignores: list[str],
    listed: int | None,
) -> None:
    path = folder / f"{name}.onnx"
    plain = whole(path, target)
    job = Job(
        path, target, select=tuple(chosen), ignore=tuple(ignored), severities=tuple(severities.items()),
        ignores=tuple(Ignore(rule, "a test") for rule in ignores), listed=listed,
    )  # fmt: skip
    shown = lint_file(job)
    assert plain.verdict is not None and shown.verdict is not None
    for part in ("judged_for", "converts", "runs", "accuracy"):
        assert getattr(shown.verdict, part) == getattr(plain.verdict, part)
    assert (shown.support, shown.partitions) == (plain.support, plain.partitions)
    # Every finding that is reported both times is the same but for its severity and its cause.
    known = {(finding.rule, finding.location, finding.message) for finding in plain.diagnostics}
    told = {(finding.rule, finding.location, finding.message) for finding in shown.diagnostics}
    assert {verdict_key for verdict_key in told if verdict_key[0] != UNUSED_IGNORE} <= known
    for lowest in Severity:
        for fail_on in Severity:
            cut = Outcome("", (shown.from_severity(lowest),), fail_on)
            assert cut.failed == Outcome("", (shown,), fail_on).failed
