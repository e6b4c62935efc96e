"""Run in AIMET's environment: its QuantSim of a model on given inputs.

    python quantsim_worker.py MODEL INPUTS.npz BITS FOLDER

FOLDER gets `folded.onnx` (batch normalization in the convolutions), its `float.npz` and `quantized.npz` (each
output, samples along a first axis) and `model.encodings`. The model has no open sizes. Prints version and
configuration as JSON.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from aimet_common.defs import QuantScheme
from aimet_onnx import int8, int16
from aimet_onnx.batch_norm_fold import fold_all_batch_norms_to_weight
from aimet_onnx.quantsim import QuantizationSimModel
from onnxruntime.quantization.onnx_quantizer import ONNXModel


def main() -> None:
    """Calibrate by minimum and maximum, run, export."""
    source, inputs, bits, folder = sys.argv[1:]
    with np.load(inputs) as loaded:
        arrays = {name: loaded[name] for name in loaded.files}
    count = len(next(iter(arrays.values())))
    samples = [
        {name: values[position : position + 1] for name, values in arrays.items()}
        for position in range(count)
    ]
    whole = ONNXModel(onnx.load(source))
    fold_all_batch_norms_to_weight(whole)  # as the converter does, and dlclint
    model = whole.model
    onnx.save(model, Path(folder) / "folded.onnx")
    names = [output.name for output in model.graph.output]
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    exact = [session.run(names, sample) for sample in samples]
    config = sys.argv[5] if len(sys.argv) > 5 else "htp_v73"
    sim = QuantizationSimModel(
        model,
        quant_scheme=QuantScheme.min_max,
        param_type=int8,
        activation_type=int8 if bits == "8" else int16,
        config_file=config,
        providers=["CPUExecutionProvider"],
    )
    sim.compute_encodings(samples)
    # AIMET renames outputs and keeps their order.
    outputs = [sim.session.run(None, sample) for sample in samples]
    sim.export(folder, "model", export_model=False)
    for name, rows in (("float", exact), ("quantized", outputs)):
        stacked = {
            output: np.stack(values) for output, values in zip(names, zip(*rows, strict=True), strict=True)
        }
        np.savez(Path(folder) / f"{name}.npz", **stacked)
    print(json.dumps({"version": version("aimet-onnx"), "config": config, "outputs": names}))


if __name__ == "__main__":
    main()
