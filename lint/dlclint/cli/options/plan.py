"""Options of `dlclint plan`."""

from __future__ import annotations

import argparse

from dlclint.cli.options import shared
from dlclint.report.render import FORMATS


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `plan`."""
    plan = commands.add_parser("plan", help="plan the quantization of a model: widths, options, commands")
    plan.set_defaults(
        run="dlclint.cli.plan:plan",
        apart=True,
        seed=0,
        resume=None,
    )
    plan.add_argument("path", metavar="MODEL", help="the ONNX model")
    target = plan.add_argument_group("what the model is for")
    shared.add_runtime(target, f"{shared.ONE_RUNTIME} (none: the chip's best)")
    shared.add_soc(target)
    shared.add_sdk(target)
    settled = plan.add_argument_group(
        "fixed settings, with the quantizer's names (default: the plan chooses)"
    )
    settled.add_argument("--float", dest="float", action="store_true", help="the DLC will stay float")
    shared.add_widths(settled, defaults=False)
    settled.add_argument(
        "--encodings",
        metavar="FILE",
        help="override file whose weights keep their widths and grids (default: NAME.encodings next to"
        " NAME.onnx)",
    )
    shared.add_converter(plan)
    estimates = plan.add_argument_group("for the estimated ranges of activations")
    shared.add_moments(estimates, "mean and standard deviation of an input of the model, such as 0 and 1")
    inputs = plan.add_argument_group("to measure each choice (needs the extra 'dlclint[verify]')")
    shared.add_inputs(inputs, "nothing is measured")
    shared.add_goal(inputs)
    overrides = plan.add_argument_group("a first override file")
    shared.add_overrides(
        overrides,
        "write encodings of the weights, and the 16-bit entries of the plan, to this file; with --inputs,"
        " write every measured grid",
    )
    overrides.add_argument(
        "--estimated-activations",
        action="store_true",
        help="include the ranges of activations that can be estimated",
    )
    shared.add_configuration(plan)
    output = plan.add_argument_group("output")
    output.add_argument("--format", choices=FORMATS["plan"], default="rich", help="default: rich")
    output.add_argument("-o", "--output", metavar="FILE", help="write the plan to a file")
    shared.add_further(output, "html=plan.html")
    shared.add_overwrite(output)
