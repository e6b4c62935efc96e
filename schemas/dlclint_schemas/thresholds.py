"""The numbers from which a finding about quantization is reported, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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


_CONFIGURED: dict[str, float] = {}
"""Values from the configuration, which replace the data's."""


@contextmanager
def configured_thresholds(values: Mapping[str, float]) -> Iterator[None]:
    """Override thresholds in the block, in this process."""
    before = dict(_CONFIGURED)
    _CONFIGURED.update(values)
    try:
        yield
    finally:
        _CONFIGURED.clear()
        _CONFIGURED.update(before)


def threshold(name: str) -> float:
    """The value of a threshold: the configuration's, else the recommended one.

    Raises:
        KeyError: there is no threshold of this name.
    """
    return _CONFIGURED[name] if name in _CONFIGURED else thresholds()[name].value
