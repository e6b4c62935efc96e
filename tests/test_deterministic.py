"""The same input gives the same bytes, whatever the hash seed, the jobs and the order of paths."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deterministic import said

HERE = Path(__file__).parent
FIXTURES = sorted((HERE / "fixtures").glob("*/*/bad*.onnxtxt"))
OVERRIDES = sorted((HERE / "fixtures/encodings").glob("*/bad*.json"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tenth of the bad fixtures, and override files next to some models."""
    folder = tmp_path_factory.mktemp("models")
    for path in FIXTURES[::10]:
        shutil.copy(path, folder / f"{path.parent.name}-{path.name}")
    for path in OVERRIDES[::10]:
        shutil.copy(path, folder / f"{path.parent.name}-{path.stem}.encodings")
    return folder


def test_hash_seed_jobs_and_order_do_not_matter(folder: Path) -> None:
    texts = []
    for seed, order, jobs in (("0", "sorted", "1"), ("1", "reversed", "2")):
        run = subprocess.run(
            [sys.executable, str(HERE / "deterministic.py"), str(folder), order, jobs],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert run.returncode == 0, run.stderr
        texts.append(run.stdout.splitlines())
    first, second = texts
    assert len(first) > 500
    assert first == second


def test_a_run_leaves_nothing_behind_that_the_next_one_says(folder: Path) -> None:
    """In one process, and with another model in between."""
    one, other = sorted(folder.glob("*.onnxtxt"))[:2]
    words = ("check", "--isolated", "--format", "json", "--runtime", "htp", "--quantize")
    first = said(*words, str(one))
    said(*words, str(other))
    assert said(*words, str(one)) == first
