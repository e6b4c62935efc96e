"""Files that ended, blocked or bloated a linter: the cost of each, and whether it affects the others.

    python benchmarks/crashers.py [FOLDER]

Each file of the folder (default: ../shared/cases/crashers) is checked alone; printed are its exit status, its
processor time in seconds and its peak memory in MiB, workers included (Linux only). Then all are checked
together with a good model, with one job and with two. Ends with status 1 where a run ends by a signal or with
another status than 0, 1 or 2, prints a traceback or a crashed rule, takes more than 10 s of processor time or
1 GiB, or where the good model is not linted.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import onnx
from onnx import helper

_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER: workers that outlive the command become children of this process, whose sums
include them.
"""
SECONDS = 10.0
MEBIBYTES = 1024.0


def check(*arguments: str) -> tuple[int, str, float, float]:
    """Status, output, seconds of processor time, and peak memory of the largest process in MiB."""
    command = (sys.executable, "-m", "dlclint", "check", "--isolated", "--no-cache", *arguments)
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        seconds = kibibytes = 0.0
        with suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, 0)
                seconds += usage.ru_utime + usage.ru_stime
                kibibytes = max(kibibytes, usage.ru_maxrss)
                if pid == process.pid:
                    process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    return process.returncode, text, seconds, kibibytes / 1024


def is_sound(status: int, text: str) -> bool:
    return status in (0, 1, 2) and "Traceback" not in text and "engine/crashed-rule" not in text


def good(path: Path) -> None:
    ends = [helper.make_tensor_value_info(name, 1, [1, 3]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def together(files: list[Path], jobs: int) -> bool:
    """Whether a folder of all files and a good model is linted whole."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in files:
            shutil.copyfile(path, folder / path.name)
        good(folder / "a_good_model.onnx")
        status, text, seconds, _ = check("--format", "json", "--jobs", str(jobs), name)
        sound = is_sound(status, text)
        try:
            files_told = json.loads(text)["files"]
            linted = [file["summary"]["nodes"] for file in files_told if "a_good_model" in file["path"]]
        except (ValueError, KeyError, TypeError):
            linted = []
    whole = sound and linted == [1]
    verdict = "good one linted" if whole else "FAILS"
    print(f"all with --jobs {jobs:<17} status {status:3}  {seconds:6.2f} s  {verdict}")
    return whole


def main() -> int:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/cases/crashers")
    files = sorted(path for path in folder.glob("*") if path.suffix in (".onnx", ".encodings"))
    if not files:
        print(f"{folder} has no models or override files; give the folder of such files", file=sys.stderr)
        return 2
    ctypes.CDLL(None).prctl(_SUBREAPER, 1)
    fails = 0
    for path in files:
        status, text, seconds, mebibytes = check("--format", "concise", str(path))
        fits = is_sound(status, text) and seconds <= SECONDS and mebibytes <= MEBIBYTES
        fails += not fits
        cost = f"{seconds:6.2f} s  {mebibytes:6.0f} MiB{'' if fits else '  FAILS'}"
        print(f"{path.name:32} status {status:3}  {cost}", flush=True)
    fails += sum(not together(files, jobs) for jobs in (1, 2))
    return int(bool(fails))


if __name__ == "__main__":
    sys.exit(main())
