"""Frozen dataclasses that cost little to define.

`dataclasses.dataclass(frozen=True, slots=True)` compiles six functions for every class, which takes 8 to 19 %
of the processor time of a short run (`python benchmarks/records.py`, three runs on a busy machine on
2026-11-29: 8 and 19 % of a model's, 10 % of an override file's). `record` compiles one, `__init__`, and that
only when the first record of the class is created, which does not happen for most classes in a short run; all
records share the others. The result is a dataclass for `dataclasses.replace`, `fields` and `asdict`, for
`copy` and for `pickle`.

When to use it: a class of frozen data is a record. A dataclass is for mutable data, and for a class that
needs a `__dict__` (`cached_property`), compares by identity, or inherits from another.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

Class = TypeVar("Class", bound=type)

if sys.version_info >= (3, 14):
    import annotationlib

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_):
        return lambda function: function


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def record(cls: Class) -> Class:
    """Make a class with annotated fields a frozen dataclass with slots, compared by its fields.

    Defaults and `dataclasses.field(default=..., default_factory=...)` are supported; inheritance from another
    record, `InitVar`, `ClassVar` and `__post_init__` are not.
    """
    annotations = _annotations(cls)
    names = tuple(annotations)
    members = dict(cls.__dict__)
    fields: dict[str, Any] = {}
    for name in names:
        default = members.pop(name, dataclasses.MISSING)
        default_field: Any = (
            default if isinstance(default, dataclasses.Field) else dataclasses.field(default=default)
        )
        default_field.name, default_field.type = name, annotations[name]
        default_field._field_type = _FIELD
        fields[name] = default_field
    members.pop("__dict__", None)
    members.pop("__weakref__", None)
    members |= _SHARED
    members |= {
        "__slots__": names,
        "__match_args__": names,
        "__dataclass_fields__": fields,
        "__dataclass_params__": _PARAMS,
    }
    slotted = type(cls)(cls.__name__, cls.__bases__, members)
    slotted.__qualname__ = cls.__qualname__
    return slotted


def _annotations(cls: type) -> Mapping[str, Any]:
    """The type of each field: a string where evaluation is postponed, as `dataclasses.Field.type` has it.

    Python 3.14 evaluates annotations when they are first read (PEP 649), which is here, before the module has
    names for the class and for what follows it. A type that has none yet is an `annotationlib.ForwardRef`.
    """
    if sys.version_info >= (3, 14):
        return annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(cls)


def _first(self: Any, *arguments: Any, **named: Any) -> None:
    """The `__init__` of a class until its first record is created."""
    cls = type(self)
    cls.__init__ = _initializer(cls.__dataclass_fields__)
    cls.__init__(self, *arguments, **named)


def _initializer(fields: Mapping[str, Any]) -> Callable[..., None]:
    scope: dict[str, Any] = {"_set": object.__setattr__}
    arguments: list[str] = []
    lines: list[str] = []
    for name, default_field in fields.items():
        value = name
        if default_field.default is not dataclasses.MISSING:
            scope[f"_default_{name}"] = default_field.default
            arguments.append(f"{name}=_default_{name}")
        elif default_field.default_factory is not dataclasses.MISSING:
            scope[f"_make_{name}"], scope["_absent"] = default_field.default_factory, dataclasses.MISSING
            arguments.append(f"{name}=_absent")
            value = f"_make_{name}() if {name} is _absent else {name}"
        else:
            arguments.append(name)
        lines.append(f" _set(self, {name!r}, {value})\n")
    exec(f"def __init__({', '.join(['self', *arguments])}):\n{''.join(lines) or ' pass'}", scope)
    initializer: Callable[..., None] = scope["__init__"]
    return initializer


def _values(instance: Any) -> tuple[Any, ...]:
    return tuple(getattr(instance, name) for name in instance.__slots__)


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
    return f"{type(self).__qualname__}({shown})"


def _eq(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _refuse(self: Any, name: str, value: object = None) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _restore(self: Any, state: tuple[Any, ...]) -> None:
    for name, value in zip(self.__slots__, state, strict=True):
        object.__setattr__(self, name, value)


_SHARED = {
    "__init__": _first,
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _refuse,
    "__delattr__": _refuse,
    "__replace__": dataclasses.replace,
    "__getstate__": _values,
    "__setstate__": _restore,
}


@dataclasses.dataclass(frozen=True, slots=True)
class _Genuine:
    """A genuine dataclass, for the markers that the standard library's functions look for."""

    field: int


_FIELD = dataclasses.fields(_Genuine)[0]._field_type  # type: ignore[attr-defined]
_PARAMS = _Genuine.__dataclass_params__  # type: ignore[attr-defined]
