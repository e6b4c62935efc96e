"""Linting on a Dask cluster: jobs are sent in batches, and entries return in the order of completion.

Only as many batches are in progress as keep the workers busy, and results are passed on at once, so that
memory does not grow with the number of files. Dask repeats the batches of a worker that died, as often as its
scheduler allows (distributed.scheduler.allowed-failures; a local cluster: never). The batches that Dask gives
up are linted once more, file by file, so that no file is blamed for another.
"""

from __future__ import annotations

import logging
import queue
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from typing import Any

from dlclint.contained.deaths import Died
from dlclint.contained.standing import Beside
from dlclint.contained.worker import Reply
from dlclint.diagnostic import plain
from dlclint.engine.keeping import Asked, Asking, answered, entry_from
from dlclint.remote.images import remove_dead
from dlclint.version import __version__

LOCAL = "dask"
"""Means a cluster on this machine, started for the run."""
SCHEME = "dask://"
PORT = 8786
"""Dask's own default."""
SCRATCH = "dlclint-dask-"
"""Prefix of the folders in which local workers keep their files."""
_LOT = 32
"""Files of a batch: a batch costs a few milliseconds, and a small file as many."""
_LOTS_EACH = 8
"""Batches that each worker gets at least, so that all workers end at about the same time."""
_AHEAD = 2
"""Batches for each thread of a worker that are in progress at once."""
_LOOK = 1.0
"""Seconds without an answer after which the state of the cluster is checked."""
_SETTINGS = {
    # `Cluster.linted` tries lost batches again.
    "distributed.scheduler.allowed-failures": 0,
    # The logs and measurements for Dask's dashboard, which is not shown, take memory with each batch, and 5 %
    # of each processor. Each logged message to a worker keeps the jobs of its batch.
    "distributed.admin.low-level-log-length": 16,
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.tick.interval": "500ms",
    "distributed.worker.profile.enabled": False,
}
"""Settings of a local cluster."""
_CLOSING = 10.0
_CLOSING_ON_ERROR = 0.3
"""Seconds that closing may take; after Ctrl-C a command has one (`dlclint.contained.process`)."""
_TWICE = "was lost together with its Dask worker, and again when it was tried once more"


class ClusterError(Exception):
    """A cluster that cannot be used; the argument states why, and what to do."""


class _OtherVersion(Exception):
    """A worker has a different version of dlclint, which the argument names."""


class Cluster:
    """A Dask cluster, connected while the block runs."""

    def __init__(self, where: str, workers: int) -> None:
        """Name a cluster.

        Args:
            where: `LOCAL`, or `dask://HOST:PORT` of a scheduler.
            workers: how many a local cluster has.
        """
        self._where, self._workers = where, workers
        self._open = ExitStack()
        self._seconds = 30.0
        self._grace = _CLOSING_ON_ERROR
        self._idle = 0.0
        self._killed_worker: type[Exception] = ClusterError
        self.client: Any = None

    def __enter__(self) -> Cluster:
        try:
            self._connect()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._grace = _CLOSING
        self._open.close()

    def _connect(self) -> None:
        try:
            # Imported here because it is an extra, and takes longer than most files take to lint.
            import dask
            import distributed
        except ImportError:
            raise ClusterError("it needs Dask, which is not installed: pip install 'dlclint[zoo]'") from None
        self._killed_worker = distributed.KilledWorker
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is reported here
        self._seconds = float(
            dask.utils.parse_timedelta(dask.config.get("distributed.comm.timeouts.connect", "30s"))
        )
        if self._where == LOCAL:
            address: Any = self._made(dask, distributed)
        else:
            address = self._where.removeprefix(SCHEME)
            address = address if ":" in address.rpartition("]")[2] else f"{address}:{PORT}"
        try:
            with warnings.catch_warnings():
                # Different packages matter only where files are linted, which `_expect_workers` checks.
                warnings.simplefilter("ignore", distributed.versions.VersionMismatchWarning)
                connect: Any = distributed.Client
                self.client = connect(address, timeout=self._seconds, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"no Dask scheduler answers there within {self._seconds:g} s "
                f"({type(error).__name__}); check the address, or start one: dask scheduler"
            ) from None
        self._open.callback(self._close, self.client)
        self._expect_workers()

    def _made(self, dask: Any, distributed: Any) -> Any:
        """A cluster on this machine."""
        remove_dead(SCRATCH)
        folder = tempfile.mkdtemp(prefix=SCRATCH)
        self._open.callback(shutil.rmtree, folder, ignore_errors=True)
        self._open.enter_context(dask.config.set(_SETTINGS))
        cluster = distributed.LocalCluster(
            n_workers=self._workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,
            dashboard_address=":0",
            local_directory=folder,
            silence_logs=logging.CRITICAL,
        )
        self._open.callback(self._close, cluster)
        return cluster

    def _close(self, closable: Any) -> None:
        with suppress(Exception):  # workers end with this process too, and a scheduler may be gone
            closable.close(timeout=self._grace)

    def _expect_workers(self) -> None:
        """Check that there are workers, and that they have this version of dlclint."""
        try:
            self.client.wait_for_workers(1, timeout=self._seconds)
        except (TimeoutError, OSError):
            raise ClusterError(
                f"the scheduler has had no worker for {self._seconds:g} s; start some: dask worker"
            ) from None
        for worker, version in self.client.run(_version, on_error="return").items():
            if isinstance(version, BaseException):
                raise _cannot(worker, version)
            if version != __version__:
                raise _cannot(worker, _OtherVersion(version))

    @property
    def _threads(self) -> int:
        return sum(self.client.nthreads().values()) or 1

    def linted(self, asking: Asking) -> Iterator[tuple[int, bytes | None]]:
        """Number and entry of each job, in the order in which they are done.

        Raises:
            ClusterError: the scheduler or the workers are gone, or cannot lint.
        """
        lost: list[int] = []
        size = max(1, min(_LOT, len(asking) // (self._threads * _LOTS_EACH)))
        lots = (range(at, min(at + size, len(asking))) for at in range(0, len(asking), size))
        yield from self._each(asking, lots, self._threads * _AHEAD, lost)
        again = sorted(lost)
        twice: list[int] = []
        yield from self._each(asking, (range(number, number + 1) for number in again), 1, twice)
        for number in twice:
            yield number, entry_from(asking[number].job, Died(_TWICE))

    def _each(
        self, asking: Asking, lots: Iterator[range], window: int, lost: list[int]
    ) -> Iterator[tuple[int, bytes | None]]:
        """Numbers and entries of batches; the numbers of those that Dask gives up are added to `lost`."""
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        under_way: dict[Any, range] = {}
        while True:
            while len(under_way) < window and (lot := next(lots, None)) is not None:
                asked = [asking[number] for number in lot]
                future = self.client.submit(_lint_lot, asked, __version__, pure=False)
                under_way[future] = lot
                future.add_done_callback(done.put)
            if not under_way:
                return
            arrived = self._arrived(done)
            for future, entries in zip(arrived, self._gathered(arrived), strict=True):
                lot = under_way.pop(future)
                if entries is None:
                    lost += lot
                else:
                    yield from zip(lot, entries, strict=True)

    def _arrived(self, done: queue.SimpleQueue[Any]) -> list[Any]:
        """The batches that are done by now; waits for the first."""
        while True:
            try:
                arrived = [done.get(timeout=_LOOK)]
                break
            except queue.Empty:
                self._look()
        self._idle = 0.0
        with suppress(queue.Empty):
            while True:
                arrived.append(done.get_nowait())
        return arrived

    def _look(self) -> None:
        """Check that the scheduler and workers are still there."""
        if self.client.status not in ("running", "connecting"):
            raise self._gone()
        try:
            threads = self.client.nthreads()
        except (OSError, RuntimeError):
            raise self._gone() from None
        if threads:
            self._idle = 0.0
        elif not self._idle:
            self._idle = time.monotonic()
        elif time.monotonic() - self._idle > self._seconds:
            raise ClusterError(f"all workers are gone, and none came within {self._seconds:g} s")

    def _gathered(self, futures: list[Any]) -> list[list[bytes | None] | None]:
        """The entries of the batches; None for those whose workers died.

        Raises:
            ClusterError: one failed in another way, which is not due to its files.
        """
        try:
            results: list[list[bytes | None] | None] = self.client.gather(futures)
            return results
        except Exception:  # each is asked for its own result
            return [self._result(future) for future in futures]

    def _result(self, future: Any) -> list[bytes | None] | None:
        try:
            entries: list[bytes | None] = future.result()
            return entries
        except self._killed_worker:
            return None
        except (CancelledError, TimeoutError):
            raise self._gone() from None
        except Exception as error:
            if self.client.status != "running":
                raise self._gone() from None
            raise _cannot("a worker", error) from None

    def _gone(self) -> ClusterError:
        return ClusterError("the connection to the scheduler was lost")


def _cannot(worker: str, error: BaseException) -> ClusterError:
    """The error for a worker that cannot lint."""
    here = f"install dlclint {__version__} on every worker, as it is here"
    if "No module named 'dlclint" in str(error):
        return ClusterError(f"{worker} has no dlclint; {here}")
    if isinstance(error, _OtherVersion):
        return ClusterError(f"{worker} has dlclint {plain(str(error))}, here it is {__version__}; {here}")
    if isinstance(error, OSError) and error.filename:
        return ClusterError(
            f"{worker} cannot open the folder {plain(str(error.filename))}; files at hand must lie where "
            "workers find them too, or have addresses"
        )
    said = plain(f"{type(error).__name__}: {error}", 200)
    return ClusterError(f"{worker} cannot lint ({said}); {here}")


def _version() -> str:
    """dlclint's version, in a worker."""
    return __version__


_workers = threading.local()
"""In a Dask worker, for each of its threads: the process in which files are linted."""


def _lint_lot(asked: list[Asked], version: str) -> list[bytes | None]:
    """The entries of some jobs, in a worker, each linted in a process that may die.

    Raises:
        _OtherVersion: the worker has a different version of dlclint.
        OSError: the folder of the jobs does not exist.
    """
    if version != __version__:
        raise _OtherVersion(__version__)
    beside = getattr(_workers, "beside", None)
    if beside is None:
        beside = _workers.beside = Beside()
    entries = []
    for one in asked:
        try:
            reply: Reply | Died = Reply(beside.ask(one.job.shown, answered, one))
        except Died as died:
            reply = died
        entries.append(entry_from(one.job, reply))
    return entries
