"""Ranges that HTP needs for an op: calibration, plan and search widen to them, and HTP computes the op."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_networks import SMALL_RANGES, saved

from dlclint.cli.main import main
from dlclint.simulate.scheme import grid_of_range
from dlclint_schemas.grid_limits import grid_limits

LIMITS = sorted(grid_limits())
WIDE = ["--act-bitwidth", "16", "--bias-bitwidth", "32"]


@given(st.sampled_from(LIMITS), st.floats(-100, 0), st.floats(0, 100), st.sampled_from([8, 16]))
def test_a_widened_grid_meets_the_limit(op: str, low: float, high: float, bits: int) -> None:
    limit, before = grid_limits()[op], grid_of_range(low, high, bits)
    wide = limit.widened(before.low, before.high, bits)
    assert wide[0] == before.low and wide[1] >= before.high
    assert (wide == (before.low, before.high)) == limit.is_met(before.low, before.high, bits)
    after = grid_of_range(*wide, bits)
    assert limit.is_met(after.low, after.high, bits)


@pytest.mark.parametrize("options", [[], WIDE, ["--target", "20dB"]], ids=["8 bits", "16 bits", "search"])
def test_simulation_keeps_the_limits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    path, file = saved(tmp_path, SMALL_RANGES), tmp_path / "o.json"
    main(["simulate", "--isolated", str(path), "--samples", "2", "--emit-overrides", str(file), *options])
    entries = json.loads(file.read_text())["activation_encodings"]
    capsys.readouterr()
    (v,), (z,) = entries["v"], entries["z"]
    assert v["max"] == pytest.approx(1, abs=0.01)
    assert grid_limits()["Log"].is_met(z["min"], z["max"], z["bitwidth"])
    assert z["bitwidth"] == 8 or z["max"] - z["min"] > 4


def test_plan_keeps_the_limits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, file = saved(tmp_path, SMALL_RANGES), tmp_path / "o.json"
    emit = ["--emit-overrides", str(file), "--estimated-activations"]
    main(["plan", "--isolated", "--soc", "SM8550", str(path), *emit])
    capsys.readouterr()
    entries = json.loads(file.read_text())["activation_encodings"]
    assert entries["v"][0]["max"] == pytest.approx(1, abs=0.01)
    command = ["check", "--isolated", "--runtime", "htp", "--quantize", "--encodings", str(file), str(path)]
    main([*command, "--select", "encodings/range-miscomputed"])
    assert "range-miscomputed" not in capsys.readouterr().out


@pytest.mark.skipif(find_spec("onnxruntime_qnn") is None, reason="onnxruntime-qnn is absent")
@pytest.mark.parametrize("options", [[], WIDE], ids=["8 bits", "16 bits"])
def test_htp_computes_what_the_documents_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    path = saved(tmp_path, SMALL_RANGES)
    command = ["simulate", "--isolated", str(path), "--samples", "2", "--soc", "SM8550", "--engine", "both"]
    main([*command, "--format", "json", *options])
    reference, htp = json.loads(capsys.readouterr().out)["files"][0]["engines"]
    for ours, theirs in zip(reference["outputs"], htp["outputs"], strict=True):
        assert theirs["sqnr"] > min(ours["sqnr"] - 6, 60)
