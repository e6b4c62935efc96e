"""The command lines of a plan. Every option is looked up in the tools page, so that none is made up."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping

from dlclint.analysis.options import dimension_words, shape_options, soc_word, target_words
from dlclint.analysis.plan.inputs import (
    RawInput,
    SourceInput,
    qairt_options,
    qairt_reads,
    snpe_options,
    snpe_reads,
    source_inputs,
    unused_inputs,
)
from dlclint.analysis.plan.model import Choice, Command, Toolchain
from dlclint.analysis.view import ModelView
from dlclint.model.dimensions import Dimensions
from dlclint.target import DlcKind, Runtime, Target
from dlclint_schemas.quantization import tool_options
from dlclint_schemas.record import record
from dlclint_schemas.releases import has_option, option_times

INPUT_LIST = "INPUT_LIST.txt"
"""Placeholder for the file of calibration inputs, which only the user has."""
INPUT_LIST_LAST = "INPUT_LIST_NHWC.txt"
"""The same with images whose channels are last, for the tools that read them so."""
SOC = "SOC"
"""Placeholder for the chip where none was named."""
_BACKENDS = {
    Runtime.CPU: "CPU",
    Runtime.GPU: "GPU",
    Runtime.GPU_FLOAT16: "GPU",
    Runtime.DSP: "DSP",
    Runtime.HTP: "HTP",
    Runtime.AIP: "HTA",
}


@record
class _Tools:
    """How a family of tools spells options that the other spells differently.

    `ranges` are the quantizer's options for a way of choosing the range of weights, by the name of
    snpe-dlc-quant. `per_channel` goes with a grid for each channel, which must be symmetric.
    `takes_overrides` makes the quantizer use the file's encodings, "" where it does so by itself. `steps`
    restricts 16-bit weights to what HTP computes with. `reads` describes how the raw files of an input are
    read, and `describes` returns the converter's options for the inputs.
    """

    title: str
    converter: str
    shape: str
    float_bias: str
    quantizer: str
    ranges: Mapping[str, tuple[tuple[str, ...], ...]]
    per_channel: tuple[tuple[str, ...], ...]
    algorithms: str
    takes_overrides: str
    placed: bool
    steps: tuple[str, ...]
    reads: Callable[[SourceInput], RawInput]
    describes: Callable[[tuple[SourceInput, ...]], list[tuple[str, ...]]]


_SYMMETRIC = ("--param_quantizer_schema", "symmetric")
_SNPE = _Tools(
    "SNPE",
    "snpe-onnx-to-dlc",
    "-d",
    "--float_bias_bw",
    "snpe-dlc-quant",
    {word: (("--param_quantizer", word),) for word in ("tf", "enhanced", "symmetric")},
    (),
    "--algorithms",
    "--override_params",
    False,
    ("--restrict_quantization_steps", "-0x8000,0x7F7F"),
    snpe_reads,
    snpe_options,
)
_QAIRT = _Tools(
    "QAIRT",
    "qairt-converter",
    "--source_model_input_shape",
    "--float_bias_bitwidth",
    "qairt-quantizer",
    {"tf": (), "enhanced": (("--param_quantizer_calibration", "sqnr"),), "symmetric": (_SYMMETRIC,)},
    (_SYMMETRIC,),
    "--apply_algorithms",
    "",
    True,
    ("--restrict_quantization_steps", "-0x8000 0x7F7F"),
    qairt_reads,
    qairt_options,
)


def toolchains(
    view: ModelView, choice: Choice, dimensions: Dimensions, overrides: str
) -> tuple[Toolchain, ...]:
    """The commands of the SNPE tools and of the QAIRT tools."""
    chains = []
    sources = source_inputs(view.model.graph, dict(shape_options(view, dimensions)))
    for tools in (_SNPE, _QAIRT):
        commands = [_convert(tools, view, choice, dimensions, overrides, sources)]
        if choice.quantize:
            commands.append(_quantize(tools, view, choice, overrides, sources))
            if tools is _SNPE and choice.runtime is Runtime.HTP:
                commands.append(_prepare(view))
        unused = _removed(tools, view)
        reads = tuple(tools.reads(source) for source in sources if source.name not in unused)
        chains.append(Toolchain(tools.title, tuple(commands), reads))
    return tuple(chains)


def command(tool: str, *options: tuple[str, ...]) -> Command:
    """A command with options that the tools page lists, or that a release added or removed.

    Raises:
        KeyError: no document lists the option for the tool.
    """
    known = tool_options(tool)
    for name, *_ in options:
        listed = name in known or any(name in row.get("aliases", ()) for row in known.values())
        if not listed and name not in option_times(tool):
            raise KeyError(f"{tool} has no option {name}")
    return Command(tool, options)


def _shape(tools: _Tools, view: ModelView) -> str:
    """The option for the shape of an input, which qairt-converter had under another name."""
    for time in option_times(tools.converter).values():
        is_older = time.instead == tools.shape
        if is_older and has_option(tools.converter, time.option, view.target.release):
            return time.option
    return tools.shape


def _removed(tools: _Tools, view: ModelView) -> tuple[str, ...]:
    """The inputs that the converter is to remove, because no node reads them."""
    if not has_option(tools.converter, _REMOVE, view.target.release) or _REMOVE not in option_times(
        tools.converter
    ):
        return ()
    return unused_inputs(view.model.graph)


_REMOVE = "--remove_unused_inputs"
_KEEP_ORDER = "--preserve_onnx_output_order"


def _keeps_order(tools: _Tools, view: ModelView) -> bool:
    """Whether the converter needs an option to keep the order of outputs; qairt-converter keeps it anyway."""
    if tools is not _SNPE or len(view.model.graph.outputs) < 2:
        return False
    return has_option(tools.converter, _KEEP_ORDER, view.target.release) is True


def _convert(
    tools: _Tools,
    view: ModelView,
    choice: Choice,
    dimensions: Dimensions,
    overrides: str,
    sources: tuple[SourceInput, ...],
) -> Command:
    shape = _shape(tools, view)
    shapes = [(shape, name, dims) for name, dims in shape_options(view, dimensions)]
    # Once there are encodings qairt-converter makes float16 of what stays float, unless told otherwise.
    stated = tools is _QAIRT and choice.quantize and bool(overrides or view.carries_encodings)
    floats = [("--float_bitwidth", str(choice.float_bitwidth))] if stated else []
    return command(
        tools.converter,
        ("--input_network", str(view.model.path)),
        *shapes,
        *tools.describes(sources),
        *([("--quantization_overrides", overrides)] if overrides else []),
        *floats,
        *([(_REMOVE,)] if _removed(tools, view) else []),
        *([(_KEEP_ORDER,)] if _keeps_order(tools, view) else []),
        ("--output_path", f"{view.model.path.stem}.dlc"),
        *([] if choice.quantize else _float_widths(choice, tools.float_bias)),
        *_place(tools, view, choice),
    )


def _quantize(
    tools: _Tools, view: ModelView, choice: Choice, overrides: str, sources: tuple[SourceInput, ...]
) -> Command:
    stem = view.model.path.stem
    turned = any(tools.reads(source).shape != source.shape for source in sources)
    options: list[tuple[str, ...]] = [
        ("--input_dlc", f"{stem}.dlc"),
        ("--input_list", INPUT_LIST_LAST if turned else INPUT_LIST),
        ("--output_dlc", f"{stem}_quantized.dlc"),
        ("--act_bitwidth", str(choice.act_bitwidth)),
        ("--weights_bitwidth", str(choice.weights_bitwidth)),
        ("--bias_bitwidth", str(choice.bias_bitwidth)),
        *_float_widths(choice, "--float_bias_bitwidth"),
        *tools.ranges[choice.param_quantizer],
    ]
    if choice.per_channel:
        options += [*tools.per_channel, ("--use_per_channel_quantization",)]
    if choice.per_row:
        options.append(("--use_per_row_quantization",))
    if choice.cle:
        options.append((tools.algorithms, "cle"))
    if choice.weights_bitwidth == 16 and choice.runtime is Runtime.HTP:
        options.append(tools.steps)
    if any(source.is_whole for source in sources):
        options.append(("--use_native_input_files",))
    if (overrides or view.carries_encodings) and tools.takes_overrides:
        options.append((tools.takes_overrides,))
    return command(tools.quantizer, *dict.fromkeys(options), *_place(tools, view, choice))


def _float_widths(choice: Choice, bias: str) -> list[tuple[str, ...]]:
    """The widths of float tensors, where they are not the tools' defaults; `bias` is the option's name."""
    options: list[tuple[str, ...]] = []
    if choice.float_bitwidth != DlcKind().float_bitwidth:
        options.append(("--float_bitwidth", str(choice.float_bitwidth)))
    if choice.float_bias_bitwidth is not None:
        options.append((bias, str(choice.float_bias_bitwidth)))
    return options


def _place(tools: _Tools, view: ModelView, choice: Choice) -> list[tuple[str, ...]]:
    """Backend and chip, for the tools that need them."""
    if not tools.placed:
        return []
    return [("--target_backend", _BACKENDS[choice.runtime]), ("--target_soc_model", _soc(view))]


def _prepare(view: ModelView) -> Command:
    stem = view.model.path.stem
    soc = _soc(view)
    return command(
        "snpe-dlc-graph-prepare",
        ("--input_dlc", f"{stem}_quantized.dlc"),
        ("--output_dlc", f"{stem}_cached.dlc"),
        ("--htp_socs", soc if soc == SOC else soc.lower()),
    )


def _soc(view: ModelView) -> str:
    soc = view.target.soc
    return SOC if soc is None else soc_word(soc)


def check_command(view: ModelView, target: Target, dimensions: Dimensions, overrides: str) -> str:
    """The `dlclint check` command that shows all findings for a target and an override file ("": none)."""
    words = ["dlclint", "check", *target_words(target), *dimension_words(dimensions)]
    words += ["--encodings", overrides] if overrides else []
    return shlex.join([*words, str(view.model.path)])


def placeholders(view: ModelView, choice: Choice) -> list[str]:
    """The words in the commands that the user must replace, one sentence each."""
    sentences = []
    if choice.quantize:
        sources = source_inputs(view.model.graph, {})
        turned = any(snpe_reads(source).shape != source.shape for source in sources)
        stand = f"{INPUT_LIST} and {INPUT_LIST_LAST} stand" if turned else f"{INPUT_LIST} stands"
        sentences.append(f"{stand} for your list of calibration inputs, raw files, one line an inference")
    if view.target.soc is None:
        sentences.append(f"{SOC} is a placeholder for the chip; give --soc to fill it in")
    words = sorted(
        {
            word
            for _, dims in shape_options(view, Dimensions())
            for word in dims.split(",")
            if not word.isdigit()
        }
    )
    if words:
        sentences.append(
            f"{', '.join(words)} stand for sizes that the model leaves open; give them with -d or -s"
        )
    return sentences


def line(shell_command: Command) -> str:
    """The command as one line for a shell."""
    return " ".join(
        [shell_command.tool, *(shlex.quote(word) for option in shell_command.options for word in option)]
    )
