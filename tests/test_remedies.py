"""No advice that the same target cannot follow: words of remedies against what the chip is known to lack."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlclint.diagnostic import Diagnostic
from dlclint.engine.job import Job
from dlclint.engine.run import lint
from dlclint.socs import resolve
from dlclint.target import DlcKind, Runtime, Target

FIXTURES = Path(__file__).parent / "fixtures"
MODELS = sorted(
    path
    for family in ("quantization", "runtime", "htp", "cle", "encodings", "ops")
    for path in (FIXTURES / family).glob("*/bad*.onnxtxt")
    if not path.with_suffix(".json").exists()
)
QUANTIZED = {"quantize": True, "stated": True}
FLOAT16 = re.compile(r"float16|fp16|--float-bitwidth 16")
"""Remedies that need float16 on HTP."""
WIDE = re.compile(r"16 bits|16-bit|--act-bitwidth 16|--weights-bitwidth 16|by row|per.channel.quantization")
"""Remedies that Hexagon v66 cannot follow: 16-bit tensors, and a grid for each channel or row."""
DENIED = re.compile(r"\b(no|not|without|never|instead of|lacks?|beyond)\b")
"""A remedy may say that something is not there."""
CASES = {
    "a chip without float16, quantized": (
        Target((Runtime.HTP,), soc=resolve("SM7325"), kind=DlcKind(**QUANTIZED)),
        FLOAT16,
    ),
    "a chip without float16, float": (
        Target((Runtime.HTP,), soc=resolve("SM7325"), kind=DlcKind(stated=True)),
        FLOAT16,
    ),
    "Hexagon v66": (Target((Runtime.DSP,), kind=DlcKind(**QUANTIZED)), WIDE),
}


def found(target: Target) -> Iterator[Diagnostic]:
    for path in MODELS:
        yield from lint(Job(path, target)).diagnostics


@pytest.mark.parametrize("case", CASES)
def test_no_remedy_asks_for_what_the_target_lacks(case: str) -> None:
    target, impossible = CASES[case]
    wrong = {
        f"{item.rule}: {clause.strip()}"
        for item in found(target)
        for clause in re.split(r"[;,]", item.help)
        if impossible.search(clause) and not DENIED.search(clause)
    }
    assert not wrong
