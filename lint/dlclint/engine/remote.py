"""Linting remote files, through sparse local images that hold the parts that were read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath

from dlclint.engine.job import Job
from dlclint.engine.models import refused_outcome
from dlclint.model.reading import Unreadable
from dlclint.outcome import FileOutcome
from dlclint.remote import urls
from dlclint.remote.errors import RemoteError
from dlclint.remote.images import Folder, Image, folder_of


def lint_remote(job: Job, lint: Callable[[Job], FileOutcome]) -> FileOutcome:
    """Lint the file of a job that has an address, together with the file next to it.

    Args:
        job: what to lint.
        lint: lints a job without an address.
    """
    try:
        with folder_of(job.url) as folder:
            outcome = lint(_at_hand(job, folder))
            for image in folder.all:
                image.reader.verify()
                if image.problem is not None:
                    raise image.problem
            return replace(outcome, notes=(*outcome.notes, *_notes(folder)), read=(), pins=_pins(folder))
    except RemoteError as error:
        return refused_outcome(job, Unreadable(error.message, error.help))


def _at_hand(job: Job, folder: Folder) -> Job:
    """The job with the images of its files."""
    own = _image(folder, job.url)
    other = None
    if job.beside:
        other = _image(folder, job.beside)
    if job.kind == "encodings":
        own.ensure(0, own.size)
        return replace(job, path=own.path, model=job.model if other is None else other.path)
    if other is not None:
        other.ensure(0, other.size)
        return replace(job, path=own.path, overrides=other.path)
    return replace(job, path=own.path)


def _image(folder: Folder, url: str) -> Image:
    image = folder.image(PurePosixPath(urls.file_name(url)))
    if image is None:
        raise RemoteError(f"{urls.public_address(url)} does not exist", "check the address")
    return image


def _pins(folder: Folder) -> tuple[tuple[str, str], ...]:
    """See `FileOutcome.pins`."""
    pins = tuple(
        (path.relative_to(folder.path).as_posix(), "" if image is None else image.reader.mark)
        for path, image in sorted(folder.images.items())
    )
    return pins if all(image.reader.mark for image in folder.all) else ()


def _notes(folder: Folder) -> list[str]:
    """What reading cost, and how it was done."""
    read = sum(image.reader.traffic.bytes for image in folder.all)
    requests = sum(image.reader.traffic.requests for image in folder.all)
    size = sum(image.size for image in folder.all)
    told = [image.reader.note for image in folder.all if image.reader.note]
    return [*told, f"read {read:,} of {size:,} bytes in {requests} request{'s'[: requests != 1]}"]
