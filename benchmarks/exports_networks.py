"""Export networks of thirteen libraries with random weights, in two halves.

    python benchmarks/exports_networks.py FOLDER [--only LIBRARY]

They classify and segment pictures, diffuse, separate and recognize speech, rank, and pass messages on graphs.
The exporter and the opset (15 to 22) are decided by the name, as with `exports_torch.py`. What a library or
an exporter refuses is reported and left out; nothing is downloaded. It needs torch 2.13, onnxscript and those
to export of diffusers 0.42.1, x-transformers 2.31.10, performer-pytorch 1.1.4, linformer 0.2.3, pytorchcv
0.0.74, segmentation-models-pytorch 0.6.0 (with timm), facenet-pytorch 2.6.0, deepctr-torch 0.3.0,
pytorch-tabnet 4.1.0, asteroid 0.7.0, speechbrain 1.1.2, nnaudio 0.3.4 and torch-geometric 2.8.1, in a
separate environment.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch.utils import _pytree as trees

import networks_signals as signals
import networks_vision as vision
from exports_torch import Called, Candidate, exported
from halves import half, left_out

LARGEST = 30_000_000
"""Parameters of a network; larger ones are left out."""
LIBRARIES: dict[str, Callable[[], vision.Made]] = {
    "pytorchcv": vision.pytorchcv,
    "segmentation": vision.segmentation,
    "facenet": vision.facenet,
    "x-transformers": vision.x_transformers,
    "long-attention": vision.long_attention,
    "diffusers": vision.diffusion,
    "deepctr": signals.ranking,
    "tabnet": signals.tables,
    "asteroid": signals.separation,
    "speechbrain": signals.speech,
    "nnaudio": signals.spectra,
    "geometric": signals.graphs,
}


def networks(library: str) -> Iterator[Candidate]:
    """The networks of a library that it makes, and that are not too large."""
    try:
        made = LIBRARIES[library]()
    except Exception as error:  # the library is not installed, or another release
        left_out(library, error)
        return
    for title, (network, inputs) in made.items():
        name = f"{library}_{title}"
        torch.manual_seed(12)
        try:
            one, (leaves, structure) = network().eval(), trees.tree_flatten((inputs(), {}))
        except Exception as error:  # a release may lack one, or want other arguments
            left_out(name, error)
            continue
        if sum(weight.numel() for weight in one.parameters()) > LARGEST:
            left_out(name, ValueError(f"more than {LARGEST} parameters"))
            continue
        tensors = tuple(leaf for leaf in leaves if isinstance(leaf, torch.Tensor))
        yield name, Called(one, structure, leaves).eval(), tensors


def main(arguments: list[str]) -> int:
    """Exit 1 if nothing was exported."""
    parser = argparse.ArgumentParser(prog="python benchmarks/exports_networks.py", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--only", choices=LIBRARIES, action="append", help="repeatable (default: all)")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    number = 0
    for library in args.only or LIBRARIES:
        for name, network, tensors in networks(library):
            number += exported(half(args.folder / library, name), name, network, tensors)
    print(f"{number} models in {args.folder}")
    return 0 if number else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
