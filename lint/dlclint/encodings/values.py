"""Columns of JSON values: members of many objects, numbers, and the numbers of distinct keys.

A column is converted whole if all its values are of the expected type; only one with anything else is checked
value by value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from dlclint.encodings.document import Ints, leaves

Floats = npt.NDArray[np.float64]
Bad = Callable[[int, str], None]
"""Reports a row's flaw: the text that follows the field's name in the message."""
NUMBERS = {int, float, type(None)}


def quoted_value(value: Any) -> str:
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


def numbers(raw: list[Any], bad: Bad) -> Floats:
    """A float64 column of numbers that float32 can hold, in which the tools keep them; None is absence.

    Anything else is reported and becomes NaN. A number that float32 rounds to 0 is 0. So no arithmetic on the
    columns of a file leaves float64, whatever the file holds.

    Source: QnnTypes.h, Qnn_ScaleOffset_t (float scale); IUserBuffer.hpp, UserBufferEncodingTfN (float).
    """
    kinds = set(map(type, raw))
    column = None
    if kinds <= NUMBERS:
        try:
            column = np.array(raw, np.float64)  # None becomes NaN
        except OverflowError:  # a whole number beyond float64
            column = None
    if column is None:
        column = _one_by_one(raw, bad)
    with np.errstate(over="ignore", under="ignore"):
        narrow = column.astype(np.float32)
    for row in np.flatnonzero(np.isinf(narrow)):
        bad(int(row), "is larger than a float32 holds")
        column[row] = np.nan
    column[narrow == 0] = 0.0
    return column


def _one_by_one(raw: list[Any], bad: Bad) -> Floats:
    column = np.full(len(raw), np.nan)
    for row, value in enumerate(raw):
        if value is None:
            continue
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            try:
                column[row] = value
            except OverflowError:
                column[row] = np.inf
        else:
            bad(row, f"is {quoted_value(value)}, not a number")
    return column


class Members:
    """The members of many objects, extracted column by column."""

    def __init__(self, entries: Sequence[dict[str, Any]]) -> None:
        self.entries = entries
        self.shapes = list(map(tuple, entries))
        shapes = set(self.shapes)
        self._everywhere = set.intersection(*map(set, shapes)) if shapes else set()
        self._somewhere = set().union(*shapes)

    def has(self, key: str) -> bool:
        """Whether any object has such a member."""
        return key in self._somewhere

    def column(self, key: str) -> list[Any]:
        """A member's value in each object; None where it is absent."""
        if key in self._everywhere:
            return list(map(itemgetter(key), self.entries))
        if key in self._somewhere:
            return [entry.get(key) for entry in self.entries]
        return [None] * len(self.entries)


def shape_of(value: Any) -> list[int] | None:
    """The shape of nested lists, [] for a number; None where they differ in length or depth."""
    shape: list[int] = []
    level = [value]
    while any(isinstance(element, list) for element in level):
        sizes = {len(element) if isinstance(element, list) else -1 for element in level}
        if len(sizes) > 1:
            return None
        shape.append(sizes.pop())
        level = list(chain.from_iterable(level))
    return shape


def extent(value: Any) -> str:
    """The number of numbers in an array, as a message states it."""
    if not isinstance(value, list):
        return "is one number"
    count = len(leaves(value))
    return f"has {count} value{'s' if count > 1 else ''}"


def codes(keys: Sequence[Any], table: dict[Any, int]) -> Ints:
    """The number of each key in a table, which is extended by missing keys."""
    fresh = dict.fromkeys(keys)
    for key in fresh:
        table.setdefault(key, len(table))
    if len(fresh) == 1:
        return np.full(len(keys), table[keys[0]], np.int64)
    return np.fromiter(map(table.__getitem__, keys), np.int64, len(keys))
