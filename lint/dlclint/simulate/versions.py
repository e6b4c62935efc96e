"""The versions on which measurements depend."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def runtime_versions() -> dict[str, str]:
    """The versions of ONNX Runtime and numpy, as far as they are installed as packages."""
    versions = {}
    for name in ("onnxruntime", "numpy"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
