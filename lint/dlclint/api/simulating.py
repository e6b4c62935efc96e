"""`dlclint simulate` from Python.

import dlclint

result = dlclint.simulate_model("model.onnx", inputs="samples.npz", soc="sm8650", act_bitwidth=16)
print(result.worst)
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlclint.api.errors import CannotLint
from dlclint.api.html import paragraph, table
from dlclint.cli.apart import apart
from dlclint.cli.errors import UsageError
from dlclint.cli.main import parser
from dlclint.cli.options.simulate import ACT_QUANTIZERS, ENGINES, PARAM_QUANTIZERS
from dlclint.cli.simulate import measured
from dlclint.report.render import render
from dlclint.report.simulate_words import (
    OUTPUT_COLUMNS,
    RANDOM,
    WORST,
    measured_on,
    output_cells,
    sqnr_text,
)
from dlclint.simulate.outcome import EngineResult, LayerError, SimulateOutcome, Simulation
from dlclint_schemas.record import record


@record
class SimulationReport:
    """The measured cost of quantization of a model."""

    outcome: SimulateOutcome

    @property
    def simulation(self) -> Simulation:
        """All results: settings, samples, engines, notes."""
        return self.outcome.files[0]

    @property
    def engines(self) -> tuple[EngineResult, ...]:
        """The measurements of each engine: outputs, and layers, the worst first."""
        return self.simulation.engines

    @property
    def worst(self) -> float:
        """The lowest SQNR of an output, in dB, by the last requested engine."""
        sqnr = self.engines[-1].worst
        return float("nan") if sqnr is None else sqnr

    def text(self, form: str = "concise") -> str:
        """The report as `dlclint simulate --format FORM` writes it: rich, concise, json.

        Raises:
            ValueError: there is no such format.
        """
        return render("simulate", form, self.outcome, None)

    def __str__(self) -> str:
        return self.text().rstrip("\n")

    def _repr_html_(self) -> str:
        """The report as notebooks show it."""
        simulation = self.simulation
        inputs = RANDOM if simulation.random else measured_on(simulation)
        parts = [paragraph(f"{simulation.path}: {simulation.widths}; {inputs}")]
        for engine in simulation.engines:
            parts.append(paragraph(f"{engine.engine}: {engine.failure or 'outputs, and the worst layers'}"))
            parts.append(table(OUTPUT_COLUMNS, map(output_cells, engine.outputs)))
            head = ("alone dB", "arrived dB", "layer", "tensor", "cause")
            parts.append(table(head, map(_layer, engine.layers[:WORST])))
        parts += map(paragraph, simulation.notes)
        return f"<div>{''.join(parts)}</div>"


def _layer(row: LayerError) -> tuple[str, ...]:
    alone = "" if row.alone is None else sqnr_text(row.alone)
    return alone, sqnr_text(row.arrived), f"{row.op} {row.node}", row.tensor, "; ".join(row.causes)


def simulate_model(
    path: str | os.PathLike[str],
    *,
    inputs: str | os.PathLike[str] | Mapping[str, np.ndarray[Any, Any]] | None = None,
    samples: int | None = None,
    soc: str = "",
    encodings: str | os.PathLike[str] | None = None,
    act_bitwidth: int | None = None,
    weights_bitwidth: int | None = None,
    bias_bitwidth: int | None = None,
    per_channel: bool = False,
    act_quantizer: str = "tf",
    param_quantizer: str = "tf",
    engine: str = "reference",
    input_dims: Mapping[str, Sequence[int]] | None = None,
    symbols: Mapping[str, int] | None = None,
    batch: int | None = None,
    seed: int = 0,
) -> SimulationReport:
    """Run the float model and the quantized one, and compare every output and layer.

    The arguments are those of `dlclint simulate`; no configuration file is read. `inputs` is a file or
    folder as there, or an array for each input by its name, with samples along the first axis as in `.npz`
    files; without them random values are drawn.

    Raises:
        CannotLint: an argument is invalid, or the model cannot be measured.
    """
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(inputs, Mapping):
            file = os.path.join(folder, "inputs.npz")  # noqa: PTH118
            _write_archive(file, inputs)
            inputs = file
        args = parser("simulate").parse_args(["simulate", "--isolated", "--", os.fspath(path)])
        choices: dict[str, tuple[str, tuple[str, ...]]] = {
            "engine": (engine, ENGINES),
            "act_quantizer": (act_quantizer, ACT_QUANTIZERS),
            "param_quantizer": (param_quantizer, PARAM_QUANTIZERS),
        }
        for name, (value, known) in choices.items():
            if value not in known:
                raise CannotLint(f"{name}={value!r}: give one of {', '.join(known)}")
            setattr(args, name, value)
        args.inputs = None if inputs is None else os.fspath(inputs)
        args.samples = args.samples if samples is None else samples
        args.soc = soc or None
        args.encodings = None if encodings is None else os.fspath(encodings)
        args.act_bitwidth, args.weights_bitwidth = act_bitwidth, weights_bitwidth
        args.bias_bitwidth, args.per_channel = bias_bitwidth, per_channel or args.per_channel
        args.input_dim = [(name, ",".join(map(str, dims))) for name, dims in (input_dims or {}).items()]
        args.symbol = [(name, str(size)) for name, size in (symbols or {}).items()]
        args.batch, args.seed = batch, seed
        try:
            outcome: SimulateOutcome = apart(measured, args)
        except UsageError as error:
            raise CannotLint(str(error)) from None
    return SimulationReport(outcome)


def _write_archive(file: str, inputs: Mapping[str, object]) -> None:
    """An .npz file; np.savez has arguments of its own, after which an input may be named.

    Raises:
        CannotLint: an input does not consist of numbers.
    """
    with zipfile.ZipFile(file, "w") as archive:
        for name, values in inputs.items():
            array = np.asarray(values)
            if array.dtype.hasobject:
                raise CannotLint(f"inputs[{name!r}] holds Python objects; give an array of numbers")
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
