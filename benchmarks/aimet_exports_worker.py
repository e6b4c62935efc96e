"""Run in AIMET's environment: its QuantSim of models by configuration and width, exported in every format.

    python aimet_exports_worker.py FOLDER CONFIG,... WIDTHS,...

Quantizes every `FOLDER/*.onnx` on two random inputs and writes `FOLDER/CONFIG/WIDTHS/NAME-VERSION.encodings`
and the model that they belong to, `NAME.onnx`. Prints the version, and each model that AIMET refuses.
"""

from __future__ import annotations

import logging
import sys
import warnings
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from aimet_onnx import float16, int4, int8, int16
from aimet_onnx.quantsim import QuantizationSimModel, set_grouped_blockwise_quantization_for_weights

WIDTHS = {
    "w8a8": (int8, int8),
    "w8a16": (int8, int16),
    "w4a16": (int4, int16),
    "lpbq": (int8, int16),
    "fp16": (float16, float16),
}
"""Types of parameters and activations; lpbq stores its weights in blocks of 4 bits."""
BLOCK = 8
"""Numbers that share a block's scale."""


def inputs(model: onnx.ModelProto) -> list[dict[str, Any]]:
    """Two random inputs; open sizes are 1."""
    chance = np.random.default_rng(0)
    stored = {tensor.name for tensor in model.graph.initializer}
    samples: list[dict[str, Any]] = [{}, {}]
    for value in model.graph.input:
        if value.name in stored:
            continue
        shape = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
        kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        for sample in samples:
            drawn = chance.normal(size=shape) if kind.kind == "f" else chance.integers(0, 2, shape)
            sample[value.name] = drawn.astype(kind)
    return samples


def export(path: Path, config: str, widths: str) -> None:
    """One model, quantized and written in each format that can express it."""
    model = onnx.load(path)
    parameters, activations = WIDTHS[widths]
    sim = QuantizationSimModel(model, param_type=parameters, activation_type=activations, config_file=config)
    if widths == "lpbq":
        set_grouped_blockwise_quantization_for_weights(
            sim, ("Conv", "Gemm", "MatMul"), bitwidth=4, decompressed_bw=8, block_size=BLOCK, strict=False
        )
    sim.compute_encodings(inputs(model))
    folder = path.parent / config / widths
    folder.mkdir(parents=True, exist_ok=True)
    # The model goes with the first file, for AIMET may refuse a later version. 0.6.1 has no blocks.
    for version in ("1.0.0", "2.0.0") if widths == "lpbq" else ("1.0.0", "0.6.1", "2.0.0"):
        prefix = f"{path.stem}-{version}"
        sim.export(str(folder), prefix, export_model=version == "1.0.0", encoding_version=version)
        if version == "1.0.0":
            (folder / f"{prefix}.onnx").rename(folder / f"{path.stem}.onnx")


def main() -> None:
    """See the module."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    folder, configs, widths = sys.argv[1:]
    print(installed("aimet-onnx"), flush=True)
    for path in sorted(Path(folder).glob("*.onnx")):
        for config in configs.split(","):
            for chosen in widths.split(","):
                try:
                    export(path, config, chosen)
                except Exception as error:
                    print(
                        f"{path.stem} {config} {chosen}: {type(error).__name__}: {str(error)[:200]}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
