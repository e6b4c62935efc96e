"""Whether the optional package is installed, and what to do where it is not."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from dlclint.confirm.process import NotAvailable

PACKAGE = "onnxruntime-qnn"
OLDEST_PYTHON = (3, 11)
_WHEELS = {("linux", "x86_64"), ("linux", "aarch64"), ("win32", "AMD64"), ("win32", "ARM64")}
"""Systems that release 2.7.0 has wheels for; only Linux x86-64 was tried."""


def package_versions() -> dict[str, str]:
    """The versions that a verdict depends on.

    Raises:
        NotAvailable: the package is not installed; the sentence states how, or on which systems, to install
            it.
    """
    try:
        return {name: version(name) for name in (PACKAGE, "onnxruntime")}
    except PackageNotFoundError as error:
        missing = str(error.name)
    system, machine = sys.platform, platform.machine()
    if (system, machine) not in _WHEELS:
        where = f"there is none for {system} {machine}; run this on Linux x86-64"
    elif sys.version_info < OLDEST_PYTHON:
        where = f"it needs Python {'.'.join(map(str, OLDEST_PYTHON))} or later"
    else:
        where = "pip install 'dlclint[qnn]'"
    raise NotAvailable(
        f"{missing} is not installed: {where} (it is optional because it carries Qualcomm's binaries, "
        "250 MB under Qualcomm's license)"
    )
