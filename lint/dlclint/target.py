"""What the model is linted for: runtimes, DLC kind and converter options."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Runtime(enum.Enum):
    """A runtime that `--runtime` names, with its column of the network-layers table.

    Source: 80-63442-2 Rev BL, Supported Network Layers: the GPU column holds for both GPU
    precisions; AIP (HTA plus DSP) equals DSP v66 in every row; HTP (Hexagon v68 and later) is
    a column of its own.
    """

    CPU = "cpu"
    GPU = "gpu"
    GPU_FLOAT16 = "gpu_float16"
    DSP = "dsp"
    HTP = "htp"
    AIP = "aip"

    @property
    def column(self) -> str:
        """The column of the network-layers table: cpu, gpu, dsp_v66, htp or aip."""
        return _COLUMN[self]


_COLUMN = {
    Runtime.CPU: "cpu",
    Runtime.GPU: "gpu",
    Runtime.GPU_FLOAT16: "gpu",
    Runtime.DSP: "dsp_v66",
    Runtime.HTP: "htp",
    Runtime.AIP: "aip",
}


@dataclass(frozen=True, slots=True)
class DlcKind:
    """Float or quantized DLC, and the bit widths it is made with.

    The defaults are those of snpe-dlc-quant. Source: 80-63442-2 Rev BL, Tools, snpe-dlc-quant:
    `--act_bitwidth`, `--weights_bitwidth`, `--bias_bitwidth` default 8; `--float_bitwidth` of the
    converter defaults to 32.
    """

    quantize: bool = False
    act_bitwidth: int = 8
    weights_bitwidth: int = 8
    bias_bitwidth: int = 8
    float_bitwidth: int = 32
    per_channel: bool = False
    """Whether weights are quantized per channel (`--use_per_channel_quantization`)."""


@dataclass(frozen=True, slots=True)
class Target:
    """The chosen runtimes (none: all are compared), SoC, DLC kind and simplification.

    `simplify` is false where the converter would not simplify: asked with `--no-simplification`,
    or because quantization overrides or custom ops are given.
    """

    runtimes: tuple[Runtime, ...] = ()
    soc: str = ""
    kind: DlcKind = DlcKind()
    simplify: bool = True

    @property
    def quantize(self) -> bool:
        """Whether the DLC will be quantized."""
        return self.kind.quantize
