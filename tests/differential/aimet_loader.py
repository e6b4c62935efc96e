"""dlclint against AIMET's own loader, file by file: seeds, genuine files, and systematic mutations of them.

    python tests/differential/aimet_loader.py --aimet PYTHON [FILE_OR_FOLDER...]
    python tests/differential/aimet_loader.py --make-env FOLDER [FILE_OR_FOLDER...]
    ... --record    # keep AIMET's verdicts on the seeds' mutations for the test that runs without it

PYTHON is that of an environment with aimet-onnx; `--make-env` builds one (2 GB). What AIMET refuses
dlclint must report, beyond its findings on the file that was mutated. What AIMET accepts dlclint must
not call an error, but for the rules in `STRICTER`, which the docs explain. Prints each disagreement and
exits 1 if there is one. AIMET's exports of a small model, in every format, must be free of errors.
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlclint.diagnostic import Severity
from dlclint.engine.job import Job
from dlclint.engine.run import lint_file

HERE = Path(__file__).parent
VERDICTS = HERE / "aimet_verdicts.json"
AIMET = "aimet-onnx==2.42.0"
SUFFIXES = (".encodings", ".json")

STRICTER = {
    "dtype": "parts of the name, and floats of any width",
    "duplicate-key": "the last of repeated keys, and sections of several layouts in one file",
    "field-type": "unread min and max, symmetry and names of any type, a number for an array of one",
    "inverted-range": "unread min and max",
    "layout": "sections and vectors that its version does not read",
    "missing-field": "unread min and max, null for a name, sections that its version does not read",
    "offset-sign": "offsets from -2^bitwidth to 2^bitwidth - 1; converters would shift the range beyond zero",
    "per-channel-asymmetric": "any offset per channel; converters take only symmetric ones",
    "symmetric-offset": "any offset; the converter stops at all except -2^(bitwidth-1)",
    "syntax": "NaN and Infinity, because Python's JSON parser does",
    "zero-off-grid": "an offset of -2^bitwidth, one step beyond the grid",
}
"""Rules of the family encodings that may call an error what AIMET accepts: what it accepts."""


EXPECTED = {
    ("bq-0.6.1", "encodings/channel-count"): "0.6.1 cannot say blocks, and AIMET writes them as channels"
}
"""Errors in AIMET's own exports, and why they are right."""


def integer(**more: Any) -> dict[str, Any]:
    """A legacy entry."""
    entry = {"bitwidth": 8, "dtype": "int", "is_symmetric": "False", "max": 1.28, "min": -1.27}
    return {**entry, "offset": -127, "scale": 0.01, **more}


def listed(name: str, **more: Any) -> dict[str, Any]:
    """A 1.0.0 entry."""
    entry = {"bw": 8, "dtype": "INT", "enc_type": "PER_TENSOR", "is_sym": False, "name": name}
    return {**entry, "offset": [-127], "scale": [0.01], **more}


SYMMETRIC = {"is_symmetric": "True", "max": 1.27, "min": -1.28, "offset": -128.0}
BLOCKS = {"bw": 4, "is_sym": True, "offset": [-8] * 4, "scale": [0.1, 0.2, 0.3, 0.4], "block_size": 2}
LPBQ = {"bw": 8, "is_sym": True, "offset": [-128] * 2, "scale": [0.1, 0.2], "block_size": 2}
SEEDS: dict[str, dict[str, Any]] = {
    "legacy": {
        "activation_encodings": {"x": [integer()], "y": [{"bitwidth": 16, "dtype": "float"}]},
        "param_encodings": {"w": [integer(**SYMMETRIC), integer(**SYMMETRIC)]},
        "version": "0.6.1",
    },
    "list": {
        "activation_encodings": [
            listed("x"),
            {"bw": 16, "dtype": "FLOAT", "enc_type": "PER_TENSOR", "name": "y"},
        ],
        "param_encodings": [
            listed("w", enc_type="PER_CHANNEL", is_sym=True, offset=[-128, -128], scale=[0.1, 0.2]),
            listed("b", enc_type="PER_BLOCK", **BLOCKS),
            listed("l", enc_type="LPBQ", compressed_bw=4, per_block_int_scale=[1, 2, 3, 16], **LPBQ),
        ],
        "version": "1.0.0",
    },
    "flat": {
        "encodings": [
            {"name": "x", "output_dtype": "uint8", "y_scale": 0.01, "y_zero_point": 127},
            {"name": "w", "output_dtype": "int8", "y_scale": [0.1, 0.2], "axis": 0},
            {
                "name": "b",
                "output_dtype": "int4",
                "y_scale": [[0.1, 0.2], [0.3, 0.4]],
                "axis": 1,
                "block_size": 2,
            },
            {
                "name": "l",
                "output_dtype": "int4",
                "per_channel_float_scale": [[0.1], [0.2]],
                "per_block_int_scale": [[1, 2], [3, 16]],
                "axis": 1,
                "block_size": 2,
            },
        ],
        "version": "2.0.0",
    },
}
VALUES: tuple[Any, ...] = (
    *(None, True, "text", "8", "", -1, 0, 1, 1.5, 8, 16, 33, -129, 255, 256, -256, 1 << 40, 1e-30, -0.5),
    *(float("inf"), float("nan"), [], {}, [1], [0.5, 0.5], [[0.5], [0.5]], ["a"], [-128, -128.5], [None]),
)
VERSIONS = ("0.4.0", "0.5.0", "0.6.1", "0.6.2", "1.0", "1.0.0", "2.0.0", "2.1.0", 1, None)


def paths(value: Any, here: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every member and item, outermost first; of long lists the first two items."""
    items = (
        value.items() if isinstance(value, dict) else enumerate(value[:2] if isinstance(value, list) else ())
    )
    for key, inner in items:
        yield (*here, key)
        yield from paths(inner, (*here, key))


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    """What a path leads to."""
    for key in path:
        value = value[key]
    return value


def mutations(seed: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Files that differ from a seed in one place, by a name that says how."""
    places = list(paths(seed))
    if len(places) > 200:  # a genuine file: some places represent the others
        places = places[:: len(places) // 20]
    for path in places:
        name = "/".join(map(str, path))
        parent = at(seed, path[:-1])
        values = VERSIONS if path == ("version",) else VALUES
        for value in values:
            copied = copy.deepcopy(seed)
            at(copied, path[:-1])[path[-1]] = value
            yield f"{name} is {json.dumps(value)}", copied
        copied = copy.deepcopy(seed)
        del at(copied, path[:-1])[path[-1]]
        yield f"{name} is gone", copied
        if isinstance(parent, list) and isinstance(at(seed, path), dict):
            copied = copy.deepcopy(seed)
            at(copied, path[:-1]).append(copy.deepcopy(at(copied, path)))
            yield f"{name} stands twice", copied
        if isinstance(at(seed, path), dict) and "scale" in at(seed, path):
            copied = copy.deepcopy(seed)
            at(copied, path)["bw"] = 8
            yield f"{name} has bw", copied
    for moved in sorted(set(seed) - {"version"}):
        for other in ("encodings", "activation_encodings", "param_encodings"):
            if other != moved:
                copied = copy.deepcopy(seed)
                copied[other] = copied[moved]
                yield f"{moved} is {other} too", copied


def judged(path: Path) -> tuple[frozenset[tuple[str, str]], frozenset[str]]:
    """Rule and message of what dlclint finds, and the rules of its errors."""
    findings = lint_file(Job(path, kind="encodings")).diagnostics
    errors = frozenset(finding.rule for finding in findings if finding.severity is Severity.ERROR)
    return frozenset((finding.rule, finding.message) for finding in findings), errors


def disagreement(refusal: str, seed: frozenset[tuple[str, str]], path: Path) -> str:
    """Where dlclint says other than AIMET of a mutated file, or ""."""
    findings, errors = judged(path)
    if refusal:
        return "" if findings - seed else f"AIMET refuses it, dlclint is silent: {refusal}"
    wrong = errors - {f"encodings/{name}" for name in STRICTER} - {rule for rule, _ in seed}
    return f"AIMET accepts it, dlclint calls it an error: {', '.join(sorted(wrong))}" if wrong else ""


def cases(files: list[Path]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, file and seed of every case: the seeds and files given, and their mutations."""
    seeds = dict(SEEDS)
    for path in files:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in SUFFIXES:
                try:
                    seeds[file.stem] = json.loads(file.read_bytes())
                except ValueError:
                    print(f"{file} is not JSON: left out", file=sys.stderr)
    for name, seed in seeds.items():
        yield name, seed, seed
        if isinstance(seed, dict):
            yield from ((f"{name}: {how}", document, seed) for how, document in mutations(seed))


def verdicts(python: str, folder: Path) -> dict[str, str]:
    """AIMET's verdict on each file of a folder."""
    command = [python, str(HERE / "aimet_oracle.py"), "verdicts", str(folder)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    data: dict[str, str] = json.loads(ran.stdout.splitlines()[-1])
    return data


def compare(python: str, files: list[Path], record: bool) -> list[str]:
    """Every disagreement on the seeds, the files given and their mutations."""
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        known = list(cases(files))
        for number, (_, case, _) in enumerate(known):
            (folder / f"{number:06}.json").write_text(json.dumps(case))
        said = verdicts(python, folder)
        base: dict[int, frozenset[tuple[str, str]]] = {}
        for number, (name, case, seed) in enumerate(known):
            path = folder / f"{number:06}.json"
            if case is seed:
                base[id(seed)] = frozenset()
                found_here, _ = judged(path)
            said_here = disagreement(said[path.name], base[id(seed)], path)
            if case is seed:
                base[id(seed)] = found_here
            if said_here:
                lines.append(f"{name}: {said_here}")
        refusals = sum(map(bool, said.values()))
        print(f"{len(known)} files: AIMET refuses {refusals}; {len(lines)} disagreements", flush=True)
        if record:
            own = {name for name, _, _ in cases([])}
            refused = sorted(
                name for number, (name, _, _) in enumerate(known) if name in own and said[f"{number:06}.json"]
            )
            VERDICTS.write_text(json.dumps({"aimet": AIMET, "refused": refused}, indent=1) + "\n")
    return lines


def exports(python: str) -> list[str]:
    """Errors in what AIMET itself exports, with and without the model."""
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        subprocess.run(
            [python, str(HERE / "aimet_oracle.py"), "export", str(folder)], check=True, capture_output=True
        )
        files = sorted(folder.glob("*.encodings"))
        for path in files:
            for model in (None, path.with_suffix(".onnx")):
                for finding in lint_file(Job(path, kind="encodings", model=model)).diagnostics:
                    if finding.severity is Severity.ERROR and (path.stem, finding.rule) not in EXPECTED:
                        lines.append(f"{path.name}: {finding.rule} {finding.message}")
        print(f"{len(files)} exports: {len(lines)} errors")
    return lines


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--aimet", metavar="PYTHON")
    parser.add_argument("--make-env", metavar="FOLDER", type=Path)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    python = args.aimet
    if args.make_env:
        subprocess.run([sys.executable, "-m", "venv", str(args.make_env)], check=True)
        python = str(args.make_env / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", AIMET], check=True)
    if not python:
        parser.error("give --aimet PYTHON or --make-env FOLDER")
    differences = [*compare(python, args.files, args.record), *exports(python)]
    for line in differences:
        print(line)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
