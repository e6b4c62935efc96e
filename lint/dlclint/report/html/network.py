"""The network of a file as the page's scripts read it: rows of numbers, and every text once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlclint.analysis.drawing.model import Drawing
from dlclint.diagnostic import Location


class Texts:
    """Texts by number: what many rows say stands in the data once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        """The number of a text."""
        return self._numbers.setdefault(text, len(self._numbers))

    @property
    def all(self) -> list[str]:
        """Every text by its number."""
        return list(self._numbers)


NODE = (
    *("op", "name", "graph", "index", "block", "sources"),
    *("outputs", "type", "attributes", "precision", "placed"),
)
"""What the fields of a node in the data are."""


class NetworkDrawing:
    """A drawing, and where in it findings and layers are."""

    def __init__(self, drawing: Drawing) -> None:
        self.drawing = drawing
        nodes = list(enumerate(drawing.nodes))
        self._by_index = {(node.graph, node.index): n for n, node in nodes if node.index is not None}
        # What makes a tensor stands before an output of the model, which is called the same.
        self._by_tensor = {name: n for n, node in reversed(nodes) for name in node.outputs}
        self._by_weight = {weight.name: weight.node for weight in drawing.weights}

    def place_of(self, location: Location) -> int | None:
        """The node that a location is at; of a tensor what makes it, else what it is a weight of."""
        if location.node_index is not None:
            return self.of_index(location.graph, location.node_index)
        return self.of_tensor(location.tensor)

    def of_index(self, graph: str, index: int) -> int | None:
        """The node at an index of a graph."""
        return self._by_index.get((graph, index))

    def of_tensor(self, name: str) -> int | None:
        """The node that makes a tensor, or that it is a weight of."""
        found = self._by_tensor.get(name)
        return self._by_weight.get(name) if found is None else found

    def data(self, texts: Texts, precision: Mapping[int, str]) -> dict[str, Any]:
        """What the scripts draw; `precision` is what is known of some nodes better than the drawing does."""
        drawing = self.drawing
        return {
            "nodes": [
                [
                    texts(node.op),
                    texts(node.name),
                    texts(node.graph),
                    node.index,
                    node.block,
                    list(node.sources),
                    [texts(name) for name in node.outputs],
                    texts(node.type),
                    texts(node.attributes),
                    texts(precision.get(number, node.precision)),
                    texts(node.placed),
                ]
                for number, node in enumerate(drawing.nodes)
            ],
            "blocks": [[block.parent, texts(block.name)] for block in drawing.blocks],
            "runtimes": list(drawing.runtimes),
        }

    def charts(self, texts: Texts) -> dict[str, Any]:
        """What the scripts chart: weights in the order of the network, and cuts."""
        drawing = self.drawing
        return {
            "bits": drawing.bits,
            "weights": [
                [w.node, texts(w.name), *(_short(v) for v in (w.low, w.high, w.per_tensor, w.per_channel))]
                for w in drawing.weights
            ],
            "cuts": [
                {
                    "runtime": cuts.runtime,
                    "borders": [[border.bytes, border.tensors, border.unknown] for border in cuts.borders],
                    "firsts": [texts(name) for name in cuts.firsts],
                }
                for cuts in drawing.cuts
            ],
        }


def _short(value: float) -> float:
    """A number of as many digits as a chart shows."""
    return float(f"{value:.5g}")
