"""The parts of a plan. Nothing here makes decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING

from dlclint.analysis.plan.inputs import RawInput, TruncatedTensor
from dlclint.diagnostic import Diagnostic, Number
from dlclint.model.dimensions import Dimensions
from dlclint.target import DlcKind, Runtime, Target
from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.analysis.drawing.model import Drawing


@record
class PlanRequest:
    """What the user decided, and what the rules know in advance.

    `settled` are the widths (bits) and switches that were given, by the names of `DlcKind`; `is_float`
    says that the DLC is to stay float. `overrides` is the path of the override file, if any, and
    `model_overrides` the one that goes with the model.
    `lacking` are the ops that have no 16-bit form where the model is to run. `measured` says that the plan
    is going to be measured on inputs.
    """

    dimensions: Dimensions
    overrides: str = ""
    settled: Mapping[str, int] = field(default_factory=dict)
    is_float: bool = False
    lacking: frozenset[str] = frozenset()
    measured: bool = False
    model_overrides: str = ""

    @property
    def file(self) -> str:
        """The override file that the converter gets: the plan's own holds the entries of a given one."""
        return self.overrides or self.model_overrides


@record
class Choice:
    """The settings that determine the commands.

    `param_quantizer` is tf, enhanced or symmetric, as snpe-dlc-quant names them; a float DLC has `quantize`
    false and only the float widths count. `float_bias_bitwidth` is None where the user gave none.
    """

    runtime: Runtime
    quantize: bool
    act_bitwidth: int = 8
    weights_bitwidth: int = 8
    bias_bitwidth: int = 8
    float_bitwidth: int = 32
    float_bias_bitwidth: int | None = None
    per_channel: bool = False
    per_row: bool = False
    param_quantizer: str = "tf"
    cle: bool = False

    @property
    def kind(self) -> DlcKind:
        """The DLC kind that it produces."""
        return DlcKind(
            self.quantize,
            self.act_bitwidth,
            self.weights_bitwidth,
            self.bias_bitwidth,
            self.float_bitwidth,
            self.per_channel,
            True,
            self.float_bias_bitwidth,
        )


NO_DIFFERENCE = 999.0
"""The decibels of what does not differ; negative: of what is lost."""
PREDICTION, MEASUREMENT, USER = "prediction", "measurement", "user"
"""What determines a choice: `user` also where the runtime leaves no choice."""


@record
class MeasuredDecision:
    """A decision with its measurement: what the figure is of, both figures in dB, and what decided.

    `predicted` is None where nothing predicts it; `decided` is prediction, measurement or user.
    """

    figure: str
    predicted: float | None
    measured: float
    decided: str


class Topic(Enum):
    """What a decision of a plan is about; the value is its name in reports."""

    OUTPUTS = "outputs"
    RUNTIME = "runtime"
    SPECTRA = "spectra"
    DLC = "DLC"
    ACTIVATIONS = "activations"
    QUANTIZED_ALREADY = "quantized already"
    ATTENTION_MASKS = "attention masks"
    WEIGHTS = "weights"
    MATRIX_GRIDS = "grid of matrices"
    CONVOLUTION_GRIDS = "grid of convolutions"
    ONE_GRID = "one grid for several"
    SHARED_GRIDS = "shared grids"
    SUMS = "sums"
    ENCODINGS = "encodings"
    BIASES = "biases"
    FOUR_BIT_WEIGHTS = "4-bit weights"
    WEIGHT_RANGES = "range of weights"
    WEIGHT_STEPS = "steps of weights"
    CLE = "CLE"


@record
class Advice:
    """One decision: its topic, what to choose, why, and the numbers behind it.

    `by_source` means that the documents or the runtime leave no choice, so that no measurement changes it.
    `measured` is None where no inputs were given or nothing measures it.
    """

    topic: Topic
    choice: str
    reason: str
    evidence: Mapping[str, Number | str] = field(default_factory=dict)
    measured: MeasuredDecision | None = None
    by_source: bool = False


@record
class Obstacle:
    """A rule with findings against the conversion as planned.

    `times` is the number of findings; `message`, `where` (the node, or "") and `help` are those of the first.
    """

    rule: str
    is_error: bool
    times: int
    message: str
    where: str
    help: str


@record
class LayerFigures:
    """SQNR of a weight in dB on the two grids, at the chosen width; `chosen` is the one that counts.

    `at_4_bits` is that of the chosen grid at 4 bits.
    """

    node: str
    op: str
    weight: str
    per_tensor: float
    per_channel: float
    chosen: float
    at_4_bits: float


@record
class ActivationFigures:
    """An activation's estimated range, what it is based on, and its SQNR in dB at 8 and 16 bits."""

    tensor: str
    low: float
    high: float
    basis: str
    sqnr8: float
    sqnr16: float


@record
class Command:
    """A command line: the tool, and its options with their values."""

    tool: str
    options: tuple[tuple[str, ...], ...]


@record
class Toolchain:
    """The commands of one family of tools, in order, and how it reads the raw files of each input."""

    title: str
    commands: tuple[Command, ...]
    inputs: tuple[RawInput, ...] = ()


@record
class Plan:
    """A whole plan. `estimated` of `activations` tensors have an estimated range.

    `first` is what to do before quantizing; `layers` are all weights, the worst first; `narrow` the
    activations that 8 bits suit worst, the worst first; `wide` those that get 16 bits by an override file,
    where the others have 8, and `in_float` those that it keeps float. `obstacles` are the findings of the
    rules against it, errors first, and `check` is the command that shows more.
    """

    path: str
    target: Target
    choice: Choice
    first: tuple[Advice, ...]
    advice: tuple[Advice, ...]
    layers: tuple[LayerFigures, ...]
    narrow: tuple[ActivationFigures, ...]
    wide: tuple[str, ...]
    estimated: int
    activations: int
    toolchains: tuple[Toolchain, ...]
    notes: tuple[str, ...]
    obstacles: tuple[Obstacle, ...] = ()
    check: str = ""
    in_float: tuple[str, ...] = ()
    inputs: str = ""
    """The inputs that it was measured on, "" if none."""
    truncated: tuple[TruncatedTensor, ...] = ()
    findings: tuple[Diagnostic, ...] = ()
    """The findings of the rules, of which the obstacles are the summary; only for a report that draws."""
    drawing: Drawing | None = None
    """Present where a report draws the model."""

    @property
    def fails(self) -> bool:
        """Whether the rules find that the conversion will fail."""
        return any(obstacle.is_error for obstacle in self.obstacles)


def decibels_text(value: float | None) -> str:
    """A figure in dB for people; in words where nothing differs, or nothing remains."""
    if value is None:
        return "-"
    return "exact" if value >= NO_DIFFERENCE else "nothing" if value <= -NO_DIFFERENCE else f"{value:.1f} dB"
