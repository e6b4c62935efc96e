"""The comparison with another dlclint: no side keeps results, and no measured run compiles modules."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))
import compare


def script(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell script")
def test_the_other_side_keeps_no_results_where_it_can(tmp_path: Path) -> None:
    newer = script(tmp_path / "newer", "echo '  --no-cache  keep no results'")
    older = script(tmp_path / "older", "echo '  --isolated'")
    assert compare.without_cache(newer) == [newer, "check", "--isolated", "--no-cache"]
    assert compare.without_cache(older) == [older, "check", "--isolated"]
    assert compare.without_cache(compare.DLCLINT)[-1] == "--no-cache"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell script")
def test_modules_are_compiled_by_the_interpreter_of_each_side(tmp_path: Path) -> None:
    package = tmp_path / "site" / "dlclint"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text("x = 1\n")
    dlclint = script(tmp_path / "bin" / "dlclint", "exit 1")
    script(tmp_path / "bin" / "python", f'cd {tmp_path / "site"} && exec {sys.executable} "$@"')
    compare.compiled(dlclint)
    assert len(list(package.rglob("*.pyc"))) == 2
    with pytest.raises(SystemExit, match="give the dlclint of an environment"):
        compare.compiled(script(tmp_path / "elsewhere" / "dlclint", "exit 1"))
