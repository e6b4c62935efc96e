"""dlclint agrees with AIMET's loader on mutated files, by AIMET's recorded verdicts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from aimet_loader import SEEDS, STRICTER, VERDICTS, cases, disagreement, judged

REFUSED = set(json.loads(VERDICTS.read_text())["refused"])
CASES = list(cases([]))
SHARE = 5
"""One case in so many is linted here; `aimet_loader.py` itself takes all."""


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[int, frozenset[tuple[str, str]]]:
    """What dlclint reports on each seed."""
    path = tmp_path_factory.mktemp("seeds") / "seed.json"
    findings = {}
    for seed in SEEDS.values():
        path.write_text(json.dumps(seed))
        findings[id(seed)] = judged(path)[0]
    return findings


def test_seeds_are_accepted() -> None:
    assert not REFUSED & SEEDS.keys()
    assert len(REFUSED) > 1000


def test_no_disagreement(seeds: dict[int, frozenset[tuple[str, str]]], tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    collected = []
    for name, case, seed in CASES[::SHARE]:
        path.write_text(json.dumps(case))
        said = disagreement("refused" if name in REFUSED else "", seeds[id(seed)], path)
        if said:
            collected.append(f"{name}: {said}")
    assert collected == []


def test_a_disagreement_would_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    path.write_text(json.dumps(SEEDS["legacy"]))
    known = judged(path)[0]
    assert "dlclint is silent" in disagreement("ValueError", known, path)
    path.write_text(json.dumps({**SEEDS["legacy"], "version": "7"}))
    assert "encodings/version" in disagreement("", known, path)
    assert "version" not in STRICTER


def test_the_docs_explain_what_is_stricter() -> None:
    docs = Path(__file__).parent.parent.parent.joinpath("docs", "encodings.md").read_text("utf-8")
    for name, reason in STRICTER.items():
        assert f"| {name} | {reason} |" in docs
