"""The command lines of a plan. Every option is looked up on the tools page, so none is invented."""

from __future__ import annotations

import shlex

from dlclint.analysis.plan.model import Choice, Command, Toolchain
from dlclint.analysis.view import ModelView
from dlclint.model.dimensions import Dimensions
from dlclint.target import Runtime
from dlclint_schemas.quantization import tool_options

INPUT_LIST = "INPUT_LIST.txt"
"""Stands for the file of calibration inputs, which only the user has."""
SOC = "SOC"
"""Stands for the chip where none was named."""
_BACKENDS = {
    Runtime.CPU: "CPU",
    Runtime.GPU: "GPU",
    Runtime.GPU_FLOAT16: "GPU",
    Runtime.DSP: "DSP",
    Runtime.HTP: "HTP",
    Runtime.AIP: "HTA",
}
_CALIBRATIONS = {"enhanced": "sqnr"}
_SCHEMAS = {"symmetric": "symmetric"}


def toolchains(
    view: ModelView, choice: Choice, dimensions: Dimensions, overrides: str
) -> tuple[Toolchain, ...]:
    """The commands of the SNPE tools and of the QAIRT tools."""
    return (
        Toolchain("SNPE", tuple(_snpe(view, choice, dimensions, overrides))),
        Toolchain("QAIRT", tuple(_qairt(view, choice, dimensions, overrides))),
    )


def command(tool: str, *options: tuple[str, ...]) -> Command:
    """A command of options that the tools page lists.

    Raises:
        KeyError: the page does not list the option for the tool.
    """
    known = tool_options(tool)
    for name, *_ in options:
        if name not in known and not any(name in row.get("aliases", ()) for row in known.values()):
            raise KeyError(f"{tool} has no option {name}")
    return Command(tool, options)


def shape_options(view: ModelView, dimensions: Dimensions) -> list[tuple[str, str]]:
    """Name and dimensions of every input that is dynamic or overridden.

    A batch that is not known becomes 1, as the quantizer demands; what else is not known stays a word
    in capitals, for the user to fill in.
    """
    found = []
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
            found.append((name, ",".join(sizes)))
    return found


def _placeholder(dim: object, axis: int) -> str:
    word = "".join(c if c.isalnum() else "_" for c in str(dim or "")).strip("_").upper()
    return word or f"DIM{axis}"


def _stem(view: ModelView) -> str:
    return view.model.path.stem


def _snpe(view: ModelView, choice: Choice, dimensions: Dimensions, overrides: str) -> list[Command]:
    stem = _stem(view)
    shapes = [("-d", name, dims) for name, dims in shape_options(view, dimensions)]
    override = [("--quantization_overrides", overrides)] if overrides else []
    made = [
        command(
            "snpe-onnx-to-dlc",
            ("--input_network", str(view.model.path)),
            *shapes,
            *override,
            ("--output_path", f"{stem}.dlc"),
        )
    ]
    if not choice.quantize:
        return made
    options: list[tuple[str, ...]] = [
        ("--input_dlc", f"{stem}.dlc"),
        ("--input_list", INPUT_LIST),
        ("--output_dlc", f"{stem}_quantized.dlc"),
        ("--act_bitwidth", str(choice.act_bitwidth)),
        ("--weights_bitwidth", str(choice.weights_bitwidth)),
        ("--bias_bitwidth", str(choice.bias_bitwidth)),
        ("--param_quantizer", choice.param_quantizer),
    ]
    if choice.per_channel:
        options.append(("--use_per_channel_quantization",))
    if choice.per_row:
        options.append(("--use_per_row_quantization",))
    if choice.cle:
        options.append(("--algorithms", "cle"))
    if overrides:
        options.append(("--override_params",))
    made.append(command("snpe-dlc-quant", *options))
    if choice.runtime is Runtime.HTP:
        soc = view.target.soc
        made.append(
            command(
                "snpe-dlc-graph-prepare",
                ("--input_dlc", f"{stem}_quantized.dlc"),
                ("--output_dlc", f"{stem}_cached.dlc"),
                ("--htp_socs", soc_word(soc.name).lower() if soc is not None else SOC),
            )
        )
    return made


def _qairt(view: ModelView, choice: Choice, dimensions: Dimensions, overrides: str) -> list[Command]:
    stem = _stem(view)
    shapes = [("--source_model_input_shape", name, dims) for name, dims in shape_options(view, dimensions)]
    soc = view.target.soc
    place: list[tuple[str, ...]] = [("--target_backend", _BACKENDS[choice.runtime])]
    place.append(("--target_soc_model", soc_word(soc.name) if soc is not None else SOC))
    made = [
        command(
            "qairt-converter",
            ("--input_network", str(view.model.path)),
            *shapes,
            *([("--quantization_overrides", overrides)] if overrides else []),
            ("--output_path", f"{stem}.dlc"),
            *place,
        )
    ]
    if not choice.quantize:
        return made
    options: list[tuple[str, ...]] = [
        ("--input_dlc", f"{stem}.dlc"),
        ("--input_list", INPUT_LIST),
        ("--output_dlc", f"{stem}_quantized.dlc"),
        ("--act_bitwidth", str(choice.act_bitwidth)),
        ("--weights_bitwidth", str(choice.weights_bitwidth)),
        ("--bias_bitwidth", str(choice.bias_bitwidth)),
    ]
    if choice.param_quantizer in _CALIBRATIONS:
        options.append(("--param_quantizer_calibration", _CALIBRATIONS[choice.param_quantizer]))
    if choice.per_channel or choice.param_quantizer in _SCHEMAS:
        options.append(("--param_quantizer_schema", "symmetric"))
    if choice.per_channel:
        options.append(("--use_per_channel_quantization",))
    if choice.per_row:
        options.append(("--use_per_row_quantization",))
    if choice.cle:
        options.append(("--apply_algorithms", "cle"))
    made.append(command("qairt-quantizer", *options, *place))
    return made


def placeholders(view: ModelView, choice: Choice) -> list[str]:
    """What the user has to put in place of words in the commands, one sentence each."""
    found = []
    if choice.quantize:
        found.append(
            f"{INPUT_LIST} stands for your list of calibration inputs, raw files, one line an inference"
        )
    if view.target.soc is None:
        found.append(f"{SOC} stands for the chip; with --soc the plan names it")
    words = sorted(
        {
            word
            for _, dims in shape_options(view, Dimensions())
            for word in dims.split(",")
            if not word.isdigit()
        }
    )
    if words:
        found.append(
            f"{', '.join(words)} stand for sizes that the model leaves open; give them with -d or -s"
        )
    return found


def soc_word(name: str) -> str:
    """The first name of a row such as "SM4350/6325"."""
    return name.partition("/")[0]


def line(made: Command) -> str:
    """The command as one line for a shell."""
    return " ".join([made.tool, *(shlex.quote(word) for option in made.options for word in option)])
