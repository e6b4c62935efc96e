"""Write the repository's address into the source, before a release is built from it.

    python scripts/stamp.py https://github.com/OWNER/NAME

The builder passes the address (`.github/workflows/release.yml` passes that of the repository it runs in), so
that the source contains no address that may be wrong. The script writes `dlclint.version.REPOSITORY`, which
SARIF links to, `[project.urls]`, and the placeholder in instructions for users. A second run with the same
address changes nothing; with another one it is refused.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACEHOLDER = "URL-OF-THIS-REPOSITORY"
_ADDRESS = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._-]+){2,}")
_VERSION = Path("lint/dlclint/version.py")
_TOLD = ("README.md", "docs/ci.md", "docs/reference/pre-commit.md")


def stamp(root: Path, address: str) -> None:
    """Write an address into the source under `root`.

    Raises:
        ValueError: it is not the address of a repository, or another one was written before.
    """
    if not _ADDRESS.fullmatch(address):
        raise ValueError(f"{address!r} is not the address of a repository, such as https://HOST/OWNER/NAME")
    text = (root / _VERSION).read_text("utf-8")
    current = re.search(r'^REPOSITORY = "(.*)"$', text, re.MULTILINE)
    if current is None or current[1] not in ("", address):
        raise ValueError(f"{_VERSION}: {current[1] if current else 'no REPOSITORY'} stands there already")
    if current[1] == address:
        return
    changed = {_VERSION: text.replace(current[0], f'REPOSITORY = "{address}"')}
    project = (root / "pyproject.toml").read_text("utf-8")
    urls = f'[project.urls]\nRepository = "{address}"\nIssues = "{address}/issues"\n\n[project.scripts]\n'
    if "[project.urls]" in project or project.count("[project.scripts]\n") != 1:
        raise ValueError("pyproject.toml: [project.urls] stands there already, or [project.scripts] does not")
    changed[Path("pyproject.toml")] = project.replace("[project.scripts]\n", urls)
    version = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    action = f"{'/'.join(address.split('/')[-2:])}@v{version[1] if version else ''}"
    for name in _TOLD:
        told = (root / name).read_text("utf-8")
        changed[Path(name)] = told.replace(PLACEHOLDER, address).replace("OWNER/dlclint@REVISION", action)
    for path, text in changed.items():
        (root / path).write_text(text, "utf-8", newline="\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/stamp.py ADDRESS")
    try:
        stamp(ROOT, sys.argv[1])
    except ValueError as problem:
        sys.exit(f"stamp: {problem}")
