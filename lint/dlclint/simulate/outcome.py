"""What a simulation came to. Nothing here measures anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.analysis.drawing.model import Drawing


def tensors_text(names: Sequence[str]) -> str:
    """Names of a part's tensors, the first few of many."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


@record
class OutputRow:
    """One output. `agreement` is None where it holds no scores; `scores` says in words where they lie.

    `sqnr` is in dB: infinite where nothing differs, -infinite where a value is not finite. `parts` are those
    of unlike range, if it has any: the decibels of the whole are those of the widest one.
    """

    tensor: str
    sqnr: float
    cosine: float
    largest: float
    magnitude: float
    """The largest float value, beside which the largest error stands."""
    agreement: float | None = None
    scores: str = ""
    parts: tuple[PartRow, ...] = ()

    @property
    def worst(self) -> float:
        """The SQNR of the whole or of its worst part, whichever is lower."""
        return min((self.sqnr, *(part.sqnr for part in self.parts)))


@record
class PartRow:
    """A part of an output: the tensors that it holds, what joined them with others, and what is left of it.

    `before` is the SQNR of the worst of these tensors before they were joined, None where that is not known.
    """

    tensors: tuple[str, ...]
    join: str
    sqnr: float
    before: float | None
    magnitude: float
    zero: bool
    """Whether every value of it became zero, where it was not."""
    lost: bool
    """Whether so little is left of it that no target counts as reached."""


@record
class LayerError:
    """One layer: the SQNR in dB of what it makes, on float inputs (`alone`), and as it comes (`arrived`).

    `alone` is None where the engine runs whole models only. `causes` say in words why it is what it is,
    where that is known; `bits` is None where it ran in float.
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
    """Of the grid; None without one."""
    causes: tuple[str, ...] = ()


@record
class EngineResult:
    """What one engine measured. `failure` is why it did not ("" if it did)."""

    engine: str
    versions: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[OutputRow, ...] = ()
    layers: tuple[LayerError, ...] = ()
    in_float: tuple[str, ...] = ()
    """Ops that ran in float though they were to be quantized."""
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
    """One change that was tried: what is left with it, whether it was kept, and what it costs.

    `sqnr` is that of the worst output, or part of one. `lost` are the parts of outputs that are lost with it.

    `size` are bytes that the DLC grows by; `traffic` bytes of activations more than at 8 bits in one
    inference; `share` is that of activations at 16 bits.
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
    """What a search came to: the target in words, whether it is reached, and what with.

    `lost` are parts of outputs of which next to nothing is left with what was found.
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
    """Pairs of layers that are equalized in what was found; then the model is to be equalized too."""


@record
class Departure:
    """A layer at which the backend departs from the documented op, on what the backend itself gave it.

    `reference` and `htp` are the SQNR in dB that has arrived there on either; `between` is that of the layer
    on the backend's own inputs, against the documented op, and `off` the share of its values that are not
    within what an op may round otherwise. `alone` is the same for the layer asked about by itself, None
    where it was not.
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
        """Whether the layer is right by itself, and wrong in the whole graph."""
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
    """Whether nobody gave the samples."""
    encodings: str = ""
    """The override file whose grids were taken, "" if none."""
    engines: tuple[EngineResult, ...] = ()
    apart: tuple[Departure, ...] = ()
    search: SearchOutcome | None = None
    notes: tuple[str, ...] = ()
    unasked: str = ""
    drawing: Drawing | None = None
    """Present where a report is going to draw the model."""
    seconds: float = 0.0

    @property
    def measured(self) -> bool:
        """Whether every engine that was asked measured."""
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
