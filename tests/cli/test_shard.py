"""Parts of the files, for a matrix of CI jobs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlclint.cli.errors import UsageError
from dlclint.cli.jobs import shard_of
from dlclint.cli.main import main
from dlclint.engine.job import Job


def pairs(overridden: list[bool]) -> list[Job]:
    """Jobs as the command makes them: a model, and after it its override file where it has one."""
    jobs = []
    for index, has_overrides in enumerate(overridden):
        model = Path(f"{index}.onnx")
        jobs.append(Job(model))
        if has_overrides:
            jobs.append(Job(model.with_suffix(".encodings"), kind="encodings", model=model))
    return jobs


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 8))
def test_parts_are_all_and_share_nothing(overridden: list[bool], count: int) -> None:
    jobs = pairs(overridden)
    parts = [shard_of(jobs, f"{number}/{count}") for number in range(1, count + 1)]
    together = [job for part in parts for job in part]
    assert sorted(str(job.path) for job in together) == sorted(str(job.path) for job in jobs)
    for part in parts:
        models = {job.path for job in part if job.kind == "model"}
        assert all(job.model in models for job in part if job.kind == "encodings")
    sizes = [sum(job.kind == "model" for job in part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_an_override_file_alone_is_a_file_of_its_own() -> None:
    alone = Job(Path("a.encodings"), kind="encodings")
    assert shard_of([Job(Path("b.onnx")), alone], "2/2") == [alone]


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "a/b", "1/4/2", "-1/4", "/"])
def test_what_is_not_a_part(text: str) -> None:
    with pytest.raises(UsageError, match="give K/N"):
        shard_of([], text)


def test_a_part_may_have_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.onnx").write_bytes(b"not a model")
    assert main(["check", "--isolated", "--shard", "2/2", str(tmp_path)]) == 0
    assert main(["check", "--isolated", "--shard", "1/2", str(tmp_path)]) == 1
    capsys.readouterr()
