"""Where operator versions stand that the table does not list."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest

from dlclint.analysis.versions import Listing, listing_for, listing_of, newest_listed_opset, same_structure
from dlclint.cli.main import main
from dlclint.model.reading import read
from dlclint_schemas.ops import WHOLE, op_table


@pytest.mark.parametrize("op", ["MaxPool", "GRU", "LSTM", "GridSample", "RoiAlign"])
def test_a_version_beyond_the_table_is_compared_with_the_newest_listed(op: str) -> None:
    """Version 22 only adds element types to the newest listed version; the oldest is another structure."""
    row = op_table(WHOLE).rows[op]
    assert 22 not in row.versions and 22 not in row.unlisted
    assert onnx.defs.get_schema(op, 22).since_version == 22
    assert listing_of(op_table(WHOLE), op, 22) is Listing.UNLISTED_SAME


def test_listing_of_the_others() -> None:
    table = op_table(WHOLE)
    assert listing_of(table, "MaxPool", 12) is Listing.LISTED
    assert listing_of(table, "MaxPool", None) is Listing.UNKNOWN
    assert listing_of(table, "Det", 11) is Listing.ABSENT


@pytest.mark.parametrize(
    ("inputs", "stored", "listing"),
    [
        ("x", "", Listing.UNLISTED_SAME),
        ("x, ratio, training", "bool training = {0}", Listing.UNLISTED_SAME),
        ("x, ratio, training", "bool training = {1}", Listing.UNLISTED_CHANGED),
        ("x, ratio, given", "", Listing.UNLISTED_CHANGED),
    ],
)
def test_dropout_is_as_listed_where_it_is_known_not_to_train(
    tmp_path: Path, inputs: str, stored: str, listing: Listing
) -> None:
    """Version 13 takes training as an input, which the listed versions do not have."""
    path = tmp_path / "m.onnxtxt"
    path.write_text(
        '<ir_version: 8, opset_import: ["" : 13]>\n'
        "g (float[1,4] x, bool given) => (float[1,4] y)"
        f" <float ratio = {{0.5}}{f', {stored}' if stored else ''}> {{ y = Dropout ({inputs}) }}"
    )
    (node,) = read(path).graph.nodes
    assert listing_for(op_table(WHOLE), node) is listing


@pytest.mark.parametrize(
    ("op", "opset", "listing"),
    [("Sign", 12, Listing.UNLISTED_SAME), ("LogSoftmax", 13, Listing.UNLISTED_CHANGED)],
)
def test_a_structure_is_compared_for_sign_alone(
    tmp_path: Path, op: str, opset: int, listing: Listing
) -> None:
    """Sign 13 only added types to Sign 9; LogSoftmax 13 has another default axis, whatever Sign is like."""
    path = tmp_path / "m.onnxtxt"
    path.write_text(
        f'<ir_version: 8, opset_import: ["" : {opset}]>\n'
        f"g (float[1,4] x) => (float[1,4] y) {{ y = {op} (x) }}"
    )
    (node,) = read(path).graph.nodes
    assert listing_of(op_table(WHOLE), op, node.version) is Listing.UNLISTED_CHANGED
    assert listing_for(op_table(WHOLE), node) is listing


@pytest.mark.parametrize(
    ("op", "version", "listed", "same"),
    [
        ("Sign", 9, 13, True),
        ("LogSoftmax", 13, 11, False),
        ("GridSample", 16, 1, False),
        ("GridSample", 1, 16, False),
        ("NoSuch", 1, 1, False),
    ],
)
def test_a_version_that_does_not_exist_has_no_structure(
    op: str, version: int, listed: int, same: bool
) -> None:
    """GridSample came with opset 16."""
    assert same_structure(op, version, listed) is same


def test_an_op_older_than_its_opset_is_held_to_the_newest_constraints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """RoiAlign came with opset 10; its constraint on half pixels holds from version 16 on."""
    path = tmp_path / "m.onnxtxt"
    path.write_text(
        '<ir_version: 8, opset_import: ["" : 9]>\n'
        "g (float[1,4,8,8] x, float[2,4] boxes, int64[2] batches) => (float[2,4,1,1] y)"
        "{ y = RoiAlign (x, boxes, batches) }"
    )
    assert main(["check", "--isolated", "--select", "ops/attribute", "--format", "concise", str(path)]) == 1
    assert "coordinate_transformation_mode is 'half_pixel'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ops", "opset"),
    [
        ((), 21),
        (("Sign",), 21),
        (("Relu", "LSTM", "Det"), 12),
        (("Dropout",), 11),
        (("Upsample",), 9),
        (("Upsample", "GridSample"), None),
    ],
)
def test_newest_opset_at_which_all_ops_are_listed(ops: tuple[str, ...], opset: int | None) -> None:
    """Relu 13 is not listed, so 12; Upsample ended with 9, GridSample came with 16; Det does not count."""
    nodes = [SimpleNamespace(op_type=op, domain="") for op in ops]
    assert newest_listed_opset(op_table(WHOLE), nodes) == opset  # type: ignore[arg-type]
