"""Options of `dlclint simulate`."""

from __future__ import annotations

import argparse

from dlclint.cli.options import shared
from dlclint.cli.options.confirm import add_limits
from dlclint.report.render import FORMATS

ENGINES = ("reference", "htp", "both")
LAYOUTS = ("nchw", "nhwc")


ACT_QUANTIZERS = ("tf", "symmetric", "enhanced", "percentile")
PARAM_QUANTIZERS = ("tf", "symmetric", "enhanced", "adjusted")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `simulate`."""
    simulate = commands.add_parser(
        "simulate",
        help="measure what quantization costs, layer by layer, before the phone",
        description="Run the float model and the quantized one side by side and measure the error of every "
        "output and layer (needs the extra: pip install 'dlclint[verify]').",
    )
    simulate.set_defaults(
        run="dlclint.cli.simulate:simulate",
        apart=True,
        runtime=["htp"],
        float=False,
        quantize=True,
        select=[],
        ignore=[],
    )
    simulate.add_argument("paths", nargs="+", metavar="MODEL", help="models, or folders to search")
    target = simulate.add_argument_group("what the model is for")
    shared.add_soc(target)
    shared.add_sdk(target)
    kind = simulate.add_argument_group("widths, with the quantizer's names and values")
    shared.add_widths(kind)
    _add_ranges(simulate)
    shared.add_converter(simulate)
    _add_inputs(simulate)
    engine = simulate.add_argument_group("engine")
    engine.add_argument(
        "--engine",
        choices=ENGINES,
        default="reference",
        help="reference: the documented arithmetic on the CPU; htp: Qualcomm's own backend (needs the extra"
        " 'dlclint[qnn]' and --soc); default: reference",
    )
    add_limits(engine, 600.0)
    overrides = simulate.add_argument_group("a calibrated override file")
    shared.add_overrides(overrides, "write the grid of every activation and weight to this file")
    _add_search(simulate)
    shared.add_configuration(simulate)
    output = simulate.add_argument_group("output")
    output.add_argument("--format", choices=FORMATS["simulate"], default="rich", help="default: rich")
    output.add_argument("-o", "--output", metavar="FILE", help="write the report to a file")
    shared.add_further(output, "html=simulate.html")
    shared.add_overwrite(output)


def _add_ranges(simulate: argparse.ArgumentParser) -> None:
    ranges = simulate.add_argument_group("ranges of tensors without an override")
    ranges.add_argument(
        "--encodings",
        metavar="FILE",
        help="override file with the grids to use (default: NAME.encodings next to NAME.onnx)",
    )
    ranges.add_argument(
        "--act-quantizer",
        "--act_quantizer",
        choices=ACT_QUANTIZERS,
        default="tf",
        help="range of activations from the inputs: tf (smallest and largest value, default), symmetric,"
        " enhanced (least mean square error), percentile",
    )
    ranges.add_argument(
        "--param-quantizer",
        "--param_quantizer",
        choices=PARAM_QUANTIZERS,
        default="tf",
        help="range of weights and biases (default: tf)",
    )
    ranges.add_argument(
        "--percentile",
        type=float,
        default=99.99,
        metavar="P",
        help="percent of values that --act-quantizer percentile keeps (default: 99.99)",
    )


def _add_inputs(simulate: argparse.ArgumentParser) -> None:
    inputs = simulate.add_argument_group("inputs")
    shared.add_inputs(inputs, "random values from a seed, for a first look")
    inputs.add_argument("--seed", type=int, default=0, metavar="N", help="seed of random inputs (default: 0)")
    shared.add_moments(
        inputs, "draw an input from a normal distribution with this mean and standard deviation"
    )


def _add_search(simulate: argparse.ArgumentParser) -> None:
    search = simulate.add_argument_group("the cheapest change that reaches a target")
    shared.add_goal(search)
    search.add_argument(
        "--emit-equalized",
        metavar="OUT",
        help="write the equalized model to this file, if the search equalizes",
    )
    search.add_argument(
        "--resume",
        metavar="FILE",
        help="store the measurements of the search in this file, and continue from it after an interruption",
    )
