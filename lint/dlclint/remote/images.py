"""Sparse local images of remote files, and the registry by which readers of files find them.

This module imports only what a run on local files imports anyway: where no image is registered, a request for
bytes costs a look-up in an empty registry.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from dlclint.remote.errors import NotThere, RemoteError
from dlclint.remote.reader import LARGEST_WHOLE

if TYPE_CHECKING:
    from dlclint.remote.reader import Reader

PREFIX = "dlclint-remote-"
"""Prefix of the folders that hold images."""
BLOCK = 1 << 12
"""Bytes that are present or missing as a unit."""
HEAD = 256 << 10
"""Bytes of a file that are read first: the structure of most models."""
_ROUNDED = 32 << 10
"""The minimum length of single reads, because small tensors are close together."""
_FILES = 100
"""Files that are looked for next to a model; converters write one, or one per tensor for few tensors."""


class Image:
    """One remote file: its local file, and which blocks of it are present."""

    def __init__(self, reader: Reader, path: Path) -> None:
        self.reader = reader
        self.path = path
        self.size = reader.size
        self.problem: RemoteError | None = None
        """The first error of a read after the file was opened."""
        self.blocks = bytearray(self.size // BLOCK + 1)
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        """Two locks: the bytes that a read waits for are written by another thread."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream: BinaryIO = path.open("w+b", buffering=0)
        self._stream.truncate(self.size)
        for offset, data in reader.first:
            self._put(offset, data)
        reader.first = []

    def close(self) -> None:
        """Close the local file and the connection."""
        self._stream.close()
        self.reader.close()

    def has(self, start: int, end: int) -> bool:
        """Whether all of a range is present."""
        return end <= start or self.blocks.find(0, start // BLOCK, (end - 1) // BLOCK + 1) < 0

    def ensure(self, start: int, end: int) -> None:
        """Make a range present by reading its missing parts.

        Raises:
            RemoteError: the range cannot be read.
        """
        if self.has(start, end):
            return
        if end - start < _ROUNDED:
            end = min(self.size, start + _ROUNDED)
        self.fetch([(start, end)])

    def fetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Read the missing parts of ranges, all at once.

        Raises:
            RemoteError: a range cannot be read.
        """
        with self._reading:
            parts = [part for start, end in ranges for part in self._missing(start, end)]
            missing = _joined(parts, self.reader.near)
            if not missing:
                return
            try:
                self.reader.read(missing, self._put)
            except RemoteError as error:
                self.problem = self.problem or error
                raise

    def _missing(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The missing parts of a range, in whole blocks."""
        block, last = start // BLOCK, (min(end, self.size) - 1) // BLOCK + 1
        while True:
            block = self.blocks.find(0, block, last)
            if block < 0:
                return
            behind = self.blocks.find(1, block, last)
            behind = last if behind < 0 else behind
            yield block * BLOCK, min(behind * BLOCK, self.size)
            block = behind

    def _put(self, offset: int, data: bytes) -> None:
        """Store bytes; blocks that they fill are then present."""
        end = offset + len(data)
        with self._writing:
            self._stream.seek(offset)
            self._stream.write(data)
            first = -(-offset // BLOCK)
            last = len(self.blocks) if end >= self.size else end // BLOCK
            if last > first:
                self.blocks[first:last] = b"\1" * (last - first)


class Folder:
    """The images of a remote file and of the files next to it, in a temporary folder."""

    def __init__(self, url: str) -> None:
        # Imported here because local models need no folder.
        import tempfile

        self.url = url
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
        self.images: dict[Path, Image | None] = {}
        self._lock = threading.RLock()

    def image(self, relative: PurePosixPath, head: int = HEAD) -> Image | None:
        """The image of a file by its path in the folder; None if the file does not exist.

        Raises:
            RemoteError: whether it exists cannot be determined.
        """
        path = self.path / relative
        with self._lock:
            if path not in self.images:
                if len(self.images) == _FILES:
                    raise RemoteError(f"more than {_FILES} files are named beside the model", "copy it here")
                # Imported here because it takes longer than most local files take to lint.
                from dlclint.remote import urls
                from dlclint.remote.opening import opened

                try:
                    reader = opened(urls.address_beside(self.url, relative), head)
                    self.images[path] = Image(reader, path)
                except NotThere:
                    self.images[path] = None
            return self.images[path]

    @property
    def all(self) -> list[Image]:
        """The images of the files that exist."""
        return [image for image in self.images.values() if image is not None]

    def close(self) -> None:
        """Remove all images."""
        # Imported here for the same reason.
        import shutil

        for image in self.all:
            image.close()
        shutil.rmtree(self.path, ignore_errors=True)


_folders: dict[Path, Folder] = {}


@contextmanager
def folder_of(url: str) -> Iterator[Folder]:
    """The folder of a remote file, registered in the block."""
    folder = Folder(url)
    _folders[folder.path] = folder
    try:
        yield folder
    finally:
        del _folders[folder.path]
        folder.close()


def image_of(path: Path) -> Image | None:
    """The image at a local path; None for a local file."""
    for folder in _folders.values():
        if path in folder.images:
            return folder.images[path]
    return None


def ensure(path: Path, offset: int, size: int) -> None:
    """Make bytes of a local file present, if it is an image.

    Raises:
        RemoteError: they cannot be read.
    """
    if _folders:
        image = image_of(path)
        if image is not None:
            image.ensure(offset, offset + size)


def ensure_whole(path: Path) -> None:
    """Make all of a local file present, if it is an image.

    Raises:
        RemoteError: it cannot be read.
    """
    if _folders:
        image = image_of(path)
        if image is not None:
            if image.size > LARGEST_WHOLE:
                raise RemoteError(
                    f"{image.path.name} has {image.size} bytes, and at most {LARGEST_WHOLE} are read whole",
                    "download the file, and lint it where it lies",
                )
            image.ensure(0, image.size)


def provide(folder: Path, relative: PurePosixPath) -> None:
    """Create the image of a file, if the folder is one of images, where the file is next to the remote file.

    Raises:
        RemoteError: whether it exists cannot be determined.
    """
    if _folders and (images := _folders.get(folder)) is not None:
        images.image(relative, head=1)


def _joined(ranges: Sequence[tuple[int, int]], near: int) -> list[tuple[int, int]]:
    """Ranges in order, joined where at most `near` bytes are between them."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if joined and start - joined[-1][1] <= near:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def remove_dead(prefix: str = PREFIX, older: float = 86400.0) -> None:
    """Remove temporary folders, by their prefix, that killed runs left a day ago or longer."""
    # Imported here because local models do not need it.
    import os
    import shutil
    import tempfile
    import time

    limit = time.time() - older
    for path in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        try:
            if path.is_dir() and path.stat().st_mtime < limit and path.stat().st_uid == os.getuid():
                shutil.rmtree(path, ignore_errors=True)
        except (OSError, AttributeError):
            continue
