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
class Target:
    """The chosen runtimes (none: all are compared), SoC, DLC kind and simplification.

    `quantize` says that the DLC will be quantized. `simplify` is false where the converter
    would not simplify: asked with `--no-simplification`, or because quantization overrides or
    custom ops are given.
    """

    runtimes: tuple[Runtime, ...] = ()
    soc: str = ""
    quantize: bool = False
    simplify: bool = True
