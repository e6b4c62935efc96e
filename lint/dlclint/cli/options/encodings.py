"""Options of `dlclint encodings`."""

from __future__ import annotations

import argparse

from dlclint.cli.options import shared


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `encodings`."""
    encodings = commands.add_parser("encodings", help="convert, show, compare or extract override files")
    encodings.set_defaults(run="dlclint.cli.encodings:encodings")
    actions = encodings.add_subparsers(dest="action", required=True, metavar="ACTION")
    convert = actions.add_parser("convert", help="write the file in another format version")
    convert.add_argument("path", metavar="FILE", help="the override file")
    convert.add_argument("--to", required=True, choices=("0.6.1", "1.0.0", "2.0.0"), help="format version")
    convert.add_argument("--model", metavar="M", help="its model, which tells weights and channel axes")
    convert.add_argument("-o", "--output", metavar="OUT", help="default: stdout")
    shared.add_overwrite(convert)
    convert.add_argument("--lossy", action="store_true", help="convert even if something is lost")
    extract = actions.add_parser("extract", help="take a QDQ model apart: float model and override file")
    extract.add_argument("path", metavar="MODEL", help="a model with QuantizeLinear and DequantizeLinear")
    extract.add_argument("-o", "--output", required=True, metavar="OUT", help="the float model")
    shared.add_overwrite(extract)
    extract.add_argument(
        "--encodings", metavar="FILE", help="the override file (default: beside OUT, same name, .encodings)"
    )
    extract.add_argument(
        "--to",
        default="2.0.0",
        choices=("0.6.1", "1.0.0", "2.0.0"),
        help="format version (default 2.0.0, which says all that QDQ says)",
    )
    extract.add_argument("--lossy", action="store_true", help="write the file even if something is lost")
    show = actions.add_parser("show", help="print a table")
    show.add_argument("path", metavar="FILE", help="the override file, or a QDQ model")
    show.add_argument("--tensor", default="*", metavar="GLOB", help="only tensors of these names")
    diff = actions.add_parser("diff", help="compare two files, whatever their formats")
    diff.add_argument("path", metavar="A", help="an override file, or a QDQ model")
    diff.add_argument("other", metavar="B", help="the one to compare it with")
