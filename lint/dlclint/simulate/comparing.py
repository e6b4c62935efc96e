"""What the HTP engine measures, and where it departs from the documented arithmetic."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dlclint.diagnostic import plain
from dlclint.simulate.evaluating import Values
from dlclint.simulate.htp import Asked, layers_on_htp, outputs_on_htp
from dlclint.simulate.measuring import Error
from dlclint.simulate.outcome import Apart, EngineResult, LayerRow
from dlclint.simulate.reference import Tick, compare, outputs_of, quiet
from dlclint.simulate.simulating import Prepared, output_rows

_STEPS_APART = 1.0
"""A difference in dB from which the engines are said to differ at a layer."""
_SHOWN = 8


def by_htp(
    prepared: Prepared, asked: Asked, packages: Mapping[str, str], tick: Tick = quiet
) -> tuple[EngineResult, tuple[Apart, ...]]:
    """What the backend measures on all samples, and on the first one where it departs from the reference.

    Raises:
        CannotMeasure: the backend does not run the model.
        NotAvailable: the backend cannot be loaded.
        CannotSimulate: a grid or weight cannot be given to the backend.
        BadInput: a sample cannot be read.
    """
    evaluator, scheme, samples = prepared.evaluator, prepared.scheme, prepared.samples
    exact = outputs_of(evaluator, None, samples)
    found = outputs_on_htp(asked, evaluator, scheme, samples, tick)
    measured = compare(prepared.network, exact, found)
    in_float = tuple(asked.in_float)
    layers, apart = _layers(prepared, asked)
    versions = {**packages, "QNN": asked.build}
    notes = ["layers: of the first sample, with every tensor made an output, which may change what is fused"]
    return EngineResult(
        "htp", versions, tuple(output_rows(prepared, measured)), tuple(layers), in_float, tuple(notes)
    ), apart


def _layers(prepared: Prepared, asked: Asked) -> tuple[list[LayerRow], tuple[Apart, ...]]:
    network, scheme = prepared.network, prepared.scheme
    sample = prepared.samples.load[0]()
    measured = layers_on_htp(asked, prepared.evaluator, scheme, sample)
    made = [name for step in network.steps for name in step.outputs if name in measured]
    exact: Values = prepared.evaluator.run(sample, None, keep=made)
    rounded: Values = prepared.evaluator.run(sample, scheme, keep=made)
    rows: list[LayerRow] = []
    apart: list[Apart] = []
    for step in network.steps:
        name = step.outputs[0]
        if name not in measured or name not in scheme.activations or not _is_float(exact[name]):
            continue
        on_htp = _error(exact[name], measured[name])
        by_documents = _error(exact[name], rounded[name])
        between = _error(rounded[name], measured[name])
        grid, seen = scheme.activations[name], prepared.observed[name]
        rows.append(
            LayerRow(
                plain(step.node.name),
                step.node.index,
                plain(step.op),
                plain(name),
                grid.bitwidth,
                None,
                on_htp.sqnr,
                seen.low,
                seen.high,
                grid.scale,
            )
        )
        differ = abs(on_htp.sqnr - by_documents.sqnr)
        if (differ >= _STEPS_APART or np.isnan(differ)) and between.sqnr < np.inf and not np.isnan(differ):
            apart.append(Apart(plain(name), plain(step.op), by_documents.sqnr, on_htp.sqnr, between.sqnr))
    return sorted(rows, key=lambda row: row.arrived), tuple(_first(apart))


def _first(apart: list[Apart]) -> list[Apart]:
    """The layers at which the engines differ more than at any layer before, in the order of the graph."""
    found: list[Apart] = []
    worst = -1.0
    for row in apart:
        differ = abs(row.reference - row.htp)
        if differ > worst + _STEPS_APART:
            found.append(row)
            worst = differ
    return found[:_SHOWN]


def _is_float(values: object) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind == "f"


def _error(expected: np.ndarray, found: np.ndarray) -> Error:
    error = Error()
    error.add(expected, found)
    return error
