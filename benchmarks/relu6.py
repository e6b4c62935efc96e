"""What ReLU6 keeps that Relu loses: trained networks, by the rule's number and by their answers.

    python benchmarks/relu6.py --torch PYTHON [--folder DIR]

A Python with torch and scikit-learn trains inverted residual blocks on handwritten digits (those of
scikit-learn, enlarged), with batch normalizations that start with different scales, so that ReLU6 cuts from
little to much, and exports them with their batch normalizations. Printed for each: its accuracy on the digits
that it was not trained on, the decibels kept at the worst ReLU6 and at all together, as the rules predict
them from the batch normalizations (thresholds `relu6_kept` and `relu6_kept_by_all`), and the decibels and
answers that remain measured with Relu in place of every ReLU6.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SCALES = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0)


def train(folder: Path) -> None:
    """Runs in the other Python: NAME.onnx for each scale, with digits.npz."""
    import numpy as np
    import torch
    from sklearn.datasets import load_digits

    digits, labels = load_digits(return_X_y=True)
    images = torch.tensor(digits.reshape(-1, 1, 8, 8) / 8 - 1, dtype=torch.float32)
    images = torch.nn.functional.interpolate(images, scale_factor=2, mode="bilinear")
    answers = torch.tensor(labels)
    order = torch.randperm(len(answers), generator=torch.Generator().manual_seed(0))
    learned, held = order[:1400], order[1400:]
    np.savez(folder / "digits.npz", images=images[held].numpy(), labels=answers[held].numpy())
    for scale in SCALES:
        torch.manual_seed(1)
        model = network(torch, scale)
        optimizer = torch.optim.Adam(model.parameters(), 2e-3)
        for _ in range(12):
            for batch in torch.randperm(len(learned)).split(50):
                rows = learned[batch]
                loss = torch.nn.functional.cross_entropy(model(images[rows]), answers[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        # This mode keeps batch normalizations apart from convolutions.
        mode = torch.onnx.TrainingMode.PRESERVE
        file = folder / f"scale {scale:g}.onnx"
        torch.onnx.export(model.eval(), (images[:1],), file, dynamo=False, training=mode, opset_version=13)


def network(torch: Any, scale: float) -> Any:
    """Inverted residual blocks whose batch normalizations start with a scale."""
    nn = torch.nn

    def block(inside: int, outside: int, wide: int, stride: int) -> Any:
        layers = [nn.Conv2d(inside, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()]
        layers += [
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(),
        ]
        return nn.Sequential(*layers, nn.Conv2d(wide, outside, 1, bias=False), nn.BatchNorm2d(outside))

    model = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6()),
        *(block(16, 24, 64, 2), block(24, 24, 96, 1), block(24, 32, 96, 2), block(32, 32, 128, 1)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)),
    )
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, scale)
    return model


def measure(folder: Path) -> None:
    """Print a row for each network."""
    import numpy as np
    import onnx
    import onnxruntime

    from dlclint.analysis.cle.cutting import cuts
    from dlclint.analysis.cle.matching import match
    from dlclint.model.reading import read

    digits = np.load(folder / "digits.npz")
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3
    print(
        f"{'network':12} {'accuracy':>8} {'worst dB':>8} {'all dB':>7}"
        f" {'measured dB':>11} {'same answers':>12}"
    )
    for scale in SCALES:
        path = folder / f"scale {scale:g}.onnx"
        clipped = [pair for pair in match(read(path), (), True).pairs if pair.relu6]
        predicted = cuts(clipped)
        model = onnx.load(path)
        outputs = []
        for replaced in (False, True):
            for node in model.graph.node if replaced else ():
                if node.op_type == "Clip":
                    node.op_type = "Relu"
                    del node.input[1:], node.attribute[:]
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), quiet, providers=["CPUExecutionProvider"]
            )
            name = session.get_inputs()[0].name
            outputs.append(np.concatenate([session.run(None, {name: x[None]})[0] for x in digits["images"]]))
        before, after = outputs
        kept = 10 * np.log10(np.square(before).sum() / max(np.square(after - before).sum(), 1e-30))
        answers = before.argmax(1), after.argmax(1)
        print(
            f"{path.stem:12} {(answers[0] == digits['labels']).mean():8.1%}"
            f" {predicted.known[0].kept:8.1f} {predicted.together:7.1f} {kept:11.1f}"
            f" {(answers[0] == answers[1]).mean():12.1%}"
        )


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", help="a Python with torch and scikit-learn")
    parser.add_argument(
        "--folder", type=Path, help="keep the networks here; those found here are not trained again"
    )
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train:
        train(args.train)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        if not (folder / "digits.npz").exists():
            subprocess.run([args.torch or sys.executable, __file__, "--train", str(folder)], check=True)
        measure(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
