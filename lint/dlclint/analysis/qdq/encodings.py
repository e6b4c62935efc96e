"""The encodings of a QDQ model as an override file of format 2.0.0, which can express QDQ."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from dlclint.analysis.qdq.grids import Quantization
from dlclint.analysis.qdq.lifting import KeptQuantizer, LiftedEncoding, holds_quantization, lift
from dlclint.encodings.document import ENCODINGS, EncodingsDocument
from dlclint.encodings.reading import read_bytes
from dlclint.model.draft import draft_of
from dlclint.model.graph import Model, Node
from dlclint.version import __version__
from dlclint_schemas.record import record


@record
class CarriedEncodings:
    """What a QDQ model states about its tensors, in the terms of an override file.

    `model` is the float model in it, with every node at the index that it has in the QDQ model.
    """

    document: EncodingsDocument
    nodes: tuple[Node, ...]
    """For each entry, the node of the QDQ model that defines it."""
    model: Model
    kept: tuple[KeptQuantizer, ...]


def carried_encodings(model: Model) -> CarriedEncodings | None:
    """The encodings in a model's quantizing nodes; None where it has none."""
    if not holds_quantization(model):
        return None
    lifted = lift(draft_of(model), model, aligned=True)
    document = read_bytes(encodings_text(lifted.encoded).encode("utf-8", "surrogatepass"), model.path)
    nodes = tuple(lifted_encoding.node for lifted_encoding in lifted.encoded)
    return CarriedEncodings(document, nodes, lifted.draft.model(check=False), lifted.kept)


def encodings_text(encoded: Iterable[LiftedEncoding]) -> str:
    """An override file of format 2.0.0."""
    whole = {
        ENCODINGS: [_entry(lifted_encoding.name, lifted_encoding.grid) for lifted_encoding in encoded],
        "producer": {"package": "dlclint", "version": __version__},
        "version": "2.0.0",
    }
    return json.dumps(whole, indent=4, ensure_ascii=False)


def _entry(name: str, grid: Quantization) -> dict[str, Any]:
    entry: dict[str, Any] = {"axis": grid.axis, "block_size": grid.block_size, "name": name}
    entry["output_dtype"] = grid.dtype
    if grid.blocks is None:
        entry["y_scale"] = grid.scale.tolist()
    else:
        entry["per_block_int_scale"] = _whole(grid.blocks.integers)
        entry["per_channel_float_scale"] = grid.blocks.channels.tolist()
    if grid.zero.any():
        entry["y_zero_point"] = _whole(grid.zero)
    return {key: value for key, value in entry.items() if value is not None}


def _whole(values: npt.NDArray[np.float64]) -> Any:
    """Numbers for a file, as integers where they are."""
    whole = np.rint(values)
    return (whole.astype(np.int64) if (whole == values).all() else values).tolist()
