"""Format `json` of a plan, version 1: its schema is `dlclint_schemas/plan-v1.schema.json`."""

from __future__ import annotations

import json
import math
from typing import Any, TextIO

from dlclint.analysis.plan.commands import line
from dlclint.analysis.plan.model import Advice, Obstacle, Plan
from dlclint.diagnostic import plain
from dlclint.version import __version__


def render(plan: Plan, stream: TextIO | None) -> str:
    """The plan as JSON."""
    soc = plan.target.soc
    choice = plan.choice
    whole: dict[str, Any] = {
        "version": 1,
        "dlclint": __version__,
        "model": plain(plan.path, 500),
        "soc": None if soc is None else {"name": soc.name, "hexagon": soc.hexagon},
        "sdk": plan.target.release.name,
        "raw_inputs": {
            chain.title.lower(): [
                {
                    "name": plain(read.name),
                    "layout": read.layout,
                    "shape": [plain(size) for size in read.shape],
                    "element": read.element,
                }
                for read in chain.inputs
            ]
            for chain in plan.toolchains
        },
        "truncated_64bit_io": [
            {"name": plain(tensor.name), "kind": tensor.kind, "element": "int32"} for tensor in plan.truncated
        ],
        "choice": {
            "runtime": choice.runtime.value,
            "quantize": choice.quantize,
            "act_bitwidth": choice.act_bitwidth,
            "weights_bitwidth": choice.weights_bitwidth,
            "bias_bitwidth": choice.bias_bitwidth,
            "float_bitwidth": choice.float_bitwidth,
            "float_bias_bitwidth": choice.float_bias_bitwidth,
            "per_channel": choice.per_channel,
            "per_row": choice.per_row,
            "param_quantizer": choice.param_quantizer,
            "cle": choice.cle,
        },
        "errors": [_obstacle(each) for each in plan.obstacles if each.is_error],
        "warnings": [_obstacle(obstacle) for obstacle in plan.obstacles if not obstacle.is_error],
        "check": plain(plan.check, 4000),
        "inputs": plain(plan.inputs, 500),
        "first": [_advice(each) for each in plan.first],
        "advice": [_advice(advice) for advice in plan.advice],
        "layers": [
            {
                "node": plain(row.node),
                "op": row.op,
                "weight": plain(row.weight),
                "per_tensor_db": _number(row.per_tensor),
                "per_channel_db": _number(row.per_channel),
                "chosen_db": _number(row.chosen),
                "db_at_4_bits": _number(row.at_4_bits),
            }
            for row in plan.layers
        ],
        "activations": {
            "total": plan.activations,
            "estimated": plan.estimated,
            "narrow": [
                {
                    "tensor": plain(row.tensor),
                    "estimated_min": _number(row.low),
                    "estimated_max": _number(row.high),
                    "basis": row.basis,
                    "db_at_8_bits": _number(row.sqnr8),
                    "db_at_16_bits": _number(row.sqnr16),
                }
                for row in plan.narrow
            ],
            "wide_by_overrides": [plain(name) for name in plan.wide],
            "float_by_overrides": [plain(name) for name in plan.in_float],
        },
        "commands": {
            chain.title.lower(): [
                {
                    "tool": command.tool,
                    "options": [[plain(word, 4000) for word in option] for option in command.options],
                    "line": plain(line(command), 4000),
                }
                for command in chain.commands
            ]
            for chain in plan.toolchains
        },
        "notes": [plain(note, 400) for note in plan.notes],
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _advice(advice: Advice) -> dict[str, Any]:
    evidence = {key: plain(v) if isinstance(v, str) else _number(v) for key, v in advice.evidence.items()}
    return {
        "topic": advice.topic.value,
        "choice": advice.choice,
        "reason": plain(advice.reason, 400),
        "evidence": evidence,
        "measured": advice.measured
        and {
            "figure": plain(advice.measured.figure, 400),
            "predicted_db": None if advice.measured.predicted is None else _number(advice.measured.predicted),
            "measured_db": _number(advice.measured.measured),
            "decided": advice.measured.decided,
        },
    }


def _obstacle(obstacle: Obstacle) -> dict[str, Any]:
    return {
        "rule": obstacle.rule,
        "times": obstacle.times,
        "message": obstacle.message,
        "where": obstacle.where,
        "help": obstacle.help,
    }


def _number(value: float) -> float | None:
    if isinstance(value, int):
        return value
    return round(value, 6) if math.isfinite(value) else None
