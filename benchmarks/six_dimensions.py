"""Write forms of Reshape, Transpose, Reshape through six dimensions, to ask Qualcomm's backend about.

    python benchmarks/six_dimensions.py FOLDER
    python -m benchmarks.agreement FOLDER --quantize

192 models: eight sources of the data, four permutations, four ways to split the dimensions with an end of
their own, and two that end in [n, c, places, parts]. `shapes/rank-above-five` reports which are refused.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS, SIZE = 8, 16
PERMUTATIONS = ((0, 2, 4, 1, 3, 5), (0, 4, 1, 2, 3, 5), (0, 1, 3, 5, 2, 4), (0, 3, 5, 1, 2, 4))
SPLITS = {
    "square": (1, 8, 4, 4, 4, 4),
    "narrow": (1, 8, 8, 2, 8, 2),
    "channels": (1, 4, 8, 4, 2, 8),
    "few": (1, 2, 8, 16, 2, 4),
}
"""The first two leave batch and channels."""
UNFOLDED = ("square", "narrow")
SOURCES = ("conv", "relu", "concat", "half", "none", "norm", "softmax", "mean")
"""A Conv; a Relu of the input; a Concat of two Convs, of one and an input, of none; a Concat of two less its
mean; a softmax; the input less the mean of a Conv."""


def source(kind: str) -> Iterator[onnx.NodeProto]:
    """The nodes that make the data `d`, float[1,8,16,16], from the inputs `x` and `z`."""
    one, other = (helper.make_node("Conv", ["x", f"w{name}"], [name]) for name in "ab")
    if kind == "conv":
        yield helper.make_node("Conv", ["x", "w"], ["d"])
    elif kind == "relu":
        yield helper.make_node("Relu", ["x"], ["d"])
    elif kind in ("concat", "half", "none", "norm"):
        yield one if kind != "none" else helper.make_node("Sigmoid", ["z"], ["a"])
        yield other if kind in ("concat", "norm") else helper.make_node("Relu", ["z"], ["b"])
        yield helper.make_node("Concat", ["a", "b"], ["c" if kind == "norm" else "d"], axis=1)
        if kind == "norm":
            yield helper.make_node("ReduceMean", ["c"], ["m"], axes=[1])
            yield helper.make_node("Sub", ["c", "m"], ["d"])
    else:
        yield helper.make_node("Conv", ["x", "w"], ["c"])
        if kind == "softmax":
            yield helper.make_node("Softmax", ["c"], ["d"], axis=1)
        else:
            yield helper.make_node("ReduceMean", ["c"], ["m"], axes=[1])
            yield helper.make_node("Sub", ["x", "m"], ["d"])


def model(kind: str, order: tuple[int, ...], split: tuple[int, ...], unfolds: bool) -> onnx.ModelProto:
    """A chain on one source; it ends in the shape that the permutation is used for, or in an unfold."""
    moved = [split[axis] for axis in order]
    if unfolds:
        end = [*moved[:2], moved[2] * moved[3], moved[4] * moved[5]]
    elif order in PERMUTATIONS[:2]:
        end = [moved[0] * moved[1] * moved[2], *moved[3:]]
    else:
        end = [moved[0], moved[1] * moved[2] * moved[3], *moved[4:]]
    draw = np.random.default_rng(0)
    stored = {
        name: draw.normal(size=(count, CHANNELS, 1, 1)).astype(np.float32)
        for name, count in (("w", CHANNELS), ("wa", CHANNELS // 2), ("wb", CHANNELS // 2))
    }
    nodes = [
        *source(kind),
        helper.make_node("Reshape", ["d", "six"], ["s"]),
        helper.make_node("Transpose", ["s"], ["t"], perm=order),
        helper.make_node("Reshape", ["t", "four"], ["u"]),
        helper.make_node("Sigmoid", ["u"], ["y"]),
    ]
    read = {name for node in nodes for name in node.input}
    values = {**stored, "six": np.array(split), "four": np.array(end)}
    inputs = {"x": CHANNELS, "z": CHANNELS // 2}
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, count, SIZE, SIZE])
            for name, count in inputs.items()
            if name in read
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, end)],
        [numpy_helper.from_array(value, name) for name, value in values.items() if name in read],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made


def main() -> None:
    """Write the models."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for kind in SOURCES:
        for order in PERMUTATIONS:
            for name, split in SPLITS.items():
                for unfolds in (False, True) if name in UNFOLDED else (False,):
                    end = "unfold" if unfolds else "own"
                    path = folder / f"{kind}_{''.join(map(str, order))}_{name}_{end}.onnx"
                    path.write_bytes(model(kind, order, split, unfolds).SerializeToString())
                    count += 1
    print(f"{folder}: {count} models")


if __name__ == "__main__":
    main()
