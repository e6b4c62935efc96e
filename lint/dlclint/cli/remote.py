"""From addresses to jobs."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path, PurePosixPath

from dlclint.cli.errors import UsageError
from dlclint.encodings.recognition import ENCODINGS_SUFFIXES, MODEL_SUFFIXES
from dlclint.engine.config import Config
from dlclint.engine.job import Job
from dlclint.remote import is_address, urls
from dlclint.remote.errors import RemoteError
from dlclint.remote.images import HEAD, remove_dead
from dlclint.remote.listing import files_at, there
from dlclint.remote.opening import open_ahead

_LISTED = (".onnx", ".encodings")
"""Suffixes of the files in a folder that are linted."""


def remote_jobs(
    addresses: Sequence[str],
    args: argparse.Namespace,
    config: Config,
    job_at: Callable[[Path, bool], Job],
) -> Iterator[Job]:
    """One job per model and one per override file, as `jobs_of` makes them of local files.

    `job_at` makes the job of a model from its path and whether it has an override file.

    Raises:
        UsageError: an address names nothing that can be linted.
    """
    if getattr(args, "confirm", False):
        raise UsageError("--confirm reads files at hand; download the models")
    remove_dead()
    named, single = _named(addresses)
    models = [url for url in named if not _is_encodings(url)]
    guessed = {url: urls.overrides_beside(url) for url in models}
    # The contents of a folder are known; next to an address that was given alone, they are looked for.
    with _loading():
        alone = models[0] if len(models) == 1 and set(models) == single else ""
        unknown = [guessed[url] for url in models if url in single and not args.encodings]
        if alone:
            open_ahead(alone, HEAD)
        known = set(named) | there(unknown)
    done: set[str] = set()
    for url in models:
        path = Path(urls.path_of(url))
        section = config.section_for(path)
        overrides, own = _overrides(url, args, section.encodings)
        if not overrides and not own and guessed[url] in known:
            overrides = guessed[url]
        job = job_at(path, bool(overrides or own))
        yield replace(job, url=url, beside=overrides, overrides=own)
        if overrides:
            done.add(overrides)
            yield replace(
                job, path=Path(urls.path_of(overrides)), url=overrides, beside=url, kind="encodings", names=()
            )
        elif own is not None:
            raise UsageError(f"--encodings {own}: a model at an address goes with an override file beside it")
    for url in named:
        if _is_encodings(url) and url not in done:
            model = next((other for other in models if urls.overrides_beside(other) == url), "")
            path = Path(urls.path_of(url))
            job = job_at(Path(urls.path_of(model)) if model else path, True)
            yield replace(job, path=path, url=url, beside=model, kind="encodings")


@contextmanager
def _loading() -> Iterator[None]:
    """Load what linting models needs while answers are awaited; all of it is loaded at the end."""
    thread = threading.Thread(target=import_module, args=("dlclint.engine.remote",), daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _named(addresses: Sequence[str]) -> tuple[list[str], set[str]]:
    """The files that addresses name, in order, and those that were named individually."""
    known = (*MODEL_SUFFIXES, *ENCODINGS_SUFFIXES)
    single: set[str] = set()
    every: set[str] = set()
    for text in addresses:
        try:
            matches = files_at(text, _LISTED)
        except RemoteError as error:
            raise UsageError(f"{error.message}; {error.help}") from None
        if matches == [text]:
            if urls.path_of(text).suffix.lower() not in known:
                raise UsageError(
                    f"{urls.public_address(text)}: no model format has this ending (known are"
                    f" {', '.join(known)}); that of a folder is /"
                )
            single.add(text)
        every.update(matches)
    return sorted(every), single


def _overrides(url: str, args: argparse.Namespace, configured: str) -> tuple[str, Path | None]:
    """The override file that was named for a model: its address, or its path."""
    name = args.encodings or configured
    if not name:
        return "", None
    if is_address(name):
        if urls.address_beside(url, PurePosixPath(urls.file_name(name))) != name:
            raise UsageError(f"--encodings {urls.public_address(name)}: give one that lies beside the model")
        return name, None
    return "", Path(name)


def _is_encodings(url: str) -> bool:
    return urls.path_of(url).suffix.lower() in ENCODINGS_SUFFIXES
