"""No advice that the same target cannot follow: words, options, commands, plans and fixes against every rule.

`python -m benchmarks.remedies` tries every fixture for every kind of chip and width; here is a sample.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlclint.diagnostic import Diagnostic
from dlclint.engine.job import Job
from dlclint.engine.run import lint_file
from dlclint.socs import resolve_soc
from dlclint.target import DlcKind, Runtime, Target

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.remedies import KINDS, everything, targets

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
        Target((Runtime.HTP,), soc=resolve_soc("SM7325"), kind=DlcKind(**QUANTIZED)),
        FLOAT16,
    ),
    "a chip without float16, float": (
        Target((Runtime.HTP,), soc=resolve_soc("SM7325"), kind=DlcKind(stated=True)),
        FLOAT16,
    ),
    "Hexagon v66": (Target((Runtime.DSP,), kind=DlcKind(**QUANTIZED)), WIDE),
}


def findings_on(target: Target) -> Iterator[Diagnostic]:
    for path in MODELS:
        yield from lint_file(Job(path, target)).diagnostics


@pytest.mark.parametrize("case", CASES)
def test_no_remedy_asks_for_what_the_target_lacks(case: str) -> None:
    target, impossible = CASES[case]
    wrong = {
        f"{finding.rule}: {clause.strip()}"
        for finding in findings_on(target)
        for clause in re.split(r"[;,]", finding.help)
        if impossible.search(clause) and not DENIED.search(clause)
    }
    assert not wrong


@pytest.mark.parametrize("part", range(4))
def test_no_rule_rejects_what_another_advises(part: int) -> None:
    """Every 2,039th pair of a model and a target, from four places on."""
    assert not list(everything(part * 509, 2039))


def test_the_sample_has_every_kind_of_dlc() -> None:
    """What is tried is tried of chips with and without float16, before and after v73, and of v66."""
    labels = [label for label, _ in targets()]
    assert {label.rpartition(" ")[2] for label in labels} == set(KINDS)
    hexagons = {target.soc.hexagon for _, target in targets() if target.soc is not None}
    assert {66, 68, 69, 73, 75, 79, 81} <= hexagons
