"""Export real architectures with random weights, for `benchmarks.agreement`; nothing is downloaded.

    python benchmarks/exports.py FOLDER [NAME ...] [--exporter torchscript|dynamo] [--opset N]

It needs torch, transformers and (for dynamo) onnxscript, in an environment of its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

from by_position import ByPosition


class First(ByPosition):
    """A model that yields its first output alone, and takes its inputs by position."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.outputs(inputs, return_dict=False)[0]


def image(
    model: type, config: type, **settings: Any
) -> Callable[[], tuple[torch.nn.Module, dict[str, torch.Tensor]]]:
    """An image network at 224 x 224."""
    return lambda: (model(config(**settings)), {"pixel_values": torch.randn(1, 3, 224, 224)})


def text() -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """BERT base on 128 tokens."""
    ones = torch.ones(1, 128, dtype=torch.long)
    model = transformers.BertModel(transformers.BertConfig(attn_implementation="eager"))
    return model, {"input_ids": ones * 7, "attention_mask": ones, "token_type_ids": ones * 0}


T = transformers
NETWORKS = {
    "mobilenet_v2": image(T.MobileNetV2ForImageClassification, T.MobileNetV2Config, image_size=224),
    "resnet50": image(T.ResNetForImageClassification, T.ResNetConfig),
    "efficientnet_b0": image(
        T.EfficientNetForImageClassification,
        T.EfficientNetConfig,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        hidden_dim=1280,
        image_size=224,
    ),
    "vit_base": image(T.ViTForImageClassification, T.ViTConfig, attn_implementation="eager"),
    "convnext_tiny": image(T.ConvNextForImageClassification, T.ConvNextConfig),
    "swin_tiny": image(T.SwinForImageClassification, T.SwinConfig),
    "segformer_b0": image(T.SegformerForImageClassification, T.SegformerConfig),
    "bert_base": text,
}


def main(arguments: list[str]) -> int:
    """Write `FOLDER/NAME.onnx` for every name (default: all)."""
    parser = argparse.ArgumentParser(prog="python benchmarks/exports.py", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NETWORKS)}")
    parser.add_argument("--exporter", choices=("torchscript", "dynamo"), default="torchscript")
    parser.add_argument("--opset", type=int, default=17)
    args = parser.parse_args(arguments)
    unknown = sorted(set(args.names) - set(NETWORKS))
    if unknown:
        parser.error(f"no network is called {', '.join(unknown)}; known are {', '.join(NETWORKS)}")
    args.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    for name in args.names or NETWORKS:
        model, inputs = NETWORKS[name]()
        path = args.folder / f"{name}_{args.exporter}_opset{args.opset}.onnx"
        torch.onnx.export(
            First(model, tuple(inputs)).eval(),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=["output"],
            opset_version=args.opset,
            dynamo=args.exporter == "dynamo",
        )
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
