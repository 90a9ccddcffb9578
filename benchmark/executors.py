"""Where jobs run: in this process, or in a pool of processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

from benchmark.devices import places
from benchmark.jobs import Outcome, TrainJob, execute, told
from benchmark.prepare import cores
from benchmark.progress import say
from benchmark.store import Store, StoreError

Run = Callable[[TrainJob, Store], Outcome]
SERVER_GONE = 255  # what multiprocessing tells of a worker whose server has died


def side_by_side(asked: int | None, device: str) -> int:
    """How many trainings run at a time: as many as asked for, else one a core, or one a GPU."""
    return asked or (cores() if device == "cpu" else len(places(device)))


class Executor(Protocol):
    """Runs jobs and yields their outcomes in the order of completion.

    StoreError where the cache cannot be written: no other job could keep anything either.
    """

    def map(self, jobs: Sequence[TrainJob], store: Store) -> Iterator[Outcome]: ...


class InProcess:
    """One job after the other, here."""

    def map(self, jobs: Sequence[TrainJob], store: Store) -> Iterator[Outcome]:
        for job in jobs:
            outcome = execute(job, store)
            if store.broken:
                raise StoreError(store.broken[0])
            yield outcome


class Pool:
    """Several single-threaded processes side by side; each keeps to the one of ``devices`` that fewest others
    have, or runs jobs where these say.

    A worker that dies takes its own job with it and no other. That job is tried once more, alone, when the
    rest is done: most likely there was no memory for so many at once.
    """

    def __init__(self, workers: int, devices: Sequence[str] = ()) -> None:
        self.workers, self.devices = workers, devices

    def map(self, jobs: Sequence[TrainJob], store: Store) -> Iterator[Outcome]:
        died: list[_Death] = []
        yield from self._round(jobs, store, min(self.workers, len(jobs)), died)
        for first in died:
            say(f"training {first.job.label}: once more, as its worker {first.how}")
            second: list[_Death] = []
            yield from self._round([first.job], store, 1, second)
            for death in second:
                yield Outcome(death.job, error=f"its worker {death.how}, the second time with no other beside it")

    def _round(
        self, jobs: Sequence[TrainJob], store: Store, workers: int, died: list[_Death]
    ) -> Iterator[Outcome]:
        """Every job once; ``died`` gets those whose worker died."""
        context, waiting, busy = _context(), deque(jobs), list[_Worker]()
        try:
            while waiting or busy:
                while waiting and len(busy) < workers:
                    busy.append(_Worker(context, store, waiting.popleft(), self._freest(busy)))
                for worker in _ready(busy):
                    told = worker.told()
                    if told is None:
                        busy.remove(worker)
                        died.append(_Death(worker.job, worker.end()))
                        store.sweep()
                        continue
                    outcome, broken = told
                    if broken is not None:
                        raise StoreError(broken)
                    if waiting and worker.process.is_alive():
                        worker.give(waiting.popleft())
                    else:
                        busy.remove(worker)
                        worker.stop()
                    yield outcome
        finally:  # Ctrl-C must not wait for trainings
            for worker in busy:
                worker.stop()

    def _freest(self, busy: Sequence[_Worker]) -> str | None:
        used = [worker.device for worker in busy]
        return min(self.devices, key=used.count, default=None)


@dataclass(frozen=True)
class _Death:
    job: TrainJob
    how: str


class _Worker:
    """A process, the device that it keeps to, if any, and the job that it has."""

    def __init__(self, context: BaseContext, store: Store, job: TrainJob, device: str | None) -> None:
        self.device = device
        self.pipe, there = context.Pipe()
        self.process: BaseProcess = context.Process(  # type: ignore[attr-defined]
            target=_serve, args=(there, store, execute), daemon=True
        )
        with _deaf(), _finding_us():
            self.process.start()
        there.close()
        self.give(job)

    def give(self, job: TrainJob) -> None:
        self.job = job if self.device is None else replace(job, device=self.device)
        with contextlib.suppress(OSError):  # it has died, which is seen next
            self.pipe.send(self.job)

    def told(self) -> tuple[Outcome, str | None] | None:
        """What came of its job; ``None`` if it has died."""
        try:
            found: tuple[Outcome, str | None] | None = self.pipe.recv() if self.pipe.poll() else None
        except (EOFError, OSError):
            return None
        return found

    def end(self) -> str:
        """How it died."""
        self.process.join()
        self.pipe.close()
        code = self.process.exitcode or 0
        if code == SERVER_GONE:  # perhaps it lives, but nobody would hear of it
            with contextlib.suppress(OSError):
                os.kill(self.process.pid or 0, signal.SIGTERM)
        if code >= 0:
            return f"ended with {code}"
        hint = " (out of memory? --jobs takes a smaller number)" if -code == signal.SIGKILL else ""
        return f"was killed by {signal.Signals(-code).name}{hint}"

    def stop(self) -> None:
        self.process.terminate()
        self.process.join(5)
        if self.process.exitcode is None:
            self.process.kill()
        self.pipe.close()


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """What is started here never hears Ctrl-C, not even before it can say so itself."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # else it is started later, and lets the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ready(busy: Sequence[_Worker]) -> list[_Worker]:
    """Those that have something to tell, or have died."""
    found = wait([one for worker in busy for one in (worker.pipe, worker.process.sentinel)])
    return [worker for worker in busy if worker.pipe in found or worker.process.sentinel in found]


def _context() -> BaseContext:
    # forkserver with the heavy modules loaded gives a worker in a fraction of a second.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["benchmark.training.preload"])
    return context


@contextlib.contextmanager
def _finding_us() -> Iterator[None]:
    """Who is started here, a new Python, imports the packages that run here."""
    names = ("PYTHONSAFEPATH", "PYTHONPATH")
    before = {name: os.environ[name] for name in names if name in os.environ}
    # It would look into the current folder first, where somebody's own tasks.py may lie.
    os.environ["PYTHONSAFEPATH"] = "1"
    os.environ["PYTHONPATH"] = search_path(Path(__file__).resolve().parents[1], before.get("PYTHONPATH", ""))
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]
        os.environ.update(before)


def search_path(root: Path, before: str) -> str:
    """``PYTHONPATH`` under which a new Python imports the packages in ``root``, and not others that are installed.

    Installed ones it finds by itself, and their folder must not come before Python's own.
    """
    parts = [part for part in before.split(os.pathsep) if part]
    if root.name in ("site-packages", "dist-packages") or str(root) in parts:
        return os.pathsep.join(parts)
    return os.pathsep.join([str(root), *parts])


def _serve(pipe: Connection, store: Store, run: Run) -> None:
    """A worker: one job after the other, until there is nobody to tell."""
    _follow_the_parent()
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            outcome = run(job, store)
        except Exception as error:
            outcome = Outcome(job, error=told(error))
        with contextlib.suppress(OSError):
            pipe.send((outcome, store.broken[0] if store.broken else None))


def _follow_the_parent() -> None:
    """Leave Ctrl-C to the parent, and do not outlive it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait_for_it() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_for_it, daemon=True).start()
