"""The network of a file as the page's scripts read it: rows of numbers, and every text once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlclint.analysis.drawing.model import Drawing
from dlclint.diagnostic import Location


class Texts:
    """Texts by number: a text of many rows is in the data once."""

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
"""The fields of a node in the data."""


class NetworkDrawing:
    """A drawing, and where findings and layers are in it."""

    def __init__(self, drawing: Drawing) -> None:
        self.drawing = drawing
        nodes = list(enumerate(drawing.nodes))
        self._by_index = {(node.graph, node.index): n for n, node in nodes if node.index is not None}
        # The producer of a tensor comes before an output of the model of the same name.
        self._by_tensor = {name: n for n, node in reversed(nodes) for name in node.outputs}
        self._by_weight = {weight.name: weight.node for weight in drawing.weights}

    def place_of(self, location: Location) -> int | None:
        """The node at a location; for a tensor its producer, else the node whose weight it is."""
        if location.node_index is not None:
            return self.of_index(location.graph, location.node_index)
        return self.of_tensor(location.tensor)

    def of_index(self, graph: str, index: int) -> int | None:
        """The node at an index of a graph."""
        return self._by_index.get((graph, index))

    def of_tensor(self, name: str) -> int | None:
        """The node that produces a tensor, or whose weight it is."""
        node = self._by_tensor.get(name)
        return self._by_weight.get(name) if node is None else node

    def data(self, texts: Texts, precision: Mapping[int, str]) -> dict[str, Any]:
        """The data that the scripts draw; `precision` is better known for some nodes than in the drawing."""
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
        """The data of the scripts' charts: weights in the order of the network, and cuts."""
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
    """A number with as many digits as a chart shows."""
    return float(f"{value:.5g}")
