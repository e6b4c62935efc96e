"""The process that loads Qualcomm's backend and answers one question per line.

It is started as `python -m dlclint.confirm.worker`.

It imports nothing of dlclint, because it must start fast and may die at any time: the backend crashes on some
models. Stdin carries a question as one JSON object per line, stdout the answers: `ready` once, then `start`
and `done` for each question, so that the parent knows which question ended a process.

A question: `id`, `model` (path of the model), `folder` (of its weights), `soc` (the id of the SoC),
`compile`, `fold` (whether constants are folded first), `log` (a file for the backend's log), `dlc` (a folder
for the DLC, or ""), `run` (pairs of .npz files: inputs to run on, and outputs to write; then nothing may be
computed outside the backend), `library` (a backend of a user's own SDK that replaces the HTP backend, or "").
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

PROVIDER = "QNNExecutionProvider"

OTHER_REWRITES = (
    "CastChainElimination",
    "ClipQuantRewrite",
    "CommonSubexpressionElimination",
    "ConstantSharing",
    "ConvAddActivationFusion",
    "ConvAddFusion",
    "ConvBNFusion",
    "ConvMulFusion",
    "DivMulFusion",
    "DoubleQDQPairsRemover",
    "FuseReluClip",
    "GatherSliceToSplitFusion",
    "GatherToSliceFusion",
    "GeluFusionL1",
    "GemmActivationFusion",
    "GemmSumFusion",
    "GemmTransposeFusion",
    "LabelEncoderFusion",
    "LayerNormFusionL1",
    "MatMulAddFusion",
    "MatMul_BatchNormalization_Fusion",
    "NotWhereFusion",
    "Pad_Fusion",
    "QDQPropagationTransformer",
    "ReluQuantRewrite",
    "ReshapeFusion",
    "SliceConcatToSpaceToDepthFusion",
    "TransposeOptimizer",
    "WeightBiasQuantization",
    "WhereDummyDq",
)
"""ONNX Runtime's rewrites of level 1 that merge or move nodes, by their names there (1.32).

They are switched off, so that a verdict still belongs to a node of the file. The remaining ones fold
constants and drop nodes that do nothing, as the converter's simplifier does.
"""


def main() -> int:
    """Answer until stdin ends; exit 3 if the backend cannot be loaded."""
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    # The backend writes to both streams; only answers may be written to the parent's pipe.
    os.dup2(2, 1)
    try:
        runtime, devices = _load()
    except Exception as error:  # a missing library, an unsuitable version: each is reported in one sentence
        _say(answers, failed=f"{type(error).__name__}: {error}")
        return 3
    _say(answers, ready=True)
    for line in sys.stdin:
        question = json.loads(line)
        _say(answers, start=question["id"])
        with _logged(question["log"]):
            problem, placed = _ask(runtime, devices, question)
        _say(answers, done=question["id"], error=problem, placed=placed)
    return 0


def _say(stream: TextIO, **answer: Any) -> None:
    stream.write(json.dumps(answer) + "\n")
    stream.flush()


def _load() -> tuple[Any, list[Any]]:
    # Imported here because the parent process, which imports this module too, must not load the backend.
    import onnxruntime  # type: ignore[import-untyped, unused-ignore]
    import onnxruntime_qnn

    # The level is fixed when the library is registered: set later, the validator's lines never appear.
    onnxruntime.set_default_logger_severity(0)
    onnxruntime.register_execution_provider_library(PROVIDER, onnxruntime_qnn.get_library_path())
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == PROVIDER][:1]
    if not devices:
        raise RuntimeError("ONNX Runtime lists no device of the QNN provider")
    return onnxruntime, devices


@contextmanager
def _logged(path: str) -> Iterator[None]:
    """Redirect both streams to a file; appended, because the backend writes through several handles."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    saved = [os.dup(descriptor) for descriptor in (1, 2)]
    try:
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        yield
    finally:
        for descriptor, old in zip((1, 2), saved, strict=True):
            os.dup2(old, descriptor)
            os.close(old)
        os.close(log)


def _ask(runtime: Any, devices: list[Any], question: dict[str, Any]) -> tuple[str, list[list[str]]]:
    """The error of the session ("" if none), and provider, name, op and domain of every placed node."""
    options = runtime.SessionOptions()
    options.log_severity_level = 0
    options.intra_op_num_threads = 1
    levels = runtime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_BASIC if question["fold"] else levels.ORT_DISABLE_ALL
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", question["folder"]
    )
    if not question["compile"]:
        options.add_session_config_entry("session.disable_model_compile", "1")
    provider = (
        {"backend_path": question["library"]}
        if question["library"]
        else {"backend_type": "htp", "soc_model": question["soc"], "enable_htp_fp16_precision": "1"}
    )
    if question["run"]:
        # Quantize and Dequantize at the graph's edge too: only the backend is measured.
        provider["offload_graph_io_quantization"] = "0"
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if question["dlc"]:
        provider |= {"dump_qnn_ir_dlc": "1", "dump_qnn_ir_dlc_dir": question["dlc"]}
    options.add_provider_for_devices(devices, provider)
    try:
        with open(question["model"], "rb") as stream:  # noqa: PTH123  (pathlib would be one more import)
            model = stream.read()
        session = runtime.InferenceSession(model, options, disabled_optimizers=list(OTHER_REWRITES))
        placed = [
            [part.ep_name, node.name, node.op_type, node.domain]
            for part in session.get_provider_graph_assignment_info()
            for node in part.get_nodes()
        ]
        for inputs, outputs in question["run"]:
            _run(session, inputs, outputs)
        del session
    except Exception as error:  # ONNX Runtime has a separate class for each of its codes
        return f"{type(error).__name__}: {error}", []
    return "", placed


def _run(session: Any, inputs: str, outputs: str) -> None:
    # Imported here because most questions are about the graph only.
    import numpy as np

    with np.load(inputs) as arrays:
        feed = {name: arrays[name] for name in arrays.files}
    results = session.run(None, feed)
    np.savez(outputs, *results)


if __name__ == "__main__":
    sys.exit(main())
