"""Which widths, signs and zero points HTP supports for scales, slopes and second inputs, as measured."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from dlclint_schemas.record import record
from dlclint_schemas.resource import load

UINT8, INT8, UINT16, UINT16_SYMMETRIC, INT16 = "uint8", "int8", "uint16", "uint16 symmetric", "int16"
"""The forms: unsigned with any zero point, signed with zero point 0, and unsigned with the middle one."""


@record
class SecondInput:
    """The quality of a MatMul of two computed 16-bit inputs, in dB, by the form of the second.

    `kept_since` is the oldest Hexagon version that keeps 16 bits of a signed one.
    """

    decibels: Mapping[str, float]
    on_cpu: float
    kept_since: int


@record
class ChannelScales:
    """How small a channel's weight scale may be, relative to the largest one, before HTP saturates it.

    At `kept` and above it was exact, at `saturated` and below every value was `steps_off` steps off, with
    activations of `act_bitwidth`.
    """

    act_bitwidth: int
    kept: float
    saturated: float
    steps_off: int


@cache
def channel_scales() -> ChannelScales:
    """Read once."""
    facts = load("measured_side_inputs")["channel_scales"]
    kept, saturated = (2.0 ** facts[name] for name in ("kept_exponent", "saturated_exponent"))
    return ChannelScales(facts["act_bitwidth"], kept, saturated, facts["steps_off"])


@cache
def side_input_forms() -> Mapping[tuple[str, int, str], int | None]:
    """By op, width of the activations (8 or 16) and form: the oldest Hexagon that ran it, None for none.

    Read once. Forms that were not measured are missing.
    """
    rows = load("measured_side_inputs")["forms"]
    return MappingProxyType({(r["op"], r["act_bitwidth"], r["form"]): r["since"] for r in rows})


@cache
def disputed_forms() -> Mapping[tuple[str, int, str], str]:
    """Those of these that ran when measured and are reported to be rejected, with the report."""
    rows = load("measured_side_inputs")["forms"]
    return MappingProxyType(
        {(r["op"], r["act_bitwidth"], r["form"]): r["disputed"] for r in rows if "disputed" in r}
    )


@cache
def refused_by_channel() -> frozenset[str]:
    """The ops whose slope or scale no measured chip supports with a grid for each channel. Read once."""
    return frozenset(load("measured_side_inputs")["by_channel"]["refused"])


@cache
def second_input() -> SecondInput:
    """Read once."""
    facts = load("measured_side_inputs")["second_input"]
    forms = (UINT8, INT8, UINT16, UINT16_SYMMETRIC, INT16)
    decibels = {form: float(facts[form]) for form in forms}
    return SecondInput(MappingProxyType(decibels), float(facts["cpu"]), facts["int16_since"])
