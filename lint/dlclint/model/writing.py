"""Writing a draft: whole or not at all, and without holding the weights in memory.

Bytes that the draft does not change are copied from the source file by the kernel. Unchanged external data
stay where they are if the output is in the folder of its source, and otherwise are copied into one new file
next to the output. A data file never takes the name of an existing file, and that of a replaced output is
removed last (`dlclint.model.superseded`), so that neither the source nor an older output can lose its data,
whenever the process ends.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import onnx

from dlclint.model import external
from dlclint.model.draft import Draft, tensors
from dlclint.model.protos import TensorField
from dlclint.model.tensors import Produced, Unavailable
from dlclint.model.text import restored
from dlclint.model.weaving import Inline, WovenPiece, external_fields, refer, referred, weave
from dlclint.model.wire import KEEP, Payload
from dlclint.writing import Temporary
from dlclint_schemas.record import record

INLINE_LIMIT = (2 << 30) - 1 - (16 << 20)
"""Bytes above which weights are written to a data file: protobuf serializes less than 2 GiB, and tools that
add to a model (inferred shapes, names) serialize it again.
"""
ALIGNMENT = 4096
"""External data start at page boundaries, so that they can be mapped (onnx.proto, external_data)."""
_COPY = 8 << 20


class CannotWrite(Exception):
    """The output cannot be written; the argument is one sentence for the user. Nothing was changed."""


@record
class Written:
    """What was written. `data` is the new file of external data, if there is one."""

    path: Path
    size: int
    data: Path | None = None


def write_model(
    draft: Draft, path: Path, accept: Callable[[Path], object] = lambda candidate: None
) -> Written:
    """Write a draft as a binary ONNX model.

    Args:
        draft: what to write; it is not changed.
        path: the output; it may be the draft's source.
        accept: called with the finished file under a temporary name in the output's folder, before it gets
            its name. If it raises, nothing remains of the output.

    Raises:
        CannotWrite: the folder or disk cannot be written, or the source changed since it was read.
        Exception: what `accept` raises.
    """
    refuse_other_than_files(path)
    _refuse_data_of(draft, path)
    try:
        _same_source(draft)
        plan = _Plan(draft, path)
        plan.settle()
        data = plan.data
        temporary = Temporary(path, ".onnx", claims=None if data is None else data.path)
        try:
            with _Sink(temporary.handle) as sink, _Source(draft.path) as source:
                if data is not None:
                    data.write(source, draft, temporary.claim)
                for piece in weave(plan.structure, plan.where):
                    sink.take(piece, draft, source)
            _same_source(draft)
            size = temporary.path.stat().st_size
            accept(temporary.path)
            _set_mode(temporary.path, path)
            gone = _superseded(draft, path, temporary.path)
            temporary.put(path)
            for file in gone:
                file.unlink(missing_ok=True)
            _sync_folder(path.parent)
        except BaseException:
            if data is not None and data.created:
                data.path.unlink(missing_ok=True)
            temporary.drop()
            raise
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror or error}") from None
    except Unavailable as problem:
        raise CannotWrite(f"cannot write {path}: {problem}") from None
    return Written(path, size, None if data is None else data.path)


def refuse_other_than_files(path: Path) -> None:
    """Check that the path is new or an ordinary file, which the output may replace.

    Raises:
        CannotWrite: something else has that name.
    """
    if path.is_symlink():
        raise CannotWrite(f"{path} is a symbolic link; name the file itself, or another output")
    if path.exists() and not path.is_file():
        # Replacing a device such as /dev/null by a file would take it from everyone.
        raise CannotWrite(f"{path} is not an ordinary file; name another output")


def _refuse_data_of(draft: Draft, path: Path) -> None:
    """Never overwrite the model's own external data with the model."""
    if not path.exists():
        return
    for _, tensor in tensors(draft.proto):
        if tensor.data_location == tensor.EXTERNAL:
            try:
                external_data = external.resolve_location(tensor, draft.path.parent)
            except external.FLAWS:
                continue
            if external_data.file.samefile(path):
                raise CannotWrite(f"{path} holds the model's own external data; name another output")


def _superseded(draft: Draft, path: Path, new: Path) -> list[Path]:
    """The data files that nothing refers to any more after the new model is written to `path`."""
    if not path.exists():
        return []
    # Imported here because few outputs are written twice.
    from dlclint.model.superseded import superseded

    return superseded(path, new, draft.path)


def _same_source(draft: Draft) -> None:
    status = draft.path.stat()
    if (status.st_size, status.st_mtime_ns) != draft.stamp:
        raise CannotWrite(f"{draft.path} changed while it was being worked on; start again")


class _Plan:
    """Decides for every large value whether it is written into the model or into a data file."""

    def __init__(self, draft: Draft, path: Path) -> None:
        self.draft = draft
        self.path = path
        self.data: _DataFile | None = None
        self.structure: bytes = b""
        self.moved: dict[int, bytes] = {}

    def settle(self) -> None:
        proto = onnx.ModelProto()
        proto.CopyFrom(self.draft.proto)
        contents = self.draft.contents
        elsewhere = self.path.parent.resolve() != self.draft.path.parent.resolve()
        used: set[int] = set()
        for _, tensor in tensors(proto):
            number = referred(tensor)
            if number is not None:
                used.add(number)
                if number in self.draft.outside:
                    self._move(number, contents[number])
            elif elsewhere and tensor.data_location == tensor.EXTERNAL:
                self._copy_external(tensor)
        self.structure = restored(proto.SerializeToString())
        if self._size(used) > INLINE_LIMIT:
            self._move_until_small(proto, used)

    def _size(self, used: Iterable[int]) -> int:
        inline = sum(_nbytes(self.draft.contents[number]) for number in used if number not in self.moved)
        return len(self.structure) + inline

    def _move_until_small(self, proto: onnx.ModelProto, used: set[int]) -> None:
        """Move out all initializers that can be raw bytes; a data file for half of a model is of no use."""
        kinds = {}
        for tensor in proto.graph.initializer:
            number = referred(tensor)
            if number is not None:
                kinds[number] = tensor.data_type
        for number, kind in kinds.items():
            content = self.draft.contents[number]
            if number not in self.moved and _is_raw(content, kind):
                self._move(number, content)
        if self._size(used) > INLINE_LIMIT:
            raise CannotWrite(
                "the model would exceed 2 GiB, and its weights are not stored as raw bytes; "
                "save it with external data first (onnx.save_model, save_as_external_data=True)"
            )

    def _move(self, number: int, content: Payload | Produced) -> None:
        if number not in self.moved:
            file = self._file()
            offset = file.add(content)
            self.moved[number] = external_fields(file.path.name, offset, _nbytes(content))

    def _copy_external(self, tensor: onnx.TensorProto) -> None:
        try:
            external_data = external.resolve_location(tensor, self.draft.path.parent)
        except external.FLAWS as error:
            raise CannotWrite(f"external data of {tensor.name!r} cannot be copied: {error}") from None
        file = self._file()
        offset = file.add(external_data)
        refer(tensor, 0)  # clears the reference to the old location
        del tensor.external_data[:]
        tensor.MergeFromString(external_fields(file.path.name, offset, external_data.size))

    def _file(self) -> _DataFile:
        if self.data is None:
            self.data = _DataFile(_fresh(self.path))
        return self.data

    def where(self, number: int) -> Inline | bytes:
        """See `weave`."""
        if number in self.moved:
            return self.moved[number]
        content = self.draft.contents[number]
        field = content.field if isinstance(content, Payload) else TensorField.RAW_DATA
        return Inline(field, _nbytes(content))


def _fresh(path: Path) -> Path:
    """A name for a data file next to `path` that no file has."""
    number = 0
    while True:
        candidate = path.with_name(f"{path.name}.data" if not number else f"{path.name}.{number}.data")
        if not os.path.lexists(candidate):
            return candidate
        number += 1


def _nbytes(content: Payload | Produced | external.ExternalData) -> int:
    return content.nbytes if isinstance(content, Produced) else content.size


def _is_raw(content: Payload | Produced, kind: int) -> bool:
    """Whether the bytes have the form of external data: little-endian, of fixed size."""
    if isinstance(content, Produced):
        return True
    if content.size <= KEEP:
        return False
    return (
        content.field == TensorField.RAW_DATA
        or (content.field == TensorField.FLOAT_DATA and kind == onnx.TensorProto.FLOAT)
        or (content.field == TensorField.DOUBLE_DATA and kind == onnx.TensorProto.DOUBLE)
    )


class _DataFile:
    """A file of external data, written before the model that refers to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.created = False
        self._parts: list[tuple[int, Payload | Produced | external.ExternalData]] = []
        self._places: dict[external.ExternalData, int] = {}
        self._end = 0

    def add(self, content: Payload | Produced | external.ExternalData) -> int:
        """The offset at which the content will be; the same external bytes are stored once."""
        if isinstance(content, external.ExternalData) and content in self._places:
            return self._places[content]
        offset = -(-self._end // ALIGNMENT) * ALIGNMENT
        self._parts.append((offset, content))
        self._end = offset + _nbytes(content)
        if isinstance(content, external.ExternalData):
            self._places[content] = offset
        return offset

    def write(self, source: _Source, draft: Draft, claim: Callable[[], None]) -> None:
        """Write the file, and call `claim` once it exists."""
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        self.created = True
        with _Sink(handle) as sink:
            claim()
            for offset, content in self._parts:
                sink.seek(offset)
                if isinstance(content, external.ExternalData):
                    with _Source(content.file) as other:
                        sink.copy(other, content.offset, content.size)
                else:
                    sink.put(content, source)


class _Source:
    """A file that bytes are copied from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handle = -1

    def __enter__(self) -> _Source:
        self.handle = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.handle)


class _Sink:
    """A file to write, flushed to the disk when it is closed."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self._kernel_copies = hasattr(os, "copy_file_range")

    def __enter__(self) -> _Sink:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                os.fsync(self.handle)
        finally:
            os.close(self.handle)

    def seek(self, offset: int) -> None:
        os.lseek(self.handle, offset, os.SEEK_SET)

    def take(self, piece: WovenPiece, draft: Draft, source: _Source) -> None:
        if isinstance(piece, bytes):
            self.write(memoryview(piece))
        else:
            self.put(draft.contents[piece], source)

    def put(self, content: Payload | Produced, source: _Source) -> None:
        if isinstance(content, Payload):
            self.copy(source, content.offset, content.size)
            return
        left = content.nbytes
        for part in content.pieces():
            # Rows of a large piece, so that an array that is not contiguous is copied in parts.
            rows = max(1, len(part) * _COPY // max(part.nbytes, 1)) if part.ndim else 1
            for start in range(0, len(part) if part.ndim else 1, rows):
                block = part[start : start + rows] if part.ndim else part
                body = memoryview(block.astype(block.dtype.newbyteorder("<"), copy=False).tobytes())
                self.write(body)
                left -= len(body)
        if left:
            raise CannotWrite(f"values of {content.nbytes} bytes came out {left} bytes short")

    def write(self, body: memoryview) -> None:
        while body:
            body = body[os.write(self.handle, body[:_COPY]) :]

    def copy(self, source: _Source, offset: int, size: int) -> None:
        """Copy bytes from another file to the end of this one."""
        while size:
            done = self._copy_some(source, offset, min(size, 1 << 30))
            if done == 0:
                raise CannotWrite(f"{source.path} became shorter while it was copied; start again")
            offset += done
            size -= done

    def _copy_some(self, source: _Source, offset: int, size: int) -> int:
        if self._kernel_copies:
            try:
                done = os.copy_file_range(source.handle, self.handle, size, offset)
                if done:
                    return done
            except OSError as error:
                if error.errno not in _NO_KERNEL_COPY:
                    raise
            self._kernel_copies = False
        os.lseek(source.handle, offset, os.SEEK_SET)
        body = os.read(source.handle, min(size, _COPY))
        self.write(memoryview(body))
        return len(body)


def _numbers(*names: str) -> frozenset[int]:
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


_NO_KERNEL_COPY = _numbers("EXDEV", "EINVAL", "ENOSYS", "EOPNOTSUPP", "EPERM", "ETXTBSY", "EBADF")
"""What copy_file_range returns where a file system or an old kernel does not support it."""


def put_in_place(temporary: Path, path: Path) -> None:
    """Give a finished file its name, with the mode of the file that it replaces.

    Raises:
        OSError: from the file system; the old file, if any, is unchanged.
    """
    _set_mode(temporary, path)
    temporary.replace(path)
    _sync_folder(path.parent)


def _set_mode(temporary: Path, path: Path) -> None:
    """The mode of the replaced file, or that of any new file."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        mode = 0o666 & ~umask
    temporary.chmod(mode)


def _sync_folder(folder: Path) -> None:
    """Make the new name durable, where a folder can be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
