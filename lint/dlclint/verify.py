"""Proof by running: whether two models compute the same, with ONNX Runtime on random inputs.

ONNX Runtime is optional (the extra `verify`). Both models run without graph optimizations, one after the
other, on inputs from `dlclint.feeds`.
"""

from __future__ import annotations

import enum
import importlib.util
import os
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from dlclint.contained.deaths import Died
from dlclint.contained.guard import Ended, call, spot
from dlclint.contained.process import in_worker
from dlclint.feeds import KINDS, Feed, Feeds, NoFeed, Scene, joined_batches
from dlclint.model.dimensions import Dimensions
from dlclint.model.graph import Graph, Model, Node
from dlclint.model.op_facts import MOVES_ONE, RANDOM, SHAPE_READERS
from dlclint.model.reading import Unreadable, parse, read
from dlclint.model.tensors import Array
from dlclint_schemas.record import record

RELATIVE = {"float64": 1e-8, "float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
"""Allowed difference by element type, relative to the output's largest magnitude.

Reordering the sums of a deep network changes float32 results by about 1e-5 of their size; each limit is about
ten times the effect of reordering at that precision (its machine epsilon times a thousand).
"""
ROUNDS = 2
_MUCH = 10
"""An output moves if it differs between runs by this many times the allowed difference between the models."""
_OTHER_SCENES = 2
"""The number of other sizes of a kind that are tried until one runs."""
_RUNTIME = "ONNX Runtime"
_SECONDS = 2.5
"""Processor time that a run may take, beyond what the weights allow."""
_SECONDS_PER_BYTE = 2e-6
"""The additional time for each byte of weights: two seconds per megabyte, about fifty times a convolution's.
"""
_PATIENCE = 10
"""Where the user requests the comparison, it may take this many times as long."""
_ACTIVATIONS = 768 << 20
"""Bytes that a run may take, beyond what the weights allow."""
_STACK = 16 << 20
"""Bytes that each of ONNX Runtime's threads reserves at most."""
_Limits = tuple[float, int]
_MEMORY = 3
"""The number of copies of a model's weights that ONNX Runtime holds at most while it loads the model."""
_BOUNDED = ("Sigmoid", "Tanh", "Erf")
"""Functions whose results are rounded relative to 1, however small they are."""
_ROUNDING_OF_ONE = {"float64": 1e-14, "float32": 1e-6, "float16": 1e-3, "bfloat16": 1e-2}
"""Differences up to this are rounding errors of such a result: a few machine epsilons."""


class ComparisonResult(enum.Enum):
    """The result of running both models."""

    EQUAL = "equal"
    """Every output agrees within the tolerance."""
    DIFFERENT = "different"
    """An output differs by more, or is missing."""
    UNKNOWN = "unknown"
    """Nothing was compared; the reason states why."""


@record
class Difference:
    """One output: its largest difference over all runs, absolute and relative to its magnitude."""

    output: str
    absolute: float
    relative: float
    allowed: float
    """Largest relative difference that rounding explains; 0 for integers and truth values."""
    moves: bool = True
    """Whether the output depends on no input, or moves with the inputs that were tried. The agreement of an
    output that does not, such as a saturated one, proves nothing.
    """

    @property
    def within(self) -> bool:
        """Whether the outputs agree."""
        return self.relative <= self.allowed


@record
class Verification:
    """The verdict, its reason where there is one, and the outputs that were compared."""

    verdict: ComparisonResult
    reason: str = ""
    outputs: tuple[Difference, ...] = ()
    runs: int = 0


class _CannotRun(Exception):
    """A model did not run; the argument states why in one line."""


def is_available() -> bool:
    """Whether ONNX Runtime is installed."""
    return importlib.util.find_spec("onnxruntime") is not None


def verify(
    original: Path,
    changed: Path,
    force: bool = False,
    rounds: int = ROUNDS,
    dimensions: Dimensions | None = None,
    asked: Dimensions | None = None,
) -> Verification:
    """Run both models on the same inputs and compare outputs by name.

    An input that only the original has is ignored; a missing output is a difference. Where the changed
    model's batch is 1 and the original's is open or larger, the original runs with several samples and the
    changed model once for each. Dimensions that are open in both get two sizes.

    Args:
        force: run even where the models seem too large for the free memory.
        rounds: the number of random inputs; more are drawn where outputs hardly move, and for a second size.
        dimensions: sizes of inputs whose dimensions are open in the models.
        asked: sizes that the user gave the changed model.
    """
    if not is_available():
        return Verification(
            ComparisonResult.UNKNOWN, "ONNX Runtime is not installed (pip install 'dlclint[verify]')"
        )
    try:
        return in_worker(_verified, original, changed, force, rounds, dimensions, asked)
    except Died as died:
        return Verification(ComparisonResult.UNKNOWN, f"the process that compares them {died}")


def _verified(
    original: Path,
    changed: Path,
    force: bool,
    rounds: int,
    dimensions: Dimensions | None,
    asked: Dimensions | None,
) -> Verification:
    try:
        before, after = read(original, dimensions), read(changed, dimensions)
    except Unreadable as problem:
        return Verification(ComparisonResult.UNKNOWN, problem.message)
    unfit = _unfit(before) or _unfit(after)
    if not unfit and not force:
        unfit = _too_large(before, original)
    if unfit:
        return Verification(ComparisonResult.UNKNOWN, unfit)
    missing = [name for name in before.graph.outputs if name not in after.graph.outputs]
    if missing:
        return Verification(ComparisonResult.DIFFERENT, f"output {missing[0]!r} is missing")
    try:
        feeds = Feeds(before, after, asked or Dimensions())
        return _compare(feeds, before.graph, original, changed, rounds, _limits(before, force))
    except (_CannotRun, NoFeed) as problem:
        return Verification(ComparisonResult.UNKNOWN, str(problem))


def _unfit(model: Model) -> str:
    for graph in model.graphs():
        for node in graph.nodes:
            if not node.domain and (node.op_type in RANDOM or _drops(node)):
                return f"the model draws random numbers ({node.op_type}), so no two runs agree"
    for name in model.graph.inputs:
        if model.graph.type_of(name) is None:
            return f"input {name!r} is not a tensor"
    return ""


def _drops(node: Node) -> bool:
    """Whether a Dropout is, or may be, in training mode."""
    if node.op_type != "Dropout" or not node.input(2):
        return False
    value = node.graph.small_value(node.input(2))
    return value is None or bool(value.any())


def _weight_bytes(model: Model) -> int:
    return sum(max(0, t.nbytes) for graph in model.graphs() for t in graph.initializers.values())


def _limits(model: Model, force: bool) -> _Limits:
    """The processor time (of all threads, in seconds) and the bytes of memory that each run may take."""
    weights = _weight_bytes(model)
    seconds = _SECONDS + weights * _SECONDS_PER_BYTE
    if force:
        return seconds * _PATIENCE, 0
    return seconds, _ACTIVATIONS + (os.cpu_count() or 1) * _STACK + 2 * _MEMORY * weights


def _too_large(model: Model, path: Path) -> str:
    weights = _weight_bytes(model)
    free = _free_memory()
    if free is not None and weights * _MEMORY > free:
        return (
            f"running it takes up to {weights * _MEMORY / 1e9:.1f} GB and {free / 1e9:.1f} GB are free "
            "(--verify tries anyway)"
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


def _compare(
    feeds: Feeds, graph: Graph, original: Path, changed: Path, rounds: int, limits: _Limits
) -> Verification:
    names = graph.outputs
    moved = _moved_by_inputs(graph)
    session = _Session(original, names, "the original", limits)
    runs = _expected(feeds, session, rounds)
    runs += _moving(feeds, session, graph, runs, moved)
    del session  # one model in memory at a time
    pairs_by_name: dict[str, list[tuple[Array, Array]]] = {name: [] for name in names}
    try:
        # The changed model must not fail by needing slightly more time than the original.
        patient = (2 * limits[0], limits[1])
        other = _Session(changed, names, "the changed model", patient)
        for run in runs:
            results = [other.run(feed) for feed in feeds.singles(run.feed, run.scene)]
            for position, name in enumerate(names):
                pairs_by_name[name] += joined_batches(
                    [outputs[position] for outputs in results], run.outputs[position]
                )
    except _CannotRun as problem:
        return Verification(ComparisonResult.DIFFERENT, str(problem))
    still = _still(graph, runs, moved)
    outputs = tuple(
        _difference(name, pairs, _is_bounded(graph, name), name not in still)
        for name, pairs in pairs_by_name.items()
    )
    different = [difference for difference in outputs if not difference.within]
    if different:
        reason = f"output {different[0].output!r} differs by {different[0].relative:.1e} of its size"
        return Verification(ComparisonResult.DIFFERENT, reason, outputs, len(runs))
    if not any(np.isfinite(value).any() for run in runs for value in _floats(run)):
        return Verification(ComparisonResult.UNKNOWN, "no output is a finite number", outputs, len(runs))
    if still and still == moved:
        reason = "no output moves with the inputs that were tried, so that they agree proves nothing"
        return Verification(ComparisonResult.UNKNOWN, reason, outputs, len(runs))
    return Verification(ComparisonResult.EQUAL, "", outputs, len(runs))


@record
class _Run:
    scene: Scene
    feed: Feed
    outputs: list[Array]


def _expected(feeds: Feeds, session: _Session, rounds: int) -> list[_Run]:
    """The results of the original: some rounds with sizes that it takes, and one with others."""
    scenes = feeds.scenes()
    runs: list[_Run] = []
    for scene in scenes:
        try:
            runs = [_ran(session, feeds, scene, seed) for seed in range(rounds)]
        except _CannotRun:
            if scene == scenes[-1]:
                raise
            continue
        break
    for scene in _others(runs[0].scene, scenes):
        try:
            return [*runs, _ran(session, feeds, scene, rounds)]
        except _CannotRun:
            continue
    return runs


def _others(first: Scene, scenes: Sequence[Scene]) -> list[Scene]:
    """Other sizes to try, preferably those where all differ; a batch of 1 shows nothing."""
    rest = [scene for scene in scenes if scene.batch > 1 or first.batch == 1]
    both = [scene for scene in rest if scene.batch != first.batch and scene.size != first.size]
    batch = [scene for scene in rest if scene.batch != first.batch and scene.size == first.size]
    size = [scene for scene in rest if scene.batch == first.batch and scene.size != first.size]
    return [scene for group in (both, batch, size) for scene in group[:_OTHER_SCENES]]


def _moving(
    feeds: Feeds, session: _Session, graph: Graph, runs: Sequence[_Run], moved: frozenset[str]
) -> list[_Run]:
    """More runs, on other values, where outputs hardly move and these values move them."""
    moving: list[_Run] = []
    for kind in KINDS[1:]:
        still = _still(graph, [*runs, *moving], moved)
        if not still:
            break
        try:
            more = [_ran(session, feeds, runs[0].scene, len(runs) + each, kind) for each in range(2)]
        except _CannotRun:
            continue
        if still - _still(graph, more, moved):
            moving += more
    return moving


def _ran(session: _Session, feeds: Feeds, scene: Scene, seed: int, kind: str = KINDS[0]) -> _Run:
    feed = feeds.draw(scene, seed, kind)
    return _Run(scene, feed, session.run(feed))


def _floats(run: _Run) -> Iterator[Array]:
    for value in run.outputs:
        yield value if value.dtype.kind == "f" else np.zeros(1)


def _still(graph: Graph, runs: Sequence[_Run], moved: frozenset[str]) -> frozenset[str]:
    """The outputs that depend on the inputs and hardly move with them."""
    return frozenset(
        name
        for position, name in enumerate(graph.outputs)
        if name in moved and not _moves([run.outputs[position] for run in runs], _is_bounded(graph, name))
    )


def _moves(values: Sequence[Array], bounded: bool) -> bool:
    """Whether a value differs between runs by much more than rounding does."""
    for one, two in combinations(values, 2):
        if one.shape != two.shape or one.dtype.kind in "OUS":
            continue
        allowed = RELATIVE.get(one.dtype.name, 0.0)
        with np.errstate(all="ignore"):
            gap = np.abs(one.astype(np.float64) - two.astype(np.float64))
            finite = np.abs(one[np.isfinite(one)].astype(np.float64))
        size = 1.0 if bounded else float(finite.max(initial=0.0))
        if float(gap[np.isfinite(gap)].max(initial=0.0)) > _MUCH * allowed * size:
            return True
    return any(value.dtype.kind in "OUS" for value in values)


def _moved_by_inputs(graph: Graph) -> frozenset[str]:
    """The outputs that depend on more than the shapes of inputs and stored tensors."""
    moved, pending = set(graph.inputs), list(graph.inputs)
    while pending:
        for node in graph.consumers(pending.pop()):
            if node.op_type in SHAPE_READERS and not node.domain:
                continue
            outer: Node | None = node
            while outer is not None:
                new = [name for name in outer.outputs if name and name not in moved]
                moved.update(new)
                pending += new
                outer = _owner(outer.graph)
    return frozenset(name for name in graph.outputs if name in moved)


def _owner(graph: Graph) -> Node | None:
    """The node whose body a graph is."""
    if graph.parent is None:
        return None
    return next((node for node in graph.parent.nodes if graph in node.subgraphs), None)


class _Session:
    """A model in ONNX Runtime."""

    def __init__(self, path: Path, names: tuple[str, ...], whose: str, limits: _Limits) -> None:
        # Imported here because it is optional, and takes longer to import than a small model takes to fix.
        import onnxruntime as ort

        self._names, self._whose, self._limits = names, whose, limits
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        # Packed copies of the weights would speed up only many runs.
        options.add_session_config_entry("session.disable_prepacking", "1")
        try:
            source = str(path) if path.suffix.lower() == ".onnx" else parse(path)[0].SerializeToString()
            self._session: Any = call(
                _RUNTIME,
                ort.InferenceSession,
                source,
                options,
                providers=["CPUExecutionProvider"],
                where=whose,
                limits=limits,
            )
        except Exception as error:  # ONNX Runtime has a separate class for each status
            raise self._problem(error) from None

    def _problem(self, error: Exception) -> _CannotRun:
        said = " ".join(str(error).split())[:300]
        why = f"{_RUNTIME} {said} on it" if isinstance(error, Ended) else said
        return _CannotRun(f"{self._whose} does not run: {why}")

    def run(self, feed: Feed) -> list[Array]:
        """The outputs for one feed."""
        try:
            results: list[Any] = call(
                _RUNTIME,
                self._session.run,
                list(self._names),
                dict(feed),
                op=self._whose,
                where=spot(*(f"{name} {value.shape}" for name, value in feed.items())),
                limits=self._limits,
            )
        except Exception as error:  # the same
            raise self._problem(error) from None
        for name, value in zip(self._names, results, strict=True):
            if not isinstance(value, np.ndarray):
                raise _CannotRun(f"output {name!r} is not a tensor")
        return results


def _is_bounded(graph: Graph, name: str) -> bool:
    """Whether an output is that of a bounded function, possibly after moving or casting its values."""
    while True:
        node = graph.producer(name)
        if node is None or node.domain or node.op_type not in (*_BOUNDED, "Cast", *MOVES_ONE):
            return False
        if node.op_type in _BOUNDED:
            return True
        name = node.input(0)


def _difference(name: str, pairs: list[tuple[Array, Array]], bounded: bool, moves: bool) -> Difference:
    absolute = relative = 0.0
    allowed = 0.0
    for expected, actual in pairs:
        if expected.shape != actual.shape or expected.dtype != actual.dtype:
            return Difference(name, float("inf"), float("inf"), 0.0, moves)
        if expected.dtype.kind in "OUS":
            off = float((expected != actual).any())
            absolute, relative = max(absolute, off), max(relative, off)
            continue
        allowed = RELATIVE.get(expected.dtype.name, 0.0)
        with np.errstate(all="ignore"):
            one, two = expected.astype(np.float64), actual.astype(np.float64)
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
    return Difference(name, absolute, relative, allowed, moves)
