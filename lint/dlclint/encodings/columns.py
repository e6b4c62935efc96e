"""From parsed entries to columns: one layout at a time, many entries at a time.

A column is converted whole if all its values are numbers, as they are in genuine files; only a column with
anything else is checked value by value, and each misfit becomes a `Flaw`.
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
from dlclint.encodings import double
from dlclint.encodings.document import (
    ALIKE,
    FLOAT,
    INT,
    UNKNOWN,
    VECTORS,
    Elements,
    Flaw,
    Labels,
    Layout,
    Path_,
    Tensors,
    channels_of,
    is_vectors,
    leaves,
)
from dlclint.encodings.values import (
    NUMBERS,
    Bad,
    Floats,
    Members,
    codes,
    extent,
    numbers,
    quoted_value,
    shape_of,
)

INTEGER_DTYPE = re.compile(r"(u?)int([0-9]{1,2})")
"""output_dtype of an integer type: the letter of an unsigned one, and its bits."""
UNREADABLE: dict[Any, Any] = {None: False}
"""Replaces an entry that is not an object; no JSON object has such a member."""
_KINDS = {Layout.LEGACY: {"int": INT, "float": FLOAT}, Layout.LIST: {"INT": INT, "FLOAT": FLOAT}}
_TEXT_TRUTH: dict[Any, int] = {"True": 1, "False": 0, None: -1}
_TRUTH: dict[Any, int] = {True: 1, False: 0, None: -1}
FLOAT_DTYPES = {
    "float": 32.0,
    "float16": 16.0,
    "bfloat16": 16.0,
    "float32": 32.0,
    "float4e2m1": 4.0,
    "float8e4m3fn": 8.0,
    "float8e4m3fnuz": 8.0,
    "float8e5m2": 8.0,
    "float8e5m2fnuz": 8.0,
}
"""output_dtype names of 2.x that are not integers (AIMET's format specification), with their bits."""


class ColumnBuilder:
    """Collects entries in batches and builds the tables of a document.

    `nulls` is whether the text contains the word null at all.
    """

    def __init__(self, flaws: list[Flaw], nulls: bool) -> None:
        self._flaws = flaws
        self._nulls = nulls
        self._names: list[str] = []
        self._texts: dict[str, dict[str, int]] = {"enc_type": {}, "dtype": {}}
        self._tensor_parts: dict[str, list[npt.NDArray[Any]]] = {}
        self._element_parts: dict[str, list[npt.NDArray[Any]]] = {}
        self._signatures: dict[tuple[str, ...], int] = {}
        self.odd_symmetry: list[int] = []
        self.quantized_scales: list[int] = []

    def add(
        self,
        layout: Layout,
        section: int,
        names: Sequence[str],
        indices: Sequence[int],
        values: Sequence[Any],
    ) -> None:
        """Add a batch of entries of one section, in order."""
        base = len(self._names)
        self._names.extend(names)
        no_text = ("",) * len(names)
        if layout is Layout.LEGACY:
            columns, counts = self._legacy(base, values)
            enc_types = dtypes = no_text
            axis = block = np.full(len(names), np.nan)
        else:
            columns, counts, enc_types, dtypes, axis, block = self._named(layout, base, values)
        per_tensor = {
            "section": np.full(len(names), section, np.int64),
            "index": np.array(indices, np.int64),
            "count": np.array(counts, np.int64),
            "enc_type": codes(enc_types, self._texts["enc_type"]),
            "dtype": codes(dtypes, self._texts["dtype"]),
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
            whole(tensor, "index", np.int64),
            np.cumsum(count) - count,
            count,
            Labels(whole(tensor, "enc_type", np.int64), list(self._texts["enc_type"])),
            Labels(whole(tensor, "dtype", np.int64), list(self._texts["dtype"])),
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

    def _flaw(self, kind: str, tensor: int, path: Path_, message: str, **more: Any) -> None:
        self._flaws.append(Flaw(kind, message, more.pop("help", ""), tensor, path, **more))

    def _legacy(self, base: int, values: Sequence[Any]) -> tuple[dict[str, npt.NDArray[Any]], list[int]]:
        members = self._legacy_members(values)
        lists: Sequence[list[dict[str, Any]]] = values
        if members is None:
            lists = [self._legacy_list(base + row, value) for row, value in enumerate(values)]
            members = Members(list(chain.from_iterable(lists)))
        counts = list(map(len, lists))
        owner = np.repeat(np.arange(len(lists)), counts)
        first = np.cumsum(counts) - np.array(counts, np.int64)

        def bad(field: str) -> Bad:
            def report(row: int, problem: str) -> None:
                tensor = int(owner[row])
                path = (int(row - first[tensor]), field)
                self._flaw("field-type", base + tensor, path, f"{field} {problem}")

            return report

        columns: dict[str, npt.NDArray[Any]] = {}
        fields = {"bitwidth": "bitwidth", "scale": "scale", "offset": "offset", "min": "minimum"}
        for key, column in {**fields, "max": "maximum"}.items():
            columns[column] = numbers(members.column(key), bad(key))
        columns["kind"] = self._kinds(Layout.LEGACY, members.column("dtype"), bad("dtype"))
        columns["symmetric"] = self._truths(
            members.column("is_symmetric"), _TEXT_TRUTH, lambda row: base + int(owner[row])
        )
        columns["signature"] = codes(members.shapes, self._signatures)
        if self._nulls:
            places = ((base + int(tensor), (int(row - first[tensor]),)) for row, tensor in enumerate(owner))
            self._report_nulls(
                ((entry, *position) for entry, position in zip(members.entries, places, strict=True)),
                Severity.ERROR,
            )
        return columns, counts

    def _report_nulls(self, rows: Iterable[tuple[dict[str, Any], int, Path_]], severity: Severity) -> None:
        for entry, tensor, path in rows:
            for key, value in entry.items():
                if value is None:
                    help = "AIMET 2.3 wrote nulls; leave the field out"
                    message = f"{key} is null"
                    self._flaw("field-type", tensor, (*path, key), message, help=help, severity=severity)

    @staticmethod
    def _legacy_members(values: Sequence[Any]) -> Members | None:
        """The members of all entries if these are lists of objects without vectors, as they should be."""
        if set(map(type, values)) <= {list} and all(values):
            entries = list(chain.from_iterable(values))
            if set(map(type, entries)) <= {dict}:
                members = Members(entries)
                if not any(list in set(map(type, members.column(key))) for key in VECTORS):
                    return members
        return None

    def _legacy_list(self, tensor: int, value: Any) -> list[dict[str, Any]]:
        if isinstance(value, dict):
            if {"input", "output"} & value.keys() and not value.keys() & {"bitwidth", "bw"}:
                self._flaw("torch", tensor, (), "entries are nested by layer input and output")
                return [dict(UNREADABLE)]
            message = "the entry is a bare object, not a list of entries"
            help = "put the entry into a list: [{...}]"
            self._flaw("layout", tensor, (), message, help=help, lacks_list=True)
            return [value]
        if not isinstance(value, list):
            message = f"the value is {quoted_value(value)}, not a list of entries"
            self._flaw("layout", tensor, (), message)
            return [dict(UNREADABLE)]
        if not value:
            self._flaw("layout", tensor, (), "the list of entries is empty", help="remove the tensor")
            return [dict(UNREADABLE)]
        entries: list[dict[str, Any]] = []
        for index, entry in enumerate(value):
            if not isinstance(entry, dict):
                self._flaw(
                    "layout", tensor, (index,), f"entry {index} is {quoted_value(entry)}, not an object"
                )
                entries.append(dict(UNREADABLE))
            elif is_vectors(entry):
                entries.extend(self._expanded(tensor, index, entry))
            else:
                entries.append(entry)
        return entries

    def _expanded(self, tensor: int, index: int, entry: dict[str, Any]) -> list[dict[str, Any]]:
        vectors = {key: entry[key] for key in (*VECTORS, *ALIKE) if isinstance(entry.get(key), list)}
        size = channels_of(entry)
        message = f"one entry holds vectors of {size} channels; this layout has one entry per channel"
        if not size:
            self._flaw(
                "field-type", tensor, (index,), "the vectors of the entry differ in length, or are empty"
            )
            return [{key: value for key, value in entry.items() if key not in vectors}]
        expanded = [
            {key: value[i] if key in vectors else value for key, value in entry.items()} for i in range(size)
        ]
        try:
            text = ", ".join(json.dumps(each, allow_nan=False) for each in expanded)
        except ValueError:  # 1e999 is a number of JSON, and Infinity is not
            text = ""
        fix = ((index,), text, "write one entry per channel") if text else None
        self._flaw("layout", tensor, (index,), message, help="write one object per channel", fix=fix)
        return expanded

    @staticmethod
    def _kinds(layout: Layout, raw: list[Any], bad: Bad) -> npt.NDArray[np.int8]:
        """The kinds by dtype; a name that the layout does not have is unknown."""
        table = _KINDS[layout]
        try:
            return np.fromiter(map(table.__getitem__, raw), np.int8, len(raw))
        except (KeyError, TypeError):  # another name, or an unhashable value
            pass
        for row, value in enumerate(raw):
            if value is not None and not isinstance(value, str):
                bad(row, f"is {quoted_value(value)}, not text")
        known = [table.get(value, UNKNOWN) if isinstance(value, str) else UNKNOWN for value in raw]
        return np.array(known, np.int8)

    def _truths(
        self, raw: list[Any], table: dict[Any, int], tensor_of: Callable[[int], int]
    ) -> npt.NDArray[np.int8]:
        """The meaning of text or boolean, in any case; rows of entries with a wrong spelling are recorded."""
        kinds = {type(key) for key in table}
        if set(map(type, raw)) <= kinds:
            try:
                return np.fromiter(map(table.__getitem__, raw), np.int8, len(raw))
            except KeyError:
                pass
        meant = {"true": 1, "false": 0}
        for row, value in enumerate(raw):
            # The type is compared as well, because 1 == True.
            if type(value) not in kinds or value not in table:
                tensor = tensor_of(row)
                if self.odd_symmetry[-1:] != [tensor]:
                    self.odd_symmetry.append(tensor)
        return np.array([meant.get(str(value).lower(), -1) for value in raw], np.int8)

    def _named(self, layout: Layout, base: int, values: Sequence[Any]) -> tuple[Any, ...]:
        """1.0.0 and 2.x: one object per tensor, arrays inside."""
        scale_key = "scale" if layout is Layout.LIST else "y_scale"
        offset_key = "offset" if layout is Layout.LIST else "y_zero_point"
        members = Members(values)
        scales, offsets, counts = self._arrays(layout, base, members, scale_key, offset_key)
        owner = np.repeat(np.arange(len(values)), counts)

        def bad(field: str) -> Bad:
            def report(row: int, problem: str) -> None:
                self._flaw("field-type", base + int(owner[row]), (field,), f"{field} {problem}")

            return report

        def bad_here(field: str) -> Bad:
            return lambda row, problem: self._flaw("field-type", base + row, (field,), f"{field} {problem}")

        scale = numbers(scales, bad(scale_key))
        offset = numbers(offsets, bad(offset_key))
        axis = numbers(members.column("axis"), bad_here("axis"))
        block = numbers(members.column("block_size"), bad_here("block_size"))
        signature = codes(members.shapes, self._signatures)
        if self._nulls:
            severity = Severity.ERROR if layout is Layout.LIST else Severity.INFO
            self._report_nulls(((entry, base + row, ()) for row, entry in enumerate(values)), severity)
        if layout is Layout.LIST:
            bitwidth = numbers(members.column("bw"), bad_here("bw"))
            offset = offset + self._shifts(base, members, counts)
            kind = self._kinds(layout, members.column("dtype"), bad_here("dtype"))
            symmetric = self._truths(members.column("is_sym"), _TRUTH, lambda row: base + row)
            enc_types = self._column_of_text(base, members, "enc_type")
            dtypes = [""] * len(values)
        else:
            dtypes = self._column_of_text(base, members, "output_dtype")
            signed, bitwidth, kind = self._dtypes(dtypes)
            symmetric = np.full(len(values), -1, np.int8)
            enc_types = [""] * len(values)
            # 2.x: y_zero_point = -offset for uintN, -(offset + 2**(bitwidth - 1)) for intN, absent = 0.
            absent = np.array([value is None for value in members.column("y_zero_point")], bool)[owner]
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

    def _shifts(self, base: int, members: Members, counts: list[int]) -> Floats:
        """1.0.0's zero_point_shift of every element, which is added to its offset; 0 by default."""
        if not members.has("zero_point_shift"):
            return np.zeros(sum(counts))
        flat: list[Any] = []
        for row, (value, count) in enumerate(zip(members.column("zero_point_shift"), counts, strict=True)):
            held = leaves(value) if isinstance(value, list) else [value] * count
            if len(held) != count:
                message = f"zero_point_shift has {len(held)} values, scale has {count}"
                self._flaw("field-type", base + row, ("zero_point_shift",), message)
                held = [None] * count
            flat += held
        owner = np.repeat(np.arange(len(counts)), counts)
        wrong: dict[int, list[str]] = {}

        def bad(row: int, problem: str) -> None:
            wrong.setdefault(base + int(owner[row]), []).append(problem)

        shifts = np.nan_to_num(numbers(flat, bad), nan=0.0)
        for tensor, said in wrong.items():
            more = f" in {len(said)} channels" if len(said) > 1 else ""
            self._flaw("field-type", tensor, ("zero_point_shift",), f"zero_point_shift {said[0]}{more}")
        return shifts

    def _column_of_text(self, base: int, members: Members, key: str) -> list[str]:
        """A column of texts; "" is absence, and anything but text is reported."""
        raw = members.column(key)
        if set(map(type, raw)) <= {str} and "" not in raw:
            return raw
        for row, value in enumerate(raw):
            if value is not None and not (isinstance(value, str) and value):
                self._flaw(
                    "field-type", base + row, (key,), f"{key} is {quoted_value(value)}, not a type's name"
                )
        return [value if isinstance(value, str) else "" for value in raw]

    def _arrays(
        self, layout: Layout, base: int, members: Members, scale_key: str, offset_key: str
    ) -> tuple[list[Any], list[Any], list[int]]:
        """Scales and offsets of all entries, one after the other, and how many each entry has (1 or more)."""
        scales, offsets = members.column(scale_key), members.column(offset_key)
        if layout is Layout.FLAT:
            if members.has("per_channel_float_scale"):
                other = members.column("per_channel_float_scale")
                scales = [b if a is None else a for a, b in zip(scales, other, strict=True)]
            if set(map(type, chain(scales, offsets))) <= NUMBERS:
                return scales, offsets, [1] * len(scales)
        alike = all(
            type(scale) is type(offset) or offset is None or list not in (type(scale), type(offset))
            for scale, offset in zip(scales, offsets, strict=True)
        )
        lists = [value if type(value) is list else [value] for value in scales]
        points = [
            value if type(value) is list else [value] * len(scale)
            for value, scale in zip(offsets, lists, strict=True)
        ]
        counts = list(map(len, lists))
        if alike and all(counts) and counts == list(map(len, points)):
            flat_scales, flat_offsets = list(chain.from_iterable(lists)), list(chain.from_iterable(points))
            usable = {int, float} if layout is Layout.LIST else NUMBERS
            listed = set(map(type, scales)) <= {list} or layout is Layout.FLAT
            if (
                listed
                and set(map(type, chain(flat_scales, flat_offsets))) <= usable
                and None not in flat_scales
            ):
                return flat_scales, flat_offsets, counts
        return self._odd_arrays(layout, base, scales, offsets)

    def _odd_arrays(
        self, layout: Layout, base: int, scales: list[Any], offsets: list[Any]
    ) -> tuple[list[Any], list[Any], list[int]]:
        """As `_arrays`, entry by entry: nested lists are flattened, misfits are reported."""
        flat_scales: list[Any] = []
        flat_offsets: list[Any] = []
        counts: list[int] = []
        for row, (scale, offset) in enumerate(zip(scales, offsets, strict=True)):
            known = scale
            if isinstance(scale, dict) and layout is Layout.FLAT:
                self.quantized_scales.append(base + row)
                known = double.effective_scale(scale)
                for member, message, help in double.flaws(scale):
                    path = ("y_scale", member) if member else ("y_scale",)
                    self._flaw("field-type", base + row, path, message, help=help)
            self._check_arrays(layout, base + row, known, offset)
            values, points = leaves(known) or [None], leaves(offset)
            flat_scales += values
            flat_offsets += (points + [None] * len(values))[: len(values)]
            counts.append(len(values))
        return flat_scales, flat_offsets, counts

    def _check_arrays(self, layout: Layout, tensor: int, scale: Any, offset: Any) -> None:
        names = ("scale", "offset") if layout is Layout.LIST else ("y_scale", "y_zero_point")
        arrays = dict(zip(names, (scale, offset), strict=True))
        whole = True
        for key, value in arrays.items():
            message = self._array_flaw(layout, key, value)
            if message:
                whole = False
                self._flaw("field-type", tensor, (key,), message)
        if not whole or scale is None or offset is None:
            return
        shapes = [shape_of(value) or [] for value in arrays.values()]
        if shapes[0] != shapes[1]:
            extents = [extent(value) for value in arrays.values()]
            if extents[0] == extents[1]:
                extents = [f"is of shape {shape}" for shape in shapes]
            self._flaw("field-type", tensor, (names[1],), f"{names[0]} {extents[0]}, {names[1]} {extents[1]}")

    @staticmethod
    def _array_flaw(layout: Layout, key: str, value: Any) -> str:
        """What is wrong with an array's form, or ""."""
        if not isinstance(value, list):
            wrong = layout is Layout.LIST and value is not None
            return f"{key} is {quoted_value(value)}, not an array" if wrong else ""
        held = leaves(value)
        if not held:
            return f"{key} holds only empty arrays" if value else f"{key} is an empty array"
        if None in held:
            return f"{key} holds null"
        if layout is Layout.LIST and shape_of(value) != [len(value)]:
            return f"{key} holds lists; in 1.0.0 it is one list of numbers"
        return "" if shape_of(value) is not None else f"the lists in {key} differ in length or depth"

    @staticmethod
    def _dtypes(dtypes: list[str]) -> tuple[npt.NDArray[np.bool_], Floats, npt.NDArray[np.int8]]:
        """Signedness, bitwidth (NaN if unknown) and kind of each output_dtype."""
        table: dict[str, int] = {}
        numbered = codes(dtypes, table)
        signed = np.zeros(len(table), bool)
        bits = np.full(len(table), np.nan)
        kinds = np.full(len(table), UNKNOWN, np.int8)
        for row, name in enumerate(table):
            match = INTEGER_DTYPE.fullmatch(name)
            if match:
                signed[row], bits[row], kinds[row] = not match[1], float(match[2]), INT
            elif name in FLOAT_DTYPES:
                bits[row], kinds[row] = FLOAT_DTYPES[name], FLOAT
        return signed[numbered], bits[numbered], kinds[numbered]
