"""The counting of the agreement benchmark, without a backend."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dlclint.confirm.compare import ComparedNode, Confirmation, Relation
from dlclint.confirm.verdict import NodeVerdict, Said

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import agreement


def confirmation(*relations: tuple[str, Relation], **parts: str) -> Confirmation:
    rows = tuple(
        ComparedNode("", "", index, op, "y", NodeVerdict(Said.TAKEN), relation)
        for index, (op, relation) in enumerate(relations)
    )
    return Confirmation("f", "SM8550", "SM8550", True, rows=rows, **parts)  # type: ignore[arg-type]


def tally() -> agreement.Tally:
    counts = agreement.Tally("models")
    counts.add(
        confirmation(("Relu", Relation.AGREED), ("Or", Relation.FALSE_ALARM), ("If", Relation.UNJUDGED))
    )
    counts.add(confirmation(("Relu", Relation.MISSED), failure="compiling fails"))
    counts.add(confirmation(("Neg", Relation.MISSED), ("Neg", Relation.WRAPPER)))
    counts.add(confirmation(unasked="no input"))
    return counts


def test_one_row_per_folder() -> None:
    *_, row = agreement.table([tally()])
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        *("models", "4", "2", "2", "5"),
        *("1 (20.00%)", "1 (20.00%)", "2 (40.00%)"),
        *("0 (0.00%)", "0 (0.00%)", "0 (0.00%)", "1 (20.00%)"),
        "1",
    ]


def test_one_row_per_op_that_disagrees() -> None:
    rows = agreement.op_table([tally()])[2:]
    assert rows == [
        "| Neg | 2 | 0 | 0 | 1 | 0 | 0 | 0 | 1 |",
        "| Or | 1 | 0 | 1 | 0 | 0 | 0 | 0 | 0 |",
        "| Relu | 2 | 1 | 0 | 1 | 0 | 0 | 0 | 0 |",
    ]


def test_disagreements_name_their_place() -> None:
    (line,) = agreement.disagreements(confirmation(("Relu", Relation.AGREED), ("Or", Relation.FALSE_ALARM)))
    assert (line["op"], line["node"], line["relation"], line["clean"]) == ("Or", 1, "false-alarm", True)


def test_without_the_backend(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def absent() -> dict[str, str]:
        raise agreement.NotAvailable("onnxruntime-qnn is not installed")

    monkeypatch.setattr(agreement, "package_versions", absent)
    assert agreement.main(["folder"]) == 2
    assert "is not installed" in capsys.readouterr().err
