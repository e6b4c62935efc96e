"""dlclint compared with its peers: wall time and peak memory of whole processes, interleaved, in one run.

    python benchmarks/compare.py [--models DIR] [--peers DIR] [--make-peers] [--runs N] [--only MODEL]
    python benchmarks/compare.py --one-process MODEL ... [--runs N]
    python benchmarks/compare.py --against OTHER_DLCLINT MODEL ... [--runs N]

The second form shows the cost of running native code where it can do no harm: short runs as they are, and the
same in one process, which such code could end. The third compares short runs with another dlclint, such as an
older one in a separate environment. Neither keeps results between runs, and the modules of both are compiled
first.

Peers are in a separate environment (`--make-peers` builds it); missing ones are named and left out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from figures import all_met
from models import MODELS, ensure

HERE = Path(__file__).parent
DLCLINT = str(Path(sys.executable).with_name("dlclint"))
ALL = "dlclint check"
FOUR = "dlclint check, four families"
"""The figures to reach are for the families model, ops, shapes and batch; `import onnx` alone shows how fast
the machine is (0.15 seconds where the figures were set).
"""
TIMEOUT = 180
_SET = ("PYTHONDONTWRITEBYTECODE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in _SET}
"""As an installed tool runs: its modules are compiled once, and the number of numpy's threads is not set."""
UNCONTAINED = """
import gc, os, sys
gc.set_threshold(100_000, 20, 20)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
from dlclint.cli import main
from dlclint.cli.apart import finish_command, function_of
main._run = lambda args: finish_command(function_of(args.run)(args))
status = main.main()
sys.stdout.flush()
os._exit(status)
"""
"""The command line without its worker, and all else as `dlclint.__main__` and `dlclint.cli.early` do it."""
COMPILE = """
import compileall, importlib.util
for package in ("dlclint", "dlclint_rules", "dlclint_schemas"):
    spec = importlib.util.find_spec(package)
    for folder in spec.submodule_search_locations if spec else ():
        compileall.compile_dir(folder, quiet=1)
"""
LOAD = "import onnx, sys; onnx.load(sys.argv[1])"
CHECK = "import onnx, sys; onnx.checker.check_model(sys.argv[1])"


@dataclass(frozen=True)
class Sample:
    """One process: seconds, peak megabytes, the signal that ended it, if any, and processor seconds."""

    seconds: float
    megabytes: float
    ended: str
    processor: float = 0.0


def measure(command: list[str]) -> Sample:
    """Run a command to its end, or for three minutes."""
    start = time.perf_counter()
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ended = ""
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if time.perf_counter() - start > TIMEOUT and not ended:
            process.kill()
            ended = "timeout"
        time.sleep(0.002)
    seconds = time.perf_counter() - start
    if os.WIFSIGNALED(status) and not ended:
        ended = signal.Signals(os.WTERMSIG(status)).name
    return Sample(seconds, usage.ru_maxrss / 1000, ended, usage.ru_utime + usage.ru_stime)


def commands(peers: Path) -> dict[str, list[str]]:
    """Every tool as a command that takes the model's path last; dlclint first."""
    python = str(peers / "bin/python")
    tools = {
        ALL: [DLCLINT, "check", "--isolated", "--no-cache"],
        FOUR: [DLCLINT, "check", "--isolated", "--no-cache", "--select", "model,ops,shapes,batch"],
        "import onnx": [sys.executable, "-c", "import onnx"],
    }
    if not Path(python).exists():
        print("no peers: run with --make-peers", file=sys.stderr)
        return tools
    tools["onnx.load"] = [python, "-c", LOAD]
    tools["onnx.checker"] = [python, "-c", CHECK]
    for name, script in (("polygraphy check lint", "polygraphy"), ("onnx-doctor check", "onnx-doctor")):
        if (peers / "bin" / script).exists():
            tools[name] = [str(peers / "bin" / script), *name.split()[1:]]
        else:
            print(f"no {script} among the peers", file=sys.stderr)
    tools["ORT mobile usability"] = [python, "-m", "onnxruntime.tools.check_onnx_model_mobile_usability"]
    return tools


def compare(name: str, path: Path, tools: dict[str, list[str]], runs: int) -> dict[str, Sample]:
    """Median of each tool, with alternating tools; prints one table row per tool."""
    measure([*tools[ALL], str(path)])  # compiles the modules of an editable install
    samples: dict[str, list[Sample]] = {tool: [] for tool in tools}
    for turn in range(runs):
        for tool, command in tools.items():
            slow = turn and samples[tool][0].seconds > 10
            if not slow:
                samples[tool].append(measure([*command, str(path)]))
    medians = {
        tool: Sample(
            statistics.median(s.seconds for s in taken), max(s.megabytes for s in taken), taken[-1].ended
        )
        for tool, taken in samples.items()
    }
    own = medians[ALL]
    print(f"\n| {name} ({path.stat().st_size / 1e6:.0f} MB) | seconds | peak MB | times dlclint |")
    print("| --- | --- | --- | --- |")
    for tool, sample in medians.items():
        ended = f" ({sample.ended})" if sample.ended else ""
        ratio = sample.seconds / own.seconds
        print(f"| {tool} | {sample.seconds:.2f}{ended} | {sample.megabytes:.0f} | {ratio:.1f} |", flush=True)
    return medians


def without_cache(dlclint: str) -> list[str]:
    """The command that checks a model and keeps no results, where that dlclint can keep any."""
    command = [dlclint, "check", "--isolated"]
    helped = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    return [*command, "--no-cache"] if "--no-cache" in helped.stdout else command


def compiled(dlclint: str) -> None:
    """Compile the modules of a dlclint by the interpreter next to it, so that no measured run does."""
    found = shutil.which(dlclint)
    python = Path(found or dlclint).with_name("python")
    if not python.exists():
        sys.exit(f"no {python}: give the dlclint of an environment, such as older/bin/dlclint")
    subprocess.run([str(python), "-c", COMPILE], check=True)


def short_runs(label: str, other: list[str], models: list[Path], runs: int) -> int:
    """Short runs of this dlclint and another, alternating; 1 where one is more than 5 % slower.

    `other` is a command that takes a model and options, and keeps no results between runs.
    """
    print(f"| run | {label}, seconds | this, seconds | least by least | median by median |")
    print("| --- | --- | --- | --- | --- |")
    own = [DLCLINT, "check", "--isolated", "--no-cache"]
    tried = subprocess.run([*other, *map(str, models[:1])], capture_output=True, text=True, check=False)
    if "Traceback" in tried.stderr:
        sys.exit(tried.stderr)
    slower = False
    for model in models:
        for options in ((), ("--runtime", "htp", "--quantize")):
            taken: tuple[list[float], list[float]] = [], []
            for turn in range(runs + 1):
                for command, seconds in zip((other, own), taken, strict=True):
                    sample = measure([*command, str(model), *options])
                    if turn:  # the first reads the files from the disk
                        seconds.append(sample.seconds)
            least = [min(seconds) for seconds in taken]
            middle = [statistics.median(seconds) for seconds in taken]
            ratios = least[1] / least[0], middle[1] / middle[0]
            slower |= min(ratios) > 1.05
            run = " ".join((model.name, *options))
            print(
                f"| {run} | {least[0]:.3f} | {least[1]:.3f} | {ratios[0]:.2f} | {ratios[1]:.2f} |", flush=True
            )
    return int(slower)


def main() -> int:
    """Compare, then print which of the figures to reach are met; exit 1 if one is not."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--models", type=Path, default=HERE / "models")
    parser.add_argument("--peers", type=Path, default=HERE / "models" / "peers")
    parser.add_argument("--make-peers", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=MODELS, action="append")
    parser.add_argument("--against", metavar="DLCLINT", help="another dlclint, to compare short runs with")
    parser.add_argument("--one-process", action="store_true", help="compare short runs without containment")
    parser.add_argument("short", nargs="*", type=Path, metavar="MODEL", help="models of short runs")
    args = parser.parse_args()
    runs = max(args.runs, 9)
    if args.one_process:
        command = [sys.executable, "-c", UNCONTAINED, "check", "--isolated", "--no-cache"]
        return short_runs("in one process", command, args.short, runs)
    if args.against:
        for one in (args.against, DLCLINT):
            compiled(one)
        return short_runs("other", without_cache(args.against), args.short, runs)
    if args.make_peers:
        subprocess.run([sys.executable, "-m", "venv", str(args.peers)], check=True)
        packages = ["onnx", "onnxruntime", "polygraphy", "onnx-graphsurgeon", "colored", "onnx-doctor"]
        subprocess.run([str(args.peers / "bin/python"), "-m", "pip", "install", "-q", *packages], check=True)
    tools = commands(args.peers)
    alone = {tool: tools[tool] for tool in (ALL, FOUR)}
    samples: dict[str, dict[str, Sample]] = {}
    for name in args.only or MODELS:
        path = ensure(name, args.models)
        samples[name] = compare(name, path, alone if name.startswith("chain") else tools, args.runs)
    version = statistics.median(measure([DLCLINT, "--version"]).seconds for _ in range(5))
    figures: list[tuple[str, float, float]] = [("--version, seconds", version, 0.1)]
    own = {name: taken[FOUR] for name, taken in samples.items()}
    if "decoder_2gb" in own:
        figures.append(("1.99 GB inline, seconds", own["decoder_2gb"].seconds, 0.6))
        figures.append(("1.99 GB inline, MB", own["decoder_2gb"].megabytes, 200))
    if "bert_base" in own:
        figures.append(("BERT, seconds", own["bert_base"].seconds, 0.5))
        if "polygraphy check lint" in samples["bert_base"]:
            ratio = own["bert_base"].seconds / samples["bert_base"]["polygraphy check lint"].seconds
            figures.append(("BERT, share of polygraphy's time", ratio, 1 / 8))
    if "resnet50" in own and "onnx.checker" in samples["resnet50"]:
        ratio = own["resnet50"].seconds / samples["resnet50"]["onnx.checker"].seconds
        figures.append(("ResNet-50, share of onnx.checker's time", ratio, 1))
    if {"chain_12500", "chain_50000"} <= set(own):
        growth = own["chain_50000"].seconds / own["chain_12500"].seconds
        figures.append(("four times the nodes, times the seconds", growth, 4.4))
    print()
    return 0 if all_met(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
