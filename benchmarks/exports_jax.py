"""Export the examples and some test cases of jax2onnx, in two halves, for `benchmarks.agreement`.

    python benchmarks/exports_jax.py FOLDER [--share 4] [--part 0]

The package registers networks (convolutional, recurrent and attention networks of Flax and Equinox, physics,
policies) and cases of single functions of JAX with their input shapes. All networks are exported and one in
`--share` of the cases, as their names decide, at opsets 21, 22 and 23. What the exporter refuses is reported
and left out; nothing is downloaded. It needs jax2onnx 0.17.1, in a separate environment.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnx
from jax2onnx import to_onnx
from jax2onnx.plugins import plugin_system

from halves import drawn, half, left_out

OPSETS = (21, 22, 23)
OPEN = 2
"""The size of dimensions that a test case leaves open."""


def cases() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Component, name and case of everything that is registered."""
    plugin_system.import_all_plugins()
    seen: set[str] = set()
    for registry in (plugin_system.EXAMPLE_REGISTRY, plugin_system.PLUGIN_REGISTRY):
        for key, entry in registry.items():
            said = entry if isinstance(entry, dict) else getattr(entry, "metadata", {})
            for case in said.get("testcases", []):
                context = str(said.get("context", ""))
                name = f"{context}.{case['testcase']}".replace("/", "_")
                if name not in seen:
                    seen.add(name)
                    yield f"{context}.{said.get('component', key)}", name, case


def inputs(case: dict[str, Any]) -> list[Any]:
    """The shapes and types of a case's inputs."""
    if "input_values" in case:
        values = [np.asarray(value) for value in case["input_values"]]
        return [jax.ShapeDtypeStruct(v.shape, jax.dtypes.canonicalize_dtype(v.dtype)) for v in values]
    shapes = [
        tuple(
            OPEN if isinstance(dim, str) else dim for dim in (shape if isinstance(shape, tuple) else (shape,))
        )
        for shape in case.get("input_shapes", ())
    ]
    types = case.get("input_dtypes") or [np.float32] * len(shapes)
    return [
        jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(kind))
        for shape, kind in zip(shapes, types, strict=True)
    ]


def exported(case: dict[str, Any], opset: int) -> onnx.ModelProto:
    """The model of a case. Raises whatever the exporter does."""
    made = case["callable"]
    if hasattr(made, "with_dtype"):
        made = made.with_dtype(np.float32)
    if hasattr(made, "instantiate"):
        made = made.instantiate()
    more = {
        key: case[key] for key in ("inputs_as_nchw", "outputs_as_nchw", "normalization_mode") if key in case
    }
    return to_onnx(
        made,
        inputs(case),
        input_params=case.get("input_params"),
        opset=case.get("opset_version", opset),
        **more,
    )


def main(arguments: list[str]) -> int:
    """Exit 1 if nothing was exported."""
    parser = argparse.ArgumentParser(prog="python benchmarks/exports_jax.py", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument(
        "--share", type=int, default=4, metavar="N", help="one of N cases of single functions"
    )
    parser.add_argument("--part", type=int, default=0, metavar="K", help="which; the networks are in part 0")
    args = parser.parse_args(arguments)
    number = 0
    for component, name, case in cases():
        is_network = component.startswith("examples.")
        if case.get("run_only_f64_variant") or case.get("enable_double_precision"):
            continue
        if (is_network and args.part) or (not is_network and drawn(name, args.share, "case") != args.part):
            continue
        path = half(args.folder, component) / f"{name}.onnx"
        try:
            onnx.save(exported(case, OPSETS[drawn(name, len(OPSETS), "opset")]), path)
        except Exception as error:  # whatever an exporter raises: the next network may work
            left_out(name, error)
            continue
        number += 1
    print(f"{number} models in {args.folder}")
    return 0 if number else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
