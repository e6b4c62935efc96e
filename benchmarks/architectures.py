"""Export small random networks of many architectures, which no rule was tuned on, for `benchmarks.agreement`.

    python benchmarks/architectures.py FOLDER [NAME ...]

`architectures.json` has them: class and configuration of transformers, and the inputs. Exporters and opsets
take turns (torchscript at 13, 16 and 17, dynamo at 18 and 20); each third network is exported twice. What a
version of transformers does not have, or an exporter refuses, is said and left out; nothing is downloaded.
It needs torch, transformers and (for dynamo) onnxscript, in an environment of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
import transformers

FORMS = (("torchscript", 17), ("dynamo", 18), ("torchscript", 13), ("dynamo", 20), ("torchscript", 16))
HERE = Path(__file__).parent


class Outputs(torch.nn.Module):
    """A model by position of its inputs, with its first output, and the second if that is a sequence too."""

    def __init__(self, model: torch.nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *given: torch.Tensor) -> Any:
        if self.names == ("x",):  # a part of a model, which takes one tensor
            made = self.model(given[0])
        else:
            made = self.model(**dict(zip(self.names, given, strict=True)))
        if isinstance(made, torch.Tensor):
            return made
        made = made.to_tuple() if hasattr(made, "to_tuple") else made
        floats = [o for o in made if isinstance(o, torch.Tensor) and o.numel() and o.is_floating_point()]
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


def made(said: dict[str, Any]) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """A network with its inputs."""
    model = getattr(transformers, said["model"])(configured(said["config"]))
    inputs = {name: tensor(value) for name, value in said["inputs"].items()}
    return Outputs(getattr(model, said.get("part", ""), model).eval(), tuple(inputs)).eval(), inputs


def main(arguments: list[str]) -> int:
    """Exit 1 if nothing was exported."""
    parser = argparse.ArgumentParser(prog="python benchmarks/architectures.py", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("names", nargs="*", metavar="NAME", help="these alone")
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    exported = 0
    for number, (name, said) in enumerate(json.loads((HERE / "architectures.json").read_text()).items()):
        if given.names and name not in given.names:
            continue
        for turn in (number, number + 1) if number % 3 == 0 else (number,):
            exporter, opset = FORMS[turn % len(FORMS)]
            path = given.folder / f"{name}_{exporter}{opset}.onnx"
            torch.manual_seed(11)
            try:
                model, inputs = made(said)
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
            except Exception as error:  # whatever an exporter raises: the next network may do
                words = " ".join(str(error).split())[:150]
                print(f"{path.name}: {type(error).__name__}: {words}", file=sys.stderr)
                path.unlink(missing_ok=True)
                continue
            exported += 1
            print(path.name)
    return 0 if exported else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
