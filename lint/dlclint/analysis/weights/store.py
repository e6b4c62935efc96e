"""The weights of a model with their statistics: each tensor read once, and only if a rule needs it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from dlclint.analysis.roles import WeightUse, folded_factors, weight_uses
from dlclint.analysis.weights.reading import read_all
from dlclint.analysis.weights.statistics import Floats, TensorStatistics, count_non_finite, measure
from dlclint.model.graph import Graph, Model
from dlclint.model.tensors import ChunkReader, Tensor
from dlclint_schemas.record import record

Home = tuple[str, str]
"""Where a stored tensor is defined: graph path and name."""


@record
class ConvertedWeight:
    """A weight as the quantizer sees it, by output channel: batch normalization folded in.

    `minimum`, `maximum` and `mean_square` have shape [channels]; `values` is the number of values of a
    channel. `factors` is what folding multiplied each channel by, None where nothing is folded. `uses` is the
    number of ops that read the tensor.
    """

    name: str
    use: WeightUse
    uses: int
    statistics: TensorStatistics
    values: int
    minimum: Floats
    maximum: Floats
    mean_square: Floats
    factors: Floats | None

    @property
    def low(self) -> float:
        """The smallest value of all."""
        return float(self.minimum.min())

    @property
    def high(self) -> float:
        """The largest value of all."""
        return float(self.maximum.max())


class Weights:
    """Statistics of a model's stored tensors, each computed on the first request and cached.

    `in_depth` means that complete statistics will be needed anyway, as for a quantized DLC; then a request
    for non-finite values computes them too, so that no tensor is read twice.
    """

    def __init__(self, model: Model, in_depth: bool = True) -> None:
        self.model = model
        self.in_depth = in_depth
        self._found: dict[Home, TensorStatistics | None] = {}

    @cached_property
    def uses(self) -> tuple[tuple[str, WeightUse], ...]:
        """Name and use of every stored weight and bias of an op with weights, in graph order."""
        return tuple(weight_uses(self.model))

    @cached_property
    def _homes(self) -> dict[Home, list[WeightUse]]:
        uses_by_home: dict[Home, list[WeightUse]] = {}
        for name, use in self.uses:
            uses_by_home.setdefault(home(use.node.graph, name), []).append(use)
        return uses_by_home

    def statistics(self, graph: Graph, name: str) -> TensorStatistics | None:
        """Statistics of the stored tensor that `name` refers to in `graph`.

        None where nothing is stored, where it holds no floating-point numbers, or where its values cannot be
        read (rules of family `model` report why).
        """
        tensor_home = home(graph, name)
        if tensor_home not in self._found:
            tensor = graph.constant(name)
            self._measure({} if tensor is None else {tensor_home: tensor})
            self._found.setdefault(tensor_home, None)
        return self._found[tensor_home]

    def _measure(self, tensors: Mapping[Home, Tensor]) -> None:
        """Compute the statistics of tensors, except those that have been measured."""
        homes = self._homes

        def one(reader: ChunkReader, tensor_home: Home, tensor: Tensor) -> TensorStatistics | None:
            rank = max(1, len(tensor.shape))
            axes = [use.axis % rank for use in homes.get(tensor_home, ()) if use.axis is not None]
            return measure(tensor, axes, reader)

        left = {
            tensor_home: tensor for tensor_home, tensor in tensors.items() if tensor_home not in self._found
        }
        self._found.update(read_all(left, one))

    @cached_property
    def non_finite(self) -> dict[Home, int]:
        """The number of NaN or infinite values of each initializer that has such values."""
        tensors = {
            (graph.path, name): tensor
            for graph in self.model.graphs()
            for name, tensor in graph.initializers.items()
        }
        if not self.in_depth:
            counts = read_all(tensors, lambda reader, _, tensor: count_non_finite(tensor, reader))
            return {tensor_home: count for tensor_home, count in counts.items() if count}
        self._measure(tensors)
        measured = {tensor_home: self._found.get(tensor_home) for tensor_home in tensors}
        return {
            tensor_home: tensor_statistics.nan + tensor_statistics.infinite
            for tensor_home, tensor_statistics in measured.items()
            if tensor_statistics is not None and tensor_statistics.finite < tensor_statistics.count
        }

    def converted(self) -> Sequence[ConvertedWeight]:
        """Every weight (no bias) that has a range, once per use, in graph order."""
        return self._converted

    @cached_property
    def _converted(self) -> tuple[ConvertedWeight, ...]:
        return tuple(self._convert())

    def _convert(self) -> Iterator[ConvertedWeight]:
        weights = [(name, use, use.axis) for name, use in self.uses if use.axis is not None]
        self._measure({home(use.node.graph, name): use.tensor for name, use, _ in weights})
        for name, use, axis in weights:
            tensor_statistics = self.statistics(use.node.graph, name)
            channels = tensor_statistics and tensor_statistics.channels.get(
                axis % max(1, len(use.tensor.shape))
            )
            if not tensor_statistics or not channels or not tensor_statistics.finite:
                continue
            low, high, factors = channels.minimum, channels.maximum, folded_factors(use)
            mean_square = channels.square_sum / channels.values
            if factors is not None:
                with np.errstate(all="ignore"):
                    ends = low * factors, high * factors
                    mean_square = mean_square * factors**2
                low, high = np.minimum(*ends), np.maximum(*ends)
            with np.errstate(all="ignore"):
                if not np.isfinite(high.max() - low.min() + mean_square.sum()):
                    continue  # no grid has such a range
            uses = len(self._homes[home(use.node.graph, name)])
            yield ConvertedWeight(
                name, use, uses, tensor_statistics, channels.values, low, high, mean_square, factors
            )


def distinct(weights: Iterable[ConvertedWeight]) -> list[ConvertedWeight]:
    """The weights without those that another op reads in the same way, including batch normalization."""
    converted_weights: dict[tuple[object, ...], ConvertedWeight] = {}
    for weight in weights:
        use = weight.use
        factors = None if weight.factors is None else weight.factors.tobytes()
        converted_weights.setdefault((home(use.node.graph, weight.name), use.axis, factors), weight)
    return list(converted_weights.values())


def home(graph: Graph, name: str) -> Home:
    """The graph, this or an enclosing one, that defines a name."""
    return graph.home(name).path, name
