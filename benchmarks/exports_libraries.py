"""Export functions and small networks of kornia, torchmetrics, MONAI and vit-pytorch, in two halves.

    python benchmarks/exports_libraries.py FOLDER [--only kornia|torchmetrics|monai|vit]

All have random weights, and get pictures, volumes, points, rotations, scores or signals. The exporter and
the opset (15 to 22) are decided by the name, as with `exports_torch.py`. What a library or an exporter
refuses is reported and left out; nothing is downloaded. It needs torch 2.13, onnxscript, kornia 0.9.0,
torchmetrics 1.9.0, monai 1.6.1, vit-pytorch 1.26.14 and torchvision 0.28, in a separate environment.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from exports_torch import Candidate, called, exported
from halves import half, left_out
from library_functions import CLASSIFIED, KORNIA, METRICS, PAIR, labels, picture
from library_networks import VISION, monai


def made(
    name: str, network: Callable[[], nn.Module], tensors: Callable[[], tuple[Tensor, ...]]
) -> Candidate | None:
    """A network with its inputs, or None if the library refuses it."""
    torch.manual_seed(11)
    try:
        return name, network().eval(), tensors()
    except Exception as error:  # a release may lack one, or want other arguments
        left_out(name, error)
        return None


def of_kornia() -> Iterator[Candidate | None]:
    """kornia's functions."""
    for path, given, more in KORNIA:
        torch.manual_seed(11)
        module, _, name = path.rpartition(".")
        try:
            function = getattr(importlib.import_module(f"kornia.{module}"), name)
        except Exception as error:  # a release may lack one
            left_out(path, error)
            continue
        yield called(f"kornia_{path}", function, given(), more)


def of_torchmetrics() -> Iterator[Candidate | None]:
    """torchmetrics' functions of two tensors, and of scores and labels."""
    functional = importlib.import_module("torchmetrics.functional")
    classified = importlib.import_module("torchmetrics.functional.classification")
    for kind, names in METRICS.items():
        for name in names.split():
            torch.manual_seed(11)
            pair = (torch.rand(PAIR[kind]), torch.rand(PAIR[kind]))
            yield called(f"metric_{name}", getattr(functional, name), pair, {})
    for name in CLASSIFIED:
        torch.manual_seed(11)
        pair = (torch.rand(32, 5), labels(5, 32))
        more = {"num_classes": 5, "validate_args": False}
        yield called(f"metric_{name}", getattr(classified, name), pair, more)


def of_monai() -> Iterator[Candidate | None]:
    """MONAI's blocks, networks and losses."""
    for name, (network, tensors) in monai().items():
        yield made(f"monai_{name}", network, tensors)


def of_vit() -> Iterator[Candidate | None]:
    """Small transformers of vit-pytorch."""
    for name, (title, sizes) in VISION.items():

        def network(name: str = name, title: str = title, sizes: dict[str, Any] = sizes) -> nn.Module:
            return getattr(importlib.import_module(f"vit_pytorch.{name}"), title)(**sizes)  # type: ignore[no-any-return]

        yield made(f"vit_{name}", network, lambda: (picture(3, 64),))


def main(arguments: list[str]) -> int:
    """Exit 1 if nothing was exported."""
    parser = argparse.ArgumentParser(prog="python benchmarks/exports_libraries.py", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    kinds = {"kornia": of_kornia, "torchmetrics": of_torchmetrics, "monai": of_monai, "vit": of_vit}
    parser.add_argument("--only", choices=kinds)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    number = 0
    for kind, candidates in kinds.items():
        for candidate in candidates() if args.only in (None, kind) else ():
            if candidate is not None:
                name, network, tensors = candidate
                number += exported(half(args.folder / kind, name), name, network, tensors)
    print(f"{number} models in {args.folder}")
    return 0 if number else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
