"""Which runtimes support the whole model, and which ops are missing on the others."""

from __future__ import annotations

from dlclint.socs import needs_quantizer
from dlclint.target import Runtime, Target
from dlclint_schemas.precision import wide_weights
from dlclint_schemas.quantization import runtime_compatibility
from dlclint_schemas.record import record


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


def dlc_text(runtime: Runtime, target: Target) -> str:
    """The column of the matrix for the DLC kind.

    Source: 80-63442-2 Rev BL, Quantized vs Non-Quantized Models; float16 on HTP as measured by SoC.
    """
    kind, soc = target.kind, target.soc
    table = runtime_compatibility()
    if not kind.stated:
        native = "float" if table[runtime.dlc_row, False].as_is else "quantized"
        return native if table[runtime.dlc_row, False].accepted else f"{native} only"
    compatibility = table[runtime.dlc_row, kind.quantize]
    if not kind.quantize and runtime is Runtime.HTP and kind.float_bitwidth == 16:
        taken = {None: "as is if the SoC has float16", True: "as is", False: "refused"}
        return taken[soc.fp16 if soc is not None else None]
    mandatory = runtime is Runtime.DSP and needs_quantizer(soc) and not kind.quantize
    if not compatibility.accepted or mandatory or (kind.quantize and _too_wide(runtime, target)):
        return "refused"
    return "as is" if compatibility.as_is else "dequantized at load" if kind.quantize else "quantized at load"


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
