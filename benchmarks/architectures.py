"""Export small random networks of many architectures, which no rule was tuned on, for `benchmarks.agreement`.

    python benchmarks/architectures.py FOLDER [NAME ...] [--round N]

`architectures.json` has class and configuration of transformers, and the inputs, of most; `unseen.py`,
`unseen_vision.py` and `unseen_sequences.py` have others, written by hand. A round is a set that was exported
at once and asked about before the rules were changed by it. Exporters and opsets alternate (torchscript at
13 to 17, dynamo at 18 to 20); each third network is exported twice. Networks that a version of transformers
does not have, or an exporter refuses, are reported and left out; nothing is downloaded. It needs torch,
transformers and (for dynamo) onnxscript, in a separate environment.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
import transformers

from by_position import ByPosition
from unseen import NETWORKS
from unseen_sequences import SEQUENCES
from unseen_vision import VISION

FORMS = (("torchscript", 17), ("dynamo", 18), ("torchscript", 13), ("dynamo", 20), ("torchscript", 16))
LATER_FORMS = (("dynamo", 19), ("torchscript", 14), ("dynamo", 18), ("torchscript", 15), ("torchscript", 17))
"""Of the second round and after it."""
HERE = Path(__file__).parent
WRITTEN = {**NETWORKS, **{name: (4, make) for name, make in {**VISION, **SEQUENCES}.items()}}
"""Round and maker of each network that is written by hand."""


class Outputs(ByPosition):
    """A model by position of its inputs, with its first output, and the second if that is a sequence too."""

    def forward(self, *inputs: torch.Tensor) -> Any:
        if self.names == ("x",):  # a part of a model, which takes one tensor
            outputs = self.model(inputs[0])
        else:
            outputs = self.outputs(inputs)
        if isinstance(outputs, torch.Tensor):
            return outputs
        outputs = outputs.to_tuple() if hasattr(outputs, "to_tuple") else outputs
        floats = [o for o in outputs if isinstance(o, torch.Tensor) and o.numel() and o.is_floating_point()]
        return tuple(floats[:2]) if len(floats) > 1 and floats[1].dim() > 1 else floats[0]


def configured(value: Any) -> Any:
    """A configuration of transformers from its class and fields, and those in it."""
    if not isinstance(value, dict) or "config" not in value:
        return value
    fields = {name: configured(field) for name, field in value.items() if name != "config"}
    return getattr(transformers, value["config"])(**fields)


def tensor(said: dict[str, Any]) -> torch.Tensor:
    """An input of normal numbers, or of integers from one below another."""
    if "integers" in said:
        return torch.randint(*said["integers"], said["shape"])
    return torch.randn(*said["shape"])


def known() -> dict[str, tuple[int, dict[str, Any] | None]]:
    """Every network: its round, and what makes it where it is one of transformers."""
    of_transformers = json.loads((HERE / "architectures.json").read_text("utf-8"))
    networks = {name: (said.get("round", 1), said) for name, said in of_transformers.items()}
    return {**networks, **{name: (number, None) for name, (number, _) in WRITTEN.items()}}


def made(name: str, said: dict[str, Any] | None) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """A network with its inputs."""
    if said is None:
        network, inputs = WRITTEN[name][1]()
        return network.eval(), inputs
    model = getattr(transformers, said["model"])(configured(said["config"]))
    inputs = {name: tensor(value) for name, value in said["inputs"].items()}
    return Outputs(getattr(model, said.get("part", ""), model).eval(), tuple(inputs)).eval(), inputs


def exports(folder: Path, name: str, said: dict[str, Any] | None, exporter: str, opset: int) -> bool:
    """Whether a network was exported completely; an exporter's error is printed."""
    path = folder / f"{name}_{exporter}{opset}.onnx"
    torch.manual_seed(11)
    try:
        model, inputs = made(name, said)
        with torch.no_grad():
            torch.onnx.export(
                model,
                tuple(inputs.values()),
                path,
                dynamo=exporter == "dynamo",
                opset_version=opset,
                input_names=list(inputs),
                **({"external_data": False} if exporter == "dynamo" else {}),
            )
    except Exception as error:  # whatever an exporter raises: the next network may work
        words = " ".join(str(error).split())[:150]
        print(f"{path.name}: {type(error).__name__}: {words}", file=sys.stderr)
        path.unlink(missing_ok=True)
        return False
    print(path.name)
    return True


def main(arguments: list[str]) -> int:
    """Exit 1 if nothing was exported."""
    parser = argparse.ArgumentParser(prog="python benchmarks/architectures.py", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("names", nargs="*", metavar="NAME", help="these alone")
    parser.add_argument("--round", type=int, metavar="N", help="those of this round alone")
    args = parser.parse_args(arguments)
    args.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    exported = 0
    for number, (name, (turned, said)) in enumerate(known().items()):
        if (args.names and name not in args.names) or (args.round and args.round != turned):
            continue
        forms = FORMS if turned == 1 else LATER_FORMS
        for turn in (number, number + 1) if number % 3 == 0 else (number,):
            form = forms[turn % len(forms)]
            # Where one exporter refuses a network of a later round, the other exports it.
            tried = (form,) if turned == 1 else (form, ("dynamo", 18))
            exported += any(exports(args.folder, name, said, *each) for each in dict.fromkeys(tried))
    return 0 if exported else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
