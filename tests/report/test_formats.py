"""Every format of the same findings, pinned whole; machine formats against their schemas."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dlclint.report
from dlclint.analysis.subnets import Border, Costliest, Partition, Subnet
from dlclint.analysis.support import Blocker, RuntimeSupport, SupportMatrix
from dlclint.diagnostic import Confidence, Diagnostic, Location, Severity, Source, first_few, plain
from dlclint.outcome import FileOutcome, ModelSummary, Outcome
from dlclint.report.json.check import check_report
from dlclint.report.render import FORMATS, render
from dlclint.target import DlcKind, Runtime, Soc, Target
from dlclint.writing import write_whole

SNAPSHOTS = Path(__file__).parent.parent / "snapshots"
SARIF_SHA256 = "c3b4bb2d6093897483348925aaa73af03b3e3f4bd4ca38cef26dcb4212a2682e"
"""As NOTICE.md next to the schema states."""
Validate = Callable[[str, Any], None]


def diagnostic(index: int, message: str = "Det is not in the supported-ops table") -> Diagnostic:
    return Diagnostic(
        "ops/unsupported",
        Severity.ERROR,
        message,
        Location("models/a b.onnx", "", f"det_{index}", index, "Det", f"t{index}"),
        Confidence.DOCUMENTED,
        Source("a document", "row Det"),
        "move it out of the model",
        {"ratio": float("inf"), "nodes": 7},
    )


def outcome() -> Outcome:
    markup = Diagnostic("batch/symbolic", Severity.WARNING, "[red]x[/red] <b>", Location("models/a b.onnx"))
    summary = ModelSummary(12, 3, 1_234_567, {"": 17}, ("x: float[N,3]",), 12, True)
    row = RuntimeSupport(Runtime.CPU, 2, 9, (Blocker("Det", 7, "not in the table", True),), "float", 0)
    diagnostics = (*(diagnostic(i) for i in range(7)), markup)
    file = FileOutcome(
        "models/a b.onnx", "model", Target(), diagnostics, 1, ("a note",), summary, SupportMatrix((row,))
    )
    cut = Partition(
        Runtime.HTP,
        (
            Subnet(True, 30, "conv1", (("Conv", 20), ("Relu", 10))),
            Subnet(False, 2, "soft", (("Softplus", 2),)),
            Subnet(True, 8, "conv2", (("Conv", 8),)),
        ),
        (Border(1, 401_408, 0), Border(2, 802_816, 1)),
        Costliest("Softplus", 2, 2),
        1,
        0,
    )
    whole = Partition(Runtime.GPU, (Subnet(True, 41, "conv1", (("Conv", 41),)),), (), None, 0, 1)
    soc = Soc("SM8650", "SD 8 Gen 3", 75, (Runtime.CPU, Runtime.HTP), True, "measured")
    target = Target((Runtime.HTP, Runtime.GPU), soc, DlcKind(True, 16, stated=True))
    clean = FileOutcome("clean.onnx", "model", target, (), partitions=(cut, whole))
    titles = {"ops/unsupported": "The op is not in the table."}
    return Outcome("0.0", (file, clean), Severity.ERROR, titles, 0.25)


@pytest.mark.parametrize("form", FORMATS["check"])
def test_snapshot(form: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlclint.report.sarif.check.REPOSITORY", "")  # a release has one
    path = SNAPSHOTS / f"report.{form}.txt"
    text = render("check", form, outcome(), None)
    if form == "html":  # what every page has in common is not pinned: styles, scripts, and their hashes
        text = re.sub(r"(<style>|<script>).*?(?=</style>|</script>)", r"\1", text, flags=re.S)
        text = re.sub(r" &#39;sha256-[^&]+&#39;", "", text)
    if request.config.getoption("--update-snapshots"):
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


def _pyarrow_fails() -> bool:
    """pyarrow is not installed, or does not go with an old NumPy."""
    try:
        import_module("pyarrow")
    except ImportError:
        return True
    return False


def test_each_format_is_a_folder_with_a_module_for_each_of_its_commands() -> None:
    reports = Path(dlclint.report.__file__).parent
    modules = {(path.parent.name, path.stem) for path in reports.glob("*/*.py") if path.stem != "__init__"}
    renderers = {(form, command) for command, forms in FORMATS.items() for form in forms}
    assert renderers <= modules
    assert {form for form, _ in renderers} == {form for form, _ in modules}
    for form, command in renderers - ({("parquet", "zoo")} if _pyarrow_fails() else set()):
        assert callable(import_module(f"dlclint.report.{form}.{command}").render)
    with pytest.raises(ValueError, match="plan has no format sarif"):
        render("plan", "sarif", None, None)


def test_json_against_its_schema(validate: Validate) -> None:
    written = json.loads(render("check", "json", outcome(), None))
    validate("json", written)
    written["files"][0]["extra"] = 1
    with pytest.raises(jsonschema.ValidationError):
        validate("json", written)
    assert check_report(outcome())["counts"] == {"error": 7, "warning": 1, "info": 0}


def test_sarif_schema_is_the_official_one() -> None:
    path = Path(__file__).parent / "sarif-2.1.0" / "sarif-schema-2.1.0.json"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SARIF_SHA256


def test_sarif_against_the_official_schema(validate: Validate) -> None:
    written = json.loads(render("check", "sarif", outcome(), None))
    validate("sarif", written)
    written["runs"][0]["results"][0]["level"] = "fatal"
    with pytest.raises(jsonschema.ValidationError):
        validate("sarif", written)


@given(
    name=st.text(max_size=60),
    path=st.text(min_size=1, max_size=60),
    line=st.integers(0, 3),
    absolute=st.booleans(),
)
def test_sarif_of_any_names(validate: Validate, name: str, path: str, line: int, absolute: bool) -> None:
    location = Location(
        f"/{plain(path)}" if absolute else plain(path), plain(name), plain(name), 0, plain(name), plain(name)
    )
    location = replace(location, line=line or None, column=line or None)
    changed = replace(diagnostic(0, plain(f"{name} [x](http://y) {{0}}")), location=location)
    file = replace(outcome().files[0], diagnostics=(changed,))
    written = json.loads(render("check", "sarif", replace(outcome(), files=(file,)), None))
    validate("sarif", written)
    (result,) = written["runs"][0]["results"]
    # Section 3.11: placeholders and links have no say in what comes from a model.
    assert not re.search(r"(?<!\{)\{\d", result["message"]["text"])
    assert "](" not in result["message"]["text"]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri.startswith("file:///") == (absolute or path.startswith("/"))


@given(st.text(max_size=300))
def test_plain_is_one_harmless_line(text: str) -> None:
    line = plain(text)
    assert line.isprintable()
    assert len(line.splitlines()) <= 1


def test_write_whole_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "\ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    write_whole(path, "new")
    assert path.read_text() == "new"


def test_write_whole_keeps_pipes_and_links(tmp_path: Path) -> None:
    """What is not a file of its own, such as /dev/null, must not become one."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(pipe, "text")
        assert os.read(reader, 100) == b"text"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "pipe"]


def test_sarif_links_to_what_there_is(monkeypatch: pytest.MonkeyPatch, validate: Validate) -> None:
    cited = {
        "acme/rule": "acme/tools#7, a thread",
        "cle/branch": "80-63442-2 Rev BL, Quantized vs Non-Quantized Models",
        "ops/unsupported": "80-63442-2 Rev BL, Supported ONNX Ops",
        "shapes/contradiction": "ONNX specification",
    }
    diagnostics = tuple(
        replace(diagnostic(0), rule=rule, source=Source(text, "")) for rule, text in cited.items()
    )
    cited_outcome = replace(
        outcome(),
        files=(FileOutcome("m", "model", Target(), diagnostics),),
        pages=frozenset(cited) - {"acme/rule"},
    )

    def driver() -> dict[str, Any]:
        written = json.loads(render("check", "sarif", cited_outcome, None))
        validate("sarif", written)
        (run,) = written["runs"]
        assert isinstance(run["tool"]["driver"], dict)
        return run["tool"]["driver"]

    def links() -> dict[str, str | None]:
        return {rule["id"]: rule.get("helpUri") for rule in driver()["rules"]}

    thread, docs = "https://github.com/acme/tools/issues/7", "https://docs.qualcomm.com/doc/80-63442-2/topic"
    monkeypatch.setattr("dlclint.report.sarif.check.REPOSITORY", "")
    assert links() == {
        "acme/rule": thread,
        "cle/branch": f"{docs}/quantized_models.html",
        "ops/unsupported": f"{docs}/supported_onnx_ops.html",
        "shapes/contradiction": None,
    }
    assert "informationUri" not in driver()
    monkeypatch.setattr("dlclint.report.sarif.check.REPOSITORY", "https://example.org/o/n")
    page = f"https://example.org/o/n/blob/v{cited_outcome.version}/docs/rules"
    own = {rule: f"{page}/{rule}.md" for rule in cited if rule != "acme/rule"}
    assert links() == {"acme/rule": thread, **own}  # no page of dlclint's is about a plugin's rule


def test_the_first_few() -> None:
    texts = ["a", "b", "c", "d", "e"]
    assert first_few(texts, 5) == "a, b, c and 2 more"
    assert first_few(texts[:3], 3) == "a, b, c"
    assert first_few([], 0) == ""
    # After a sentence of its own, a comma would join the number with the last one.
    assert first_few(texts, 5, 1, "; ") == "a; and 4 more"
    # What is not named counts, whether or not its text is known.
    assert first_few(iter(texts[:1]), 7, 2) == "a and 6 more"
