"""Write dlclint's findings on reported cases, or with `--check` fail if docs/cases.md is not up to date.

    python scripts/cases.py [--check] [FOLDER]

The cases are outside the repository, in `../shared/cases` or in FOLDER; where they are missing there is
nothing to do, and the script says so. `tests/cases.json` names the rules that must report each.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from dlclint.cli.main import main as command
from pages._markdown import table

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "cases.md"
HEAD = """# Reported cases

What `dlclint check` says of small inputs that show one cause each, which people reported in public threads
or which genuine exports of AIMET 2.42 showed. The cases are kept outside the repository; this page is
generated where they are at hand (`python scripts/cases.py`). "must be quiet" names rules that would be wrong;
"errors" are all of them. Where a log names a file that is kept aside, a fixture of its kind stands here.

"""


def findings(folder: Path, case: dict[str, Any]) -> tuple[dict[str, str], str]:
    """Rule to the worst severity with which it reports a case, and all findings.

    The case is copied, so that it is separate.
    """
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch)
        names = [
            shutil.copy(_path(folder, case[key]), target / Path(case[key]).name)
            for key in ("model", "file")
            if case[key]
        ]
        arguments = [str(names[0])] + (["--encodings", str(names[1])] if len(names) == 2 else [])
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
            command(["check", "--isolated", "--format", "json", *shlex.split(case["options"]), *arguments])
    severities: dict[str, str] = {}
    words = ""
    for file in json.loads(output.getvalue())["files"]:
        for finding in file["findings"]:
            known = [severities[finding["rule"]]] if finding["rule"] in severities else []
            severities[finding["rule"]] = min(
                [finding["severity"], *known], key=("error", "warning", "info").index
            )
            if finding["rule"] in case["rules"]:
                words += f"{finding['message']}; {finding['help']}\n"
    return severities, words


def _path(folder: Path, name: str) -> Path:
    return (ROOT if name.startswith("tests/") else folder) / name


def chip(case: dict[str, Any]) -> tuple[str, bool]:
    """The chip that a name resolves to, and whether it must be that."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
        command(["soc", case["soc"]])
    lines = output.getvalue().splitlines()
    return (lines[0].partition(" ")[0] if lines else "no chip"), lines[:1] != [] and lines[0].split()[
        0
    ] in case["rules"]


def page(folder: Path) -> tuple[str, int]:
    """The page, and the number of cases that are not as they must be."""
    rows, wrong = [], 0
    for case in json.loads((ROOT / "tests" / "cases.json").read_text("utf-8"))["cases"]:
        if "soc" in case:
            name, right = chip(case)
            wrong += not right
            row = (f"`dlclint soc {case['soc']}`", "", case["rules"][0], name)
            rows.append((case["log"], *row, "as it must be" if right else "wrong"))
            continue
        severities, words = findings(folder, case)
        missing = [rule for rule in case["rules"] if rule not in severities]
        missing += [text for text in case.get("said", ()) if text not in words]
        loud = [rule for rule in case.get("quiet", ()) if rule in severities]
        loud += [
            rule for rule in severities if "errors" in case.get("quiet", ()) and severities[rule] == "error"
        ]
        loud += [text for text in case.get("unsaid", ()) if text in words]
        wrong += bool(missing or loud)
        said = [
            f"{rule} ({severities[rule]})"
            for rule in sorted(severities)
            if severities[rule] != "info" or rule in case["rules"]
        ]
        expected = ", ".join(case["rules"]) or f"must be quiet: {', '.join(case['quiet'])}"
        expected += "".join(f', saying "{text}"' for text in case.get("said", ()))
        expected += "".join(f', not saying "{text}"' for text in case.get("unsaid", ()))
        inputs = " + ".join(Path(case[key]).name for key in ("model", "file") if case[key])
        verdict = "missed" if missing else "wrong" if loud else "as it must be"
        rows.append((case["log"], inputs, case["options"], expected, ", ".join(said) or "nothing", verdict))
    heads = (
        "row of the log",
        "case",
        "options",
        "expected",
        "found: errors, warnings and what is expected",
        "verdict",
    )
    total = f"{len(rows) - wrong} of {len(rows)} are as they must be.\n\n"
    return HEAD + total + table(heads, rows), wrong


def main(arguments: list[str]) -> int:
    """Exit 1 if `--check` is given and the page is not fresh."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if the page is not up to date"
    )
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT.parent / "shared" / "cases")
    args = parser.parse_args(arguments)
    check, folder = args.check, args.folder
    if not folder.is_dir():
        print(f"{folder} is not there, so the cases cannot be asked about; nothing was done")
        return 0
    text, wrong = page(folder)
    if check:
        fresh = PAGE.is_file() and PAGE.read_text("utf-8") == text
        print(
            "docs/cases.md is fresh" if fresh else "docs/cases.md is not fresh; run python scripts/cases.py"
        )
        return 0 if fresh else 1
    PAGE.write_text(text, "utf-8")
    print(f"docs/cases.md: {wrong} cases are not as they must be")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
