"""The small language of the limitations' `expr` and `tests`: arithmetic and comparisons on named numbers.

It is a subset of Python's expressions, parsed and walked here, never executed: numbers, names, lists, `+ - *
/ %`, comparisons, `and`, `or`, and the calls ceil, pow2 (whether a power of two), all and sum. A name may be
a list (one number per axis or input); operations apply element by element, and a whole list is true if all
its elements are.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

RuleValue = Any
"""A number, a text, or an array of them."""


class NoValue(Exception):
    """A name has no value, so that the result is unknown; the argument is the name."""


def _exact(value: RuleValue) -> RuleValue:
    """Python's numbers, one or an array of them: a product of declared sizes may exceed 64 bits."""
    return np.asarray(value, object)


def _power_of_two(value: RuleValue) -> RuleValue:
    whole = _exact(value)
    return (whole > 0) & (whole & (whole - 1) == 0)


_CALLS: dict[str, Callable[[RuleValue], RuleValue]] = {
    "ceil": lambda value: np.frompyfunc(math.ceil, 1, 1)(value),
    "pow2": _power_of_two,
    "all": np.all,
    "sum": np.sum,
}
_OPERATORS: dict[type[ast.AST], Callable[[RuleValue, RuleValue], RuleValue]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


@cache
def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def names_in(text: str) -> tuple[str, ...]:
    """The names of an expression, in order of appearance."""
    called = {id(node.func) for node in ast.walk(_parsed(text)) if isinstance(node, ast.Call)}
    names = [
        node for node in ast.walk(_parsed(text)) if isinstance(node, ast.Name) and id(node) not in called
    ]
    return tuple(dict.fromkeys(node.id for node in sorted(names, key=lambda node: node.col_offset)))


def holds(text: str, values: Mapping[str, RuleValue]) -> bool:
    """Whether an expression is true.

    Raises:
        NoValue: the result depends on a name without a value.
        ValueError: the text is not an expression of this language.
    """
    return bool(np.all(_value(_parsed(text), values)))


def _value(node: ast.expr, values: Mapping[str, RuleValue]) -> RuleValue:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        value = values.get(node.id)
        if value is None:
            raise NoValue(node.id)
        return _exact(value) if isinstance(value, (list, tuple)) else value
    if isinstance(node, ast.List):
        return _exact([_value(element, values) for element in node.elts])
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left, values), _value(node.right, values))
    if isinstance(node, ast.Compare):
        return _comparison(node, values)
    if isinstance(node, ast.BoolOp):
        return _together(node, values)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
        (argument,) = node.args
        return _CALLS[node.func.id](_value(argument, values))
    raise ValueError(f"{ast.unparse(node)} is not an expression of the limitations")


def _comparison(node: ast.Compare, values: Mapping[str, RuleValue]) -> RuleValue:
    sides = [_value(side, values) for side in (node.left, *node.comparators)]
    results = []
    for position, compare in enumerate(node.ops):
        if type(compare) not in _OPERATORS:
            raise ValueError(f"{ast.unparse(node)} is not an expression of the limitations")
        left, right = sides[position], sides[position + 1]
        if np.ndim(left) and np.ndim(right) and np.shape(left) != np.shape(right):
            results.append(isinstance(compare, ast.NotEq))  # lists of different lengths differ
        else:
            results.append(_OPERATORS[type(compare)](left, right))
    return results[0] if len(results) == 1 else all(bool(np.all(result)) for result in results)


def _together(node: ast.BoolOp, values: Mapping[str, RuleValue]) -> bool:
    """The result that the known parts determine, even if other parts are unknown."""
    settles = isinstance(node.op, ast.Or)
    unknown: NoValue | None = None
    for part in node.values:
        try:
            if bool(np.all(_value(part, values))) is settles:
                return settles
        except NoValue as problem:
            unknown = problem
    if unknown is not None:
        raise unknown
    return not settles
