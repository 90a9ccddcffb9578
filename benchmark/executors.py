"""Where jobs run: in this process, or in a pool of processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Protocol

from benchmark.jobs import Outcome, TrainJob, execute
from benchmark.store import Store


def _follow_the_parent() -> None:
    """Leave Ctrl-C to the parent, and do not outlive it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


class Executor(Protocol):
    """Runs jobs and yields their outcomes in the order of completion."""

    def map(self, jobs: Sequence[TrainJob], store: Store) -> Iterator[Outcome]: ...


class InProcess:
    """One job after the other, here."""

    def map(self, jobs: Sequence[TrainJob], store: Store) -> Iterator[Outcome]:
        for job in jobs:
            yield execute(job, store)


class Pool:
    """Several single-threaded processes side by side. A worker that dies fails its job only
    as far as the pool can tell: all jobs that were still out are told as failed."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def map(self, jobs: Sequence[TrainJob], store: Store) -> Iterator[Outcome]:
        workers = min(self.workers, len(jobs))
        if not workers:
            return
        # forkserver with the heavy modules loaded gives a worker in a fraction of a second.
        method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        context = multiprocessing.get_context(method)
        if method == "forkserver":
            context.set_forkserver_preload(["benchmark.training.preload"])
            # The server would look into the current folder first, where somebody's own tasks.py may lie.
            os.environ.setdefault("PYTHONSAFEPATH", "1")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_follow_the_parent)
        try:
            out = {pool.submit(execute, job, store): job for job in jobs}
            for future in as_completed(out):
                try:
                    yield future.result()
                except Exception as error:  # the worker was killed
                    reason = " ".join(str(error).split())
                    yield Outcome(out[future], error=f"{type(error).__name__}: {reason}")
        except BaseException:
            for process in list((pool._processes or {}).values()):  # Ctrl-C must not wait for trainings
                process.terminate()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
