"""Completions, made by the shells themselves, and the manual page."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from dlclint.cli.main import COMMANDS, main
from dlclint.cli.options.completions import SHELLS

MANUAL = Path(__file__).parents[2] / "share" / "man" / "man1" / "dlclint.1"
CHECKS = {"bash": "-n", "zsh": "-n", "fish": "--no-execute", "tcsh": "-n"}


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The script for each shell in a file."""
    folder = tmp_path_factory.mktemp("completions")
    words = {}
    with pytest.MonkeyPatch.context() as patch:
        for shell in SHELLS:
            words[shell] = folder / f"dlclint.{shell}"
            with words[shell].open("w", encoding="utf-8") as stream:
                patch.setattr("sys.stdout", stream)
                assert main(["completions", shell]) == 0
    return words


def shell(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    return program


@pytest.mark.parametrize("name", SHELLS)
def test_each_shell_reads_its_script(scripts: dict[str, Path], name: str) -> None:
    done = subprocess.run([shell(name), CHECKS[name], str(scripts[name])], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""


def offered(scripts: dict[str, Path], folder: Path, *words: str) -> set[str]:
    """What bash offers after these words."""
    line = " ".join(f"'{word}'" for word in words)
    program = (
        f"source '{scripts['bash']}'; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
        "function=$(complete -p dlclint | sed 's/.*-F \\([^ ]*\\) .*/\\1/'); "
        f"$function dlclint '{words[-1]}' '{words[-2]}'; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(
        [shell("bash"), "--norc", "-c", program], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_bash_completes(scripts: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "net.onnx").touch()
    (tmp_path / "other.txt").touch()
    names = {command.__name__.rpartition(".")[2] for command in COMMANDS}
    assert offered(scripts, tmp_path, "dlclint", "") >= names
    assert offered(scripts, tmp_path, "dlclint", "ch") == {"check"}
    assert offered(scripts, tmp_path, "dlclint", "check", "--quan") == {"--quantize"}
    assert offered(scripts, tmp_path, "dlclint", "check", "--format", "sa") == {"sarif"}
    assert {"SM8650"} <= offered(scripts, tmp_path, "dlclint", "check", "--soc", "SM86")
    assert offered(scripts, tmp_path, "dlclint", "check", "--runtime", "gp") == {"gpu", "gpu_float16"}
    assert "2.52" in offered(scripts, tmp_path, "dlclint", "check", "--sdk", "2.5")
    assert offered(scripts, tmp_path, "dlclint", "rule", "ops/unsup") == {"ops/unsupported"}
    assert offered(scripts, tmp_path, "dlclint", "check", "--ignore", "ops/unsup") == {"ops/unsupported"}
    assert "net.onnx" in offered(scripts, tmp_path, "dlclint", "check", "ne")
    assert offered(scripts, tmp_path, "dlclint", "encodings", "conv") == {"convert"}


def test_the_manual_has_every_command_and_no_flaw() -> None:
    text = MANUAL.read_text("utf-8").replace("\\-", "-")
    for command in COMMANDS:
        assert f".SS dlclint {command.__name__.rpartition('.')[2]}" in text
    assert "dlclint - lint ONNX models" in text
    assert "--use-per-channel-quantization" in text and "SUPPRESS" not in text
    mandoc = shutil.which("mandoc")
    if mandoc is None:
        pytest.skip("mandoc is not installed, which looks for flaws in manual pages")
    done = subprocess.run(
        [mandoc, "-T", "lint", "-W", "warning", str(MANUAL)], capture_output=True, text=True
    )
    # A page that is the same on every day has no date.
    flaws = [line for line in done.stdout.splitlines() if "missing date" not in line]
    assert flaws == []
