"""Files in object stores and hubs, through fsspec's file systems for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fsspec.asyn import AsyncFileSystem
from fsspec.core import url_to_fs

from dlclint.remote import urls
from dlclint.remote.errors import Changed, NotThere, RemoteError
from dlclint.remote.reader import AT_ONCE, LARGEST, REQUEST, SLOWEST, Sink, Traffic, byte_ranges

_TALKATIVE = ("adlfs", "azure", "botocore", "fsspec", "gcsfs", "huggingface_hub", "s3fs")
"""Packages whose log warnings may contain credentials; dlclint reports what matters itself."""
_PINS = ("ETag", "etag", "VersionId", "version_id", "generation", "blob_id", "oid", "last_modified", "mtime")
"""The fields that identify the version of a file in each file system."""


class StoreReader:
    """See `dlclint.remote.reader.Reader`."""

    def __init__(self, url: str, head: int, seconds: float) -> None:
        self.traffic = Traffic()
        self.note = ""
        self._shown = urls.public_address(url)
        self._seconds = seconds
        self._files, self._path = files_of(url)
        info = self._info()
        if info.get("type") == "directory":
            raise RemoteError(f"{self._shown} is a folder", "end its address with / to lint the models in it")
        self.size = int(info.get("size") or 0)
        if not 0 <= self.size <= LARGEST:
            raise RemoteError(f"{self._shown}: a size of {self.size} bytes is declared")
        self._pin = _pin_of(info)
        self.first: list[tuple[int, bytes]] = []
        if self.size and head > 1:
            self.read([(0, min(head, self.size))], lambda offset, data: self.first.append((offset, data)))

    @property
    def mark(self) -> str:
        """See `Reader.mark`."""
        return f"{self.size} {' '.join(self._pin)}" if any(self._pin) else ""

    @property
    def near(self) -> int:
        """See `Reader.near`."""
        return REQUEST

    def read(self, ranges: Sequence[tuple[int, int]], sink: Sink) -> None:
        """See `Reader.read`."""
        every = [piece for start, end in ranges for piece in byte_ranges(start, end)]
        for at in range(0, len(every), AT_ONCE):
            lot = every[at : at + AT_ONCE]
            for (start, end), data in zip(lot, self._read_lot(lot), strict=True):
                self.traffic.bytes += len(data)
                if len(data) != end - start:
                    raise Changed(
                        f"{self._shown}: {len(data)} bytes came where {end - start} were asked for",
                        "lint it again",
                    )
                sink(start, data)

    def verify(self) -> None:
        """See `Reader.verify`."""
        self._files.invalidate_cache()
        if _pin_of(self._info()) != self._pin:
            raise Changed(f"{self._shown} changed while it was read", "lint it again")

    def close(self) -> None:
        """The connections are fsspec's, which keeps them for other files."""

    def _info(self) -> dict[str, Any]:
        self.traffic.requests += 1
        info: dict[str, Any] = attempted(self._shown, self._seconds, self._files, "info", self._path)
        return info

    def _read_lot(self, lot: Sequence[tuple[int, int]]) -> list[bytes]:
        self.traffic.requests += len(lot)
        data: list[bytes] = told(self._shown, self._seconds, lambda: self._come(lot))
        return data

    def _come(self, lot: Sequence[tuple[int, int]]) -> Any:
        files, path = self._files, self._path
        limit = self._seconds + sum(end - start for start, end in lot) / SLOWEST
        if isinstance(files, AsyncFileSystem):

            async def every() -> list[bytes]:
                return list(
                    await asyncio.gather(*(files._cat_file(path, start=start, end=end) for start, end in lot))
                )

            return _waited(files, every(), limit)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            # Without a cache, because one that reads ahead would request megabytes instead of each range.
            work = [threads.submit(files.cat_file, path, start, end, cache_type="none") for start, end in lot]
            return [one.result(limit) for one in work]


def files_of(url: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it.

    Raises:
        ImportError: the package for it is not installed.
        RemoteError: the file system cannot be set up.
    """
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        files, path = url_to_fs(url)
    except ImportError:
        raise
    except Exception as error:  # each file system has its own errors, some with credentials in them
        raise RemoteError(
            f"{urls.public_address(url)}: {type(error).__name__} when its store was opened"
        ) from None
    return files, str(path)


def attempted(shown: str, seconds: float, files: Any, method: str, *arguments: Any) -> Any:
    """What a method of a file system returns, within a time limit.

    Raises:
        RemoteError: it fails, or takes too long.
    """
    if isinstance(files, AsyncFileSystem):
        name = f"_{method}"
        return told(shown, seconds, lambda: _waited(files, getattr(files, name)(*arguments), seconds))
    return told(shown, seconds, lambda: getattr(files, method)(*arguments))


def _waited(files: Any, work: Any, seconds: float) -> Any:
    return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, seconds), files.loop).result()


def told(shown: str, seconds: float, work: Any) -> Any:
    """What work on a store returns.

    Raises:
        RemoteError: it fails; with dlclint's own message, because the store's may contain credentials.
    """
    try:
        return work()
    except RemoteError:
        raise
    except FileNotFoundError:
        raise NotThere(f"{shown} does not exist", "check the address") from None
    except PermissionError:
        raise RemoteError(
            f"access to {shown} is denied", "give the credentials that the store's own tools read"
        ) from None
    except (TimeoutError, asyncio.TimeoutError):
        raise RemoteError(f"{shown}: no answer within {seconds:g} s") from None
    except ImportError:
        raise
    except Exception as error:
        raise RemoteError(f"{shown}: the store answers with {type(error).__name__}") from None


def _pin_of(info: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(info.get(word, "")) for word in _PINS)
