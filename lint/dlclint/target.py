"""The target of a model: runtimes, DLC kind and converter options."""

from __future__ import annotations

import enum

from dlclint_schemas.record import record
from dlclint_schemas.releases import Release, release


class Runtime(enum.Enum):
    """A runtime that `--runtime` names, with its column of the network-layers table.

    Source: 80-63442-2 Rev BL, Supported Network Layers: the GPU column applies to both GPU precisions; AIP
    (HTA plus DSP) equals DSP v66 in every row; HTP (Hexagon v68 and later) is a separate column.
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

    @property
    def dlc_row(self) -> str:
        """The row of the runtime and DLC compatibility table: cpu, gpu, dsp (any Hexagon) or aip."""
        return "dsp" if self is Runtime.HTP else self.value.partition("_")[0]


_COLUMN = {
    Runtime.CPU: "cpu",
    Runtime.GPU: "gpu",
    Runtime.GPU_FLOAT16: "gpu",
    Runtime.DSP: "dsp_v66",
    Runtime.HTP: "htp",
    Runtime.AIP: "aip",
}


@record
class DlcKind:
    """Float or quantized DLC, and its bit widths.

    The defaults are those of snpe-dlc-quant. Source: 80-63442-2 Rev BL, Tools, snpe-dlc-quant:
    `--act_bitwidth`, `--weights_bitwidth`, `--bias_bitwidth` default 8; `--float_bitwidth` of the
    converter defaults to 32, `--float_bias_bitwidth` to the width of the overriding float tensor.
    """

    quantize: bool = False
    act_bitwidth: int = 8
    weights_bitwidth: int = 8
    bias_bitwidth: int = 8
    float_bitwidth: int = 32
    per_channel: bool = False
    """Whether weights are quantized per channel (`--use_per_channel_quantization`)."""
    stated: bool = False
    """Whether the user chose float or quantized; if not, both are possible."""
    float_bias_bitwidth: int | None = None
    """Bits of float biases; None: as wide as the float tensor that makes their op float."""

    @property
    def is_float(self) -> bool:
        """Whether the user chose a float DLC; if not, it is quantized, or may be."""
        return self.stated and not self.quantize

    def __str__(self) -> str:
        if not self.quantize:
            return f"float{self.float_bitwidth}"
        return f"a{self.act_bitwidth}w{self.weights_bitwidth}"


@record
class Soc:
    """A chip that `--soc` named (see `dlclint.socs`).

    `hexagon` is the Hexagon version (65 to 89); None where the device table offers no Hexagon runtime, or
    where the backend names no version. `runtimes` are those known to exist; with `listed` false the device
    table has no row, the Hexagon version was measured, and whether other runtimes exist is unknown unless
    `lacks` says otherwise. `vtcm_mb` is HTP's tightly coupled memory in MiB, None: unknown.
    """

    name: str
    marketing: str
    hexagon: int | None
    runtimes: tuple[Runtime, ...]
    fp16: bool | None = None
    """Whether HTP supports float16; None: unknown. It depends on the SoC and not on the Hexagon version."""
    fp16_source: str = ""
    listed: bool = True
    vtcm_mb: int | None = None

    @property
    def hexagon_text(self) -> str:
        """A text such as `Hexagon v75`."""
        if self.hexagon is None:
            return "no Hexagon runtime" if self.listed else "no Hexagon version known"
        return f"Hexagon v{self.hexagon}"

    def lacks(self, runtime: Runtime) -> bool:
        """Whether the runtime is known not to exist."""
        if runtime in self.runtimes:
            return False
        # Without a row it is unknown whether CPU and GPU are offered, and whether a v66 has an HTA.
        if self.listed or runtime in (Runtime.HTP, Runtime.DSP):
            return True
        return runtime is Runtime.AIP and self.hexagon != 66

    def __str__(self) -> str:
        return self.name if self.marketing in ("", self.name) else f"{self.name} ({self.marketing})"


@record
class Target:
    """The chosen runtimes (none: all are compared), SoC, DLC kind and simplification.

    `simplify` is false where the converter would not simplify: with `--no-simplification`, or because
    quantization overrides or custom ops are given.
    """

    runtimes: tuple[Runtime, ...] = ()
    soc: Soc | None = None
    kind: DlcKind = DlcKind()
    simplify: bool = True
    input_encodings: tuple[tuple[str, str], ...] = ()
    """Inputs with their color order, as `--input_encoding` of the converter names it, such as nv21."""
    input_types: tuple[tuple[str, str], ...] = ()
    """Inputs with the DSP's treatment of them, as `--input_type` names it: image, default or opaque."""
    input_moments: tuple[tuple[str, float, float], ...] = ()
    """Inputs with their mean and standard deviation, as the user gives them."""
    sdk: str = ""
    """The SDK's release, such as 2.47; "": the newest known, because the user named none."""

    @property
    def release(self) -> Release:
        """The SDK's release, whose facts apply."""
        return release(self.sdk)

    @property
    def quantize(self) -> bool:
        """Whether the DLC will be quantized."""
        return self.kind.quantize

    @property
    def lacks_float16(self) -> bool:
        """Whether the chip is known to have no float16 on HTP."""
        return self.soc is not None and self.soc.fp16 is False

    @property
    def considered(self) -> tuple[Runtime, ...]:
        """The runtimes to compare: the chosen ones, or all, without those that the SoC lacks."""
        return tuple(r for r in self.runtimes or tuple(Runtime) if self.soc is None or not self.soc.lacks(r))

    @property
    def chosen(self) -> tuple[Runtime, ...]:
        """The runtimes that were chosen, without those that the SoC lacks."""
        return self.considered if self.runtimes else ()

    def means(self, runtime: Runtime) -> bool:
        """Whether a runtime is a target of the model: it was chosen, or only the SoC was and has it."""
        if self.soc is not None and self.soc.lacks(runtime):
            return False
        return runtime in self.runtimes if self.runtimes else self.soc is not None

    @property
    def means_hexagon(self) -> bool:
        """Whether DSP, HTP or AIP is a target of the model."""
        return any(map(self.means, (Runtime.DSP, Runtime.HTP, Runtime.AIP)))
