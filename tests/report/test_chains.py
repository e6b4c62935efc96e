"""Causes stand before what follows from them, in one order for every format."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import parser

from dlclint.chains import Stage, chains, one_for_each_cause, report_order, stage_of
from dlclint.cli.main import main
from dlclint.diagnostic import About, Cause, Diagnostic, Location, Reach, Severity
from dlclint.engine.causes import with_causes
from dlclint.engine.registry import all_rules

COMPRESS = """<ir_version: 8, opset_import: ["" : 17]>
g (float[8] x, bool[8] keep) => (int64[1] n) { y = Compress<axis = 0>(x, keep) n = Shape(y) }"""
DYNAMIC = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,8] x) => (float[1,4] z) {
  q, s, p = DynamicQuantizeLinear(x) w = Constant<value = uint8[8,4] {%s}>()
  i = MatMulInteger(q, w, p) c = Cast<to = 1>(i) z = Mul(c, s)
}""" % ", ".join("1" * 32)  # noqa: UP031  (braces of ONNX's text form)


def finding(
    rule: str, node: int | None = 0, severity: Severity = Severity.ERROR, about: About = About.CONVERSION
) -> Diagnostic:
    return Diagnostic(rule, severity, f"{rule} at {node}", Location("m", node_index=node), about=about)


findings = st.builds(
    finding,
    st.sampled_from(["a/a", "b/b", "c/c", "d/d"]),
    st.none() | st.integers(0, 3),
    st.sampled_from(Severity),
    st.sampled_from(About),
)


@given(
    st.lists(findings, max_size=12, unique_by=lambda reported: (reported.rule, reported.location.node_index)),
    st.data(),
)
def test_every_finding_is_listed_once_behind_its_cause(
    diagnostics: list[Diagnostic], data: st.DataObject
) -> None:
    places = [Cause(reported.rule, reported.location) for reported in diagnostics]
    diagnostics = [
        replace(entry, cause=data.draw(st.none() | st.sampled_from(places) if places else st.none()))
        for entry in diagnostics
    ]
    ordered = report_order(diagnostics)
    assert sorted(map(repr, ordered)) == sorted(map(repr, diagnostics))
    chained = chains(diagnostics)
    assert [chain.stage.rank for chain in chained] == sorted(chain.stage.rank for chain in chained)
    for chain in chained:
        for behind in chain.following:
            for follower in behind.findings:
                assert follower.cause in {Cause(each.rule, each.location) for each in chain.findings}
    assert report_order(ordered) == ordered


@given(st.lists(findings, max_size=12))
def test_without_causes_nothing_is_left_out(diagnostics: list[Diagnostic]) -> None:
    errors = [entry for entry in diagnostics if entry.severity is Severity.ERROR]
    kept = one_for_each_cause(diagnostics, lambda entry: entry.severity is Severity.ERROR)
    assert sorted(map(repr, kept)) == sorted(map(repr, errors))


def test_what_stops_conversion_stands_first() -> None:
    accuracy = finding("a/a", severity=Severity.WARNING, about=About.ACCURACY)
    speed = finding("a/b", severity=Severity.WARNING, about=About.ADVICE)
    running = finding("y/y", about=About.FORM)
    conversion = finding("z/z")
    note = finding("a/c", severity=Severity.INFO)
    assert report_order([note, speed, accuracy, running, conversion]) == (
        conversion,
        running,
        accuracy,
        speed,
        note,
    )
    assert [stage_of(entry) for entry in (conversion, running, accuracy, speed, note)] == [
        Stage.CONVERSION,
        Stage.RUNNING,
        Stage.ACCURACY,
        Stage.SPEED,
        Stage.NOTES,
    ]


def test_a_consequence_of_what_is_not_an_error_is_one_error() -> None:
    cause = finding("z/z", 9, Severity.WARNING)
    where = Cause(cause.rule, cause.location)
    behind = [replace(finding("a/a", node), cause=where) for node in range(3)]
    alone = finding("b/b", 5)
    errors = one_for_each_cause([cause, *behind, alone], lambda entry: entry.severity is Severity.ERROR)
    assert errors == [behind[0], alone]


def test_a_runtime_is_not_asked_what_the_converter_refuses() -> None:
    stop, form, elsewhere = (
        finding("a/a"),
        finding("b/b", about=About.FORM),
        finding("b/b", 1, about=About.FORM),
    )
    first, second, third = with_causes([stop, form, elsewhere], None)
    assert (first.cause, third.cause) == (None, None)
    assert second.cause == Cause("a/a", stop.location)


def test_rules_follow_from_rules_that_exist_and_not_in_circles() -> None:
    rules = {rule.id: rule for rule in all_rules()}
    assert sum(bool(rule.follows) for rule in rules.values()) > 20

    def leads_to(start: str, passed: frozenset[str] = frozenset()) -> set[str]:
        assert start not in passed, f"{start} follows from itself"
        return {start}.union(*(leads_to(next, passed | {start}) for next in rules[start].follows))

    for rule in rules.values():
        assert set(rule.follows) <= rules.keys()
        assert set(rule.follows.values()) <= set(Reach)
        leads_to(rule.id)


def report(path: Path, text: str, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    path.write_bytes(parser.parse_model(text).SerializeToString())
    main(["check", "--isolated", *options, str(path)])
    return capsys.readouterr().out


def test_a_length_that_data_decide(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = report(tmp_path / "m.onnx", COMPRESS, capsys, "--format", "json")
    rows = json.loads(text)["files"][0]["findings"]
    causes = {
        reported["rule"]: reported["cause"] is not None and rows[reported["cause"]]["rule"]
        for reported in rows
    }
    places = [reported["rule"] for reported in rows]
    assert causes["shapes/data-length"] in (False, "ops/unsupported")
    assert causes["ops/not-foldable"] == "shapes/data-length"
    assert places.index("shapes/data-length") < places.index("ops/not-foldable")


def test_every_format_has_the_same_chains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, options = tmp_path / "m.onnx", ("--runtime", "htp", "--quantize")
    rows = json.loads(report(path, DYNAMIC, capsys, *options, "--format", "json"))["files"][0]["findings"]
    behind = [entry for entry in rows if entry["cause"] is not None]
    assert [reported["rule"] for reported in behind] == ["ops/unsupported"] * 2
    assert {rows[entry["cause"]]["rule"] for entry in behind} == {"quantization/already-quantized"}
    concise = report(path, DYNAMIC, capsys, *options, "--format", "concise")
    (line,) = [line for line in concise.splitlines() if "already-quantized" in line]
    assert line.endswith("(help: export the float model) [+2 follow]")
    assert "ops/unsupported" not in concise and "(2 follow from others)" in concise
    whole = report(path, DYNAMIC, capsys, *options, "--format", "concise", "--all")
    assert whole.count("ops/unsupported") == 2
    rich = report(path, DYNAMIC, capsys, *options)
    assert rich.index("warning quantization/already-quantized") < rich.index("2 findings follow from it:")
    assert rich.index("2 findings follow from it:") < rich.index("error ops/unsupported  2 times")
    markdown = report(path, DYNAMIC, capsys, *options, "--format", "markdown")
    assert "  - 2 findings follow from it:\n    - **error** ops/unsupported, 2 times" in markdown
    (run,) = json.loads(report(path, DYNAMIC, capsys, *options, "--format", "sarif"))["runs"]
    related = [r["relatedLocations"] for r in run["results"] if r["ruleId"] == "ops/unsupported"]
    assert len(related) == 2
    assert all(each[0]["message"]["text"].startswith("follows from quantization/") for each in related)
    for form in ("github", "gitlab", "junit"):
        text = report(path, DYNAMIC, capsys, *options, "--format", form)
        assert text.count("follows from quantization/already-quantized") == 2, form


def test_the_verdict_counts_causes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = report(tmp_path / "m.onnx", DYNAMIC, capsys, "--runtime", "htp", "--quantize", "--format", "json")
    (file,) = json.loads(text)["files"]
    assert file["verdict"]["converts"]["word"] == "no"
    assert "more" not in file["verdict"]["converts"]["reason"]
    # Hiding the cause leaves the consequence, which then stands by itself; the verdict is the same.
    hidden = report(
        tmp_path / "m.onnx", DYNAMIC, capsys, "--runtime", "htp", "--quantize", "--format", "json",
        "--ignore", "quantization/already-quantized",
    )  # fmt: skip
    (other,) = json.loads(hidden)["files"]
    assert other["verdict"]["converts"]["word"] == "no"
    assert all(entry["cause"] is None for entry in other["findings"])


def test_an_override_file_names_the_node_of_the_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> g (float[1,4] x) => (float[1,4] y) { y = Relu(x) }"""
    entry = {"bitwidth": 8, "min": 0.0, "max": 1e-6, "scale": 1e-6 / 255, "offset": 0, "dtype": "int"}
    encodings = {"version": "0.6.1", "activation_encodings": {"y": [entry]}, "param_encodings": {}}
    (tmp_path / "m.encodings").write_text(json.dumps(encodings))
    model, overrides = json.loads(report(tmp_path / "m.onnx", text, capsys, "--format", "json"))["files"]
    (overridden,) = [i for i in overrides["findings"] if i["rule"] == "encodings/range-too-small"]
    (related,) = overridden["related"]
    assert (related["what"], related["location"]["op"]) == ("makes it", "Relu")
    assert related["file"] == model["path"] != overrides["path"]


def test_every_format_shows_both_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[1] / "fixtures")
    case = Path("encodings/bias-scale/bad_another.onnxtxt")
    forms = ("rich", "json", "sarif", "html", "markdown", "github", "junit")
    extra = [word for form in forms for word in ("--output-format", f"{form}={tmp_path / form}")]
    main(
        [
            "check",
            "--isolated",
            "--no-cache",
            "--encodings",
            str(case.with_suffix(".json")),
            *extra,
            str(case),
        ]
    )
    capsys.readouterr()
    texts = {form: (tmp_path / form).read_text("utf-8") for form in forms}
    for form in ("rich", "html", "markdown", "github", "junit"):
        assert "its weight: line 10, column 5" in texts[form], form
    rows = [listed for file in json.loads(texts["json"])["files"] for listed in file["findings"]]
    (both,) = [reported["related"] for reported in rows if reported["rule"] == "encodings/bias-scale"]
    assert [(other["what"], other["file"].endswith(".json")) for other in both] == [
        ("reads it", False), ("the op's input", True), ("its weight", True),
    ]  # fmt: skip
    (run,) = json.loads(texts["sarif"])["runs"]
    (result,) = [result for result in run["results"] if result["ruleId"] == "encodings/bias-scale"]
    weight = result["relatedLocations"][2]
    assert weight["message"]["text"].startswith("its weight: line 10")
    assert weight["physicalLocation"]["region"] == {"startLine": 10, "startColumn": 5}
