"""Scales that are themselves quantized: a y_scale of version 2.1.0 that is an object.

Source: AIMET Encoding Format Specification 2.1.0, meta encoding: the scale is what x represents, by x_scale
and x_zero_point.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dlclint.encodings.document import leaves
from dlclint.encodings.values import Floats, shape_of


def effective_scale(scale: dict[str, Any]) -> Any:
    """The scale that an object represents, nested as its x is: `(x - x_zero_point) * x_scale`.

    None where x or x_scale is not an array of numbers, or their shapes do not fit.
    """
    stored = _array(scale.get("x"))
    step = _array(scale.get("x_scale"))
    zero = _array(scale.get("x_zero_point", 0.0))
    if stored is None or step is None or zero is None:
        return None
    axis, size = scale.get("axis"), scale.get("block_size")
    step, zero = (_spread(part, stored, axis, size) for part in (step, zero))
    if step is None or zero is None:
        return None
    with np.errstate(all="ignore"):
        return ((stored - zero) * step).tolist()


_MAX_RANK = 32
"""Dimensions that an array of every release of numpy may have (64 from 2.0 on); no tensor has as many."""


def _array(value: Any) -> Floats | None:
    """Numbers with one shape; None for anything else."""
    shape = shape_of(value)
    if shape is None or len(shape) > _MAX_RANK or not set(map(type, leaves(value))) <= {int, float}:
        return None
    try:
        return np.array(value, np.float64)
    except OverflowError:
        return None


def _spread(part: Floats, stored: Floats, axis: Any, size: Any) -> Floats | None:
    """One number, one along the axis, or one for each block along it, broadcast to the values of `stored`."""
    if part.size == 1:
        return part.reshape(())
    usable = isinstance(axis, int) and not isinstance(axis, bool) and -stored.ndim <= axis < stored.ndim
    if part.ndim == 1 and stored.ndim > 1:
        if not usable or len(part) != stored.shape[axis]:
            return None
        shape = [1] * stored.ndim
        shape[axis] = len(part)
        return part.reshape(shape)
    if part.ndim != stored.ndim:
        return None
    if usable and isinstance(size, int) and size > 1 and part.shape[axis] * size >= stored.shape[axis]:
        # The block of each value: a block may be declared far longer than the axis.
        length = stored.shape[axis]
        part = part.take(np.arange(length) // min(size, max(length, 1)), axis)
    fits = all(one in (1, other) for one, other in zip(part.shape, stored.shape, strict=True))
    return part if fits else None


def flaws(scale: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What is wrong with such an object: the member, the message and the help."""
    problems = [
        ("", f"y_scale is an object without {key}, which a quantized scale must have", "")
        for key in ("x", "x_scale")
        if scale.get(key) is None
    ]
    kinds = set(map(type, leaves(scale.get("x"))))
    if kinds == {type(None)}:
        return problems
    if not kinds <= {int, float}:
        problems.append(("x", "x of y_scale holds what is not a number", ""))
    elif float in kinds and scale.get("input_dtype") is None:
        message = "x of y_scale holds fractions, so input_dtype must name their type"
        help = "write input_dtype, such as float8e4m3fn; it may be left out for integers only"
        problems.append(("x", message, help))
    if not problems and effective_scale(scale) is None:
        message = (
            "x_scale or x_zero_point of y_scale does not fit x: it is one number, or as many as its axis has"
        )
        problems.append(("x_scale", message, "write axis, and as many numbers as x has along it"))
    return problems
