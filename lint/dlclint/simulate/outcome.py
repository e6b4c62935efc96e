"""The results of a simulation. Nothing here measures anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.analysis.drawing.model import Drawing


@record
class OutputRow:
    """One output. `agreement` is None where it holds no scores; `scores` states in words where they are.

    `sqnr` is in dB: infinite where nothing differs, -infinite where a value is not finite. `parts` are its
    parts with different ranges, if it has any: the decibels of the whole are those of the widest one.
    """

    tensor: str
    sqnr: float
    cosine: float
    largest: float
    magnitude: float
    """The largest float value, for comparison with the largest error."""
    agreement: float | None = None
    scores: str = ""
    parts: tuple[PartRow, ...] = ()

    @property
    def worst(self) -> float:
        """The SQNR of the whole or of its worst part, whichever is lower."""
        return min((self.sqnr, *(part.sqnr for part in self.parts)))


@record
class PartRow:
    """A part of an output: the tensors that it holds, what joined them with others, and its quality.

    `before` is the SQNR of the worst of these tensors before they were joined, None where that is not known.
    """

    tensors: tuple[str, ...]
    join: str
    sqnr: float
    before: float | None
    magnitude: float
    zero: bool
    """Whether every nonzero value of it became zero."""
    lost: bool
    """Whether so little remains of it that no target counts as reached."""


@record
class LayerError:
    """One layer: the SQNR in dB of its output, on float inputs (`alone`) and on actual ones (`arrived`).

    `alone` is None where the engine runs whole models only. `causes` are in words, where they are known;
    `bits` is None where it ran in float.
    """

    node: str
    node_index: int
    op: str
    tensor: str
    bits: int | None
    alone: float | None
    arrived: float
    low: float
    high: float
    step: float | None
    """The step of the grid; None without one."""
    causes: tuple[str, ...] = ()


@record
class EngineResult:
    """The measurements of one engine. `failure` is why it did not measure ("" if it did)."""

    engine: str
    versions: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[OutputRow, ...] = ()
    layers: tuple[LayerError, ...] = ()
    in_float: tuple[str, ...] = ()
    """Ops that ran in float although they should be quantized."""
    notes: tuple[str, ...] = ()
    failure: str = ""

    @property
    def worst(self) -> float | None:
        """The lowest SQNR of an output or a part of one in dB; None where nothing was measured."""
        return min((row.worst for row in self.outputs), default=None)

    @property
    def agreement(self) -> float | None:
        """The lowest agreement of an output; None where none holds scores."""
        return min((row.agreement for row in self.outputs if row.agreement is not None), default=None)


@record
class SearchRow:
    """One change that was tried: the resulting quality, whether it was kept, and its cost.

    `sqnr` is that of the worst output, or part of one. `lost` are the parts of outputs that the change loses.

    `size` is the number of bytes that the DLC grows by; `traffic` that of activations in one inference in
    addition to 8 bits; `share` is that of activations at 16 bits.
    """

    change: str
    sqnr: float
    agreement: float | None
    kept: bool
    size: int
    traffic: int
    share: float
    lost: tuple[str, ...] = ()


@record
class SearchOutcome:
    """The result of a search: the target in words, whether it is reached, and with what.

    `lost` are parts of outputs of which next to nothing remains with the result.
    """

    target: str
    reached: bool
    sqnr: float
    agreement: float | None
    share: float
    rows: tuple[SearchRow, ...]
    notes: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    equalized: int = 0
    """Pairs of layers that are equalized in the result; then the model must be equalized too."""


@record
class Departure:
    """A layer at which the backend departs from the documented op, on the backend's own inputs.

    `reference` and `htp` are the SQNR in dB of the accumulated error there on each engine; `between` is that
    of the layer on the backend's own inputs, compared with the documented op, and `off` the share of its
    values that differ by more than the rounding of an op may. `alone` is the same for the layer run alone,
    None where it was not.
    """

    tensor: str
    op: str
    reference: float
    htp: float
    between: float
    off: float = 0.0
    alone: float | None = None

    @property
    def spoiled(self) -> bool:
        """Whether the layer is correct alone, and wrong in the whole graph."""
        return self.alone is not None and self.alone > self.between + 10.0


@record
class Simulation:
    """A whole simulation of one model. `unasked` is why nothing was measured, "" if something was."""

    path: str
    widths: str = ""
    """In words, such as `8-bit activations, 8-bit weights per channel`."""
    soc: str = ""
    inputs: str = ""
    """Where the samples come from, in words."""
    samples: int = 0
    random: bool = False
    """Whether the samples are random."""
    encodings: str = ""
    """The override file whose grids were used, "" if none."""
    engines: tuple[EngineResult, ...] = ()
    apart: tuple[Departure, ...] = ()
    search: SearchOutcome | None = None
    notes: tuple[str, ...] = ()
    unasked: str = ""
    drawing: Drawing | None = None
    """Present where a report draws the model."""
    seconds: float = 0.0

    @property
    def measured(self) -> bool:
        """Whether every requested engine measured."""
        return bool(self.engines) and not any(engine.failure for engine in self.engines)


@record
class SimulateOutcome:
    """A whole run."""

    version: str
    files: tuple[Simulation, ...]

    @property
    def status(self) -> int:
        """The exit status: 2 if any model could not be measured, 1 if a target is not reached, else 0."""
        if not all(file.measured for file in self.files):
            return 2
        return int(any(file.search is not None and not file.search.reached for file in self.files))
