"""Releases of the SDK, and the changes in each: when a fact applies.

A release is named as 2.47, by a whole build number such as 2.47.0.260515, or by a table's name. What no
document states about a release is what the newest document before it states; a release that is older than
every table has the oldest one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from dlclint_schemas.record import record
from dlclint_schemas.resource import load


@record
class Release:
    """One release, such as 2.47: QAIRT, with the SNPE and the QNN tools in it."""

    name: str
    number: tuple[int, int]
    table: str
    """The supported-ops table that applies (see `dlclint_schemas.ops`)."""
    opset: int
    """The newest opset that the converter is known to support."""
    stated_for: str
    """The release whose documents state that opset and that table."""
    confidence: str
    """How much of them was read: whole, or an excerpt."""

    @property
    def is_stated(self) -> bool:
        """Whether the release's own documents state it."""
        return self.name == self.stated_for


@record
class Change:
    """A change in a release. `kind` is its topic, and `says` puts it in words.

    rank: up to `now` dimensions where it was `before`; precision, weights, type, reduction, op: a form that
    did not exist; converter: an attribute that the converter did not translate; note: only words.
    """

    kind: str
    runtime: str
    """htp, gpu, cpu or converter."""
    layers: tuple[str, ...]
    ops: tuple[str, ...]
    says: str
    since: str
    not_before: str
    """Of several releases with one entry the first; "" where `since` is exact."""
    source: str
    confidence: str
    fields: Mapping[str, Any]

    def holds(self, release: Release) -> bool | None:
        """Whether the release has it; None: one of several releases, including this one, added it."""
        if release.number >= release_number(self.since):
            return True
        earliest = self.not_before or self.since
        return None if release.number >= release_number(earliest) else False

    @property
    def since_text(self) -> str:
        """A text such as `2.45`, or `2.46 to 2.49` where it is one of these."""
        return f"{self.not_before} to {self.since}" if self.not_before else self.since


@record
class OptionTime:
    """The first and the last release in which a tool has an option, as far as documents were read."""

    tool: str
    option: str
    since: str
    not_before: str
    until: str
    instead: str
    source: str


class UnknownRelease(Exception):
    """No release with that name is known; the argument lists the known ones."""


_BUILD = re.compile(r"[vV]?(\d+)\.(\d+)(?:\.\d+){0,3}")


def release_number(name: str) -> tuple[int, int]:
    """The sort key of a release."""
    major, minor = name.split(".")
    return int(major), int(minor)


@cache
def _data() -> Mapping[str, Any]:
    return MappingProxyType(load("sdk_releases"))


@cache
def releases() -> Mapping[str, Release]:
    """Every known release by name, the oldest first."""
    (major, first), (_, newest) = release_number(_data()["first"]), release_number(_data()["newest"])
    tables = _data()["tables"]
    by_name = {}
    for minor in range(first, newest + 1):
        number = (major, minor)
        past = [table for table in tables if release_number(table["since"]) <= number]
        table = past[-1] if past else tables[0]
        name = f"{major}.{minor}"
        stated = (table["name"], table["opset"], table["since"], table["confidence"])
        by_name[name] = Release(name, number, *stated)
    return MappingProxyType(by_name)


@cache
def release(text: str = "") -> Release:
    """The release that a text names; "" is the newest known.

    Raises:
        UnknownRelease: no release with that name is known.
    """
    data, known = _data(), releases()
    if not text:
        return known[data["newest"]]
    if text in data["names"]:
        return known[data["names"][text]]
    names = ", ".join(data["names"])
    span = f"known are {data['first']} to {data['newest']}, their build numbers, and {names}"
    match = _BUILD.fullmatch(text)
    if match is None:
        raise UnknownRelease(f"this names no release; {span}")
    number = (int(match[1]), int(match[2]))
    name = f"{number[0]}.{number[1]}"
    if name not in known:
        newer = number > known[data["newest"]].number
        nearest = data["newest"] if newer else data["first"]
        raise UnknownRelease(f"SDK {name} is not known; the nearest is {nearest}, {span}")
    return known[name]


def opset_since(opset: int) -> str:
    """The first release whose documents state an opset; "" where none does."""
    return next((str(table["since"]) for table in _data()["tables"] if table["opset"] >= opset), "")


def oldest_stated() -> str:
    """The oldest release whose documents were read."""
    return str(_data()["tables"][0]["since"])


@cache
def table_source(name: str) -> str:
    """The source of the opset that goes with a table."""
    return next(str(table["source"]) for table in _data()["tables"] if table["name"] == name)


@cache
def changes() -> tuple[Change, ...]:
    """The changes in the releases, the oldest first."""
    plain = ("since", "not_before", "kind", "runtime", "layers", "ops", "says", "source", "confidence")
    rows = [
        Change(
            row["kind"],
            row["runtime"],
            tuple(row["layers"]),
            tuple(row["ops"]),
            row["says"],
            row["since"],
            row.get("not_before", ""),
            row["source"],
            row["confidence"],
            MappingProxyType({key: value for key, value in row.items() if key not in plain}),
        )
        for row in _data()["changes"]
    ]
    return tuple(sorted(rows, key=lambda change: release_number(change.since)))


@cache
def rank_changes() -> Mapping[tuple[str, str], Change]:
    """The new highest rank on HTP, by ONNX op and precision (int8, int16 or fp16)."""
    return MappingProxyType(
        {
            (op, precision): change
            for change in changes()
            if change.kind == "rank"
            for op in change.ops
            for precision in change.fields["precisions"]
        }
    )


@cache
def option_times(tool: str) -> Mapping[str, OptionTime]:
    """The options of a tool that not every release has, by name."""
    return MappingProxyType(
        {
            row["option"]: OptionTime(
                tool,
                row["option"],
                row.get("since", ""),
                row.get("not_before", ""),
                row.get("until", ""),
                row.get("instead", ""),
                row["source"],
            )
            for row in _data()["options"]
            if row["tool"] == tool
        }
    )


def has_option(tool: str, option: str, of: Release) -> bool | None:
    """Whether a release's tool has an option; None: unknown for this release."""
    time = option_times(tool).get(option)
    if time is None:
        return True
    if time.until and of.number > release_number(time.until):
        return False
    if not time.since or of.number >= release_number(time.since):
        return True
    return None if of.number >= release_number(time.not_before or time.since) else False
