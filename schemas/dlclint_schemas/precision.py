"""The precisions of ops on HTP, by source: two documents and two measurements, which may disagree.

`fp16`, `int16` and `int8` are the types of activations; the columns are QNN's. Measured facts belong to a
release and never decide alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from dlclint_schemas.record import record
from dlclint_schemas.resource import load

PRECISIONS = {"fp16": "float16", "int16": "16-bit", "int8": "8-bit"}
"""The columns, and their names in a sentence."""
TABLE = "QNN SDK 2.25.0, Supported Operations"
SUPPLEMENT = "QNN HTP Op Definition Supplement 80-63442-10"
OBSERVED = "a measurement with QNN 2.51.0"
COMPILED = "a compilation by winml-cli's makers"
_CONFIG = {"fp16": "float16", "int16": "int16", "int8": "int8"}


@record
class Voice:
    """The statement of one source: whether the op has the precision."""

    source: str
    has: bool

    @property
    def documented(self) -> bool:
        """Whether the source is a document, not a measurement."""
        return self.source in (TABLE, SUPPLEMENT)


@record
class WideWeights:
    """The requirements of 16-bit weights on HTP, and for which ONNX ops they were measured.

    `computed` are ops whose weight has 16 bits with 16-bit activations if it is computed; `not_in_3d` those
    that have no such form with three spatial axes.
    """

    ops: frozenset[str]
    hexagon: int
    act_bitwidth: int
    computed: frozenset[str]
    not_in_3d: frozenset[str]


@cache
def wide_weights() -> WideWeights:
    """Read once. The supplement agrees: 16-bit activations and Hexagon v73 or newer."""
    facts = load("measured_precision")["wide_weights"]
    return WideWeights(
        frozenset(facts["ops"]),
        facts["needs_hexagon"],
        facts["needs_act_bitwidth"],
        frozenset(facts["computed"]),
        frozenset(facts["not_in_3d"]),
    )


@record
class BlockWeights:
    """The requirements of plain block quantization of weights on HTP, as measured."""

    bitwidths: frozenset[int]
    hexagon: int
    act_bitwidth: int
    sdk: str


@cache
def block_weights() -> BlockWeights:
    """Read once."""
    facts = load("measured_precision")["block_weights"]
    return BlockWeights(
        frozenset(facts["bitwidths"]),
        facts["needs_hexagon"],
        facts["needs_act_bitwidth"],
        facts["needs_sdk"],
    )


@record
class NarrowWeights:
    """The ONNX ops for which HTP took 4-bit weights when measured; `per_channel_only` per channel."""

    ops: frozenset[str]
    per_channel_only: frozenset[str]


@cache
def narrow_weights() -> NarrowWeights:
    """Read once. Measured on every Hexagon version from v68 on, with 8-bit and 16-bit activations."""
    facts = load("measured_precision")["narrow_weights"]
    return NarrowWeights(frozenset(facts["ops"]), frozenset(facts["per_channel_only"]))


@cache
def float_not_compiled(soc: str) -> frozenset[str]:
    """Float ops that HTP of a SoC validates and then cannot compile, as measured; empty if not measured."""
    return frozenset(load("measured_precision")["float_not_compiled"].get(soc, ()))


@cache
def hta_ops() -> frozenset[str]:
    """ONNX ops that the HTA itself has: column hta of the table."""
    return frozenset(op for op, row in _table().items() if row["hta"])


def htp_voices(op: str, layers: tuple[str, ...], precision: str, rank: int | None) -> tuple[Voice, ...]:
    """The statements of the sources about an ONNX op on HTP; a source without a statement is left out.

    `layers` are the layers that the op becomes; `rank` is that of its first input.
    """
    voices: list[Voice] = []
    row = _table().get(op)
    if row is not None:
        voices.append(Voice(TABLE, bool(row[f"htp_{precision}"])))
    listed = [_supplement(layer, precision) for layer in layers]
    known = [column["supported"] for column in listed if column is not None]
    if known:
        voices.append(Voice(SUPPLEMENT, any(known)))
    observed = _observed().get(op, {}).get(f"htp_{precision}")
    if observed is not None:
        voices.append(Voice(OBSERVED, observed))
    compiled = compiled_at(op, "npu", precision == "fp16", rank)
    if compiled is not None:
        voices.append(Voice(COMPILED, compiled))
    return tuple(voices)


@cache
def rank_limit(layer: str, precision: str, end: str) -> int | None:
    """The highest rank that the supplement gives `input_0` or `output_0` of a layer on HTP."""
    configuration = _supplement(layer, precision)
    ranks = {} if configuration is None else configuration.get("ranks", {})
    limit: int | None = ranks.get(end, {}).get("max_rank")
    return limit


def supplement_precisions(layers: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `PRECISIONS` in which the supplement has every one of some layers on HTP."""
    return tuple(
        precision
        for precision in PRECISIONS
        if layers and all((_supplement(layer, precision) or {}).get("supported") for layer in layers)
    )


@cache
def compiled_at(op: str, processor: str, is_float: bool, rank: int | None) -> bool | None:
    """Whether the authors of winml-cli compiled the op for `npu` or `gpu` at a rank; None: not tried."""
    form = _winml().get(op, {}).get(processor, {}).get("plain" if is_float else "qdq", {})
    marks = form.get("float", "")
    if rank is None or rank >= len(marks) or marks[rank] == ".":
        return None
    return bool(marks[rank] != "n")


@cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    return MappingProxyType(load("qnn_htp_precision")["onnx_precision"]["ops"])


@cache
def _observed() -> Mapping[str, Mapping[str, bool]]:
    return MappingProxyType(load("measured_precision")["ops"])


@cache
def _supplements() -> Mapping[str, Mapping[str, Any]]:
    return MappingProxyType(load("qnn_htp_supplement")["ops"])


def _supplement(layer: str, precision: str) -> Mapping[str, Any] | None:
    row = _supplements().get(layer)
    configuration = None if row is None else row["configs"].get(_CONFIG[precision])
    return configuration if configuration is not None and "supported" in configuration else None


@cache
def _winml() -> Mapping[str, Mapping[str, Any]]:
    return MappingProxyType(load("qnn_measured_by_winml")["ops"])
