"""Count the lines of code, without blank lines, comments and docstrings, now and at an earlier commit.

    python scripts/lines.py [COMMIT]

One row for each module or package that existed at the commit (a18c7b8 unless another is named), and the sum
of those added later.
"""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
from collections import Counter
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parent.parent
FIRST = "a18c7b8"
_LAYOUT = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def code_lines(source: str) -> int:
    """Lines that hold code."""
    used: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in {*_LAYOUT, tokenize.COMMENT}:
            used.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        value = node.value if isinstance(node, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            used.difference_update(range(value.lineno, (value.end_lineno or value.lineno) + 1))
    return len(used)


def room(path: str) -> str:
    """The folder or module right below a package, under which a file is counted."""
    parts = PurePosixPath(path).with_suffix("").parts
    return "/".join(parts[:3]) if len(parts) > 2 else path


def counted(commit: str = "") -> Counter[str]:
    """Lines by room, of a commit or of the working tree."""
    names = ["git", "ls-tree", "-r", "--name-only", commit] if commit else ["git", "ls-files"]
    listed = subprocess.run(
        [*names, "--", "lint", "rules", "schemas"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        raise SystemExit(f"lines: {listed.stderr.strip()}; give a commit of this repository")
    lines: Counter[str] = Counter()
    for path in filter(lambda name: name.endswith(".py"), listed.stdout.splitlines()):
        show = ["git", "show", f"{commit}:{path}"]
        text = (
            subprocess.run(show, cwd=ROOT, capture_output=True, text=True, check=True).stdout
            if commit
            else (ROOT / path).read_text("utf-8")
        )
        lines[room(path)] += code_lines(text)
    return lines


def main() -> int:
    """Print the table."""
    commit = sys.argv[1] if len(sys.argv) > 1 else FIRST
    before, now = counted(commit), counted()
    print(f"| room | {commit} | now | more |\n| --- | ---: | ---: | ---: |")
    for name in sorted(before):
        print(f"| {name} | {before[name]} | {now[name]} | {now[name] - before[name]:+} |")
    old = sum(now[name] for name in before)
    print(f"| rooms of {commit} | {before.total()} | {old} | {old - before.total():+} |")
    print(f"| rooms since | 0 | {now.total() - old} | {now.total() - old:+} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
