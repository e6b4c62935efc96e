"""Sparse local images of remote files, and the register by which readers of files know them.

Nothing here is imported that a run on local files does not have anyway: where no image is registered, asking
for bytes costs a look into an empty register.
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
"""How the names of folders begin that hold images."""
BLOCK = 1 << 12
"""Bytes that are there or not as one."""
HEAD = 256 << 10
"""Bytes of a file that are read to begin with: the structure of most models."""
_ROUNDED = 32 << 10
"""Single reads are at least so long, because small tensors stand together."""
_FILES = 100
"""Files that are looked for beside a model; converters write one, or one a tensor for few tensors."""


class Image:
    """One remote file: its local file, and which blocks of it are there."""

    def __init__(self, reader: Reader, path: Path) -> None:
        self.reader = reader
        self.path = path
        self.size = reader.size
        self.problem: RemoteError | None = None
        """What ended a read first, once the file was open."""
        self.blocks = bytearray(self.size // BLOCK + 1)
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        """Not one lock: the bytes that a read waits for are written by another thread."""
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
        """Whether all of a range is there."""
        return end <= start or self.blocks.find(0, start // BLOCK, (end - 1) // BLOCK + 1) < 0

    def ensure(self, start: int, end: int) -> None:
        """Have a range, read as far as it is not there.

        Raises:
            RemoteError: it cannot be had.
        """
        if self.has(start, end):
            return
        if end - start < _ROUNDED:
            end = min(self.size, start + _ROUNDED)
        self.fetch([(start, end)])

    def fetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Read what is missing of ranges, all at once.

        Raises:
            RemoteError: it cannot be had.
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
        """The parts of a range that are not there, in whole blocks."""
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
        """Take in bytes; blocks that they fill are there."""
        end = offset + len(data)
        with self._writing:
            self._stream.seek(offset)
            self._stream.write(data)
            first = -(-offset // BLOCK)
            last = len(self.blocks) if end >= self.size else end // BLOCK
            if last > first:
                self.blocks[first:last] = b"\1" * (last - first)


class Folder:
    """The images of a remote file and of those beside it, in a folder of their own while they are needed."""

    def __init__(self, url: str) -> None:
        # Imported here because models at hand need no folder.
        import tempfile

        self.url = url
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
        self.images: dict[Path, Image | None] = {}
        self._lock = threading.RLock()

    def image(self, relative: PurePosixPath, head: int = HEAD) -> Image | None:
        """The image of a file by its path in the folder; None if there is no such file.

        Raises:
            RemoteError: whether there is one cannot be told.
        """
        path = self.path / relative
        with self._lock:
            if path not in self.images:
                if len(self.images) == _FILES:
                    raise RemoteError(f"more than {_FILES} files are named beside the model", "copy it here")
                # Imported here because it takes longer than most files that are at hand take to lint.
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
        """The images of the files that are there."""
        return [image for image in self.images.values() if image is not None]

    def close(self) -> None:
        """Drop all images."""
        # Imported here for the same reason.
        import shutil

        for image in self.all:
            image.close()
        shutil.rmtree(self.path, ignore_errors=True)


_folders: dict[Path, Folder] = {}


@contextmanager
def folder_of(url: str) -> Iterator[Folder]:
    """The folder of a remote file, registered while the block runs."""
    folder = Folder(url)
    _folders[folder.path] = folder
    try:
        yield folder
    finally:
        del _folders[folder.path]
        folder.close()


def image_of(path: Path) -> Image | None:
    """The image that a local file is; None for a file of this machine."""
    for folder in _folders.values():
        if path in folder.images:
            return folder.images[path]
    return None


def ensure(path: Path, offset: int, size: int) -> None:
    """Have bytes of a local file, if it is an image.

    Raises:
        RemoteError: they cannot be had.
    """
    if _folders:
        image = image_of(path)
        if image is not None:
            image.ensure(offset, offset + size)


def ensure_whole(path: Path) -> None:
    """Have all of a local file, if it is an image.

    Raises:
        RemoteError: it cannot be had.
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
    """Make a file of a folder, if it is one of images, lie there as it lies beside the remote file.

    Raises:
        RemoteError: whether there is one cannot be told.
    """
    if _folders and (found := _folders.get(folder)) is not None:
        found.image(relative, head=1)


def _joined(ranges: Sequence[tuple[int, int]], near: int) -> list[tuple[int, int]]:
    """Ranges in order, as one those that at most `near` bytes lie between."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if joined and start - joined[-1][1] <= near:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def remove_dead(prefix: str = PREFIX, older: float = 86400.0) -> None:
    """Remove the temporary folders, by how their names begin, that killed runs left a day ago or longer."""
    # Imported here because models at hand need none of it.
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
