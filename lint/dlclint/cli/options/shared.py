"""Options that several commands have: target, converter options, rule selection, output."""

from __future__ import annotations

import argparse

RUNTIMES = ("cpu", "gpu", "gpu_float16", "dsp", "htp", "aip")
WIDTHS = {
    "act-bitwidth": ("of activations: 8 or 16", "default 8"),
    "weights-bitwidth": ("of weights: 4, 8 or 16", "default 8"),
    "bias-bitwidth": ("of biases: 8 or 32", "default 8"),
    "float-bitwidth": ("of float tensors: 16 or 32", "default 32"),
    "float-bias-bitwidth": ("of float biases: 16 or 32", "default: the width of their op's float entry"),
}
"""Options of the quantizer that set a width, with their help and the width that applies without them."""
ONE_RUNTIME = f"one of {', '.join(RUNTIMES)}"


def add_overwrite(group: argparse._ActionsContainer) -> None:
    """Whether an output may replace a file that is otherwise protected."""
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="allow an output to replace an input, or a file of another kind",
    )


def add_target(
    command: argparse.ArgumentParser, *, runtime: bool = True, several: bool = False
) -> argparse._ArgumentGroup:
    """Runtime, SoC and DLC kind; returns the group, to which a command can add its own options.

    `runtime` is false for a command that has a single runtime, which it sets as a default; `several` is true
    for a command that checks for several chips.

    `dlclint.cli.targets.target_of` makes a target of them and also checks the values, because it must check
    those of a configuration in the same way.
    """
    target = command.add_argument_group("what the model is for")
    if runtime:
        add_runtime(target, f"{ONE_RUNTIME}; repeatable (default: compare all)")
    add_soc(target, several=several)
    add_sdk(target)
    kind = command.add_argument_group("DLC kind, with the quantizer's names and values")
    kind.add_argument(
        "--float",
        dest="float",
        action="store_true",
        help="the DLC will stay float (default: compare float and quantized)",
    )
    kind.add_argument("--quantize", action="store_true", help="the DLC will be quantized")
    add_widths(kind)
    return target


def add_widths(kind: argparse._ArgumentGroup, *, defaults: bool = True) -> None:
    """The bit widths of a DLC, and whether weights have a grid for each channel.

    `defaults` is false for a command that chooses the widths that are not given.
    """
    for name, (values, default) in WIDTHS.items():
        kind.add_argument(
            f"--{name}",
            f"--{name.replace('-', '_')}",
            dest=name.replace("-", "_"),
            metavar="BITS",
            help=f"{values} ({default})" if defaults else values,
        )
    kind.add_argument(
        "--use-per-channel-quantization",
        "--use_per_channel_quantization",
        dest="per_channel",
        action="store_true",
        help="weights are quantized per channel",
    )


def add_runtime(target: argparse._ArgumentGroup, help: str) -> None:
    """Runtimes; the help states what none and several mean."""
    target.add_argument("--runtime", action="append", default=[], metavar="R", help=help)


def add_soc(target: argparse._ArgumentGroup, *, several: bool = False) -> None:
    """The chip, or chips where a command checks for several."""
    help = "the chip, such as SM8650 or '8 Gen 3' (`dlclint soc`)"
    if several:
        target.add_argument("--soc", action="append", default=[], metavar="NAME", help=f"{help}; repeatable")
    else:
        target.add_argument("--soc", metavar="NAME", help=help)


def add_sdk(group: argparse._ActionsContainer) -> None:
    """The release of the SDK."""
    group.add_argument(
        "--sdk",
        metavar="RELEASE",
        help="release of the SDK, such as 2.39 or a build number (default: the newest known)",
    )


def add_converter(
    command: argparse.ArgumentParser,
    title: str = "converter options, with the converter's names and meaning",
) -> None:
    """The dimension overrides, the descriptions of inputs and the simplification switch of the converter."""
    converter = command.add_argument_group(title)
    add_dimensions(converter)
    converter.add_argument(
        "-e",
        "--input-encoding",
        "--input_encoding",
        dest="input_encoding",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "ENCODING"),
        help="color order of an input, such as: -e data nv21",
    )
    converter.add_argument(
        "-t",
        "--input-type",
        "--input_type",
        dest="input_type",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "TYPE"),
        help="how the DSP treats an input: image, default or opaque",
    )
    converter.add_argument(
        "-n",
        "--no-simplification",
        "--no_simplification",
        dest="no_simplification",
        action="store_true",
        help="the converter will not simplify (it never does with overrides or custom ops)",
    )


def add_dimensions(group: argparse._ArgumentGroup) -> None:
    """The dimension overrides of the converter."""
    group.add_argument(
        "-d",
        "--input-dim",
        "--input_dim",
        dest="input_dim",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "DIMS"),
        help="dimensions of an input, such as: -d data 1,3,224,224",
    )
    group.add_argument(
        "-s",
        "--define-symbol",
        "--define_symbol",
        dest="symbol",
        nargs=2,
        action="append",
        default=[],
        metavar=("SYMBOL", "VALUE"),
        help="size of a symbolic dimension",
    )
    group.add_argument("-b", "--batch", type=int, metavar="N", help="batch of every input")


def add_configuration(command: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Which configuration applies; returns the group, to which a command can add its own options."""
    configuration = command.add_argument_group("configuration")
    configuration.add_argument(
        "--config",
        metavar="FILE",
        help="the file to use (default: the nearest dlclint.toml or pyproject.toml)",
    )
    configuration.add_argument("--isolated", action="store_true", help="use no configuration file")
    return configuration


def add_rules(command: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Selection of rules by id or family; returns the group, to which a command can add its own options."""
    rules = command.add_argument_group("rules")
    rules.add_argument(
        "--select",
        action="append",
        default=[],
        metavar="RULES",
        help="ids or families to run (default: all rules)",
    )
    rules.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="RULES",
        help="ids or families to skip (default: none)",
    )
    return rules


def add_moments(group: argparse._ArgumentGroup, help: str) -> None:
    """Mean and standard deviation of an input."""
    group.add_argument(
        "--input-moments",
        dest="input_moments",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "MEAN", "DEVIATION"),
        help=help,
    )


def add_inputs(group: argparse._ArgumentGroup, without: str) -> None:
    """Where samples come from; `without` states what happens without any."""
    group.add_argument(
        "--inputs",
        metavar="PATH",
        help="SNPE's input_list.txt with raw files (name:=path), a .npy or .npz file, or a folder of these"
        f" (default: {without})",
    )
    group.add_argument(
        "--input-layout",
        dest="input_layout",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "LAYOUT"),
        help="memory layout of an input's files: nchw or nhwc (as the SNPE tools read raw files)",
    )
    group.add_argument("--samples", type=int, default=16, metavar="N", help="maximum number (default: 16)")


def add_goal(group: argparse._ArgumentGroup) -> None:
    """The accuracy that the outputs must keep."""
    group.add_argument(
        "--target",
        metavar="DB",
        help="required SQNR of every output, such as 30dB",
    )
    group.add_argument(
        "--agreement",
        type=float,
        metavar="RATE",
        help="required rate of samples with the same best class, such as 0.99",
    )


def add_further(group: argparse._ArgumentGroup, example: str) -> None:
    """Reports in other formats from the same run."""
    group.add_argument(
        "--output-format",
        action="append",
        default=[],
        metavar="FORMAT=FILE",
        help=f"also write a report in another format, such as: {example}; repeatable",
    )


def add_overrides(group: argparse._ArgumentGroup, help: str) -> None:
    """The override file to write, and its format version."""
    group.add_argument("--emit-overrides", metavar="OUT", help=help)
    group.add_argument(
        "--encodings-version",
        choices=("0.6.1", "1.0.0", "2.0.0"),
        default="0.6.1",
        help="format version of the file (default: 0.6.1, the documented one)",
    )
