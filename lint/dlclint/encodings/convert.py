"""Conversion between format versions: exact where both can express the same, refused elsewhere.

A file is split into entries that can hold everything that any format expresses, and written in the form that
AIMET writes: keys sorted, four spaces, version last.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dlclint.encodings.columns import INTEGER_DTYPE
from dlclint.encodings.document import ACTIVATIONS, ENCODINGS, PARAMS, EncodingsDocument, Layout, leaves
from dlclint.encodings.double import effective_scale
from dlclint_schemas.record import record

Json = Any


class CannotConvert(Exception):
    """The target format cannot express what the file contains; `losses` are what, one sentence each."""

    def __init__(self, losses: list[str]) -> None:
        super().__init__("; ".join(losses))
        self.losses = losses


@record
class Overrides:
    """An override file as text, with notes on what it contains and what it leaves out, one sentence each."""

    text: str
    notes: tuple[str, ...]


@record
class TensorFacts:
    """What a model states about a tensor that a format may leave out."""

    is_param: bool
    channel_axis: int | None
    channels: int | None


@record
class CommonEntry:
    """One encoding with everything that any of the formats expresses.

    `scale` and `offset` are empty for float tensors, and where an integer entry sets only the width.
    """

    name: str
    is_param: bool | None
    is_float: bool
    bitwidth: int
    symmetric: bool
    per_channel: bool | None
    scale: tuple[float, ...]
    offset: tuple[Json, ...]
    axis: int | None = None
    shift: tuple[float, ...] = ()
    """The shift of each offset that is not a whole number (1.0.0's zero_point_shift); else empty."""


def convert(
    document: EncodingsDocument,
    version: str,
    placed: Mapping[str, TensorFacts] | None = None,
    lossy: bool = False,
) -> str:
    """The file's text in another format version (0.6.1, 1.0.0 or 2.0.0).

    `placed` is what the model states about its tensors; conversions from 2.0.0 need it, because that format
    has no sections.

    Raises:
        CannotConvert: the file is broken, or something would be lost and `lossy` is not set.
    """
    layout = _usable_layout(document)
    target = next(known for known in Layout if known.value == version)
    losses: list[str] = []
    entries = [_parse(document, row, losses) for row in range(len(document.tensors.names))]
    by_channel = any(entry.per_channel and entry.is_param is not False for entry in entries)
    entries = [_completed(entry, placed, layout, target, by_channel, losses) for entry in entries]
    top = dict(document.top)
    if target is Layout.FLAT:
        body = _flat(entries, losses)
        for key in sorted({"quantizer_args", "excluded_layers"} & top.keys()):
            losses.append(f"{key} has no place in {version}")
            del top[key]
    else:
        body = _sections(entries, target, losses)
    if losses and not lossy:
        raise CannotConvert(list(dict.fromkeys(losses)))
    top.pop("version", None)
    whole = {**body, **top, "version": version}
    return _dumped(whole)


def merged_overrides(
    document: EncodingsDocument, text: str, version: str, placed: Mapping[str, TensorFacts]
) -> str:
    """`text`, an override file of a version, with the entries of a file before its own.

    Of a file of the same version they stay as they are, of another they are converted.

    Raises:
        CannotConvert: the file is broken, or the version cannot say what it says.
    """
    layout = _usable_layout(document)
    merged = json.loads(text)
    if layout.value != version:
        _join(merged, json.loads(convert(document, version, placed)))
        return _dumped(merged)
    rows: dict[str, Json] = {}
    for row, name in enumerate(document.tensors.names):
        entries = rows.setdefault(document.section_of(row).name, {} if layout is Layout.LEGACY else [])
        if layout is Layout.LEGACY:
            entries[name] = document.entry(row)
        else:
            entries.append(document.entry(row))
    _join(merged, rows)
    return _dumped(merged)


def _join(merged: dict[str, Json], preceding: Mapping[str, Json]) -> None:
    """Put sections before those of the same name."""
    for section in preceding.keys() & {ACTIVATIONS, PARAMS, ENCODINGS}:
        first, then = preceding[section], merged.get(section)
        merged[section] = {**first, **(then or {})} if isinstance(first, dict) else [*first, *(then or [])]


def _usable_layout(document: EncodingsDocument) -> Layout:
    layout = document.layout
    if layout is None or not document.whole or any(flaw.tensor is not None for flaw in _serious(document)):
        raise CannotConvert(["the file has errors that dlclint check reports; fix them first"])
    return layout


_LONE = re.compile("[\ud800-\udfff]")
"""Halves of a surrogate pair, which JSON may hold as an escape, and UTF-8 cannot hold."""


def _dumped(whole: Mapping[str, Json]) -> str:
    """JSON text that UTF-8 can hold.

    Raises:
        CannotConvert: it holds a number that JSON does not have.
    """
    try:
        text = json.dumps(dict(sorted(whole.items())), indent=4, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise CannotConvert(["the file holds NaN or an infinite number, which JSON does not have"]) from None
    return _LONE.sub(lambda half: f"\\u{ord(half.group()):04x}", text)


def written(entries: list[CommonEntry], version: str, producer: Mapping[str, str]) -> str:
    """An override file of these entries in a format version (0.6.1, 1.0.0 or 2.0.0).

    Raises:
        CannotConvert: the version cannot express an entry.
    """
    target = next(known for known in Layout if known.value == version)
    losses: list[str] = []
    body = _flat(entries, losses) if target is Layout.FLAT else _sections(entries, target, losses)
    if losses:
        raise CannotConvert(list(dict.fromkeys(losses)))
    return _dumped({**body, "producer": dict(producer), "version": version})


_ROUNDING = 2.0**-21
"""How far, of the larger end of a range, the ends may be from those of scale and offset: a few roundings of
float32, in which writers compute them."""
_MOST_BITS = 64
"""The largest width of any type that a tensor is stored in."""


def _serious(document: EncodingsDocument) -> list[Any]:
    return [flaw for flaw in document.flaws if flaw.severity.rank == 0]


def _parse(document: EncodingsDocument, row: int, losses: list[str]) -> CommonEntry:
    section = document.section_of(row)
    name, value = document.tensors.names[row], document.entry(row)
    is_param = None if section.name == ENCODINGS else section.name == PARAMS
    try:
        if section.layout is Layout.LEGACY:
            return _of_numbers(_from_legacy(name, value, is_param, losses))
        if section.layout is Layout.LIST:
            return _of_numbers(_from_list(name, value, is_param, losses))
        return _of_numbers(_from_flat(name, value))
    except KeyError as error:
        lacks = (
            f"{name!r} lacks {error.args[0]}, without which it cannot be converted; dlclint check says more"
        )
        raise CannotConvert([lacks]) from None
    except (AttributeError, TypeError, ValueError, OverflowError):
        unusable = f"{name!r} has a field of the wrong type; dlclint check says which"
        raise CannotConvert([unusable]) from None


def _of_numbers(entry: CommonEntry) -> CommonEntry:
    """The entry, if its scales and offsets are numbers.

    Raises:
        TypeError: they are not.
    """
    numbers = (*entry.scale, *entry.offset, *entry.shift)
    if not all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers):
        raise TypeError
    return entry


def _from_legacy(
    name: str, channels: list[dict[str, Json]], is_param: bool | None, losses: list[str]
) -> CommonEntry:
    first = channels[0]
    is_float = first.get("dtype") == "float"
    bits = _bits(name, first["bitwidth"])
    if is_float:
        return CommonEntry(name, is_param, True, bits, False, False, (), ())
    if len(channels) == 1 and not {"scale", "offset", "min", "max"} & first.keys():
        return CommonEntry(name, is_param, False, bits, False, None, (), ())
    symmetric = first["is_symmetric"] == "True"
    entry = CommonEntry(
        name,
        is_param,
        False,
        bits,
        symmetric,
        True if len(channels) > 1 else None,
        tuple(channel["scale"] for channel in channels),
        tuple(channel["offset"] for channel in channels),
    )
    for channel in channels:
        if channel["bitwidth"] != bits or (channel["is_symmetric"] == "True") != symmetric:
            raise CannotConvert([f"{name!r}: its channels differ in bitwidth or symmetry"])
        low, high = _range(channel["scale"], channel["offset"], bits)
        most = _ROUNDING * max(abs(low), abs(high))
        stated = channel.get("min", low) - low, channel.get("max", high) - high
        if not all(abs(difference) <= most for difference in stated):
            losses.append(f"{name!r}: min and max are not those of scale and offset, and would be lost")
    return entry


def _bits(name: str, bits: float) -> int:
    if not 1 <= bits <= _MOST_BITS or bits != int(bits):
        raise CannotConvert([f"{name!r}: no tensor has values of {str(bits)[:20]} bits"])
    return int(bits)


def _range(scale: float, offset: float, bits: int) -> tuple[float, float]:
    return scale * offset, scale * (offset + 2**bits - 1)


def _from_list(name: str, value: dict[str, Json], is_param: bool | None, losses: list[str]) -> CommonEntry:
    kind, bits = value["enc_type"], _bits(name, value["bw"])
    if value["dtype"] == "FLOAT":
        return CommonEntry(name, is_param, True, bits, False, False, (), ())
    if kind not in ("PER_TENSOR", "PER_CHANNEL"):
        raise CannotConvert([f"{name!r}: enc_type {kind} is not converted; export it in the other version"])
    if kind == "PER_TENSOR" and len(value["scale"]) > 1:
        raise CannotConvert([f"{name!r}: enc_type PER_TENSOR has one scale, not {len(value['scale'])}"])
    shift = value.get("zero_point_shift")
    shift = tuple(shift) if isinstance(shift, list) else (shift or 0.0,) * len(value["scale"])
    return CommonEntry(
        name,
        is_param,
        False,
        bits,
        bool(value["is_sym"]),
        kind == "PER_CHANNEL",
        tuple(value["scale"]),
        tuple(value["offset"]),
        shift=shift if any(shift) else (),
    )


def _from_flat(name: str, value: dict[str, Json]) -> CommonEntry:
    dtype = value["output_dtype"]
    if value.get("block_size") is not None or "per_block_int_scale" in value:
        raise CannotConvert(
            [f"{name!r}: block quantization is not converted; export it in the other version"]
        )
    integer = INTEGER_DTYPE.fullmatch(dtype)
    if integer is None:
        raise CannotConvert([f"{name!r}: {dtype} has no place in the other formats"])
    signed, bits = not integer[1], _bits(name, int(integer[2]))
    y_scale = value["y_scale"]
    y_scale = effective_scale(y_scale) if isinstance(y_scale, dict) else y_scale
    scale = leaves(y_scale)
    points = value.get("y_zero_point")
    zero = [0] * len(scale) if points is None else leaves(points)
    half = 2.0 ** (bits - 1) if signed else 0.0
    offset = tuple(float(math.floor(-point - half)) + 0.0 for point in zero)
    shift = tuple(-point - half - whole for point, whole in zip(zero, offset, strict=True))
    return CommonEntry(
        name,
        None,
        False,
        bits,
        # Any other zero point describes the same grid as an unsigned one.
        signed and (not any(zero) or (bits == 2 and set(zero) == {-0.5})),
        isinstance(y_scale, list),
        tuple(scale),
        offset,
        value.get("axis"),
        shift if any(shift) else (),
    )


def _completed(
    entry: CommonEntry,
    placed: Mapping[str, TensorFacts] | None,
    source: Layout,
    target: Layout,
    by_channel: bool,
    losses: list[str],
) -> CommonEntry:
    """The entry with what the model states, as far as the target format needs it."""
    known = placed.get(entry.name) if placed is not None else None
    if entry.is_param is None and target is not Layout.FLAT:
        if known is None:
            losses.append(
                "2.0.0 has no sections: give the model (--model), which tells weights from activations"
                if placed is None
                else f"{entry.name!r} is not in the model, so its section is unknown"
            )
        entry = replace(entry, is_param=bool(known and known.is_param))
    one_channel = known is not None and known.is_param and known.channels == 1
    if entry.per_channel is None and target is not Layout.LEGACY:
        # 0.6.1 does not distinguish one channel from one tensor: where the others are per channel, so is it.
        entry = replace(entry, per_channel=one_channel and by_channel)
    if entry.per_channel and len(entry.scale) == 1 and target is Layout.LEGACY and not one_channel:
        losses.append(
            f"{entry.name!r}: per channel of one channel looks like per tensor in 0.6.1"
            " (--model distinguishes them)"
        )
    if entry.per_channel and source is Layout.FLAT and target is not Layout.FLAT:
        wanted = known.channel_axis if known is not None else None
        if entry.axis is not None and entry.axis != wanted and not (wanted is None and entry.axis == 0):
            losses.append(f"{entry.name!r}: axis {entry.axis} cannot be written in {target.value}")
    if entry.per_channel and target is Layout.FLAT and entry.axis is None:
        if known is None:
            losses.append("2.0.0 needs the channel axis: give the model (--model)")
        elif known.channel_axis is not None:
            entry = replace(entry, axis=known.channel_axis)
        else:
            entry = replace(entry, axis=0)
    return entry


def _flat(entries: list[CommonEntry], losses: list[str]) -> dict[str, Json]:
    entries_json: list[Json] = []
    # AIMET writes parameters first.
    for entry in sorted(entries, key=lambda entry: entry.is_param is False):
        if entry.is_float:
            losses.append(f"{entry.name!r}: a float{entry.bitwidth} tensor has no entry in 2.0.0")
            continue
        if not entry.scale:
            losses.append(f"{entry.name!r}: an entry without a range has no place in 2.0.0")
            continue
        half = 2 ** (entry.bitwidth - 1) if entry.symmetric else 0
        shift = entry.shift or (0,) * len(entry.offset)
        exact = [-whole - half - part + 0.0 for whole, part in zip(entry.offset, shift, strict=True)]
        points = [int(point) if point == int(point) else point for point in exact]
        if entry.bitwidth != 2 and any(point != int(point) for point in exact):
            losses.append(f"{entry.name!r}: a fractional offset has no zero point, but of two bits")
        single = not entry.per_channel
        entry_json: dict[str, Json] = {
            "name": entry.name,
            "output_dtype": f"{'' if entry.symmetric else 'u'}int{entry.bitwidth}",
            "y_scale": entry.scale[0] if single else list(entry.scale),
        }
        if entry.per_channel and entry.axis is not None:
            entry_json["axis"] = entry.axis
        if any(points):
            entry_json["y_zero_point"] = points[0] if single else points
        entries_json.append(dict(sorted(entry_json.items())))
    return {ENCODINGS: entries_json}


def _sections(entries: list[CommonEntry], target: Layout, losses: list[str]) -> dict[str, Json]:
    legacy = target is Layout.LEGACY
    write = _legacy_entry if legacy else _list_entry
    sections: dict[str, Json] = {}
    for section, is_param in ((ACTIVATIONS, False), (PARAMS, True)):
        chosen = [entry for entry in entries if entry.is_param is is_param]
        for entry in chosen:
            if entry.shift and legacy:
                losses.append(f"{entry.name!r}: zero_point_shift has no place in {target.value}")
            if not entry.scale and not entry.is_float and not legacy:
                losses.append(f"{entry.name!r}: an entry without a range has no place in {target.value}")
        if legacy:
            sections[section] = {entry.name: write(entry) for entry in chosen}
            if len(sections[section]) < len(chosen):
                losses.append(f"{section} names a tensor twice")
        else:
            sections[section] = [write(entry) for entry in chosen]
    return sections


def _legacy_entry(entry: CommonEntry) -> Json:
    if entry.is_float or not entry.scale:
        return [{"bitwidth": entry.bitwidth, "dtype": "float" if entry.is_float else "int"}]
    channels = []
    for scale, offset in zip(entry.scale, entry.offset, strict=True):
        low, high = _range(scale, offset, entry.bitwidth)
        channels.append(
            {
                "bitwidth": entry.bitwidth,
                "dtype": "int",
                "is_symmetric": str(entry.symmetric),
                "max": high,
                "min": low + 0.0,
                "offset": offset,
                "scale": scale,
            }
        )
    return channels


def _list_entry(entry: CommonEntry) -> Json:
    """1.0.0's form of an entry."""
    head = {"bw": entry.bitwidth, "dtype": "FLOAT" if entry.is_float else "INT"}
    kind = "PER_CHANNEL" if entry.per_channel else "PER_TENSOR"
    if entry.is_float:
        return {**head, "enc_type": "PER_TENSOR", "name": entry.name}
    return {
        **head,
        "enc_type": kind,
        "is_sym": entry.symmetric,
        "name": entry.name,
        "offset": list(entry.offset),
        "scale": list(entry.scale),
        **({"zero_point_shift": list(entry.shift)} if entry.shift else {}),
    }
