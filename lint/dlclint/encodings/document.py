"""An override file as read: which tensors are encoded, with which numbers, and where in the text.

A file may hold a million encodings, so it is kept in columns: one row per tensor, and one row per element (an
entry of a channel or block; one for a per-tensor entry).
"""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dlclint.diagnostic import Severity
from dlclint.encodings import json_text
from dlclint.encodings.json_text import JsonText, Member
from dlclint.encodings.places import Places
from dlclint_schemas.record import record

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Path_ = tuple[str | int, ...]


class Layout(enum.Enum):
    """How entries are shaped, named by the version field that goes with the shape."""

    LEGACY = "0.6.1"
    """Objects of tensor name to a list of entries (0.4.0, 0.5.0, 0.6.1)."""
    LIST = "1.0.0"
    """Lists of entries with a name, `bw` and arrays of scale and offset."""
    FLAT = "2.0.0"
    """One list of entries with a name, `output_dtype` and `y_scale` (2.0.0, 2.1.0)."""


VERSIONS = {
    Layout.LEGACY: ("0.4.0", "0.5.0", "0.6.1"),
    Layout.LIST: ("1.0.0",),
    Layout.FLAT: ("2.0.0", "2.1.0"),
}
ACTIVATIONS, PARAMS, ENCODINGS = "activation_encodings", "param_encodings", "encodings"
SECTIONS = (ACTIVATIONS, PARAMS, ENCODINGS)

VECTORS = ("min", "max", "scale", "offset")
"""Fields that some writers of the legacy layout write as lists, one number per channel."""
ALIKE = ("bitwidth", "dtype", "is_symmetric")
"""Fields that such an entry may have per channel too."""
FIELDS = {
    Layout.LEGACY: {"bitwidth": "bitwidth", "symmetric": "is_symmetric", "dtype": "dtype"},
    Layout.LIST: {"bitwidth": "bw", "symmetric": "is_sym", "dtype": "dtype"},
    Layout.FLAT: {"scale": "y_scale", "offset": "y_zero_point", "dtype": "output_dtype"},
}
"""The names of the columns in each layout, where they differ."""

UNKNOWN, INT, FLOAT = 0, 1, 2
"""Values of the column `kind`."""


@record
class Section:
    """A top-level member that holds entries."""

    name: str
    layout: Layout
    start: int
    pointer: Path_


@record
class Flaw:
    """A flaw found by reading. `kind` names the rule that reports it; the place is an offset, or an entry."""

    kind: str
    message: str
    help: str = ""
    tensor: int | None = None
    path: Path_ = ()
    offset: int | None = None
    pointer: Path_ | None = None
    severity: Severity = Severity.ERROR
    fix: tuple[Path_, str, str] | None = None
    """Path in the entry, new JSON text, and a description; always safe."""
    lacks_list: bool = False
    """Whether the entry is an object that must be in a list."""
    first: int | str | None = None
    """For a repetition: the offset of the first occurrence, or the tensor whose first entry that is."""


@dataclass(slots=True)
class Labels:
    """A column of texts with few distinct values: each row's code, and the text of each code."""

    codes: Ints
    texts: list[str]

    def __getitem__(self, row: int) -> str:
        return self.texts[int(self.codes[row])]

    def where(self, holds: Callable[[str], bool]) -> Flags:
        """The rows whose text meets a condition."""
        table = np.array([holds(text) for text in self.texts], bool)
        return table[self.codes] if len(table) else np.zeros(len(self.codes), bool)


@dataclass(slots=True)
class Tensors:
    """One row per entry with a name, in the order of the file."""

    names: list[str]
    section: Ints
    index: Ints
    """Index within its section."""
    first: Ints
    """Row of its first element."""
    count: Ints
    """Elements: channels or blocks; 1 per tensor."""
    enc_type: Labels
    """1.0.0's enc_type, else ""."""
    dtype: Labels
    """2.x's output_dtype, else ""."""
    axis: Floats
    block_size: Floats


@dataclass(slots=True)
class Elements:
    """One row per channel, block or tensor; absent or unusable numbers are NaN."""

    tensor: Ints
    bitwidth: Floats
    scale: Floats
    offset: Floats
    """As in files up to 1.0.0; zero points of 2.x are converted."""
    minimum: Floats
    maximum: Floats
    kind: npt.NDArray[np.int8]
    symmetric: npt.NDArray[np.int8]
    """1 or 0 as intended, -1 where it is not stated."""
    signature: Ints
    """Which fields are present: a row of `EncodingsDocument.signatures`."""

    def channel(self, tensors: Tensors) -> Ints:
        """Each element's index within its tensor."""
        return np.arange(len(self.tensor), dtype=np.int64) - tensors.first[self.tensor]


@dataclass(slots=True)
class _OpenedEntry:
    """An entry parsed again, and where its elements are in it.

    A fix asks for a path for each of perhaps thousands of elements, so the entry is parsed and measured once.
    """

    tensor: int
    value: Any
    _firsts: list[int] = field(default_factory=list)
    _paths: dict[str, list[Path_] | None] = field(default_factory=dict)

    def item_of(self, element: int) -> tuple[int, int]:
        """The item of a legacy entry's list that holds an element, and the item's first element."""
        if not self._firsts:
            sizes = (max(1, channels_of(item)) for item in self.value)
            self._firsts = list(accumulate(sizes, initial=0))
        index = bisect_right(self._firsts, element) - 1
        return (index, self._firsts[index]) if index < len(self.value) else (0, 0)

    def path_in_array(self, key: str, element: int) -> Path_:
        """The path of an element in a member that is an array, () in any other member."""
        value = self.value.get(key) if isinstance(self.value, dict) else None
        if not isinstance(value, list):
            return ()
        if key not in self._paths:
            is_nested = any(isinstance(child, list) for child in value)
            self._paths[key] = _leaf_paths(value) if is_nested else None
        paths = self._paths[key]
        if paths is None:
            return (element,) if element < len(value) else ()
        return paths[element] if element < len(paths) else ()


@dataclass(slots=True)
class EncodingsDocument:
    """A file with all that rules, edits, conversion and tables need."""

    path: Path
    source: JsonText
    top: dict[str, Any]
    """Top-level members that are not sections, parsed."""
    top_offsets: dict[str, tuple[int, int]]
    """Offsets of key and value of every top-level member."""
    sections: list[Section]
    places: Places
    tensors: Tensors
    elements: Elements
    signatures: list[frozenset[str]]
    flaws: list[Flaw]
    whole: bool
    """Whether the text was read to its end."""
    odd_symmetry: list[int]
    """Rows of entries whose symmetry is not spelled as the layout requires."""
    quantized_scales: list[int]
    """Rows of entries whose scale is an object of 2.1.0; see `dlclint.encodings.double`."""
    _rows: dict[str, list[int]] = field(default_factory=dict)
    _finder: json_text.Finder | None = None
    _opened: _OpenedEntry | None = None
    """The entry whose elements' paths were read last."""

    @property
    def layout(self) -> Layout | None:
        """The layout of the sections; None where there is no section or they differ."""
        layouts = {section.layout for section in self.sections}
        return layouts.pop() if len(layouts) == 1 else None

    @property
    def version(self) -> str | None:
        """The version field if it is text."""
        value = self.top.get("version")
        return value if isinstance(value, str) else None

    def section_of(self, tensor: int) -> Section:
        """The section that contains an entry."""
        return self.sections[int(self.tensors.section[tensor])]

    def is_flat(self, tensor: int) -> bool:
        """Whether an entry has the form of 2.x."""
        return self.section_of(tensor).layout is Layout.FLAT

    def in_layout(self, layout: Layout) -> Flags:
        """The elements whose entries have the form of a layout."""
        return self.in_sections(lambda section: section.layout is layout)[self.elements.tensor]

    def in_sections(self, holds: Callable[[Section], bool]) -> Flags:
        """The tensors in a section that meets a condition."""
        rows = np.array([holds(section) for section in self.sections], bool)
        return rows[self.tensors.section] if len(rows) else np.zeros(len(self.tensors.section), bool)

    def entry(self, tensor: int) -> Any:
        """An entry's JSON value, parsed again from the text."""
        value, _ = json_text.parse_value(json_text.PLAIN, self.source.text, self.places[tensor].start)
        return value

    def entries(self) -> Iterator[tuple[str, str, Any]]:
        """Section, name and value of every entry, in order."""
        for row, name in enumerate(self.tensors.names):
            yield self.section_of(row).name, name, self.entry(row)

    def entry_path(self, tensor: int) -> Path_:
        """The path of an entry from the top of the file."""
        section = self.section_of(tensor)
        if section.layout is Layout.LEGACY:
            return (*section.pointer, self.tensors.names[tensor])
        return (*section.pointer, int(self.tensors.index[tensor]))

    def field_path(self, element: int, name: str) -> Path_:
        """The path from an entry to a column's field of an element.

        `name` is a column: bitwidth, scale, offset, minimum, maximum, symmetric, dtype; "" is the element
        itself.
        """
        tensor = int(self.elements.tensor[element])
        layout = self.section_of(tensor).layout
        channel = element - int(self.tensors.first[tensor])
        key = {"minimum": "min", "maximum": "max"}.get(name, name)
        key = FIELDS[layout].get(key, key)
        if layout is Layout.LEGACY:
            return self._legacy_path(tensor, channel, key)
        if not name or name not in ("scale", "offset"):
            return (key,) if key else ()
        return (key, *self._opened_entry(tensor).path_in_array(key, channel))

    def _legacy_path(self, tensor: int, channel: int, key: str) -> Path_:
        opened = self._opened_entry(tensor)
        path: Path_ = (key,) if key else ()
        if not isinstance(opened.value, list):
            return path
        index, first = opened.item_of(channel)
        entry: Any = opened.value[index] if opened.value else None
        is_list = channels_of(entry) > 0 and isinstance(entry.get(key), list)
        return (index, *path, channel - first) if is_list else (index, *path)

    def _opened_entry(self, tensor: int) -> _OpenedEntry:
        if self._opened is None or self._opened.tensor != tensor:
            self._opened = _OpenedEntry(tensor, self.entry(tensor))
        return self._opened

    def find(self, tensor: int, path: Path_) -> tuple[Member, int]:
        """The member that a path leads to within an entry; see `json_text.Finder`."""
        return self._shared_finder.find(self.places[tensor].start, path)

    @property
    def _shared_finder(self) -> json_text.Finder:
        if self._finder is None:
            self._finder = json_text.Finder(self.source.text)
        return self._finder

    def spelling(self, tensor: int, path: Path_ = ()) -> str:
        """How a value in an entry is written; "" where the value is absent."""
        member, steps = self.find(tensor, path)
        if steps < len(path):
            return ""
        _, end = json_text.parse_value(json_text.PLAIN, self.source.text, member.start)
        return self.source.text[member.start : end]

    def path_at(self, offset: int) -> Path_:
        """The path of the deepest value known to enclose an offset; () where that is the whole file."""
        row = self.places.row_at(offset)
        if row is not None:
            entry = self.places[row]
            if offset < entry.end:
                return (*self.entry_path(row), *self._shared_finder.path_at(entry.start, offset))
        before = [key for key, (start, _) in self.top_offsets.items() if start <= offset]
        return tuple(before[-1:])

    def place(self, tensor: int, path: Path_ = ()) -> tuple[str, int, int]:
        """JSON pointer, line and column of a place in an entry, or of the nearest one that exists."""
        member, steps = self.find(tensor, path)
        if steps == 0:
            member = self.places[tensor]
        offset = member.key_start if member.key_start >= 0 else member.start
        whole = (*self.entry_path(tensor), *path[:steps])
        return (json_text.pointer(whole), *self.source.line_and_column(offset))

    def has(self, key: str) -> Flags:
        """For each element, whether its source object has a member of this name."""
        table = np.array([key in keys for keys in self.signatures], bool)
        if not len(table):
            return np.zeros(len(self.elements.tensor), bool)
        return table[self.elements.signature]

    def rows(self, name: str) -> list[int]:
        """The rows of the entries with a name; [] where there is none."""
        if not self._rows:
            for row, known in enumerate(self.tensors.names):
                self._rows.setdefault(known, []).append(row)
        return self._rows.get(name, [])

    def last_row(self, name: str) -> int | None:
        """The row of the entry with a name that counts, the last; None where there is none."""
        rows = self.rows(name)
        return rows[-1] if rows else None


def channels_of(entry: Any) -> int:
    """The number of channels of a legacy entry's vectors; 0 without vectors, or where they differ."""
    if not isinstance(entry, dict) or not is_vectors(entry):
        return 0
    sizes = {len(entry[key]) for key in (*VECTORS, *ALIKE) if isinstance(entry.get(key), list)}
    return sizes.pop() if len(sizes) == 1 else 0


def is_vectors(entry: dict[str, Any]) -> bool:
    """Whether an entry of the legacy layout holds a list of numbers per field, one for each channel."""
    return any(isinstance(entry.get(key), list) for key in VECTORS)


def _leaf_paths(value: list[Any]) -> list[Path_]:
    """The path of each leaf of nested lists, in order."""
    paths: list[Path_] = []
    pending: list[tuple[Path_, Any]] = [((), value)]
    while pending:
        path, node = pending.pop()
        if isinstance(node, list):
            pending.extend(((*path, index), node[index]) for index in reversed(range(len(node))))
        else:
            paths.append(path)
    return paths


def leaves(value: Any) -> list[Any]:
    """The values in nested lists that are not lists, in order."""
    if not isinstance(value, list):
        return [value]
    if not any(isinstance(element, list) for element in value):
        return value
    values: list[Any] = []
    pending = [iter(value)]
    while pending:
        for element in pending[-1]:
            if isinstance(element, list):
                pending.append(iter(element))
                break
            values.append(element)
        else:
            pending.pop()
    return values
