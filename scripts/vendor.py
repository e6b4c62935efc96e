"""Fetch the libraries that HTML reports contain, at the versions named here, and record their hashes.

`python scripts/vendor.py` fetches them with npm, which checks them against the registry's own hashes, and
writes the files, each package's license, and `vendored.json`. `--check` fetches nothing: it compares the
existing files with `vendored.json`, and that with the versions named here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "lint" / "dlclint" / "report" / "html" / "vendor"
LIST = "vendored.json"
PACKAGES = {
    "@dagrejs/dagre": ("3.1.3", {"dist/dagre.min.js": "dagre.min.js", "LICENSE": "dagre.LICENSE"}),
    "uplot": (
        "1.6.32",
        {
            "dist/uPlot.iife.min.js": "uPlot.iife.min.js",
            "dist/uPlot.min.css": "uPlot.min.css",
            "LICENSE": "uPlot.LICENSE",
        },
    ),
}
"""Package, its version, and the names that its files have here."""


def fetch(name: str, version: str, files: dict[str, str]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The entry of a package in `vendored.json`, and its files by their names here.

    Raises:
        subprocess.CalledProcessError: npm cannot fetch it.
        KeyError: the package has no such file.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--json", "--silent", f"{name}@{version}"]
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        listed = json.loads(done.stdout)
        (packed,) = listed if isinstance(listed, list) else listed.values()
        with tarfile.open(Path(folder) / packed["filename"]) as archive:
            contents = {}
            for inside, here in files.items():
                stream = archive.extractfile(f"package/{inside}")
                if stream is None:
                    raise KeyError(inside)
                contents[here] = stream.read()
            stream = archive.extractfile("package/package.json")
            license = json.load(stream)["license"] if stream is not None else ""
    entry = {
        "package": name,
        "version": version,
        "license": license,
        "integrity": packed["integrity"],
        "files": {here: {"from": inside, "sha256": digest(contents[here])} for inside, here in files.items()},
    }
    return entry, contents


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def flaws(folder: Path = FOLDER) -> list[str]:
    """The problems, one line each."""
    entries = json.loads((folder / LIST).read_text("utf-8"))
    problems = []
    listed = {
        entry["package"]: (entry["version"], {file["from"]: here for here, file in entry["files"].items()})
        for entry in entries
    }
    if listed != PACKAGES:
        problems.append(f"{LIST} lists other packages, versions or files than this script; run it")
    known = {here: file["sha256"] for entry in entries for here, file in entry["files"].items()}
    there = {path.name for path in folder.iterdir()} - {LIST}
    problems += [f"{name} is in no package" for name in sorted(there - known.keys())]
    for name, sha256 in known.items():
        path = folder / name
        if not path.is_file() or digest(path.read_bytes()) != sha256:
            problems.append(f"{name} is not the file that was fetched")
    return problems


def main() -> int:
    """Fetch, or check; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    says = "fetch nothing, and hold what is there to its hashes"
    parser.add_argument("--check", action="store_true", help=says)
    if parser.parse_args().check:
        problems = flaws()
        sys.stderr.writelines(f"{line}\n" for line in problems)
        return int(bool(problems))
    FOLDER.mkdir(parents=True, exist_ok=True)
    entries = []
    for name, (version, files) in PACKAGES.items():
        entry, contents = fetch(name, version, files)
        entries.append(entry)
        for here, content in contents.items():
            (FOLDER / here).write_bytes(content)
    (FOLDER / LIST).write_text(json.dumps(entries, indent=2) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
