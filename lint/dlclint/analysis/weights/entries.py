"""The widths and grids that the entries of an override file state for weights and biases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from dlclint.encodings import grid
from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.encodings.document import EncodingsDocument


@record
class WeightEntry:
    """What a file states about a weight or bias.

    `scale` is a number for each channel, or one for the tensor; None where the file has none, or where it is
    for blocks. `is_float` means that the tensor stays float.
    """

    bitwidth: int
    scale: grid.Floats | None
    is_float: bool
    in_blocks: bool

    @property
    def by_channel(self) -> bool:
        """Whether each channel, or each block of one, has a separate grid."""
        return self.in_blocks or (self.scale is not None and len(self.scale) > 1)


def weight_entries(document: EncodingsDocument | None) -> Mapping[str, WeightEntry]:
    """Every entry of a file with a width, by name; for a repeated name the last."""
    if document is None:
        return {}
    # Imported here because few models come with an override file.
    from dlclint.encodings.document import FLOAT

    tensors, elements = document.tensors, document.elements
    blocked = tensors.enc_type.where(("PER_BLOCK", "LPBQ", "VECTOR").__contains__) | ~np.isnan(
        tensors.block_size
    )
    with np.errstate(all="ignore"):
        by_range = grid.scale_of(elements.minimum, elements.maximum, elements.bitwidth)
    scales = np.where(np.isnan(elements.scale), by_range, elements.scale)
    by_name = {}
    for row, name in enumerate(tensors.names):
        first = int(tensors.first[row])
        bits = elements.bitwidth[first]
        is_float = bool(elements.kind[first] == FLOAT)
        if not grid.has_grid(bits):
            continue
        values = scales[first : first + int(tensors.count[row])]
        usable = bool(np.isfinite(values).all() and (values > 0).all()) and not blocked[row]
        by_name[name] = WeightEntry(
            int(bits),
            values if usable else None,
            is_float,
            bool(blocked[row]),
        )
    return by_name
