"""What dlclint says and writes of a folder of models, as one text: run under one hash seed after the other.

python tests/deterministic.py FOLDER {sorted,reversed} JOBS
"""

from __future__ import annotations

import hashlib
import io
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from dlclint.cli.main import main

TARGETS = ((), ("--runtime", "htp,dsp,aip,gpu", "--quantize"), ("--soc", "SM8650", "--float"))


def said(*words: str) -> str:
    """Status and text of a command, but for its duration."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status: object = main(words)
        except SystemExit as end:
            status = end.code
    text = re.sub(r"\d+\.\d\d\s+s\)", "s)", out.getvalue())
    return f"$ {' '.join(words[:4])}\n{status}\n{text}{err.getvalue()}\n"


def written(path: Path) -> str:
    """The name and digest of a file that a command wrote, and that the file is gone for the next."""
    if not path.exists():
        return f"no {path.name}\n"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()
    return f"{path.name} {digest}\n"


def run(folder: Path, order: str, jobs: str) -> None:
    """Print everything."""
    models = sorted(folder.glob("*.onnx*"))
    overrides = sorted(folder.glob("*.encodings"))
    paths = [*map(str, models), *map(str, overrides)]
    if order == "reversed":
        paths.reverse()
    for form in ("json", "sarif", "concise", "rich"):
        for target in TARGETS if form == "json" else TARGETS[1:2]:
            print(said("check", "--isolated", "--format", form, "--jobs", jobs, *target, *paths))
    for path in models[::6]:
        for form in ("json", "markdown", "rich"):
            print(said("plan", "--isolated", "--format", form, "--runtime", "htp", str(path)))
        out = folder / "out.onnx"
        fix = ("fix", "--isolated", "--unsafe", "--no-verify", "--format", "json", "-o", str(out))
        print(said(*fix, str(path)), written(out))
        print(said("fix", "--isolated", "--unsafe", "--diff", str(path)))
        print(said("equalize", "--format", "json", "-o", str(out), str(path)), written(out))
    for path in overrides:
        print(said("fix", "--isolated", "--unsafe", str(path)))
        print(said("encodings", "show", str(path)))
        print(said("encodings", "convert", "--to", "1.0.0", str(path)))


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
