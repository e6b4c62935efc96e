"""Every name of every chip leads to it, near misses are suggested, and the facts are the table's."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlclint.cli.main import main
from dlclint.confirm.process import NotAvailable
from dlclint.confirm.socs import asked_soc
from dlclint.socs import UnknownSoc, all_socs, find_socs, measured_of, near_names, resolve_soc, row_of
from dlclint.target import Runtime
from dlclint_schemas.devices import device_table

LISTED = [soc for soc in all_socs() if soc.listed]


def test_a_soc_for_every_row() -> None:
    assert [row_of(soc) for soc in LISTED] == list(device_table().rows)
    assert len(LISTED) == 45


@pytest.mark.parametrize("soc", all_socs(), ids=lambda soc: soc.name)
def test_every_name_leads_to_its_chip(soc: object) -> None:
    row = row_of(soc)  # type: ignore[arg-type]
    names = [soc.name, soc.marketing] if row is None else [row.soc, *row.socs, *row.also, row.name]  # type: ignore[attr-defined]
    for name in filter(None, names):
        assert soc in find_socs(name), name
        assert soc in find_socs(name.lower()), name


def test_counts_of_the_document() -> None:
    """80-63442-2 Rev BL, Overview: 2 without Hexagon, 21 v66, 6 v68, 5 v69, 8 v73, 2 v75, 1 v79."""
    count = {
        version: sum(soc.hexagon == version for soc in LISTED) for version in (None, 66, 68, 69, 73, 75, 79)
    }
    assert count == {None: 2, 66: 21, 68: 6, 69: 5, 73: 8, 75: 2, 79: 1}
    assert sum(Runtime.AIP in soc.runtimes for soc in LISTED) == 8
    assert sum(Runtime.GPU not in soc.runtimes for soc in LISTED) == 5


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SM8650", "SM8650"),
        ("sm8650", "SM8650"),
        ("8650", "SM8650"),
        ("SD 8 Gen 3", "SM8650"),
        ("snapdragon-8-gen-3", "SM8650"),
        ("8 plus Gen 1", "SM8475"),
        ("8 Gen 1", "SM8450"),
        ("888+", "SM8350P"),
        ("Snapdragon 888 5G", "SM8350"),
        ("865", "SM8250"),
        ("SDM865", "SM8250"),
        ("SM6325", "SM4350/6325"),
        ("QCS6490", "QCM6490"),
        ("6490", "QCM6490"),
        ("8 Elite", "SM8750"),
        ("SM8850", "SM8850"),
        ("QRB5165", "QRB5165U, QRB5165LE"),
        ("sm8950", "SM8950"),
        ("X Elite", "SC8380XP"),
        ("Snapdragon X2 Elite Compute Platform", "SC8480XP"),
        ("SA8775", "SA8255"),
        ("sa8775p", "SA8255"),
        ("SA8295P", "SA8295"),
        ("SXR1230", "SXR1230P"),
        ("RB3 Gen 2", "QCM6490"),
        ("Qualcomm Dragonwing RB3 Gen 2", "QCM6490"),
        ("QCS6490 (Proxy)", "QCM6490"),
        ("Rubik Pi 3", "QCM6490"),
        ("IQ-9075", "QCS9100"),
        ("QCS8275", "QCS8300"),
        ("QCS9075 / IQ-9075", "QCS9100"),
        ("IQ-X7181, Snapdragon X Elite", "SC8380XP"),
        ("RVC4", "QCS8550LA/QCM8550LA, QCS8550LE/QCM8550LE"),
        ("Samsung Galaxy S25", "SM8750"),
        ("8 Elite Gen 6", "SM8950"),
        ("8 Gen 5", "SM8845"),
        ("Q-7790", "SM7750, CQ7790M"),
    ],
)
def test_spelling(text: str, name: str) -> None:
    assert resolve_soc(text).name == name


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("XR2 Gen 2", {"SXR2230P", "SXR2250P"}),
        ("sm865", {"SM8650", "SM8635", "865"}),
        ("8", set()),
        ("8cx", {"Snapdragon 8cx Gen 2", "Snapdragon 8cx Gen 3", "Snapdragon 8cx Gen 4"}),
        ("no such chip", set()),
        ("X Elit", {"Snapdragon X Elite", "Snapdragon X2 Elite", "Snapdragon X Elite CRD"}),
        ("SA8776", {"SA8775", "SA8787", "SA8797"}),
        ("", set()),
    ],
)
def test_not_settled(text: str, candidates: set[str]) -> None:
    with pytest.raises(UnknownSoc) as problem:
        resolve_soc(text)
    assert set(problem.value.candidates) == candidates


def test_names_of_two_chips_are_none() -> None:
    assert find_socs("SM8550 / QCS6490") == ()


@given(st.text(max_size=40))
def test_any_text_is_a_chip_or_unknown(text: str) -> None:
    try:
        soc = resolve_soc(text)
    except UnknownSoc as problem:
        assert len(problem.candidates) < 10
    else:
        assert find_socs(text)
        assert pickle.loads(pickle.dumps(soc)) == soc


def test_what_lacks_is_never_what_it_has() -> None:
    for soc in all_socs():
        assert not any(soc.lacks(runtime) for runtime in soc.runtimes)
        assert soc.lacks(Runtime.HTP) == (soc.hexagon is None or soc.hexagon < 68)
        assert soc.lacks(Runtime.DSP) == (soc.hexagon != 66)
        assert soc.fp16 is None or Runtime.HTP in soc.runtimes


def test_every_measured_soc_and_every_alias_leads_to_one() -> None:
    table = device_table()
    assert len(table.measured) == 109
    for name, measured in table.measured.items():
        assert [measured_of(soc).id for soc in find_socs(name)] == [measured.id] * len(find_socs(name)), name  # type: ignore[union-attr]
        for alias in measured.also:
            assert measured in map(measured_of, find_socs(alias)), alias


def test_near_names_stay_in_the_product_line() -> None:
    assert not any("8 Elite" in name for name in near_names("X Elite 2"))
    assert all(name.startswith("SA") for name in near_names("SA8799"))


def test_a_chip_without_htp_is_not_asked_about() -> None:
    for soc in all_socs():
        measured = measured_of(soc)
        if measured is not None and not (measured.is_htp and measured.compiles):
            with pytest.raises(NotAvailable):
                asked_soc(
                    replace(soc, hexagon=None) if soc.hexagon is not None and soc.hexagon >= 68 else soc
                )


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["soc", "SD", "8", "Gen", "3"]) == 0
    assert capsys.readouterr().out == (
        "SM8650 (SD 8 Gen 3)\n"
        "  Hexagon v75\n"
        "  also called Samsung Galaxy S24\n"
        "  runtimes: cpu, gpu, gpu_float16, htp\n"
        "  lacks: dsp, aip\n"
        "  layer table: column htp holds for its Hexagon\n"
        "  quantized on htp: 8- and 16-bit activations; 16-bit weights are taken\n"
        "  float16 on htp: taken (measured with QNN 2.51.0 (onnxruntime-qnn 2.7.0))\n"
        "  VTCM: 8 MiB (executorch 1.5.1, qc_schema.py)\n"
        "  soc_model 57 in QNN's options\n"
        "  toolchains: aarch64-android\n"
        "  source: 80-63442-2 Rev BL, Overview, Supported Snapdragon Devices, row 2\n"
    )
    assert main(["soc", "XR2 Gen 2"]) == 0
    both = capsys.readouterr().out
    assert "SXR2230P" in both
    assert "SXR2250P" in both
    assert main(["soc"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(any(line.startswith(soc.name) for line in lines) for soc in LISTED)
    assert main(["soc", "sm8651"]) == 2
    assert "unknown SoC 'sm8651'; did you mean SM8650 or " in capsys.readouterr().err
