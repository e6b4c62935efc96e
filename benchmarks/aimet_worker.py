"""Run in AIMET's environment: its cross-layer scaling of a model, once and until it settles.

    python aimet_worker.py MODEL ONCE SETTLED

Prints the pairs as JSON, each as the names of its two convolutions.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version

import numpy as np
import onnx
from aimet_onnx.batch_norm_fold import fold_all_batch_norms_to_weight
from aimet_onnx.cross_layer_equalization import CrossLayerScaling
from aimet_onnx.utils import replace_relu6_with_relu
from onnxruntime.quantization.onnx_quantizer import ONNXModel

SWEEPS = 200
SETTLED = 1e-5


def main() -> None:
    """Fold batch normalization, replace ReLU6, scale."""
    source, once, settled = sys.argv[1:]
    model = ONNXModel(onnx.load(source))
    fold_all_batch_norms_to_weight(model)
    replace_relu6_with_relu(model)
    pairs: list[list[str]] = []
    for sweep in range(SWEEPS):
        scaled = CrossLayerScaling(model.model).scale_model()
        links = [pair for group in scaled for pair in group.cls_pair_info_list]
        if sweep == 0:
            pairs = [[link.layer1.name, link.layer2.name] for link in links]
            onnx.save(model.model, once)
        if max((float(np.abs(np.log(link.scale_factor)).max()) for link in links), default=0.0) < SETTLED:
            break
    onnx.save(model.model, settled)
    print(json.dumps({"pairs": pairs, "sweeps": sweep + 1, "version": version("aimet-onnx")}))


if __name__ == "__main__":
    main()
