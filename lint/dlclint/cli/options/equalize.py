"""Options of `dlclint equalize`."""

from __future__ import annotations

import argparse

from dlclint.cli.options import shared
from dlclint.report.render import FORMATS

RUNS = 20
"""Random inputs of a comparison, unless the user gives a number."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `equalize`."""
    equalize = commands.add_parser(
        "equalize", help="equalize the weight ranges of neighboring convolutions, without calibration data"
    )
    equalize.set_defaults(run="dlclint.cli.equalize:equalize", apart=True, prints=True)
    equalize.add_argument("path", metavar="MODEL", help="the ONNX model; it is not changed")
    equalize.add_argument("-o", "--output", required=True, metavar="OUT", help="the equalized model")
    shared.add_overwrite(equalize)
    equalize.add_argument(
        "--extended",
        action="store_true",
        help="also equalize through PRelu, LeakyRelu, pooling, Pad and Resize, and to ConvTranspose",
    )
    equalize.add_argument(
        "--relu6",
        choices=("keep", "replace", "replace-anyway"),
        default="keep",
        help="pairs across ReLU6: keep them unchanged, replace ReLU6 by Relu as the quantizer does if both "
        "models give the same outputs, or replace it even if outputs change (default: keep)",
    )
    equalize.add_argument(
        "--high-bias",
        choices=("keep", "exact", "absorb"),
        default="exact",
        help="high biases: keep them, absorb them if the function stays the same, or absorb them as in the "
        "paper, which clips values more than three deviations below the mean (default: exact)",
    )
    shared.add_sdk(equalize)
    equalize.add_argument(
        "--weights-bitwidth",
        type=int,
        choices=(4, 8, 16),
        default=8,
        metavar="BITS",
        help="for the SQNR figures",
    )
    equalize.add_argument(
        "--verify",
        nargs="?",
        type=int,
        const=RUNS,
        default=0,
        metavar="RUNS",
        help=f"run both models on random inputs ({RUNS} unless given) and write only if they agree; "
        "needs the extra: pip install 'dlclint[verify]'",
    )
    shared.add_dimensions(
        equalize.add_argument_group(
            "dimensions for matching and comparison, with the converter's names and meaning"
        )
    )
    equalize.add_argument("--format", choices=FORMATS["equalize"], default="rich", help="default: rich")
