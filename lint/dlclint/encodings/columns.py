"""From parsed entries to columns: one layout at a time, many entries at a time.

A column is taken over whole if all its values are numbers, as they are in genuine files; only a
column with anything else is looked at value by value, and each misfit becomes a `Flaw`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from dlclint.diagnostic import Severity
from dlclint.encodings.document import FLOAT, INT, UNKNOWN, Elements, Flaw, Layout, Path_, Tensors, leaves

Floats = npt.NDArray[np.float64]
Bad = Callable[[int, str], None]
_NUMBERS = {int, float}
_DTYPE = re.compile(r"(u?)int([0-9]{1,2})")
_KINDS = {Layout.LEGACY: {"int": INT, "float": FLOAT}, Layout.LIST: {"INT": INT, "FLOAT": FLOAT}}
_TEXT_TRUTH: dict[Any, int] = {"True": 1, "False": 0, None: -1}
_TRUTH: dict[Any, int] = {True: 1, False: 0, None: -1}
FLOAT_DTYPES = frozenset(
    [
        "float",
        "float16",
        "bfloat16",
        "float32",
        "float4e2m1",
        "float8e4m3fn",
        "float8e4m3fnuz",
        "float8e5m2",
        "float8e5m2fnuz",
    ]
)
"""output_dtype names of 2.x that are no integers (AIMET's format specification)."""


def shown(value: Any) -> str:
    """A JSON value as a message quotes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _numbers(raw: list[Any], bad: Bad) -> Floats:
    """A float64 column; None is absence, anything that is no finite number is reported and NaN."""
    kinds = set(map(type, raw))
    if kinds <= _NUMBERS:
        try:
            found = np.array(raw, np.float64)
        except OverflowError:  # a whole number beyond float64
            found = None
        if found is not None:
            _refuse_infinite(found, bad)
            return found
    found = np.full(len(raw), np.nan)
    for row, value in enumerate(raw):
        if value is None:
            continue
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            try:
                found[row] = value
            except OverflowError:
                found[row] = np.inf
        else:
            bad(row, f"is {shown(value)}, not a number")
    _refuse_infinite(found, bad)
    return found


def _refuse_infinite(found: Floats, bad: Bad) -> None:
    for row in np.flatnonzero(np.isinf(found)):
        bad(int(row), "is larger than a float64 holds")
        found[row] = np.nan


class ColumnBuilder:
    """Collects entries in batches and ends with the tables of a document."""

    def __init__(self, flaws: list[Flaw]) -> None:
        self._flaws = flaws
        self._names: list[str] = []
        self._texts: dict[str, list[str]] = {"enc_type": [], "dtype": []}
        self._tensor_parts: dict[str, list[npt.NDArray[Any]]] = {}
        self._element_parts: dict[str, list[npt.NDArray[Any]]] = {}
        self._signatures: dict[frozenset[str] | tuple[str, ...], int] = {}
        self.odd_symmetry: list[int] = []

    def add(
        self,
        layout: Layout,
        section: int,
        names: Sequence[str],
        starts: Sequence[int],
        indices: Sequence[int],
        values: Sequence[Any],
    ) -> None:
        """Take a batch of entries of one section, in order."""
        base = len(self._names)
        self._names.extend(names)
        if layout is Layout.LEGACY:
            columns, counts = self._legacy(base, values)
            enc_types, dtypes = [""] * len(names), [""] * len(names)
            axis = block = np.full(len(names), np.nan)
        else:
            columns, counts, enc_types, dtypes, axis, block = self._named(layout, base, values)
        self._texts["enc_type"].extend(enc_types)
        self._texts["dtype"].extend(dtypes)
        per_tensor = {
            "section": np.full(len(names), section, np.int64),
            "start": np.array(starts, np.int64),
            "index": np.array(indices, np.int64),
            "count": np.array(counts, np.int64),
            "axis": axis,
            "block_size": block,
        }
        columns["tensor"] = np.repeat(np.arange(base, base + len(names), dtype=np.int64), per_tensor["count"])
        for table, parts in ((per_tensor, self._tensor_parts), (columns, self._element_parts)):
            for key, column in table.items():
                parts.setdefault(key, []).append(column)

    def finish(self) -> tuple[Tensors, Elements, list[frozenset[str]]]:
        """The tables; the signatures are the sets of fields that elements have."""

        def whole(parts: dict[str, list[npt.NDArray[Any]]], key: str, kind: Any) -> npt.NDArray[Any]:
            return np.concatenate(parts.pop(key)) if key in parts else np.zeros(0, kind)

        tensor, element = self._tensor_parts, self._element_parts
        count = whole(tensor, "count", np.int64)
        tensors = Tensors(
            self._names,
            whole(tensor, "section", np.int64),
            whole(tensor, "start", np.int64),
            whole(tensor, "index", np.int64),
            np.cumsum(count) - count,
            count,
            self._texts["enc_type"],
            self._texts["dtype"],
            whole(tensor, "axis", np.float64),
            whole(tensor, "block_size", np.float64),
        )
        elements = Elements(
            tensor=whole(element, "tensor", np.int64),
            bitwidth=whole(element, "bitwidth", np.float64),
            scale=whole(element, "scale", np.float64),
            offset=whole(element, "offset", np.float64),
            minimum=whole(element, "minimum", np.float64),
            maximum=whole(element, "maximum", np.float64),
            kind=whole(element, "kind", np.int8),
            symmetric=whole(element, "symmetric", np.int8),
            signature=whole(element, "signature", np.int64),
        )
        return tensors, elements, [frozenset(keys) for keys in self._signatures]

    def _signature(self, entries: Iterable[dict[str, Any]]) -> npt.NDArray[np.int64]:
        known = self._signatures
        return np.array([known.setdefault(tuple(entry), len(known)) for entry in entries], np.int64)

    def _flaw(self, kind: str, tensor: int, path: Path_, message: str, **more: Any) -> None:
        self._flaws.append(Flaw(kind, message, more.pop("help", ""), tensor, path, **more))

    def _legacy(self, base: int, values: Sequence[Any]) -> tuple[dict[str, npt.NDArray[Any]], list[int]]:
        lists = self._legacy_lists(base, values)
        counts = list(map(len, lists))
        entries: list[dict[str, Any]] = list(chain.from_iterable(lists))
        owner = np.repeat(np.arange(len(lists)), counts)
        first = np.cumsum(counts) - np.array(counts, np.int64)

        def bad(field: str) -> Bad:
            def report(row: int, what: str) -> None:
                tensor = int(owner[row])
                path = (int(row - first[tensor]), field)
                self._flaw("field-type", base + tensor, path, f"{field} {what}")

            return report

        columns: dict[str, npt.NDArray[Any]] = {}
        fields = {"bitwidth": "bitwidth", "scale": "scale", "offset": "offset", "min": "minimum"}
        for key, column in {**fields, "max": "maximum"}.items():
            columns[column] = _numbers([entry.get(key) for entry in entries], bad(key))
        columns["kind"] = self._kinds(Layout.LEGACY, [entry.get("dtype") for entry in entries], bad("dtype"))
        columns["symmetric"] = self._truths(
            [entry.get("is_symmetric") for entry in entries], _TEXT_TRUTH, lambda row: base + int(owner[row])
        )
        columns["signature"] = self._signature(entries)
        if any(None in entry.values() for entry in entries):
            places = ((base + int(tensor), (int(row - first[tensor]),)) for row, tensor in enumerate(owner))
            self._report_nulls(
                ((entry, *place) for entry, place in zip(entries, places, strict=True)), Severity.ERROR
            )
        return columns, counts

    def _report_nulls(self, rows: Iterable[tuple[dict[str, Any], int, Path_]], severity: Severity) -> None:
        for entry, tensor, path in rows:
            for key, value in entry.items():
                if value is None:
                    help = "AIMET 2.3 wrote nulls; leave the field out"
                    message = f"{key} is null"
                    self._flaw("field-type", tensor, (*path, key), message, help=help, severity=severity)

    def _legacy_lists(self, base: int, values: Sequence[Any]) -> list[list[dict[str, Any]]]:
        if set(map(type, values)) <= {list} and all(values):
            kinds = set(map(type, chain.from_iterable(values)))
            if kinds <= {dict} and not self._has_vectors(chain.from_iterable(values)):
                return list(values)
        return [self._legacy_list(base + row, value) for row, value in enumerate(values)]

    @staticmethod
    def _has_vectors(entries: Iterable[dict[str, Any]]) -> bool:
        return any(type(entry.get("scale", entry.get("min"))) is list for entry in entries)

    def _legacy_list(self, tensor: int, value: Any) -> list[dict[str, Any]]:
        if isinstance(value, dict):
            if {"input", "output"} & value.keys() and not value.keys() & {"bitwidth", "bw"}:
                self._flaw("torch", tensor, (), "entries are nested by layer input and output")
                return [{}]
            help = "put the entry into a list: [{...}]"
            self._flaw("layout", tensor, (), "the entry is a bare object, not a list of entries", help=help)
            return [value]
        if not isinstance(value, list):
            message = f"the value is {shown(value)}, not a list of entries"
            self._flaw("layout", tensor, (), message)
            return [{}]
        if not value:
            self._flaw("layout", tensor, (), "the list of entries is empty", help="remove the tensor")
            return [{}]
        found: list[dict[str, Any]] = []
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                self._flaw("layout", tensor, (index,), f"entry {index} is {shown(item)}, not an object")
                found.append({})
            elif self._has_vectors([item]):
                found.extend(self._expanded(tensor, index, item))
            else:
                found.append(item)
        return found

    def _expanded(self, tensor: int, index: int, entry: dict[str, Any]) -> list[dict[str, Any]]:
        vectors = {key: value for key, value in entry.items() if isinstance(value, list)}
        size = max(map(len, vectors.values()), default=0)
        message = f"one entry holds vectors of {size} channels; this layout has one entry per channel"
        if any(len(value) != size for value in vectors.values()) or size == 0:
            self._flaw(
                "field-type", tensor, (index,), "the vectors of the entry differ in length, or are empty"
            )
            return [{key: value for key, value in entry.items() if key not in vectors}]
        found = [
            {key: value[i] if key in vectors else value for key, value in entry.items()} for i in range(size)
        ]
        fix = ((index,), ", ".join(map(json.dumps, found)), "write one entry per channel")
        self._flaw("layout", tensor, (index,), message, help="write one object per channel", fix=fix)
        return found

    @staticmethod
    def _kinds(layout: Layout, raw: list[Any], bad: Bad) -> npt.NDArray[np.int8]:
        """What dtype says; a name that the layout does not have is unknown."""
        table = _KINDS[layout]
        try:
            return np.array([table.get(value, UNKNOWN) for value in raw], np.int8)
        except TypeError:  # an unhashable value
            for row, value in enumerate(raw):
                if value is not None and not isinstance(value, str):
                    bad(row, f"is {shown(value)}, not text")
            texts = [value if isinstance(value, str) else "" for value in raw]
            return np.array([table.get(value, UNKNOWN) for value in texts], np.int8)

    def _truths(
        self, raw: list[Any], table: dict[Any, int], tensor_of: Callable[[int], int]
    ) -> npt.NDArray[np.int8]:
        """What is meant: text or boolean, in any case; rows of entries that spell it wrong are kept."""
        try:
            if set(map(type, raw)) <= {type(key) for key in table}:
                return np.array([table[value] for value in raw], np.int8)
        except (KeyError, TypeError):
            pass
        meant = {"true": 1, "false": 0}
        for row, value in enumerate(raw):
            tensor = tensor_of(row)
            known = type(value) in (str, bool, type(None)) and value in table
            if not (known and type(value) in {type(key) for key in table}) and (
                not self.odd_symmetry or self.odd_symmetry[-1] != tensor
            ):
                self.odd_symmetry.append(tensor)
        return np.array([meant.get(str(value).lower(), -1) for value in raw], np.int8)

    def _named(self, layout: Layout, base: int, values: Sequence[Any]) -> tuple[Any, ...]:
        """1.0.0 and 2.x: one object per tensor, arrays inside."""
        scale_key = "scale" if layout is Layout.LIST else "y_scale"
        offset_key = "offset" if layout is Layout.LIST else "y_zero_point"
        scales: list[list[Any]] = []
        offsets: list[list[Any]] = []
        for row, entry in enumerate(values):
            scale = entry.get(scale_key)
            if scale is None and layout is Layout.FLAT:
                scale = entry.get("per_channel_float_scale")
            offset = entry.get(offset_key)
            self._check_arrays(layout, base + row, scale, offset)
            flat_scale = leaves(scale) if isinstance(scale, list) else [scale]
            flat_offset = leaves(offset) if isinstance(offset, list) else [offset]
            size = max(1, len(flat_scale))
            scales.append(flat_scale if flat_scale else [None])
            if len(flat_offset) != size:
                flat_offset = (flat_offset + [None] * size)[:size]
            offsets.append(flat_offset)
        counts = list(map(len, scales))
        owner = np.repeat(np.arange(len(values)), counts)

        def bad(field: str) -> Bad:
            def report(row: int, what: str) -> None:
                self._flaw("field-type", base + int(owner[row]), (field,), f"{field} {what}")

            return report

        def bad_here(field: str) -> Bad:
            return lambda row, what: self._flaw("field-type", base + row, (field,), f"{field} {what}")

        scale = _numbers(list(chain.from_iterable(scales)), bad(scale_key))
        offset = _numbers(list(chain.from_iterable(offsets)), bad(offset_key))
        axis = _numbers([entry.get("axis") for entry in values], bad_here("axis"))
        block = _numbers([entry.get("block_size") for entry in values], bad_here("block_size"))
        signature = self._signature(values)
        severity = Severity.ERROR if layout is Layout.LIST else Severity.INFO
        self._report_nulls(((entry, base + row, ()) for row, entry in enumerate(values)), severity)
        if layout is Layout.LIST:
            bitwidth = _numbers([entry.get("bw") for entry in values], bad_here("bw"))
            kind = self._kinds(layout, [entry.get("dtype") for entry in values], bad_here("dtype"))
            symmetric = self._truths(
                [entry.get("is_sym") for entry in values], _TRUTH, lambda row: base + row
            )
            enc_types = [self._text(base + row, entry, "enc_type") for row, entry in enumerate(values)]
            dtypes = [""] * len(values)
        else:
            dtypes = [self._text(base + row, entry, "output_dtype") for row, entry in enumerate(values)]
            signed, bitwidth, kind = self._dtypes(dtypes)
            symmetric = np.full(len(values), -1, np.int8)
            enc_types = [""] * len(values)
            # 2.x: y_zero_point = -offset for uintN, -(offset + 2**(bitwidth - 1)) for intN, absent = 0.
            absent = np.array([entry.get("y_zero_point") is None for entry in values], bool)[owner]
            offset = -np.where(absent, 0.0, offset) + 0.0
            offset -= np.where(signed[owner], np.exp2(bitwidth[owner] - 1.0), 0.0)
        columns: dict[str, Any] = {
            "scale": scale,
            "offset": np.where(np.isnan(scale), np.nan, offset) if layout is Layout.FLAT else offset,
            "bitwidth": bitwidth[owner],
            "minimum": np.full(len(owner), np.nan),
            "maximum": np.full(len(owner), np.nan),
            "kind": kind[owner],
            "symmetric": symmetric[owner],
            "signature": signature[owner],
        }
        return columns, counts, enc_types, dtypes, axis, block

    def _text(self, tensor: int, entry: dict[str, Any], key: str) -> str:
        value = entry.get(key)
        if value is None or isinstance(value, str):
            return value or ""
        self._flaw("field-type", tensor, (key,), f"{key} is {shown(value)}, not text")
        return ""

    def _check_arrays(self, layout: Layout, tensor: int, scale: Any, offset: Any) -> None:
        if layout is Layout.LIST:
            for key, value in (("scale", scale), ("offset", offset)):
                if value is not None and not isinstance(value, list):
                    self._flaw("field-type", tensor, (key,), f"{key} is {shown(value)}, not an array")
                elif isinstance(value, list) and not value:
                    self._flaw("field-type", tensor, (key,), f"{key} is an empty array")
        elif isinstance(scale, list) and not leaves(scale):
            self._flaw("field-type", tensor, ("y_scale",), "y_scale is an empty array")
        sizes = [len(leaves(value)) if isinstance(value, list) else 1 for value in (scale, offset)]
        if scale is not None and offset is not None and sizes[0] != sizes[1]:
            names = ("scale", "offset") if layout is Layout.LIST else ("y_scale", "y_zero_point")
            message = f"{names[0]} has {sizes[0]} values, {names[1]} has {sizes[1]}"
            self._flaw("field-type", tensor, (names[1],), message)

    @staticmethod
    def _dtypes(dtypes: list[str]) -> tuple[npt.NDArray[np.bool_], Floats, npt.NDArray[np.int8]]:
        """Signedness, bitwidth (NaN unless an integer) and kind of each output_dtype."""
        table: dict[str, tuple[bool, float, int]] = {}
        for name in set(dtypes):
            found = _DTYPE.fullmatch(name)
            if found:
                table[name] = (not found[1], float(found[2]), INT)
            else:
                table[name] = (False, np.nan, FLOAT if name in FLOAT_DTYPES else UNKNOWN)
        rows = [table[name] for name in dtypes]
        signed, bits, kinds = zip(*rows, strict=True) if rows else ((), (), ())
        return np.array(signed, bool), np.array(bits, np.float64), np.array(kinds, np.int8)
