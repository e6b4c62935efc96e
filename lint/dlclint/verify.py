"""Proof by running: whether two models compute the same, asked of ONNX Runtime on random inputs.

ONNX Runtime is optional (`dlclint[verify]`). Both models run without graph optimizations, one after
the other, on inputs of the shapes that the changed model declares.
"""

from __future__ import annotations

import enum
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from dlclint.model.dimensions import Dimensions
from dlclint.model.graph import Graph, Model, Node
from dlclint.model.op_facts import MOVES_ONE, RANDOM
from dlclint.model.reading import Unreadable, parse, read
from dlclint.model.tensors import Array
from dlclint.model.types import TensorType
from dlclint_schemas.record import record

RELATIVE = {"float64": 1e-8, "float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
"""Allowed difference by element type, as a part of the output's largest magnitude.

Reordering the sums of a deep network changes float32 results by some 1e-5 of their size; each limit
is about ten times what reordering does at that precision (its machine epsilon times a thousand).
"""
ROUNDS = 2
_SIZES = (16, 8, 32, 64, 128, 224, 1)
"""Tried one after the other for dimensions that the changed model leaves open."""
_BATCHES = (2, 4, 8, 16, 32, 3, 64)
"""Tried where the original's batch is open and it does not run with 1."""
_MEMORY = 3
"""ONNX Runtime holds a model's weights up to this many times while it loads it."""
_PASSES_INDICES = MOVES_ONE | {"Cast"}
_BOUNDED = ("Sigmoid", "Tanh", "Erf")
"""Functions whose results are rounded as parts of 1, however small they come out."""
_ROUNDING_OF_ONE = {"float64": 1e-14, "float32": 1e-6, "float16": 1e-3, "bfloat16": 1e-2}
"""Differences up to this are rounding in such a result: a few machine epsilons."""


class Verdict(enum.Enum):
    """What running both models told."""

    EQUAL = "equal"
    """Every output agrees within the tolerance."""
    DIFFERENT = "different"
    """An output differs by more, or is missing."""
    UNKNOWN = "unknown"
    """Nothing was compared; the reason says why."""


@record
class Difference:
    """One output: its largest difference over all runs, absolute and as a part of its magnitude."""

    output: str
    absolute: float
    relative: float
    allowed: float
    """Largest relative difference that rounding explains; 0 for integers and truth values."""

    @property
    def within(self) -> bool:
        """Whether the outputs agree."""
        return self.relative <= self.allowed


@record
class Verification:
    """The verdict, its reason where there is one, and the outputs that were compared."""

    verdict: Verdict
    reason: str = ""
    outputs: tuple[Difference, ...] = ()
    runs: int = 0


class _CannotRun(Exception):
    """A model did not run; the argument says why in one line."""


def is_available() -> bool:
    """Whether ONNX Runtime is installed."""
    return importlib.util.find_spec("onnxruntime") is not None


def verify(
    original: Path,
    changed: Path,
    force: bool = False,
    rounds: int = ROUNDS,
    dimensions: Dimensions | None = None,
) -> Verification:
    """Run both models on the same inputs and compare outputs by name.

    An input or output that only the original has is left alone, except that a missing output is a
    difference. Where the changed model's batch is 1 and the original's is a larger number, the
    changed model runs once for each sample.

    Args:
        force: run even where the models seem too large for the free memory.
        rounds: how many random inputs.
        dimensions: sizes that inputs are given where the models leave them open.
    """
    if not is_available():
        return Verification(Verdict.UNKNOWN, "ONNX Runtime is not installed (pip install dlclint[verify])")
    try:
        before, after = read(original, dimensions), read(changed, dimensions)
    except Unreadable as problem:
        return Verification(Verdict.UNKNOWN, problem.message)
    unfit = _unfit(before) or _unfit(after)
    if not unfit and not force:
        unfit = _too_large(before, original)
    if unfit:
        return Verification(Verdict.UNKNOWN, unfit)
    missing = [name for name in before.graph.outputs if name not in after.graph.outputs]
    if missing:
        return Verification(Verdict.DIFFERENT, f"output {missing[0]!r} is missing")
    try:
        return _compare(before, after, original, changed, rounds)
    except _CannotRun as problem:
        return Verification(Verdict.UNKNOWN, str(problem))


def _unfit(model: Model) -> str:
    for graph in model.graphs():
        for node in graph.nodes:
            if not node.domain and (node.op_type in RANDOM or _drops(node)):
                return f"the model draws random numbers ({node.op_type}), so no two runs agree"
    for name in model.graph.inputs:
        if model.graph.type_of(name) is None:
            return f"input {name!r} is no tensor"
    return ""


def _drops(node: Node) -> bool:
    """Whether a Dropout is, or may be, in training mode."""
    if node.op_type != "Dropout" or not node.input(2):
        return False
    value = node.graph.small_value(node.input(2))
    return value is None or bool(value.any())


def _too_large(model: Model, path: Path) -> str:
    weights = sum(max(0, t.nbytes) for graph in model.graphs() for t in graph.initializers.values())
    free = _free_memory()
    if free is not None and weights * _MEMORY > free:
        return (
            f"running it takes up to {weights * _MEMORY / 1e9:.1f} GB and {free / 1e9:.1f} GB are free "
            "(--verify tries all the same)"
        )
    return ""


def _free_memory() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _compare(before: Model, after: Model, original: Path, changed: Path, rounds: int) -> Verification:
    names = before.graph.outputs
    tries = [(batch, size) for size in _SIZES for batch in _batches(before, after)]
    if not _open(after):
        tries = tries[: len(tries) // len(_SIZES)]
    for batch, size in tries:
        feeds = [_inputs(before, after, size, seed, batch) for seed in range(rounds)]
        try:
            expected = _run(original, feeds, names)
        except _CannotRun as problem:
            if (batch, size) == tries[-1]:
                raise _CannotRun(f"the original does not run: {problem}") from None
            continue
        break
    wanted = set(after.graph.inputs)
    samples = [
        {name: value for name, value in sample.items() if name in wanted}
        for feed in feeds
        for sample in _split(feed, batch)
    ]
    try:
        results = _run(changed, samples, names)
    except _CannotRun as problem:
        return Verification(Verdict.DIFFERENT, f"the changed model does not run: {problem}")
    found = []
    for place, name in enumerate(names):
        pairs = []
        for index, outputs in enumerate(expected):
            parts = [item[place] for item in results[index * batch : (index + 1) * batch]]
            pairs.append((outputs[place], parts[0] if batch == 1 else _joined(parts, outputs[place])))
        found.append(_difference(name, pairs, _is_bounded(before.graph, name)))
    different = [item for item in found if not item.within]
    reason = "" if any(np.isfinite(v).any() for v in _floats(expected)) else "no output is a finite number"
    if different:
        reason = f"output {different[0].output!r} differs by {different[0].relative:.1e} of its size"
    verdict = Verdict.DIFFERENT if different else Verdict.UNKNOWN if reason else Verdict.EQUAL
    return Verification(verdict, reason, tuple(found), len(expected))


def _floats(runs: list[list[Array]]) -> Iterator[Array]:
    for outputs in runs:
        for value in outputs:
            yield value if value.dtype.kind == "f" else np.zeros(1)


def _batches(before: Model, after: Model) -> tuple[int, ...]:
    """How many samples of the changed model make one of the original: what to try."""
    sizes = set()
    is_open = False
    for name in after.graph.inputs:
        old, new = before.graph.type_of(name), after.graph.type_of(name)
        if old is None or new is None or not old.shape or not new.shape or new.shape[0] != 1:
            continue
        if isinstance(old.shape[0], int) and old.shape[0] > 1:
            sizes.add(old.shape[0])
        is_open |= not isinstance(old.shape[0], int)
    if len(sizes) > 1:
        raise _CannotRun("the inputs had different batches, which cannot be compared with batch 1")
    # A constant inside may hold a batch that the open dimension of the input does not tell.
    return tuple(sizes) or ((1, *_BATCHES) if is_open else (1,))


def _split(feed: Mapping[str, Array], batch: int) -> list[Mapping[str, Array]]:
    if batch == 1:
        return [feed]
    return [
        {n: v[i : i + 1] if v.ndim and v.shape[0] == batch else v for n, v in feed.items()}
        for i in range(batch)
    ]


def _joined(parts: list[Array], whole: Array) -> Array:
    """Outputs of single samples as one output of a batch; what has no batch must not differ at all."""
    if whole.ndim and whole.shape[0] == len(parts) * parts[0].shape[0]:
        return np.concatenate(parts)
    return parts[0]


def _open(model: Model) -> bool:
    found = [model.graph.type_of(name) for name in model.graph.inputs]
    return any(item is not None and item.static_shape is None for item in found)


def _inputs(before: Model, after: Model, size: int, seed: int, batch: int) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    feed = {}
    for name in before.graph.inputs:
        graph = after.graph if name in after.graph.inputs else before.graph
        found = graph.type_of(name)
        old = before.graph.type_of(name)
        assert found is not None and old is not None
        if found.shape is None:
            raise _CannotRun(f"input {name!r} has no shape")
        shape = [dim if isinstance(dim, int) else 1 if axis == 0 else size
                 for axis, dim in enumerate(found.shape)]  # fmt: skip
        if batch > 1 and old.shape and shape[0] == 1 and old.shape[0] != 1:
            shape[0] = batch
        feed[name] = _values(graph, name, found, shape, random, seed)
    return feed


def _values(
    graph: Graph, name: str, found: TensorType, shape: list[int], random: np.random.Generator, seed: int
) -> Array:
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(found.data_type)
    except (KeyError, ValueError):
        dtype = np.dtype(object)
    if min(shape, default=1) < 0:
        raise _CannotRun(f"input {name!r} has a negative dimension")
    if dtype.kind == "b":
        return np.asarray(random.random(shape) < 0.5)
    if dtype.kind in "iu":
        top = min((limit for limit in _index_limits(graph, name) if limit is not None), default=None)
        if top is not None:
            return random.integers(0, max(top, 1), shape).astype(dtype)
        return _mask(shape, random, seed).astype(dtype)
    if dtype.kind == "O":
        raise _CannotRun(f"input {name!r} is of a type that no values are drawn for ({found})")
    return np.asarray(random.standard_normal(shape, np.float32)).astype(dtype)


def _mask(shape: list[int], random: np.random.Generator, seed: int) -> Array:
    """Ones, and in the later runs zeros behind a random length: what attention masks look like."""
    ones = np.ones(shape, np.int64)
    if seed and shape and shape[-1] > 1:
        ones[..., random.integers(1, shape[-1]) :] = 0
    return ones


def _index_limits(graph: Graph, name: str) -> Iterator[int | None]:
    """The sizes of what a tensor picks from, where it picks rows of a table."""
    pending, seen = [name], {name}
    while pending:
        tensor = pending.pop()
        for node in graph.consumers(tensor):
            if node.op_type == "Gather" and node.input(1) == tensor:
                yield _size(node, node.attribute("axis", 0))
            elif node.op_type == "RoiAlign" and node.input(2) == tensor:
                yield _size(node, 0)
            elif node.op_type in _PASSES_INDICES and node.input(0) == tensor:
                for output in node.outputs:
                    if output not in seen:
                        seen.add(output)
                        pending.append(output)


def _size(node: Node, axis: int) -> int | None:
    found = node.graph.type_of(node.input(0))
    if found is None or found.shape is None or not -len(found.shape) <= axis < len(found.shape):
        return None
    dim = found.shape[axis]
    return dim if isinstance(dim, int) else None


def _run(path: Path, feeds: Sequence[Mapping[str, Array]], names: tuple[str, ...]) -> list[list[Array]]:
    # Imported here because it is optional, and takes longer than fixing a small model.
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    # Packed copies of the weights would only speed up many runs.
    options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        source = str(path) if path.suffix.lower() == ".onnx" else parse(path)[0].SerializeToString()
        session: Any = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        results = [session.run(list(names), dict(feed)) for feed in feeds]
    except Exception as error:  # ONNX Runtime raises a class of its own for each status
        raise _CannotRun(" ".join(str(error).split())[:300]) from None
    for outputs in results:
        for name, value in zip(names, outputs, strict=True):
            if not isinstance(value, np.ndarray):
                raise _CannotRun(f"output {name!r} is no tensor")
    return results


def _is_bounded(graph: Graph, name: str) -> bool:
    """Whether an output is that of a bounded function, at most put into another form."""
    while True:
        node = graph.producer(name)
        if node is None or node.domain or node.op_type not in (*_BOUNDED, *_PASSES_INDICES):
            return False
        if node.op_type in _BOUNDED:
            return True
        name = node.input(0)


def _difference(name: str, pairs: list[tuple[Array, Array]], bounded: bool) -> Difference:
    absolute = relative = 0.0
    allowed = 0.0
    for expected, found in pairs:
        if expected.shape != found.shape or expected.dtype != found.dtype:
            return Difference(name, float("inf"), float("inf"), 0.0)
        if expected.dtype.kind in "OUS":
            off = float((expected != found).any())
            absolute, relative = max(absolute, off), max(relative, off)
            continue
        allowed = RELATIVE.get(expected.dtype.name, 0.0)
        with np.errstate(all="ignore"):
            one, two = expected.astype(np.float64), found.astype(np.float64)
            # NaN and infinities agree where both have them.
            gap = np.where((one == two) | (np.isnan(one) & np.isnan(two)), 0.0, np.abs(one - two))
            gap = np.where(np.isnan(gap), np.inf, gap)
            if bounded:
                gap[gap <= _ROUNDING_OF_ONE.get(expected.dtype.name, 0.0)] = 0.0
            largest = float(gap.max(initial=0.0))
            finite = np.abs(one[np.isfinite(one)])
            size = float(finite.max(initial=0.0))
        absolute = max(absolute, largest)
        relative = max(relative, largest / size if size else (0.0 if largest == 0 else float("inf")))
    return Difference(name, absolute, relative, allowed)
