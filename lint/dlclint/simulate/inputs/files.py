"""Inputs from files: SNPE's input_list.txt with raw files, .npy, .npz, and folders of them."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from dlclint.diagnostic import counted, plain
from dlclint.model.graph import Graph
from dlclint.model.tensors import Array
from dlclint.model.types import TensorType
from dlclint.simulate.inputs.samples import BadInput, Sample, Samples, checked, dtype_of, input_types

ENDINGS = (".raw", ".bin", ".npy", ".npz")
_LARGEST = 1 << 33
"""Bytes above which a file is not accepted as one input."""


def from_path(path: Path, graph: Graph, layouts: Mapping[str, str]) -> Samples:
    """The samples that a path names.

    Args:
        path: an input list (.txt), a .npy or .npz file, or a folder of .npy, .npz or raw files.
        graph: the model's main graph.
        layouts: of inputs of rank 4, `nchw` or `nhwc`, by name.

    Raises:
        BadInput: a file is missing, or cannot be used.
    """
    reader = _Reader(input_types(graph), layouts)
    if path.is_dir():
        return reader.folder(path)
    if not path.is_file():
        raise BadInput(f"{plain(str(path))} does not exist; give an input list, .npy, .npz or a folder")
    if path.suffix.lower() in (".npy", ".npz"):
        return Samples(plain(path.name), tuple(reader.arrays(path)))
    if path.suffix.lower() in (".raw", ".bin"):
        return Samples(
            plain(path.name), (partial(reader.sample, {reader.only(path): path}, plain(path.name)),)
        )
    return reader.listed(path)


class _Reader:
    def __init__(self, types: Mapping[str, TensorType], layouts: Mapping[str, str]) -> None:
        self.types = types
        self.layouts = layouts

    def only(self, path: Path) -> str:
        """The only input of the model, for a file without a name."""
        if len(self.types) != 1:
            names = ", ".join(map(plain, self.types))
            raise BadInput(
                f"{plain(str(path))} names no input, and the model has {len(self.types)} ({names}): give an"
                " .npz file with their names, or an input list with name:=path"
            )
        return next(iter(self.types))

    def folder(self, path: Path) -> Samples:
        """Every file of a folder, in the order of their names."""
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in ENDINGS)
        if not files:
            raise BadInput(f"no .npy, .npz or .raw file in folder {plain(str(path))}")
        sources: list[Callable[[], Sample]] = []
        for file in files:
            if file.suffix.lower() in (".npy", ".npz"):
                sources += self.arrays(file)
            else:
                sources.append(partial(self.sample, {self.only(file): file}, plain(file.name)))
        return Samples(f"folder {plain(path.name)}", tuple(sources))

    def arrays(self, path: Path) -> list[Callable[[], Sample]]:
        """The samples of a .npy or .npz file: one, or as many as its first axis has beyond the model's."""
        shown = plain(path.name)
        if path.suffix.lower() == ".npy":
            shapes = {self.only(path): _mapped(path).shape}
        else:
            shapes = {name: values.shape for name, values in _archive(path).items()}
        names = list(shapes)
        self._same_names(names, shown)
        counts = {name: self._stacked(name, shape) for name, shape in shapes.items()}
        count = max(counts.values(), default=1)
        if any(number not in (1, count) for number in counts.values()):
            raise BadInput(f"{shown}: its inputs have different numbers of samples")
        return [partial(self._from_arrays, path, position, counts) for position in range(count)]

    def _same_names(self, names: list[str], shown: str) -> None:
        missing = [name for name in self.types if name not in names]
        odd = [name for name in names if name not in self.types]
        if missing:
            have = ", ".join(map(plain, names)) or "nothing"
            raise BadInput(f"{shown} lacks input {plain(missing[0])}; it holds {have}")
        if odd:
            known = ", ".join(map(plain, self.types))
            raise BadInput(f"{shown}: the model has no input {plain(odd[0])}; it has {known}")

    def _stacked(self, name: str, shape: tuple[int, ...]) -> int:
        """How many samples an array holds: one, unless only its first axis is longer than the model's."""
        declared = self.types[name].shape or ()
        if len(shape) == len(declared) + 1 and declared:
            return shape[0]
        if len(shape) == len(declared) and declared and declared[0] == 1:
            return max(shape[0], 1)
        return 1

    def _from_arrays(self, path: Path, position: int, counts: Mapping[str, int]) -> Sample:
        sample = {}
        for name, kind in self.types.items():
            whole = _mapped(path) if path.suffix.lower() == ".npy" else _archive(path)[name]
            declared = kind.shape or ()
            if counts[name] > 1 or len(whole.shape) == len(declared) + 1:
                whole = (
                    whole[position] if len(whole.shape) > len(declared) else whole[position : position + 1]
                )
            where = f"{plain(path.name)}" + (f", sample {position}" if max(counts.values()) > 1 else "")
            sample[name] = checked(name, np.asarray(whole), kind, self.layouts.get(name, "nchw"), where)
        return sample

    def listed(self, path: Path) -> Samples:
        """The samples of an input list, one per line."""
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{plain(str(path))} is not an input list: {_first(error)}") from None
        sources: list[Callable[[], Sample]] = []
        notes: list[str] = []
        for number, line in enumerate(lines, 1):
            words = line.split()
            if not words:
                continue
            if line[0] in "#%":
                # Lines that select outputs come first; all outputs are measured anyway.
                notes.append(f"{plain(path.name)} line {number} chooses outputs; every output is measured")
                continue
            where = f"{plain(path.name)} line {number}"
            sources.append(partial(self.sample, self._named(words, path.parent, where), where))
        if not sources:
            raise BadInput(f"{plain(str(path))} names no inputs")
        return Samples(plain(path.name), tuple(sources), notes=tuple(notes))

    def _named(self, words: list[str], folder: Path, where: str) -> dict[str, Path]:
        named: dict[str, Path] = {}
        bare = [word for word in words if ":=" not in word]
        if bare and len(bare) != len(words):
            raise BadInput(
                f"{where}: {plain(bare[0])} names no input and others do; write name:=path for all"
            )
        if bare and len(bare) != len(self.types):
            raise BadInput(
                f"{where} has {counted(len(bare), 'file')} and the model {counted(len(self.types), 'input')}"
                f" ({', '.join(map(plain, self.types))})"
            )
        pairs = zip(self.types, bare, strict=True) if bare else (word.split(":=", 1) for word in words)
        for name, text in pairs:
            if name not in self.types:
                known = ", ".join(map(plain, self.types))
                raise BadInput(f"{where}: the model has no input {plain(name)}; it has {known}")
            if name in named:
                raise BadInput(f"{where} gives input {plain(name)} twice")
            file = folder / text
            if not file.is_file():
                # The tools resolve paths in their working folder; a list next to its files is resolved there.
                file = Path(text)
            if not file.is_file():
                raise BadInput(f"{where} names {plain(text)}, which does not exist")
            named[name] = file
        missing = [name for name in self.types if name not in named]
        if missing:
            raise BadInput(f"{where} gives no file for input {plain(missing[0])}")
        return named

    def sample(self, named: Mapping[str, Path], where: str) -> Sample:
        """One sample of files by input."""
        arrays = {}
        for name, file in named.items():
            shown = f"{where} ({plain(file.name)})"
            if file.suffix.lower() == ".npy":
                values, layout = np.asarray(_mapped(file)), self.layouts.get(name, "nchw")
            else:
                values, layout = self._raw(name, file, shown)
            arrays[name] = checked(name, values, self.types[name], layout, shown)
        return arrays

    def _raw(self, name: str, file: Path, where: str) -> tuple[Array, str]:
        """The numbers of a raw file in the shape that its layout has."""
        kind = self.types[name]
        shape = kind.static_shape
        if shape is None:
            raise BadInput(f"input {plain(name)} is {kind}: a raw file has no shape, give its sizes with -d")
        layout = self.layouts.get(name, "")
        plain_axes = len(shape) != 4 or shape[1] == 1 or shape[2] == shape[3] == 1
        if not layout and not plain_axes:
            raise BadInput(
                f"input {plain(name)} is {kind}, and a raw file does not tell its layout: pass"
                f" --input-layout {plain(name)} nhwc (as the SNPE tools read it) or nchw"
            )
        size, count = file.stat().st_size, math.prod(shape)
        own = dtype_of(kind)
        types = [own] if own.kind != "f" else []
        for dtype in (*types, np.dtype(np.float32), *([own] if not types else [])):
            if size == count * dtype.itemsize and size <= _LARGEST:
                values = np.fromfile(file, dtype)
                if layout == "nhwc" and len(shape) == 4:
                    return values.reshape(shape[0], shape[2], shape[3], shape[1]), layout
                return values.reshape(shape), "nchw"
        raise BadInput(
            f"{where}: input {plain(name)} is {kind}, {count * 4} bytes as float32, and the file has {size}"
        )


def _mapped(path: Path) -> Array:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{plain(path.name)} is not an .npy file of numbers: {_first(error)}") from None
    return np.asarray(array)


def _archive(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as loaded:
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise BadInput(f"{plain(path.name)} is not an .npz file of numbers: {_first(error)}") from None


def _first(error: Exception) -> str:
    return plain(str(error).splitlines()[0] if str(error) else type(error).__name__, 200)
