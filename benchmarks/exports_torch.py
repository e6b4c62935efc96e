"""Export PyTorch's own samples of its functions and layers, and networks of timm, in two halves.

    python benchmarks/exports_torch.py FOLDER [--share 3] [--part 0] [--only functions|layers|timm]

PyTorch describes each of its functions by sample inputs of many shapes, ranks and options, for its own tests:
one in `--share` of the functions, as their names decide, is exported with up to two of its float samples, as
the layers are with one. Of timm come its smallest networks of many families. All have random weights. The
exporter and the opset (15 to 22) are decided by the name, too. What an exporter refuses is reported and left
out; nothing is downloaded. It needs torch 2.13, expecttest, onnxscript, timm 1.0.31 and torchvision, in a
separate environment.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as trees

from halves import drawn, half, left_out

FORMS = (("torchscript", 15), ("dynamo", 20), ("torchscript", 17), ("dynamo", 22), ("torchscript", 20))
LARGEST = 65_536
"""Elements of a sample's largest tensor."""
TIMM = {
    "test_vit": 160,
    "test_vit4": 160,
    "test_mambaout": 160,
    "test_nfnet": 96,
    "test_efficientnet_gn": 128,
    "test_efficientnet_evos": 128,
    "test_convnext3": 160,
    "test_byobnet": 160,
    "levit_128s": 224,
    "edgenext_xx_small": 128,
    "mobilevitv2_050": 128,
    "poolformer_s12": 64,
    "xcit_nano_12_p16_224": 224,
    "cait_xxs24_224": 224,
    "tnt_s_legacy_patch16_224": 224,
    "twins_pcpvt_small": 224,
    "efficientformer_l1": 224,
    "efficientvit_m0": 224,
    "ghostnetv2_100": 64,
    "mixnet_s": 64,
    "skresnet18": 64,
    "lambda_resnet26t": 256,
    "bat_resnext26ts": 256,
    "halonet26t": 256,
    "botnet26t_256": 256,
    "hiera_tiny_224": 224,
    "davit_tiny": 64,
    "focalnet_tiny_srf": 64,
    "starnet_s1": 64,
    "tiny_vit_5m_224": 224,
    "swiftformer_xs": 224,
    "shvit_s1": 64,
    "repghostnet_050": 64,
    "selecsls42": 64,
    "gcvit_xxtiny": 224,
    "coatnet_pico_rw_224": 224,
    "mvitv2_tiny": 224,
    "swinv2_cr_tiny_ns_224": 224,
    "visformer_tiny": 224,
    "fastvit_t8": 64,
}
"""Names of timm, and the size of the picture."""


class Called(nn.Module):
    """A function or a layer with everything given but its float and integer tensors."""

    def __init__(self, made: Any, structure: Any, leaves: list[Any]) -> None:
        super().__init__()
        self.made, self.structure = made, structure
        self.leaves = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        self.places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]

    def forward(self, *tensors: Tensor) -> Any:
        leaves = list(self.leaves)
        for place, tensor in zip(self.places, tensors, strict=True):
            leaves[place] = tensor
        args, kwargs = trees.tree_unflatten(leaves, self.structure)
        outputs = [one for one in trees.tree_leaves(self.made(*args, **kwargs)) if isinstance(one, Tensor)]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


Candidate = tuple[str, nn.Module, tuple[Tensor, ...]]


def called(name: str, made: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Candidate | None:
    """A call as a network, or None if it has no tensor, one without elements, or a large or complex one."""
    leaves, structure = trees.tree_flatten((args, kwargs))
    tensors = tuple(leaf.detach().clone() for leaf in leaves if isinstance(leaf, Tensor))
    if not tensors or any(not 0 < t.numel() <= LARGEST or t.is_complex() or t.is_sparse for t in tensors):
        return None
    return name, Called(made, structure, leaves).eval(), tensors


def functions(share: int, part: int) -> Iterator[Candidate]:
    """Samples of PyTorch's functions: the one in the middle of its list, and its last."""
    from torch.testing._internal.common_methods_invocations import op_db

    seen: set[str] = set()
    for op in op_db:
        name = op.formatted_name
        if name in seen or drawn(name, share, "function") != part or torch.float32 not in op.dtypes:
            continue
        seen.add(name)
        torch.manual_seed(5)
        try:
            samples = list(op.sample_inputs("cpu", torch.float32))
        except Exception as error:  # a sample may need a library that is not there
            left_out(name, error)
            continue
        for number, sample in enumerate(dict.fromkeys((len(samples) // 2, len(samples) - 1))):
            one = samples[sample]
            candidate = called(f"fn_{name}_{number}", op.op, (one.input, *one.args), one.kwargs)
            if candidate is not None:
                yield candidate


def layers() -> Iterator[Candidate]:
    """The middle sample of each of PyTorch's layers."""
    from torch.testing._internal.common_modules import module_db

    for info in module_db:
        torch.manual_seed(6)
        samples = info.module_inputs_func(
            info, device="cpu", dtype=torch.float32, requires_grad=False, training=False
        )
        one = samples[len(samples) // 2]
        if one.forward_input is None:
            continue
        layer = info.module_cls(*one.constructor_input.args, **one.constructor_input.kwargs).eval()
        candidate = called(
            f"layer_{info.formatted_name}", layer, one.forward_input.args, one.forward_input.kwargs
        )
        if candidate is not None:
            yield candidate


def networks() -> Iterator[Candidate]:
    """Networks of timm with random weights."""
    import timm

    for name, size in TIMM.items():
        torch.manual_seed(7)
        try:
            network = timm.create_model(name, pretrained=False)
        except Exception as error:  # a release may lack one
            left_out(name, error)
            continue
        yield f"timm_{name}", network.eval(), (torch.randn(1, 3, size, size),)


def exported(folder: Path, name: str, network: nn.Module, tensors: tuple[Tensor, ...]) -> bool:
    """Whether a network was exported completely, in the form that its name decides; errors are printed."""
    exporter, opset = FORMS[drawn(name, len(FORMS), "form")]
    path = folder / f"{name}_{exporter}{opset}.onnx"
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dynamo = exporter == "dynamo"
            more: dict[str, Any] = {"external_data": False, "verbose": False} if dynamo else {}
            torch.onnx.export(network, tensors, path, dynamo=dynamo, opset_version=opset, **more)
    except Exception as error:  # whatever an exporter raises: the next network may work
        left_out(path.name, error)
        path.unlink(missing_ok=True)
        return False
    return True


def main(arguments: list[str]) -> int:
    """Exit 1 if nothing was exported."""
    parser = argparse.ArgumentParser(prog="python benchmarks/exports_torch.py", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--share", type=int, default=3, metavar="N", help="one of N functions")
    parser.add_argument("--part", type=int, default=0, metavar="K", help="which functions")
    parser.add_argument("--only", choices=("functions", "layers", "timm"))
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    kinds = {"functions": lambda: functions(args.share, args.part), "layers": layers, "timm": networks}
    number = 0
    for kind, candidates in kinds.items():
        if args.only not in (None, kind):
            continue
        for name, network, tensors in candidates():
            family = name.rpartition("_")[0] if kind == "functions" else name  # its two samples together
            number += exported(half(args.folder, family), name, network, tensors)
    print(f"{number} models in {args.folder}")
    return 0 if number else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
