"""External tensor data: where it may lie, and what is wrong with a location that may not be used."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx

from dlclint_schemas.record import record


@record
class ExternalData:
    """A resolved location: file, byte offset and size."""

    file: Path
    offset: int
    size: int


class ExternalDataMissing(Exception):
    """The file is not there, is no regular file, or is shorter than declared."""


class ExternalDataEscapes(Exception):
    """The location leads out of the model's folder."""


def resolve(tensor: onnx.TensorProto, folder: Path, expected: int) -> ExternalData:
    """Resolve a tensor's external location, never leaving `folder`.

    Args:
        tensor: a tensor whose data_location is EXTERNAL.
        folder: the folder of the model file.
        expected: bytes that the tensor's type and dimensions ask for, used where no length is given.

    Raises:
        ExternalDataEscapes: absolute path, `..`, drive letter, or a symbolic link leading out.
        ExternalDataMissing: no file, or fewer bytes in it than declared.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if not location or "\0" in location:
        raise ExternalDataMissing("the tensor is external but names no location")
    parts = PurePosixPath(location.replace("\\", "/"))
    if parts.is_absolute() or PureWindowsPath(location).drive or ".." in parts.parts:
        raise ExternalDataEscapes(f"location {location!r} leads out of the model's folder")
    file = folder / parts
    try:
        offset = int(entries.get("offset") or 0)
        length = int(entries.get("length") or expected)
    except ValueError:
        raise ExternalDataMissing("offset or length is no number") from None
    try:
        resolved = file.resolve()
        if not resolved.is_relative_to(folder.resolve()):
            raise ExternalDataEscapes(f"location {location!r} is a link that leads out of the model's folder")
        if not resolved.is_file():
            raise ExternalDataMissing(f"{location!r} is not beside the model")
        available = resolved.stat().st_size
    except OSError as error:
        raise ExternalDataMissing(f"{location!r} cannot be read: {error.strerror}") from None
    if offset < 0 or length < 0 or offset + length > available:
        raise ExternalDataMissing(
            f"{location!r} holds {available} bytes, bytes {offset} to {offset + length} are declared"
        )
    return ExternalData(resolved, offset, length)
