"""dlclint: predicts what a Qualcomm DLC converter will do with an ONNX model, before the converter runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dlclint.version import __version__

if TYPE_CHECKING:
    from dlclint.api.errors import CannotLint
    from dlclint.api.linting import Report, lint
    from dlclint.api.simulating import SimulationReport, simulate_model
    from dlclint.diagnostic import Confidence, Diagnostic, Location, Severity, Source

__all__ = [
    "CannotLint",
    "Confidence",
    "Diagnostic",
    "Location",
    "Report",
    "Severity",
    "SimulationReport",
    "Source",
    "__version__",
    "lint",
    "simulate_model",
]
_HOMES = {
    "CannotLint": "dlclint.api.errors",
    **dict.fromkeys(("Report", "lint"), "dlclint.api.linting"),
    **dict.fromkeys(("SimulationReport", "simulate_model"), "dlclint.api.simulating"),
    **dict.fromkeys(("Confidence", "Diagnostic", "Location", "Severity", "Source"), "dlclint.diagnostic"),
}


def __getattr__(name: str) -> Any:
    """The public names, imported when they are used: the command line needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
