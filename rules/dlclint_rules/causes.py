"""How rules declare the causes of their findings (`follows`)."""

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
"""What keeps shape inference from an answer from a node on."""
