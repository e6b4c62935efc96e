"""The verdicts of AIMET's own loader; `aimet_loader.py` runs it in an environment with aimet-onnx.

python aimet_oracle.py verdicts FOLDER  # a JSON object: file name to "" (accepted) or the error
python aimet_oracle.py export FOLDER    # small models quantized and exported in every format
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def verdict(path: Path) -> str:
    """Why AIMET refuses a file, or ""."""
    from aimet_onnx import quantsim
    from aimet_onnx._encoding import EncodingBase

    try:
        encodings, _ = quantsim._flatten_encodings(str(path))
        for entry in encodings.values():
            EncodingBase.from_qnn_encoding_dict(entry)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]
    return ""


def model() -> Any:
    """Two convolutions, a transposed one, a matrix product and an addition."""
    import numpy as np
    from onnx import numpy_helper, parser

    chance = np.random.default_rng(0)
    text = """<ir_version: 8, opset_import: ["" : 13]>
    net (float[1,3,8,8] x) => (float[1,5] z) {
      c1 = Conv <pads = [1,1,1,1]> (x, w1, b1)  r1 = Relu(c1)
      c2 = Conv <group = 8, pads = [1,1,1,1]> (r1, w2)  a = Add(c2, r1)
      t = ConvTranspose <strides = [2,2]> (a, w3)  s = Sigmoid(t)
      shape = Constant <value = int64[2] {1,1024}> ()
      f = Reshape(s, shape)  z = MatMul(f, w4)
    }"""
    proto = parser.parse_model(text)
    shapes = {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 1, 3, 3), "w3": (8, 4, 2, 2), "w4": (1024, 5)}
    for name, shape in shapes.items():
        values = chance.normal(0, 0.2, shape).astype(np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(values, name))
    return proto


def export(folder: Path) -> None:
    """Files of every format, for 8 and 16 bits, per tensor and per channel, in blocks and float."""
    import aimet_onnx
    import numpy as np
    import onnx
    from aimet_onnx.quantsim import (
        QuantizationSimModel,
        set_blockwise_quantization_for_weights,
        set_grouped_blockwise_quantization_for_weights,
    )

    chance = np.random.default_rng(1)
    calibration = [{"x": chance.normal(size=(1, 3, 8, 8)).astype(np.float32)} for _ in range(4)]
    kinds = {
        "w8a8": (aimet_onnx.int8, aimet_onnx.int8, "default"),
        "w8a16": (aimet_onnx.int8, aimet_onnx.int16, "default"),
        "w4a16_htp": (aimet_onnx.int4, aimet_onnx.int16, "htp_v75"),
        "w16a16_htp": (aimet_onnx.int16, aimet_onnx.int16, "htp_v79"),
        "fp16": (aimet_onnx.float16, aimet_onnx.float16, "default"),
        "bq": (aimet_onnx.int8, aimet_onnx.int16, "htp_v75"),
        "lpbq": (aimet_onnx.int8, aimet_onnx.int16, "htp_v75"),
    }
    for name, (params, activations, config) in kinds.items():
        sim = QuantizationSimModel(
            model(), param_type=params, activation_type=activations, config_file=config
        )
        if name == "bq":
            set_blockwise_quantization_for_weights(sim, ("Conv",), 4, True, block_size=1)
        if name == "lpbq":
            set_grouped_blockwise_quantization_for_weights(sim, ("Conv",), 4, 8, block_size=1)
        sim.compute_encodings(calibration)
        for version in ("0.6.1", "1.0.0", "2.0.0"):
            prefix = f"{name}-{version}"
            try:
                sim.export(str(folder), prefix, encoding_version=version)
            except Exception as error:
                print(f"{prefix}: {type(error).__name__}: {error}", file=sys.stderr)
                continue
            onnx.load(str(folder / f"{prefix}.onnx"))
    for path in folder.glob("*_torch.encodings"):
        path.unlink()


def main() -> None:
    """See the module."""
    action, folder = sys.argv[1], Path(sys.argv[2])
    if action == "export":
        export(folder)
    else:
        print(json.dumps({path.name: verdict(path) for path in sorted(folder.iterdir())}))


if __name__ == "__main__":
    main()
