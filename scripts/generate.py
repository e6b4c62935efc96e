"""Write all generated files, or with `--check` fail if one is not up to date.

    python scripts/generate.py [--check]

Each module in `scripts/pages` makes the files of one subject; a new one is found automatically. The folders
in `OWNED` are generated completely; elsewhere only the files that a module names are.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pages import all_files

ROOT = Path(__file__).parent.parent
OWNED = ("docs/rules", "docs/tables", "docs/reference", "docs/shows")


def stale(root: Path, wanted: dict[str, str]) -> list[str]:
    """Paths below `root` that are missing, left over, or not as they would be written."""
    present = {
        p.relative_to(root).as_posix() for folder in OWNED for p in (root / folder).rglob("*") if p.is_file()
    }
    outdated = [name for name, text in wanted.items() if not _is(root / name, text)]
    return outdated + sorted(present - set(wanted))


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


def write(root: Path, wanted: dict[str, str]) -> None:
    """Write every file that is not as wanted, and remove what is left over."""
    for name in stale(root, wanted):
        path = root / name
        if name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wanted[name].encode())
        else:
            path.unlink()


def main(arguments: list[str]) -> int:
    """Exit 1 if `--check` is given and something is not up to date, 2 on other arguments."""
    wanted = all_files()
    if arguments == ["--check"]:
        outdated = stale(ROOT, wanted)
        for name in outdated:
            print(f"{name} is not fresh; run python scripts/generate.py")
        return 1 if outdated else 0
    if arguments:
        print("usage: python scripts/generate.py [--check]", file=sys.stderr)
        return 2
    write(ROOT, wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
