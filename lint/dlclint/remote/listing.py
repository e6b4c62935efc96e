"""The remote files that an address names: a file, a folder, or the matches of a pattern."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import PurePosixPath

from dlclint.remote import urls
from dlclint.remote.at_once import all_at_once
from dlclint.remote.errors import RemoteError
from dlclint.remote.images import HEAD
from dlclint.remote.opening import not_installed, open_ahead, opened, seconds

DEPTH = 8
"""Nesting depth of the folders that are searched."""
_PROBES = 16
_LOOK = 5.0
"""Seconds that the search for a file next to a model may take."""


def files_at(url: str, suffixes: Iterable[str]) -> list[str]:
    """The files that an address names, in order; those of a folder by their suffixes.

    Raises:
        RemoteError: the folder cannot be listed, or the address names nothing.
    """
    scheme = urls.scheme_of(url)
    if scheme not in urls.SCHEMES:
        known = ", ".join(f"{name}://" for name in urls.SCHEMES)
        raise RemoteError(f"{scheme}:// is not read; known are {known}", "copy the files here")
    if not urls.is_whole(url):
        raise RemoteError(f"{urls.public_address(url)} is not an address", "check its spelling")
    is_pattern = bool(urls.GLOB.search(url if scheme in urls.STORES else url.partition("?")[0]))
    if not url.endswith("/") and not is_pattern:
        return [url]
    try:
        # Imported here because a single file needs no search.
        from dlclint.remote.stores import attempted, files_of

        files, path = files_of(url)
        limit = seconds() * 10  # a listing is many requests
        if is_pattern:
            paths = attempted(urls.public_address(url), limit, files, "glob", path)
        else:
            paths = attempted(urls.public_address(url), limit, files, "find", path, DEPTH)
    except ImportError as error:
        raise not_installed(scheme, error) from None
    endings = tuple(suffixes)
    start = url[: urls.GLOB.search(url).start()].rpartition("/")[0] if is_pattern else url.rstrip("/")  # type: ignore[union-attr]
    addresses = {_with_scheme(str(files.unstrip_protocol(name)), scheme) for name in paths}
    within = sorted(
        address for address in addresses if address.lower().endswith(endings) and _is_within(address, start)
    )
    if not within:
        raise RemoteError(
            f"{urls.public_address(url)}: no model is there",
            "check the address; that of a folder ends with /",
        )
    return within


def _with_scheme(address: str, scheme: str) -> str:
    """An address with the requested scheme, for which its store may use another name."""
    own, _, rest = address.partition("://")
    return f"{scheme}://{rest}" if {own, scheme} in ({"gs", "gcs"}, {"az", "abfs"}) else address


def _is_within(address: str, start: str) -> bool:
    """Whether a link of a listing stays below the requested folder."""
    return ".." not in PurePosixPath(address).parts and address.startswith(f"{start}/")


def look_ahead(url: str) -> None:
    """Start to open a model at a single address, and to look for the override file next to it."""
    if urls.is_whole(url) and not urls.GLOB.search(url.partition("?")[0]):
        open_ahead(url, HEAD)
        open_ahead(urls.overrides_beside(url), 1, _LOOK)


def there(addresses: Iterable[str]) -> set[str]:
    """Those of the addresses at which a file exists."""

    def look(url: str) -> bool:
        try:
            opened(url, 1, min(seconds(), _LOOK)).close()
        except RemoteError:
            return False  # the same problem stops the model, which reports it
        return True

    every = list(addresses)
    exists = all_at_once([partial(look, url) for url in every], _PROBES)
    return {url for url, is_there in zip(every, exists, strict=True) if is_there}
