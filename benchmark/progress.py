"""Progress on stderr: what is being trained, how far, how long still."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from benchmark.jobs import Outcome, TrainJob
from benchmark.store import Store

EVERY = 15.0  # seconds between lines where stderr is no terminal


def say(text: str) -> None:
    """One line for the person, on stderr."""
    text = "".join(letter if letter.isprintable() else " " for letter in text)  # as the name of a file may not be
    print(text, file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """``1:05:09``, ``12:04``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Progress:
    """How far a stage is, by the work in its jobs (``weights``: relative work by key)."""

    def __init__(self, stage: str, jobs: Sequence[TrainJob], weights: Mapping[str, float], store: Store) -> None:
        self.stage, self.store, self.weights = stage, store, weights
        self.out = {job.key: job for job in jobs}
        self.total = sum(weights[key] for key in self.out) or 1.0
        self.count = len(self.out)
        self.finished = 0.0
        self.begun = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def done(self, outcome: Outcome) -> None:
        self.finished += self.weights[outcome.job.key]
        self.out.pop(outcome.job.key, None)

    def status(self) -> tuple[float, str]:
        """Share done, and the line that says so."""
        under_way = {key: part for key in list(self.out) if (part := self.store.reported(key)) > 0}
        share = (self.finished + sum(self.weights[key] * part for key, part in under_way.items())) / self.total
        passed = self.seconds
        left = f"about {clock(passed / share - passed)} left" if share > 0.02 else "estimating"
        names = ", ".join(sorted(_short(self.out[key].label) for key in under_way if key in self.out))
        training = f" · training {names}" if names else ""
        done = f"{self.count - len(self.out)}/{self.count} trainings"
        return min(share, 1.0), f"{self.stage}: {done}, {share:.0%}, {left}{training}"


def _short(label: str) -> str:
    return label if len(label) < 24 else f"{label[:20]}…"


@contextmanager
def shown(progress: Progress) -> Iterator[None]:
    """Show a stage's progress while the block runs: a bar on a terminal, else a line now and then."""
    stop = threading.Event()
    thread = threading.Thread(target=_bar if sys.stderr.isatty() else _lines, args=(progress, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _lines(progress: Progress, stop: threading.Event) -> None:
    while not stop.wait(EVERY):
        say(progress.status()[1])


def _bar(progress: Progress, stop: threading.Event) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(24), TextColumn("{task.description}"))
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(progress.status()[1]), total=1.0)
        while not stop.wait(0.5):
            share, line = progress.status()
            bar.update(task, completed=share, description=escape(line))
