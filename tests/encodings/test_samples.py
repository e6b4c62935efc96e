"""Files that no one in this project wrote: genuine exports with their models, and what people quoted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dlclint.analysis.placement import placements
from dlclint.diagnostic import Severity
from dlclint.encodings.convert import CannotConvert, TensorFacts, convert
from dlclint.encodings.reading import read_bytes, read_encodings
from dlclint.engine.fix.overrides import fix_overrides
from dlclint.engine.job import Job
from dlclint.engine.run import lint_file
from dlclint.model.reading import read

ROOT = Path(__file__).parent.parent.parent
SHARED = ROOT.parent / "shared" / "samples"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="no samples beside this checkout")
GENUINE = {
    "rfb320_w16a16_v79_1.0.0.encodings": "ultraface_rfb_320.onnx",
    "yunet_n_w8a16_v73_0.6.1.encodings": "yunet_n_320_320.onnx",
    "yunet_n_w8a16_v73_2.0.0.encodings": "yunet_n_320_320.onnx",
}
TABLE = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (ROOT / "docs" / "encodings.md")
    .read_text("utf-8")
    .partition("## Files quoted")[2]
    .splitlines()
    if line.startswith("| `")
]
QUOTED = {cells[0].strip("`"): cells[2] for cells in TABLE}


def said(path: Path) -> str:
    """The rules of a file's findings by severity, as the docs write them."""
    findings = lint_file(Job(path, kind="encodings")).diagnostics
    parts = []
    for severity in Severity:
        rules = sorted(
            {finding.rule.partition("/")[2] for finding in findings if finding.severity is severity}
        )
        if rules:
            parts.append(f"{severity.value}: {', '.join(rules)}")
    return "; ".join(parts) or "nothing"


def test_the_docs_mention_every_file() -> None:
    present = {path.name for path in (SHARED / "encodings").iterdir()} - {"PROVENANCE.tsv"}
    assert present == QUOTED.keys() | GENUINE.keys()


@pytest.mark.parametrize("name", QUOTED)
def test_quoted_file_gets_what_the_docs_say(name: str) -> None:
    assert said(SHARED / "encodings" / name) == QUOTED[name]


@pytest.mark.parametrize("name", GENUINE)
def test_genuine_file_with_its_model(name: str) -> None:
    job = Job(SHARED / "encodings" / name, kind="encodings", model=SHARED / "models" / GENUINE[name])
    findings = {(finding.severity.value, finding.rule) for finding in lint_file(job).diagnostics}
    # The dead channel of yunet_n and the names of the folded rfb320 are there: neither is a false alarm.
    # A dead channel of YuNet's has a scale of 1.19e-07, which HTP saturates with 16-bit activations.
    names = ("range-too-small", "unknown-tensor", "channel-saturates")
    real = {("warning", f"encodings/{name}") for name in names}
    assert {finding for finding in findings if finding[0] != "info"} <= real
    assert {rule for _, rule in findings - real} <= {
        "encodings/coverage",
        "encodings/per-channel-consumer",
        "precision/bias-bits",
        "precision/convert-inserted",
    }


@pytest.mark.parametrize("name", GENUINE)
@pytest.mark.parametrize("version", ["0.6.1", "1.0.0", "2.0.0"])
def test_genuine_file_there_and_back(name: str, version: str) -> None:
    document = read_encodings(SHARED / "encodings" / name)
    placed = placements(read(SHARED / "models" / GENUINE[name]))
    for row, tensor in enumerate(document.tensors.names):
        # The model next to rfb320 is the one before folding: what would be reported on the folded weights.
        is_param = document.section_of(row).name == "param_encodings"
        placed.setdefault(tensor, TensorFacts(is_param, 0, int(document.tensors.count[row])))
    whole = json.loads(document.source.text)
    lossy = False
    try:
        text = convert(document, version, placed)
    except CannotConvert as error:
        assert (error.losses, version) == (["quantizer_args has no place in 2.0.0"], "2.0.0")
        lossy = True
        del whole["quantizer_args"]
        text = convert(document, version, placed, lossy)
    back = convert(read_bytes(text.encode(), Path("there.encodings")), document.version or "", placed)
    assert json.loads(back) == whole


def test_offset_of_issue_2468_is_found_and_fixed(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    shutil.copy(SHARED / "encodings" / "aimet_issue_2468_offset_-127.json", path)
    rule = "encodings/symmetric-offset"
    findings = [
        finding for finding in lint_file(Job(path, kind="encodings")).diagnostics if finding.rule == rule
    ]
    assert [finding.evidence["offset"] for finding in findings] == [-127, 0]
    assert all("Invalid offset overridden" in str(finding.source) for finding in findings)
    fixed = fix_overrides(Job(path, kind="encodings"), False)
    assert not fixed.after[Severity.ERROR]
    for entries in json.loads(fixed.text_after)["param_encodings"].values():
        for entry in entries:
            expected = -128 if entry["is_symmetric"] == "True" else round(entry["min"] / entry["scale"])
            assert entry["offset"] == expected


def test_offset_of_issue_4053_is_right() -> None:
    findings = lint_file(
        Job(SHARED / "encodings" / "aimet_issue_4053_offset_-215.json", kind="encodings")
    ).diagnostics
    assert {finding.rule for finding in findings} == {"encodings/missing-section", "encodings/version"}
