"""Where operator versions stand that the table does not list."""

from __future__ import annotations

import onnx
import pytest

from dlclint.analysis.versions import Listing, listing_of
from dlclint_schemas.ops import op_table


@pytest.mark.parametrize("op", ["MaxPool", "GRU", "LSTM", "GridSample", "RoiAlign"])
def test_a_version_beyond_the_table_is_compared_with_the_newest_listed(op: str) -> None:
    """Version 22 only adds element types to the newest listed version; the oldest is another structure."""
    row = op_table().rows[op]
    assert 22 not in row.versions and 22 not in row.unlisted
    assert onnx.defs.get_schema(op, 22).since_version == 22
    assert listing_of(op_table(), op, 22) is Listing.UNLISTED_SAME


def test_listing_of_the_others() -> None:
    table = op_table()
    assert listing_of(table, "MaxPool", 12) is Listing.LISTED
    assert listing_of(table, "MaxPool", None) is Listing.UNKNOWN
    assert listing_of(table, "Det", 11) is Listing.ABSENT
