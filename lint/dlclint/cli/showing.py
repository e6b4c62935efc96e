"""`dlclint check --show-files` and `--show-settings`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dlclint.analysis.options import dimension_words, target_words
from dlclint.cli.jobs import config_for
from dlclint.diagnostic import plain
from dlclint.engine.config import Config
from dlclint.engine.job import Job


def show(jobs: Sequence[Job], config: Config, settings: bool) -> None:
    """Print the files that would be linted, or the settings that each would be linted with."""
    if settings:
        print(json.dumps([_settings(job, config) for job in jobs], indent=2))
        return
    for job in jobs:
        print(plain(str(job.path), 4000))


def _settings(job: Job, config: Config) -> dict[str, Any]:
    used = config_for(config, job.path)
    return {
        "file": str(job.path),
        "kind": job.kind,
        "configuration": _text(used.path),
        "options": [word for target in (job.target, *job.others) for word in target_words(target)]
        + dimension_words(job.dimensions),
        "model": _text(job.model),
        "encodings": _text(job.overrides),
        "select": list(job.select),
        "ignore": list(job.ignore),
        "severity": {rule: severity.value for rule, severity in job.severities},
        "thresholds": dict(job.thresholds),
        "ignores": [
            {key: value for key, value in asdict(ignore).items() if key not in ("place", "where")}
            for ignore in job.ignores
        ],
        "fail-on": config.fail_on or "error",
    }


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
