"""The GitHub action: lint once, and write annotations, a SARIF report and a step summary.

Reads DLCLINT_PATHS (one per line), DLCLINT_ARGS (as in a shell, over several lines) and DLCLINT_SARIF. The
exit status is that of `dlclint check`. Where that cannot run, the SARIF report says so, so that the step
which uploads it does not hide the cause.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Run `dlclint check`; returns its exit status."""
    paths = [line.strip() for line in os.environ["DLCLINT_PATHS"].splitlines() if line.strip()]
    sarif = Path(os.environ["DLCLINT_SARIF"])
    try:
        options = shlex.split(os.environ["DLCLINT_ARGS"], comments=True)
    except ValueError as error:
        return _could_not_run(sarif, f"dlclint: error: args: {error}; quote as in a shell")
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder, "summary.md")
        reports = ["--output-format", f"sarif={sarif}", "--output-format", f"markdown={summary}"]
        command = [sys.executable, "-m", "dlclint", "check", "--format", "github", *reports]
        # Later options override, except for reports, which are repeatable.
        done = subprocess.run(
            [*command, *options, "--", *paths], stderr=subprocess.PIPE, text=True, errors="replace"
        )
        sys.stdout.flush()
        if done.returncode not in (0, 1):
            message = done.stderr.strip().splitlines()[-1:] or [
                f"dlclint ended with status {done.returncode}"
            ]
            _could_not_run(sarif, message[0])
            return done.returncode
        sys.stderr.write(done.stderr)
        target = os.environ.get("GITHUB_STEP_SUMMARY")
        if target and summary.exists():
            with Path(target).open("a", encoding="utf-8") as stream:
                stream.write(summary.read_text("utf-8"))
    return done.returncode


def _could_not_run(sarif: Path, message: str) -> int:
    """Print why, as an annotation and in a SARIF report without results; returns 2."""
    text = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    print(f"::error title=dlclint::{text}")
    note = {"level": "error", "message": {"text": message}}
    run = {
        "tool": {"driver": {"name": "dlclint"}},
        "invocations": [{"executionSuccessful": False, "toolExecutionNotifications": [note]}],
        "results": [],
    }
    log = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    sarif.parent.mkdir(parents=True, exist_ok=True)
    sarif.write_text(json.dumps(log, indent=2) + "\n", "utf-8")
    return 2


if __name__ == "__main__":
    sys.exit(main())
