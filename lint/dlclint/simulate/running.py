"""Running one step at a time in ONNX Runtime, each with a separate session.

A session is created when a step first runs, for the types of its inputs, and is kept: weights are fed like
any other input, so that one session serves the float weights and every quantized form of them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper

from dlclint.diagnostic import plain
from dlclint.simulate.network import CannotSimulate, Network, Step


class CannotRun(Exception):
    """A step does not run; the argument states which, and why, in one line."""


def require_runtime() -> None:
    """Raise an error without ONNX Runtime.

    Raises:
        CannotSimulate: it is not installed.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise CannotSimulate("ONNX Runtime is not installed: pip install 'dlclint[verify]'")


class Runner:
    """Sessions of a network's steps. Steps may run from several threads at once."""

    def __init__(self, network: Network) -> None:
        self._model = network.view.model
        self._imports = [
            helper.make_opsetid(domain, version) for domain, version in self._model.opsets.items()
        ]
        self._sessions: dict[tuple[int, tuple[str, ...]], Any] = {}

    def run(self, step: Step, values: Mapping[str, Any]) -> list[Any]:
        """The outputs of a step on the values of `step.reads`.

        Raises:
            CannotRun: ONNX Runtime reports an error.
        """
        feed = {name: values[name] for name in step.reads}
        key = (step.index, tuple(map(_kind, feed.values())))
        session = self._sessions.get(key)
        try:
            if session is None:
                session = self._sessions[key] = self._session(step, feed)
            wanted = [name for name in step.outputs if name]
            results = iter(session.run(wanted, feed))
        except Exception as error:  # ONNX Runtime has a separate class for each status
            raise CannotRun(f"{step_text(step)} does not run: {_said(error)}") from None
        return [next(results) if name else None for name in step.outputs]

    def _session(self, step: Step, feed: Mapping[str, Any]) -> Any:
        # Imported here because it is optional, and takes longer to import than it takes to show help.
        import onnxruntime as ort

        inputs = [
            onnx.ValueInfoProto(name=name, type=_type(step, name, value)) for name, value in feed.items()
        ]
        outputs = [onnx.ValueInfoProto(name=name) for name in step.outputs if name]
        graph = helper.make_graph([step.proto], "step", inputs, outputs)
        model = helper.make_model(
            graph,
            opset_imports=self._imports,
            functions=list(self._model.proto.functions),
            ir_version=max(self._model.proto.ir_version, 8),
        )
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        # An arena and packed weights for each of hundreds of sessions would multiply the memory.
        options.enable_cpu_mem_arena = False
        options.add_session_config_entry("session.disable_prepacking", "1")
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def step_text(step: Step) -> str:
    """A step as a message names it."""
    name = step.node.name or next(filter(None, step.outputs), "")
    return plain(f"{step.op} {name}")


def _kind(value: Any) -> str:
    return str(value.dtype) if isinstance(value, np.ndarray) else f"list {len(value) if value else 0}"


def _type(step: Step, name: str, value: Any) -> onnx.TypeProto:
    if isinstance(value, np.ndarray):
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        return helper.make_tensor_type_proto(kind, None)
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        element = helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(value[0].dtype), None)
        return helper.make_sequence_type_proto(element)
    raise CannotRun(f"{step_text(step)} reads {plain(name)}, which is not a tensor")


def _said(error: Exception) -> str:
    return plain(" ".join(str(error).split()), 300)
