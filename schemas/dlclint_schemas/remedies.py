"""What to write instead of an op that the converter's tables do not have."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from dlclint_schemas.resource import load


@cache
def _remedies() -> Mapping[str, str]:
    """By op, `domain:op` or `domain:*`; the first entry that matches an op counts."""
    by_op: dict[str, str] = {}
    for entry in load("op_remedies")["remedies"]:
        for op in entry["ops"]:
            by_op.setdefault(op, entry["help"])
    return MappingProxyType(by_op)


def remedy(op: str, domain: str = "") -> str:
    """What to do about an op ("" as domain: ONNX's own); "" where no specific remedy is known."""
    known = _remedies()
    if not domain:
        return known.get(op, "")
    return known.get(f"{domain}:{op}") or known.get(f"{domain}:*", "")


@cache
def _by_lower_case() -> Mapping[str, str]:
    return MappingProxyType({op.lower(): help for op, help in _remedies().items() if ":" not in op})


def remedy_in_any_case(op: str) -> str:
    """What to do about one of ONNX's own ops, whose name a converter's log may write in lower case."""
    return _by_lower_case().get(op.lower(), "")
