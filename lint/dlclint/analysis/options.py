"""The options of a run in the words of the command line: for commands that a report suggests."""

from __future__ import annotations

from dlclint.analysis.view import ModelView
from dlclint.model.dimensions import Dimensions
from dlclint.model.types import Dim, dim_text
from dlclint.target import DlcKind, Soc, Target


def soc_word(soc: Soc) -> str:
    """The first name of a chip's row, which may be like "SM4350/6325" or "QRB5165U, QRB5165LE"."""
    return soc.name.partition("/")[0].partition(",")[0]


def target_words(target: Target) -> list[str]:
    """The options of `dlclint check` that name a target."""
    kind, words = target.kind, []
    if target.soc is not None:
        words += ["--soc", soc_word(target.soc)]
    for runtime in target.runtimes:
        words += ["--runtime", runtime.value]
    if kind.stated:
        words.append("--quantize" if kind.quantize else "--float")
    if target.sdk:
        words += ["--sdk", target.sdk]
    return words + width_words(kind) + ["-n"] * (not target.simplify)


def width_words(kind: DlcKind) -> list[str]:
    """The options that set other widths than the quantizer's defaults."""
    words: list[str] = []
    default = DlcKind()
    for part in ("act", "weights", "bias", "float", "float_bias"):
        bits = getattr(kind, f"{part}_bitwidth")
        if bits != getattr(default, f"{part}_bitwidth"):
            words += [f"--{part.replace('_', '-')}-bitwidth", str(bits)]
    return words + ["--use-per-channel-quantization"] * kind.per_channel


def dimension_words(dimensions: Dimensions) -> list[str]:
    """The options that give dimensions, as the user gave them."""
    words: list[str] = []
    for name, sizes in dimensions.input_dims.items():
        words += ["-d", name, ",".join(map(str, sizes))]
    for symbol, size in dimensions.symbols.items():
        words += ["-s", symbol, str(size)]
    return words + ([] if dimensions.batch is None else ["-b", str(dimensions.batch)])


def shape_options(view: ModelView, dimensions: Dimensions) -> list[tuple[str, str]]:
    """Name and dimensions of every input that is dynamic or overridden.

    An unknown batch becomes 1, as the quantizer requires; other unknown sizes stay words in capitals, for the
    user to fill in.
    """
    options = []
    graph = view.model.graph
    for name in graph.inputs:
        kind = graph.type_of(name)
        if kind is None or kind.shape is None:
            continue
        sizes = [
            str(dim) if isinstance(dim, int) else "1" if not axis else _placeholder(dim, axis)
            for axis, dim in enumerate(kind.shape)
        ]
        dynamic = any(not isinstance(dim, int) for dim in kind.shape)
        if dynamic or name in dimensions.input_dims or dimensions.symbols or dimensions.batch is not None:
            options.append((name, ",".join(sizes)))
    return options


def _placeholder(dim: Dim, axis: int) -> str:
    word = "".join(c if c.isalnum() else "_" for c in dim_text(dim).strip("?")).strip("_").upper()
    return word or f"DIM{axis}"
