"""How rules say whose findings their own may follow from (`follows`)."""

from __future__ import annotations

from dlclint.diagnostic import Reach


def here(*rules: str) -> dict[str, Reach]:
    """Rules whose findings are causes at the same place."""
    return dict.fromkeys(rules, Reach.HERE)


def before(*rules: str) -> dict[str, Reach]:
    """Rules whose findings are causes at the same place and upstream of it."""
    return dict.fromkeys(rules, Reach.BEFORE)


def anywhere(*rules: str) -> dict[str, Reach]:
    """Rules whose findings are causes wherever in the file they are."""
    return dict.fromkeys(rules, Reach.FILE)


UNTYPED = before("model/custom-op", "ops/attribute-type", "model/crashes-onnx", "model/dangling-input")
"""What leaves shape inference without an answer from a node on."""
