"""Sizes as people are shown them."""

from __future__ import annotations

from dlclint.model.types import TensorType, dim_text


def test_computed_sizes_say_nothing() -> None:
    assert str(TensorType(1, (1, None, "height", "floor(floor(height/2)/2)"))) == "float[1,?,height,?]"
    assert dim_text("batch") == "batch" and dim_text(3) == "3" and dim_text(None) == "?"
