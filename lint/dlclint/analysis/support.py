"""Which runtimes support the whole model, and which ops are missing on the others."""

from __future__ import annotations

from enum import Enum

from dlclint.socs import needs_quantizer
from dlclint.target import Runtime, Target
from dlclint_schemas.precision import wide_weights
from dlclint_schemas.quantization import runtime_compatibility
from dlclint_schemas.record import record


class DlcHandling(Enum):
    """How a runtime takes the DLC kind, or, where none was given, which kinds it takes unchanged."""

    FLOAT = "float"
    QUANTIZED = "quantized"
    FLOAT_ONLY = "float only"
    QUANTIZED_ONLY = "quantized only"
    AS_IS = "as is"
    AS_IS_WITH_FLOAT16 = "as is if the SoC has float16"
    DEQUANTIZED = "dequantized at load"
    QUANTIZED_AT_LOAD = "quantized at load"
    REFUSED = "refused"


@record
class Blocker:
    """An op or pattern that a runtime lacks: its name, how many nodes, and what the tables state."""

    op: str
    nodes: int
    reason: str
    certain: bool
    """False where the tables do not decide and the verdict is inferred."""


@record
class RuntimeSupport:
    """One row of the matrix. `taken` of `total` nodes have an implementation."""

    runtime: Runtime
    taken: int
    total: int
    blockers: tuple[Blocker, ...]
    dlc: str = ""
    """The DLC kind that the runtime takes unchanged; if float or quantized was given, what happens to that
    one.
    """
    cuts: int = 0
    """How often execution changes processor if the CPU runs what this runtime lacks."""

    @property
    def whole(self) -> bool:
        """Whether the runtime supports every node."""
        return self.taken == self.total


def dlc_handling(runtime: Runtime, target: Target) -> DlcHandling:
    """The column of the matrix for the DLC kind.

    Source: 80-63442-2 Rev BL, Quantized vs Non-Quantized Models; float16 on HTP as measured by SoC.
    """
    kind, soc = target.kind, target.soc
    table = runtime_compatibility()
    if not kind.stated:
        accepted = table[runtime.dlc_row, False].accepted
        if table[runtime.dlc_row, False].as_is:
            return DlcHandling.FLOAT if accepted else DlcHandling.FLOAT_ONLY
        return DlcHandling.QUANTIZED if accepted else DlcHandling.QUANTIZED_ONLY
    compatibility = table[runtime.dlc_row, kind.quantize]
    if not kind.quantize and runtime is Runtime.HTP and kind.float_bitwidth == 16:
        fp16 = soc.fp16 if soc is not None else None
        if fp16 is None:
            return DlcHandling.AS_IS_WITH_FLOAT16
        return DlcHandling.AS_IS if fp16 else DlcHandling.REFUSED
    mandatory = runtime is Runtime.DSP and needs_quantizer(soc) and not kind.quantize
    if not compatibility.accepted or mandatory or (kind.quantize and _too_wide(runtime, target)):
        return DlcHandling.REFUSED
    if compatibility.as_is:
        return DlcHandling.AS_IS
    return DlcHandling.DEQUANTIZED if kind.quantize else DlcHandling.QUANTIZED_AT_LOAD


def _too_wide(runtime: Runtime, target: Target) -> bool:
    """Whether the bit widths are more than the runtime's Hexagon supports."""
    kind, wide = target.kind, wide_weights()
    if runtime is Runtime.DSP:
        return kind.act_bitwidth == 16
    if runtime is not Runtime.HTP or kind.weights_bitwidth != 16:
        return False
    old = target.soc is not None and (target.soc.hexagon or 0) < wide.hexagon
    return old or kind.act_bitwidth != wide.act_bitwidth


@record
class SupportMatrix:
    """One row per runtime."""

    rows: tuple[RuntimeSupport, ...]
