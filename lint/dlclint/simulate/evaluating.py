"""A network on float and on quantized values, step by step; nothing is kept longer than it is needed."""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np

from dlclint.encodings import grid
from dlclint.model.op_facts import Role
from dlclint.model.tensors import Array
from dlclint.simulate.assigning import fused
from dlclint.simulate.network import Network, Step
from dlclint.simulate.running import Runner
from dlclint.simulate.scheme import Scheme, half, product_scale, stored_bias, what

TensorValues = dict[str, Any]
KEPT = 1 << 30
"""Bytes of decoded and of rounded constants that stay in memory for the next sample."""


@dataclass(slots=True)
class Store:
    """Cached constants, as stored and rounded, kept as long as they fit."""

    network: Network
    limit: int = KEPT
    _kept: dict[tuple[Any, ...], Array] = field(default_factory=dict)
    _bytes: int = 0
    _lock: Lock = field(default_factory=Lock)

    def get(self, key: tuple[Any, ...], make: Callable[[], Array]) -> Array:
        """What `make` returns, kept under a key until later values need the space."""
        with self._lock:
            kept = self._kept.pop(key, None)
            if kept is not None:
                self._kept[key] = kept  # now the last to be removed
                return kept
        fresh = make()
        with self._lock:
            if key not in self._kept and fresh.nbytes <= self.limit:
                self._kept[key] = fresh
                self._bytes += _held(fresh)
            while self._bytes > self.limit:
                self._bytes -= _held(self._kept.pop(next(iter(self._kept))))
        return fresh

    def constant(self, name: str) -> Array:
        """A constant as stored."""
        return self.get(("stored", name), lambda: self.network.constants[name])


def _whole(values: Array, bitwidth: int) -> Array:
    """Exponents, rounded where they are next to a whole number: negative numbers have only whole powers.

    A float32 scale turns 2 into 1.9999999. HTP also treats the value that a 16-bit grid of the minimum range
    gives, 2.0001, as 2 (87.9 dB of normal values, SM8550), but not the one of 8 bits.
    """
    near = np.rint(values)
    apart = (grid.MINIMUM_RANGE if bitwidth == 16 else 1e-6) * (1.0 + np.abs(near))
    return np.where(np.abs(values - near) <= apart, near, values).astype(values.dtype)


def _held(values: Array) -> int:
    """Bytes of memory that belong to an array; mapped bytes belong to the file."""
    return 0 if isinstance(values, np.memmap) else values.nbytes


class Evaluator:
    """Runs a network's steps. It is independent of schemes and thread-safe."""

    def __init__(self, network: Network, runner: Runner) -> None:
        self.network = network
        self.runner = runner
        self.store = Store(network)
        self._roles = {
            step.index: tuple(
                what(step, position, network) if name else Role.BOUND
                for position, name in enumerate(step.inputs)
            )
            for step in network.steps
        }
        self._fused = fused(network)
        self._uses = Counter(name for step in network.steps for name in step.reads)
        self._uses.update(network.outputs)

    def is_fused(self, name: str) -> bool:
        """Whether a tensor is never stored, because the Relu or Clip after it is fused with its op."""
        return name in self._fused

    def float_step(self, step: Step, values: Mapping[str, Any]) -> list[Any]:
        """A step's outputs on float values."""
        feed = {name: self.value(name, values) for name in step.reads}
        return self.runner.run(step, feed)

    def value(self, name: str, values: Mapping[str, Any]) -> Any:
        """An activation, or a constant as stored."""
        return values[name] if name in values else self.store.constant(name)

    def quantized_step(self, step: Step, values: Mapping[str, Any], scheme: Scheme) -> list[Any]:
        """A step's outputs, on the scheme's grids, from activations on their grids."""
        outputs = self.runner.run(step, self.quantized_feed(step, values, scheme))
        return [self.on_grid(name, value, scheme) for name, value in zip(step.outputs, outputs, strict=True)]

    def on_grid(self, name: str, value: Any, scheme: Scheme) -> Any:
        """An activation as it is stored; unchanged where it has no grid or is not stored."""
        if name in self._fused:
            return value
        stored_on = scheme.activations.get(name) or scheme.floats.get(name)
        if stored_on is None or not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            return value
        return stored_on.rounded(value)

    def quantized_feed(self, step: Step, values: Mapping[str, Any], scheme: Scheme) -> TensorValues:
        """The inputs of a quantized step: activations at its width, weights and biases as stored."""
        width = scheme.width(step)
        feed: TensorValues = {}
        for position, (name, role) in enumerate(zip(step.inputs, self._roles[step.index], strict=True)):
            if name and name not in feed:
                feed[name] = self._read(step, position, name, role, values, scheme, width)
        for name in step.reads:
            if name not in feed:
                feed[name] = self.value(name, values)
        return feed

    def _read(
        self,
        step: Step,
        position: int,
        name: str,
        role: Role,
        values: Mapping[str, Any],
        scheme: Scheme,
        width: int | None,
    ) -> Any:
        if role is Role.DATA and (step.index, name) in scheme.edges:
            return scheme.edges[step.index, name].rounded(self.value(name, values))
        if role is Role.DATA:
            seen = scheme.read(name, width)
            if name not in values:
                stored = self.store.constant(name)
                if seen is None or stored.dtype.kind != "f":
                    return stored
                if step.op == "Pow" and position:
                    return self.store.get(
                        ("exponent", name, seen), lambda: _whole(seen.rounded(stored), seen.bitwidth)
                    )
                return self.store.get(("operand", name, seen), lambda: seen.rounded(stored))
            if seen is None or seen is scheme.activations.get(name) or values[name].dtype.kind != "f":
                return values[name]
            return seen.rounded(values[name])
        if width is None or role is Role.BOUND:
            return self._float_side(step, name, values, scheme)
        if role is Role.WEIGHT:
            param = scheme.params.get(name)
            if param is None:
                return self.value(name, values)
            return self.store.get(("weight", name, param), lambda: param.rounded(self.store.constant(name)))
        scale = product_scale(step, position, scheme, width)
        if scale is None:
            return self.value(name, values)
        return stored_bias(self.store.constant(name), scale, scheme.biases.get(name))

    def _float_side(self, step: Step, name: str, values: Mapping[str, Any], scheme: Scheme) -> Any:
        """A stored tensor of a step that computes in float."""
        constant = self.value(name, values)
        if name in values or not scheme.is_half(step) or constant.dtype.kind != "f":
            return constant
        return self.store.get(("half", name), lambda: half(constant))

    def run(
        self,
        sample: Mapping[str, Any],
        scheme: Scheme | None,
        keep: Collection[str] = (),
        visit: Callable[[Step, list[Any]], None] | None = None,
    ) -> TensorValues:
        """Run one sample through the whole network; returns the outputs and the tensors of `keep`.

        `visit` is called with each step and its outputs before these are released.
        """
        values: TensorValues = dict(sample)
        if scheme is not None:
            values = {name: self.on_grid(name, value, scheme) for name, value in values.items()}
        left = Counter(self._uses)
        kept = set(keep) | set(self.network.outputs)
        for step in self.network.steps:
            if scheme is None:
                outputs = self.float_step(step, values)
            else:
                outputs = self.quantized_step(step, values, scheme)
            if visit is not None:
                visit(step, outputs)
            values.update((name, value) for name, value in zip(step.outputs, outputs, strict=True) if name)
            self.release(step, values, left, kept)
        return {name: self.value(name, values) for name in dict.fromkeys((*self.network.outputs, *keep))}

    def run_from(self, base: Mapping[str, Any], scheme: Scheme) -> TensorValues:
        """The outputs where a scheme with few grids changes a float run.

        Args:
            base: every activation of the float run.
            scheme: the grids; steps that do not depend on them are not run again.
        """
        fresh: TensorValues = {}
        for name in self.network.inputs:
            if name in scheme.activations:
                fresh[name] = self.on_grid(name, base[name], scheme)
        left = self.uses()
        values = ChainMap(fresh, base)  # type: ignore[arg-type]
        for step in self.network.steps:
            if any(name in fresh for name in step.reads) or self._is_touched(step, scheme):
                outputs = self.quantized_step(step, values, scheme)
                fresh.update((n, value) for n, value in zip(step.outputs, outputs, strict=True) if n)
            self.release(step, fresh, left, self.network.outputs)
        return {name: self.value(name, values) for name in self.network.outputs}

    def _is_touched(self, step: Step, scheme: Scheme) -> bool:
        """Whether a scheme rounds something that a step stores or produces."""
        for name in step.inputs:
            if name in scheme.params or name in scheme.biases or (step.index, name) in scheme.edges:
                return True
            if name in scheme.activations and name in self.network.constants:
                return True
        return any(name in scheme.activations for name in step.outputs)

    def uses(self) -> Counter[str]:
        """How often each tensor is read; a graph output counts once more."""
        return Counter(self._uses)

    def release(
        self, step: Step, values: TensorValues, left: Counter[str], kept: Collection[str] = ()
    ) -> None:
        """Release what no later step reads."""
        for name in step.reads:
            left[name] -= 1
            if not left[name] and name not in kept:
                values.pop(name, None)
        for name in step.outputs:
            if name and not left[name] and name not in kept:
                values.pop(name, None)
