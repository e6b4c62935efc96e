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
    convert.add_argument("--model", metavar="M", help="the model, which determines weights and channel axes")
    convert.add_argument("-o", "--output", metavar="OUT", help="default: stdout")
    shared.add_overwrite(convert)
    convert.add_argument("--lossy", action="store_true", help="convert even if something is lost")
    extract = actions.add_parser("extract", help="split a QDQ model into float model and override file")
    extract.set_defaults(apart=True, prints=True)
    extract.add_argument("path", metavar="MODEL", help="a model with QuantizeLinear and DequantizeLinear")
    extract.add_argument("-o", "--output", required=True, metavar="OUT", help="the float model")
    shared.add_overwrite(extract)
    extract.add_argument(
        "--encodings", metavar="FILE", help="the override file (default: OUT with the suffix .encodings)"
    )
    extract.add_argument(
        "--to",
        default="2.0.0",
        choices=("0.6.1", "1.0.0", "2.0.0"),
        help="format version (default: 2.0.0, which can express every QDQ encoding)",
    )
    extract.add_argument("--lossy", action="store_true", help="write the file even if something is lost")
    show = actions.add_parser("show", help="print a table")
    show.add_argument("path", metavar="FILE", help="the override file, or a QDQ model")
    show.add_argument("--tensor", default="*", metavar="GLOB", help="only tensors with these names")
    diff = actions.add_parser("diff", help="compare two files in any formats")
    diff.add_argument("path", metavar="A", help="an override file, or a QDQ model")
    diff.add_argument("other", metavar="B", help="the file to compare it with")
