"""The search for the cheapest change: what it finds, what it remembers, what it says where nothing helps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from simulated_networks import YOLO, evaluator_of, inputs, saved, small_conv, unequal

from dlclint.cli.main import main
from dlclint.simulate.assigning import Settings, assign, leaders
from dlclint.simulate.inputs.samples import Samples
from dlclint.simulate.reference import observe
from dlclint.simulate.scheme import Scheme
from dlclint.simulate.search.biases import fit_biases
from dlclint.simulate.search.regions import Edge, GridGroup, edges, groups, order
from dlclint.simulate.search.searching import _fewest_of
from dlclint.simulate.search.trials import Goal, Journal, SchemeQuality, Trials


def simulate(path: Path, *arguments: str) -> int:
    return main(["simulate", "--isolated", str(path), "--samples", "3", *arguments])


def report(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    status = simulate(path, "--format", "json", *arguments)
    report_json = json.loads(capsys.readouterr().out)
    schema = resources.files("dlclint_schemas").joinpath("simulate-v1.schema.json").read_text("utf-8")
    jsonschema.Draft202012Validator(json.loads(schema)).validate(report_json)
    return status, report_json["files"][0]["search"]


def group(leader: str, may: bool = True, size: int = 1) -> GridGroup:
    return GridGroup(leader, tuple(f"{leader}{n}" for n in range(size)), may)


def test_scores_live_again_with_the_output_alone_at_16_bits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, file = saved(tmp_path, YOLO), tmp_path / "o.json"
    status, report_json = report(path, capsys, "--agreement", "0.9", "--emit-overrides", str(file))
    assert status == 0
    assert report_json["reached"] is True
    start, *_, last = report_json["steps"]  # type: ignore[misc, index]
    assert start["agreement"] < 0.6
    assert last["agreement"] >= 0.9
    assert last["change"] == "16 bits for 1 grid of outputs: out"
    entries = json.loads(file.read_text())["activation_encodings"]
    assert {name: entry[0]["bitwidth"] for name, entry in entries.items()} == {
        "boxes": 8, "logits": 8, "p": 8, "s": 8, "out": 16,
    }  # fmt: skip


def test_what_costs_nothing_comes_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = small_conv(tmp_path)
    status, report_json = report(path, capsys, "--target", "45dB")
    assert status == 0
    changes = [step["change"] for step in report_json["steps"]]  # type: ignore[index]
    assert changes[0] == "as it is"
    assert changes[1] == "weights of convolutions: a grid for each channel"
    assert report_json["sqnr"] >= 45  # type: ignore[operator]
    assert 0 < report_json["share_at_16_bits"] <= 1  # type: ignore[operator]
    assert report_json == report(path, capsys, "--target", "45")[1]


def test_a_target_that_is_there_already_costs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, report_json = report(small_conv(tmp_path), capsys, "--target", "10")
    assert [step["change"] for step in report_json["steps"]] == ["as it is"]  # type: ignore[index]


def test_a_lost_part_is_not_a_target_reached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, file = saved(tmp_path, YOLO), tmp_path / "o.json"
    for target in (("--target", "5dB"), ("--target", "20dB"), ("--agreement", "0.01")):
        status, report_json = report(path, capsys, *target, "--emit-overrides", str(file), "--overwrite")
        assert (status, report_json["reached"], report_json["lost"]) == (0, True, [])
        start, *_, last = report_json["steps"]  # type: ignore[misc, index]
        assert (start["sqnr"] < 10, start["lost"]) == (True, ["s in out"])
        assert last["change"] == "16 bits for 1 grid of outputs: out"
    assert simulate(path, "--encodings", str(file), "--format", "json") == 0
    (output,) = json.loads(capsys.readouterr().out)["files"][0]["engines"][0]["outputs"]
    assert [(part["tensors"], part["join"], part["sqnr"] > 30) for part in output["parts"]] == [
        (["p"], "out", True), (["s"], "out", True),
    ]  # fmt: skip


def test_what_cannot_be_reached_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, report_json = report(saved(tmp_path, YOLO), capsys, "--target", "150dB")
    assert (status, report_json["reached"]) == (1, False)
    assert "150 dB is not reached by any step: the best is" in report_json["notes"][0]  # type: ignore[index]
    assert simulate(tmp_path / "m.onnx", "--target", "150dB") == 1
    assert "search for 150 dB: not reached" in " ".join(capsys.readouterr().out.split())


def test_16_bit_weights_where_the_chip_takes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = small_conv(tmp_path)
    status, report_json = report(path, capsys, "--target", "60dB", "--soc", "sm8550")
    assert status == 0
    steps = report_json["steps"]  # type: ignore[index]
    assert any("at 16 bits, every activation too" in step["change"] for step in steps)
    status, report_json = report(path, capsys, "--target", "60dB", "--soc", "sm7325")
    assert status == 1
    notes = " ".join(report_json["notes"])  # type: ignore[call-overload]
    assert "16 need Hexagon v73, the chip has v68" in notes
    assert "no layer is tried in float: the chip has no float16 on HTP" in notes


def test_float_where_16_bits_do_not_suffice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, file = small_conv(tmp_path), tmp_path / "o.encodings"
    wanted = ("--target", "58dB", "--soc", "sm8350")
    status, report_json = report(path, capsys, *wanted, "--emit-overrides", str(file))
    assert status == 0
    last = report_json["steps"][-1]  # type: ignore[index]
    assert "float16 for" in last["change"]
    assert 0 < report_json["share_at_16_bits"] <= 1  # type: ignore[operator]
    entries = json.loads(file.read_text())
    floats = {
        (kind, name)
        for kind in ("activation_encodings", "param_encodings")
        for name, entry in entries[kind].items()
        if entry[0]["dtype"] == "float"
    }
    assert floats
    assert {kind for kind, _ in floats} == {"activation_encodings", "param_encodings"}
    # The file says what was found: simulated by itself it keeps as much.
    assert simulate(path, "--encodings", str(file), "--format", "json") == 0
    outputs = json.loads(capsys.readouterr().out)["files"][0]["engines"][0]["outputs"]
    assert outputs[0]["sqnr"] == pytest.approx(report_json["sqnr"], abs=0.1)
    # And no rule on override files has anything against it.
    assert main(["check", "--isolated", str(path), "--encodings", str(file), "--runtime", "htp"]) == 0


def test_equalization_on_a_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, file, copy = unequal(tmp_path), tmp_path / "o.encodings", tmp_path / "equal.onnx"
    before = path.read_bytes()
    wanted = ("--target", "30dB", "--emit-overrides", str(file), "--emit-equalized", str(copy))
    journal = ("--resume", str(tmp_path / "journal"))
    status, report_json = report(path, capsys, *wanted, *journal)
    assert status == 0
    assert report_json["equalized_pairs"] == 1
    changes = {step["change"]: step for step in report_json["steps"]}  # type: ignore[index]
    step = changes["1 pair of layers equalized (a copy)"]
    assert step["kept"]
    assert step["sqnr"] > changes["as it is"]["sqnr"] + 10
    assert step["dlc_bytes"] == 0
    assert path.read_bytes() == before
    # The file is that of the copy, on which it leaves what the search says.
    assert simulate(copy, "--encodings", str(file), "--format", "json") == 0
    outputs = json.loads(capsys.readouterr().out)["files"][0]["engines"][0]["outputs"]
    assert outputs[0]["sqnr"] == pytest.approx(report_json["sqnr"], abs=0.1)
    # An interrupted search has the same result.
    lines = (tmp_path / "journal").read_text().splitlines()
    for cut in (1, 2, len(lines) - 1):
        (tmp_path / "journal").write_text("\n".join(lines[:cut]) + "\n")
        assert report(path, capsys, *wanted, *journal, "--overwrite")[1] == report_json


def test_what_is_equalized_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = unequal(tmp_path)
    assert simulate(path, "--target", "30dB", "--weights-bitwidth", "8") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the result and the override file belong to the equalized model" in said
    assert f"dlclint equalize --extended --weights-bitwidth 8 {path} -o OUT.onnx" in said
    assert simulate(path, "--emit-equalized", "x.onnx") == 2
    assert "--emit-equalized goes with --target or --agreement" in capsys.readouterr().err


def test_an_override_file_forbids_equalizing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = unequal(tmp_path)
    file = tmp_path / "g.encodings"
    assert simulate(path, "--emit-overrides", str(file)) == 0
    capsys.readouterr()
    _, report_json = report(path, capsys, "--target", "30dB", "--encodings", str(file))
    assert any("not equalized: the grids of the override file" in note for note in report_json["notes"])  # type: ignore


def test_the_ranges_of_an_override_file_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The search may widen their tensors; other ranges for them would contradict the file."""
    path, file, after = unequal(tmp_path), tmp_path / "g.encodings", tmp_path / "after.encodings"
    assert simulate(path, "--emit-overrides", str(file)) == 0
    entries = json.loads(file.read_text())
    # Wider than calibrated, as no quantizer would choose.
    widened = {"activation_encodings": ("r", 64), "param_encodings": ("w2", 1.25)}
    wide: dict[str, tuple[float, float]] = {}
    for section, (name, factor) in widened.items():
        (entry,) = entries[section][name]
        entry |= {field: factor * entry[field] for field in ("min", "max", "scale")}
        wide[section] = entry["min"], entry["max"]
        entries[section] = {name: [entry]}
    file.write_text(json.dumps(entries))
    capsys.readouterr()
    wanted = ("--target", "20dB", "--encodings", str(file), "--emit-overrides", str(after))
    _, search = report(path, capsys, *wanted)
    kept = [row["change"] for row in search["steps"] if row["kept"]]  # type: ignore[attr-defined]
    assert "a grid for each channel" in kept[1] and kept[-1].startswith("16 bits for")
    emitted = json.loads(after.read_text())
    assert len(emitted["param_encodings"]["w1"]) > 1
    for section, (name, _) in widened.items():
        (entry,) = emitted[section][name]
        assert (entry["min"], entry["max"]) == pytest.approx(wide[section], rel=0.02), name
    # Nor is a wide grid of the file one that the search has widened for a bias.
    assert not any("larger than their weights" in note for note in search["notes"])  # type: ignore[attr-defined]


def test_an_interrupted_search_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, journal = small_conv(tmp_path), tmp_path / "search.jsonl"
    _, first = report(path, capsys, "--target", "45", "--resume", str(journal))
    lines = journal.read_text().splitlines()
    assert len(lines) > 20
    journal.write_text("\n".join([*lines[:10], lines[10][:7]]))
    _, again = report(path, capsys, "--target", "45", "--resume", str(journal))
    assert again == first
    assert journal.read_text().splitlines() == lines
    # Another question starts again.
    report(path, capsys, "--target", "45", "--seed", "5", "--resume", str(journal))
    assert journal.read_text().splitlines()[0] != lines[0]


KILLED = """
import os, signal, sys
from dlclint.cli.main import main
from dlclint.simulate.search.trials import Journal

get, left = Journal.get, [int(sys.argv[1])]

def dying(self, key, measure):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return get(self, key, measure)

Journal.get = dying
sys.exit(main(sys.argv[2:]))
"""


def test_another_target_takes_nothing_wrong_from_a_journal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A target out of reach tries 16-bit weights and float on the way, which another must not be given."""
    path, journal = small_conv(tmp_path), str(tmp_path / "journal")
    wanted = ("--soc", "sm8550", "--target")
    report(path, capsys, *wanted, "150", "--resume", journal)
    for target in ("45", "60", "30"):
        alone = report(path, capsys, *wanted, target)
        assert report(path, capsys, *wanted, target, "--resume", journal) == alone


def test_16_bit_weights_go_with_16_bit_activations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, file = small_conv(tmp_path), tmp_path / "o.encodings"
    report(path, capsys, "--target", "60dB", "--soc", "sm8550", "--emit-overrides", str(file))
    entries = json.loads(file.read_text())
    activations = {name: entry[0]["bitwidth"] for name, entry in entries["activation_encodings"].items()}
    params = {name: entry[0]["bitwidth"] for name, entry in entries["param_encodings"].items()}
    readers = {"w1": "r", "w2": "d", "w3": "y"}
    assert 16 in params.values()
    assert all(
        activations[readers[name]] == 16 for name, bits in params.items() if name in readers and bits == 16
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="what is patched reaches a forked process alone")
@pytest.mark.parametrize("after", [1, 9, 20])
def test_a_killed_search_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str], after: int) -> None:
    path = small_conv(tmp_path)
    wanted = ("--target", "45", "--soc", "sm8350")
    _, whole = report(path, capsys, *wanted, "--resume", str(tmp_path / "whole"))
    journal, file = tmp_path / "journal", tmp_path / "o.encodings"
    rest = [*wanted, "--resume", str(journal), "--emit-overrides", str(file), "--format", "json"]
    command = ["simulate", "--isolated", str(path), "--samples", "3", *rest]
    done = subprocess.run([sys.executable, "-c", KILLED, str(after), *command], capture_output=True)
    assert done.returncode != 0
    assert not file.exists()
    assert len(journal.read_text().splitlines()) == after + 1
    assert report(path, capsys, *wanted, "--resume", str(journal))[1] == whole
    assert journal.read_text() == (tmp_path / "whole").read_text()


def test_a_foreign_file_is_not_taken_for_a_journal(tmp_path: Path) -> None:
    foreign = tmp_path / "notes.txt"
    foreign.write_text("mine\n")
    with pytest.raises(OSError, match="not a journal"):
        Journal(foreign, '{"dlclint search": 1}').open()
    assert foreign.read_text() == "mine\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--target", "much"], "--target much: give decibels above 0, such as 30dB"),
        (["--target", "-3"], "give decibels above 0"),
        (["--agreement", "99"], "--agreement 99: give a rate above 0, at most 1"),
        (["--resume", "x"], "--resume goes with --target or --agreement"),
    ],
)
def test_bad_targets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert simulate(saved(tmp_path, YOLO), *(f"{a}" for a in arguments)) == 2
    assert says in capsys.readouterr().err


def test_agreement_needs_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, "g (float[1,4] x) => (float[1,4] y) { y = Relu(x) }")
    assert simulate(path, "--agreement", "0.9") == 2
    assert "no output of the model holds scores" in capsys.readouterr().err


def test_a_rounding_goes_only_where_both_ends_are_wide() -> None:
    roundings = [
        Edge("a", "a", "b", (8.0,)),
        Edge("b", "b", "c", (1.0,)),
        Edge("c", "c", None, (0.5,)),
        Edge("x", "x", "y", (100.0,)),
    ]
    everything = [group(name) for name in "abcx"] + [group("y", may=False)]
    assert order(roundings, everything, [0.0]) == [("a", "b"), ("c",)]


def test_the_output_that_is_worst_decides() -> None:
    roundings = [Edge("a", "a", None, (0.001, 0.9)), Edge("b", "b", None, (0.5, 0.001))]
    assert order(roundings, [group("a"), group("b")], [0.0, 0.0])[0] == ("a",)
    assert order(roundings, [group("a"), group("b")], [5.0, 0.0])[0] == ("b",)


def test_large_groups_cost_more() -> None:
    roundings = [Edge("a", "a", None, (2.0,)), Edge("b", "b", None, (1.5,))]
    assert order(roundings, [group("a", size=4), group("b")], [0.0])[0] == ("b",)


def test_roundings_are_those_of_the_network(tmp_path: Path) -> None:
    path = small_conv(tmp_path)
    evaluator = evaluator_of(path)
    samples = Samples("", (lambda: inputs(path), lambda: inputs(path, 1)))
    shared = leaders(evaluator.network)
    scheme = assign(evaluator.network, observe(evaluator, samples, False), Settings(), shared)
    trials = Trials(evaluator, {}, samples, Goal(40.0), Journal())
    costs = {(edge.start, edge.end): edge.cost for edge in edges(trials, scheme, shared)}
    # The pooled tensor has the grid of the Relu, and what Relu reads is never stored.
    assert set(costs) == {("x", "r"), ("r", "d"), ("d", "h"), ("h", "g"), ("g", "y"), ("y", None)}
    assert all(cost[0] > 0 for cost in costs.values())
    names = {group.leader: group.members for group in groups(scheme, evaluator, shared, frozenset({"Gemm"}))}
    assert names["r"] == ("r", "m")
    able = {g.leader for g in groups(scheme, evaluator, shared, frozenset({"Gemm"})) if g.may}
    assert able == {"x", "r", "d", "h", "g"}


def test_a_change_runs_only_what_follows_it(tmp_path: Path) -> None:
    path = small_conv(tmp_path)
    evaluator = evaluator_of(path)
    feed = inputs(path)
    samples = Samples("", (lambda: feed,))
    scheme = assign(
        evaluator.network, observe(evaluator, samples, False), Settings(), leaders(evaluator.network)
    )
    steps = [name for step in evaluator.network.steps for name in step.outputs]
    base = {**feed, **evaluator.run(feed, None, keep=steps)}
    for alone in (
        Scheme({"h": scheme.activations["h"]}, otherwise=16),
        Scheme(params={"w3": scheme.params["w3"]}, otherwise=16),
        Scheme({"x": scheme.activations["x"]}, otherwise=16),
    ):
        whole = evaluator.run(feed, alone)["y"]
        assert (evaluator.run_from(base, alone)["y"] == whole).all()
        assert (whole != base["y"]).any()


@pytest.mark.parametrize(
    ("reaching", "expected"),
    [
        (range(99), 0),
        (range(1, 99), 1),
        (range(13, 99), 13),
        (range(40, 99), 40),
        ((4, 40), 4),
        ((16, 5), 16),
    ],
)
def test_few_are_looked_for_from_below(reaching: Sequence[int], expected: int) -> None:
    asked = []

    def reached(count: int) -> bool:
        asked.append(count)
        return count in reaching or count == 50

    assert _fewest_of(50, reached) == expected
    assert len(asked) <= 14


def test_goals() -> None:
    both = Goal(30.0, 0.9)
    assert both.reached(SchemeQuality(30.0, 0.9))
    assert not both.reached(SchemeQuality(29.9, 0.95))
    assert not both.reached(SchemeQuality(40.0, None))
    assert both.better(SchemeQuality(20.0, 0.5), SchemeQuality(25.0, 0.4))
    assert not Goal(30.0).better(SchemeQuality(20.01, None), SchemeQuality(20.0, None))
    assert str(both) == "30 dB and agreement 0.9"
    assert np.isfinite(Goal(30.0).sqnr or 0.0)


def test_weight_scales_grow_until_biases_fit(tmp_path: Path) -> None:
    body = "g (float[1,2,4,4] x) => (float[1,2,4,4] y) { y = Conv(x, w, b) }"
    weights = np.array([[0.5, 0.2], [1e-9, 1e-9]], np.float32).reshape(2, 2, 1, 1)
    path = saved(tmp_path, body, {"w": weights, "b": np.array([0.1, 60.0], np.float32)})
    evaluator = evaluator_of(path)
    feed = inputs(path)
    samples = Samples("", (lambda: feed,))
    observed = observe(evaluator, samples, False)
    scheme = assign(evaluator.network, observed, Settings(8, 8, 32, True), {})
    exact = evaluator.run(feed, None)["y"]
    cut = evaluator.run(feed, scheme)["y"]
    assert np.abs(cut - exact).max() > 1.0
    before = scheme.params["w"].scale.copy()
    assert fit_biases(evaluator.network, scheme) == 1
    assert scheme.params["w"].scale[0] == before[0]
    assert np.abs(evaluator.run(feed, scheme)["y"] - exact).max() < scheme.activations["y"].scale
    assert fit_biases(evaluator.network, scheme) == 0
