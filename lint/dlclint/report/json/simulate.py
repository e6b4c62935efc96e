"""Format `json` of a simulation, version 1: its schema is `dlclint_schemas/simulate-v1.schema.json`."""

from __future__ import annotations

import json
import math
from typing import Any, TextIO

from dlclint.simulate.outcome import (
    EngineResult,
    LayerError,
    OutputRow,
    SearchOutcome,
    SimulateOutcome,
    Simulation,
)


def render(outcome: SimulateOutcome, stream: TextIO | None) -> str:
    """The report as strict JSON."""
    whole = {
        "version": 1,
        "tool": {"name": "dlclint", "version": outcome.version},
        "status": outcome.status,
        "files": [_file(file) for file in outcome.files],
    }
    return json.dumps(whole, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _file(file: Simulation) -> dict[str, Any]:
    return {
        "path": file.path,
        "widths": file.widths,
        "soc": file.soc,
        "encodings": file.encodings,
        "inputs": {"words": file.inputs, "samples": file.samples, "random": file.random},
        "unmeasured": file.unasked,
        "engines": [_engine(engine) for engine in file.engines],
        "apart": [
            {
                "tensor": departure.tensor,
                "op": departure.op,
                "reference": _db(departure.reference),
                "htp": _db(departure.htp),
                "between": _db(departure.between),
                "off": departure.off,
                "alone": None if departure.alone is None else _db(departure.alone),
            }
            for departure in file.apart
        ],
        "search": None if file.search is None else _search(file.search),
        "notes": list(file.notes),
    }


def _search(search: SearchOutcome) -> dict[str, Any]:
    return {
        "target": search.target,
        "reached": search.reached,
        "sqnr": _db(search.sqnr),
        "agreement": search.agreement,
        "share_at_16_bits": search.share,
        "lost": list(search.lost),
        "equalized_pairs": search.equalized,
        "steps": [
            {
                "change": row.change,
                "sqnr": _db(row.sqnr),
                "agreement": row.agreement,
                "kept": row.kept,
                "dlc_bytes": row.size,
                "activation_bytes": row.traffic,
                "share_at_16_bits": row.share,
                "lost": list(row.lost),
            }
            for row in search.rows
        ],
        "notes": list(search.notes),
    }


def _engine(engine: EngineResult) -> dict[str, Any]:
    return {
        "engine": engine.engine,
        "versions": dict(engine.versions),
        "failure": engine.failure,
        "outputs": [_output(row) for row in engine.outputs],
        "layers": [_layer(row) for row in engine.layers],
        "in_float": list(engine.in_float),
        "notes": list(engine.notes),
    }


def _output(row: OutputRow) -> dict[str, Any]:
    return {
        "tensor": row.tensor,
        "sqnr": _db(row.sqnr),
        "cosine": row.cosine,
        "largest_error": row.largest,
        "largest_value": row.magnitude,
        "agreement": row.agreement,
        "scores": row.scores,
        "parts": [
            {
                "tensors": list(part.tensors),
                "join": part.join,
                "sqnr": _db(part.sqnr),
                "before": None if part.before is None else _db(part.before),
                "largest_value": part.magnitude,
                "zero": part.zero,
                "lost": part.lost,
            }
            for part in row.parts
        ],
    }


def _layer(row: LayerError) -> dict[str, Any]:
    return {
        "node": row.node,
        "node_index": row.node_index,
        "op": row.op,
        "tensor": row.tensor,
        "bitwidth": row.bits,
        "alone": None if row.alone is None else _db(row.alone),
        "arrived": _db(row.arrived),
        "min": _finite(row.low),
        "max": _finite(row.high),
        "step": row.step,
        "causes": list(row.causes),
    }


def _db(value: float) -> float | str:
    """An SQNR in dB; `exact` where nothing differs, `lost` where nothing remains."""
    if math.isinf(value):
        return "exact" if value > 0 else "lost"
    return round(value, 4)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
