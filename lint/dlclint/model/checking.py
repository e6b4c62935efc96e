"""onnx.checker's complaints about a structure: all of them, not only the first, and never an exception."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import onnx

from dlclint.contained.guard import Ended, spot
from dlclint.model.native import CHECKER, Crashes


@contextmanager
def _emptied(tensors: Iterable[onnx.TensorProto]) -> Iterator[None]:
    """Make tensors without data look complete to the checker by declaring no elements."""
    saved = []
    for tensor in tensors:
        whole = onnx.TensorProto()
        whole.CopyFrom(tensor)
        saved.append((tensor, whole))
        del tensor.dims[:]
        tensor.dims.append(0)
        tensor.ClearField("data_location")
        del tensor.external_data[:]
        tensor.ClearField("raw_data")
        for field in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
            tensor.ClearField(field)
    try:
        yield
    finally:
        for tensor, whole in saved:
            tensor.CopyFrom(whole)


def complaints(
    proto: onnx.ModelProto, incomplete: Iterable[onnx.TensorProto], crashes: Crashes
) -> tuple[str, ...]:
    """onnx.checker's complaints, one line each; the model's own first, then those of single nodes.

    Args:
        proto: the model's structure.
        incomplete: tensors whose data were left in the file.
        crashes: records it if the checker ends its process.
    """
    with _emptied(incomplete):
        structure = proto.SerializeToString()
        lines = []
        try:
            crashes.attempt(CHECKER, onnx.checker.check_model, structure, size=len(structure))
            return ()
        except Ended:
            pass
        except Exception as error:  # the checker raises ValidationError, RuntimeError and others
            lines.append(_line(error))
        context = onnx.checker.C.CheckerContext()
        try:
            context.ir_version = proto.ir_version
            context.opset_imports = {opset.domain: opset.version for opset in proto.opset_import}
        except TypeError:  # versions beyond 32 bits, which the checker has reported already
            return tuple(lines)
        if context.opset_imports:
            for index, node in enumerate(proto.graph.node):
                try:
                    crashes.attempt(
                        CHECKER,
                        onnx.checker.check_node,
                        node,
                        context,
                        index=index,
                        op=node.op_type,
                        where=spot(index, *node.output[:1]),
                    )
                except Ended:
                    continue
                except Exception as error:
                    lines.append(_line(error))
    return tuple(dict.fromkeys(lines))


def _line(error: Exception) -> str:
    text = str(error).partition("==> Context:")[0]
    return " ".join(text.split()) or type(error).__name__
