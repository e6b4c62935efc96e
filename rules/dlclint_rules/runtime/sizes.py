"""Ops that are too large for HTP to compile."""

from __future__ import annotations

from collections.abc import Iterator

from dlclint.diagnostic import About, Confidence, Severity, Source, size_text
from dlclint.rule import Finding, ModelContext, rule
from dlclint_rules.runtime.forms import on_htp
from dlclint_schemas.forms import htp_forms


@rule(about=About.FORM)
def filter_stretch(context: ModelContext) -> Iterator[Finding]:
    """A dilated filter spans more of its input than HTP compiles.

    Why: a quantized convolution validates but does not compile if the part of the input that its filter spans
    along an axis is too large: (kernel - 1) x dilation + 1 positions of all channels, which are padded to a
    multiple of 32. Less than 1 MiB compiled; on Hexagon v68, less than 512 KiB. The backend names no op in
    this case. One channel at a time (depthwise) compiles.
    What to do: use a smaller dilation or fewer input channels, or keep the layer float.
    """
    kind, limit = context.target.kind, htp_forms().filter_stretch
    if kind.is_float:
        return
    soc = context.target.soc
    most = limit.bytes_v68 if soc is not None and soc.hexagon == 68 else limit.bytes
    for node in on_htp(context):
        weight = node.graph.type_of(node.input(1)) if node.op_type == "Conv" else None
        shape = None if weight is None else weight.static_shape
        dilations = node.attribute("dilations") or []
        if shape is None or len(dilations) != len(shape) - 2 or shape[1] == 1:
            continue
        channels = shape[1] * (node.attribute("group", 1) or 1)
        for taps, dilation in zip(shape[2:], dilations, strict=True):
            span = (taps - 1) * dilation + 1
            places = _up(span, limit.width_multiple) * _up(channels, limit.channels_multiple)
            size = places * kind.act_bitwidth // 8
            if dilation > 1 and size >= most:
                yield Finding(
                    f"Conv: a filter of {taps} with dilation {dilation} spans {span:,} places of {channels}"
                    f" channels, {size_text(size)} at {kind.act_bitwidth} bits; HTP compiled less than"
                    f" {size_text(most)}",
                    Severity.WARNING,
                    Source(htp_forms().measured, "Conv"),
                    Confidence.FIELD_REPORTED,
                    help="use a smaller dilation or fewer channels in, or keep the layer float",
                    node=node,
                    evidence={"dilation": dilation, "channels": channels, "bytes": size},
                )
                break


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
