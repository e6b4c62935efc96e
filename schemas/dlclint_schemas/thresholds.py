"""From which number on a finding about quantization is worth telling, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from dlclint_schemas.record import record
from dlclint_schemas.resource import load


@record
class Threshold:
    """A number with its unit, and its source or the reason why it was chosen."""

    name: str
    value: float
    unit: str
    reason: str


@cache
def thresholds() -> Mapping[str, Threshold]:
    """Every threshold by name, read once."""
    rows = load("quantization_thresholds")["thresholds"]
    return MappingProxyType({row["name"]: Threshold(**row) for row in rows})


def threshold(name: str) -> float:
    """The value of a threshold.

    Raises:
        KeyError: there is none of this name.
    """
    return thresholds()[name].value
