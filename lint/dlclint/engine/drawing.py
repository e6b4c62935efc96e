"""The drawing of a linted model; a model that cannot be drawn still has findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dlclint.analysis.drawing.making import draw
from dlclint.analysis.drawing.model import Drawing
from dlclint.analysis.view import ModelView
from dlclint.contained.guard import step
from dlclint.diagnostic import Diagnostic

DRAWING = "drawing the model"


def drawing(views: Sequence[ModelView], findings: Iterable[Diagnostic]) -> Drawing | None:
    """The drawing of a model for each target, with every node that a finding is at; None if that fails."""
    places = [diagnostic.location for diagnostic in findings]
    places += [other.location for finding in findings for other in finding.related]
    try:
        with step(DRAWING):
            return draw(views, {(location.graph, location.node_index) for location in places})
    except Exception:  # findings report whatever is wrong with the model
        return None
