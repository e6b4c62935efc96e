"""A record is to the standard library what a frozen dataclass with slots is."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import sys
import typing
from typing import Any

import pytest

from dlclint_schemas.record import record


@record
class Ours:
    """A record."""

    number: int
    name: str = "x"
    items: list[int] = dataclasses.field(default_factory=list)

    @property
    def double(self) -> int:
        return 2 * self.number


@dataclasses.dataclass(frozen=True, slots=True)
class Theirs:
    """The same as the standard library makes it."""

    number: int
    name: str = "x"
    items: list[int] = dataclasses.field(default_factory=list)


def test_it_behaves_as_a_dataclass() -> None:
    for instance in (Ours(1), Theirs(1)):
        kind = type(instance)
        assert instance == kind(number=1, name="x", items=[])
        assert instance != kind(2)
        assert dataclasses.replace(instance, name="y") == kind(1, "y")
        assert dataclasses.asdict(instance) == {"number": 1, "name": "x", "items": []}
        assert [field.name for field in dataclasses.fields(instance)] == ["number", "name", "items"]
        assert pickle.loads(pickle.dumps(instance)) == instance
        assert copy.deepcopy(instance) == instance
        assert repr(instance) == f"{kind.__qualname__}(number=1, name='x', items=[])"
        assert not hasattr(instance, "__dict__")
        assert kind(1).items is not kind(1).items
        with pytest.raises(dataclasses.FrozenInstanceError):
            instance.number = 2  # type: ignore[misc]
        with pytest.raises(dataclasses.FrozenInstanceError):
            del instance.number
        with pytest.raises(TypeError):
            kind()  # type: ignore[call-arg]
    assert Ours(3).double == 6
    assert Ours(1) != Theirs(1)
    match Ours(1, "z"):
        case Ours(number, name):
            assert (number, name) == (1, "z")


def test_equal_records_hash_alike() -> None:
    assert hash(Ours(1, "x", ())) == hash(Ours(1, "x", ()))  # type: ignore[arg-type]


FUTURE = "from __future__ import annotations\n"
SOURCE = """
import dataclasses
from dlclint_schemas.record import record

@record
class Pair:
    left: int
    right: str = "r"
    rest: list = dataclasses.field(default_factory=list)
"""


@pytest.mark.parametrize("source", [SOURCE, FUTURE + SOURCE], ids=["evaluated", "postponed"])
def test_annotations_of_either_kind(source: str) -> None:
    """Without the future import Python 3.14 evaluates annotations only when they are read."""
    scope: dict[str, Any] = {"__name__": __name__}
    exec(compile(source, "pair.py", "exec", dont_inherit=True), scope)
    kind = scope["Pair"]
    pair = kind(1)
    assert dataclasses.is_dataclass(kind)
    assert (pair.left, pair.right, pair.rest) == (1, "r", [])
    assert [field.name for field in dataclasses.fields(kind)] == ["left", "right", "rest"]
    types = [field.type for field in dataclasses.fields(kind)]
    assert types in ([int, str, list], ["int", "str", "list"])
    assert inspect.get_annotations(kind) == dict(zip(("left", "right", "rest"), types, strict=True))
    assert dataclasses.replace(pair, left=2) == kind(2)
    assert repr(pair) == "Pair(left=1, right='r', rest=[])"
    with pytest.raises(dataclasses.FrozenInstanceError):
        pair.left = 3


LATER = """
import dataclasses
from dlclint_schemas.record import record

@MARK
class Node:
    number: int
    before: Node | None = None
    leaf: Leaf | None = None

class Leaf:
    pass
"""


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(
            LATER,
            marks=pytest.mark.skipif(
                sys.version_info < (3, 14), reason="before Python 3.14 only postponed annotations name it"
            ),
        ),
        FUTURE + LATER,
    ],
    ids=["evaluated", "postponed"],
)
def test_types_that_have_no_name_yet(source: str) -> None:
    """A field may have the type of its own class or of a later one, where a dataclass may."""
    scopes: dict[str, dict[str, Any]] = {}
    for mark in ("record", "dataclasses.dataclass(frozen=True, slots=True)"):
        scopes[mark] = {"__name__": __name__}
        exec(compile(source.replace("MARK", mark), "node.py", "exec", dont_inherit=True), scopes[mark])
    shown = []
    for scope in scopes.values():
        kind = scope["Node"]
        first = kind(1)
        assert kind(2, first) == kind(number=2, before=first, leaf=None)
        types = [field.type for field in dataclasses.fields(kind)]
        shown.append([getattr(annotation, "__forward_arg__", annotation) for annotation in types])
        assert typing.get_type_hints(kind, scope) == {
            "number": int,
            "before": kind | None,
            "leaf": scope["Leaf"] | None,
        }
    assert shown[0] == shown[1]
    assert shown[0][1:] == ["Node | None", "Leaf | None"]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace came with Python 3.13")
def test_copy_replace() -> None:
    assert copy.replace(Ours(1), name="y") == Ours(1, "y")  # type: ignore[attr-defined]
