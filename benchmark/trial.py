"""A small real run in which one measure is tried: tiny trainings, and evidence that is watched."""

from __future__ import annotations

import atexit
import copy
import functools
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmark.config import RunConfig
from benchmark.encoding import Encoder
from benchmark.evidence import RunEvidence
from benchmark.executors import Executor, InProcess, Pool
from benchmark.jobs import TrainJob
from benchmark.plan import plan
from benchmark.prepare import cores, materialise, prepare
from benchmark.progress import Progress, say, shown
from benchmark.rows import Row, ask, check, row_of
from benchmark.seeds import derive
from benchmark.setup import Setup
from benchmark.systems import Systems
from measures import Measure, MeasureError, Reading, ReadingResult, SimilarityMatrix, TransferMatrix
from tasks.base import Example, Split
from tasks.languages import Language
from tasks.sources import fingerprint

# In this order: the first that a measure does not skip is what it is tried on.
TASKS: dict[str, tuple[str, ...]] = {
    "planted[setting=easy]": (),
    "cldr-names": ("deu", "nld", "swe", "fra", "ita", "rus"),
}
Given = TypeVar("Given")
FEW = 4  # trainings: done here sooner than workers are started
ACCESS = ("none", "text", "labels", "transfer")  # the more, the later


@functools.cache
def folder() -> Path:
    """A temporary cache, shared by all trials of this process and gone with it."""
    made = Path(tempfile.mkdtemp(prefix="kinship-check-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@functools.cache
def setup_of(task: str) -> Setup:
    """The run on one of ``TASKS``, as small as a gradient reading allows."""
    config = RunConfig(
        measures=(),
        task=task,
        languages=TASKS[task],
        seeds=(0,),
        epochs=2,
        max_train=48,
        max_eval=40,
        max_length=24,
        probe_share=1.0,
        device="cpu",
        cache=folder(),
    )
    return prepare(config)


def reordered(setup: Setup) -> Setup:
    """The same run with its languages listed in another order (no reversal, which keeps distances)."""
    languages = tuple(sorted(setup.languages, key=lambda one: derive(0, "another order", one.code)))
    sources = tuple(one.code for one in languages if one.code in setup.sources)
    return replace(setup, languages=languages, sources=sources)


def without(setup: Setup, code: str) -> Setup:
    """The same run where one language has no training data, and so is a target only."""
    [of] = setup.seeds
    train = {**of.train, code: ()}
    again = {key: rows for key, rows in of.again.items() if key != code}
    empty = Encoder(setup.store, of.model.folder, of.model.digest, of.hyper.max_length).key(fingerprint(()))
    keys = {place: key for place, key in of.keys.items() if place != ("again", code)} | {("train", code): empty}
    seed = replace(of, train=train, again=again, keys=keys, pools={**of.pools, "train": train})
    return replace(setup, sources=tuple(one for one in setup.sources if one != code), seeds=(seed,))


class Watched(RunEvidence):
    """Evidence that remembers what it was asked for, and what it has handed out.

    ``undeclared``: what was asked for without having been declared; ``access``: the most that was seen,
    and what that was. ``lost``: every reading has failed.
    """

    def __init__(self, row: Row, setup: Setup, systems: Systems, lost: bool = False) -> None:
        def transfer() -> TransferMatrix:
            return TransferMatrix(setup.languages, systems.mean_transfer[0].copy())

        def other(name: str) -> SimilarityMatrix:
            return ask(row.others[name], setup, transfer)

        super().__init__(setup, setup.seeds[0], row.needs, transfer, other)
        self._row, self._lost = row, lost
        self.undeclared: list[str] = []
        self.access: tuple[str, str] = ("none", "nothing")
        self._handed: list[tuple[str, object, object]] = []

    def examples(self, language: Language, split: Split = "train") -> Sequence[Example]:
        self._see("text", f"the {split} examples")
        return self._hand(f"the {split} examples of {language.code}", super().examples(language, split))

    def texts(self, language: Language, split: Split = "train") -> Sequence[str]:
        return self._hand(f"the {split} texts of {language.code}", super().texts(language, split))

    def subwords(self, language: Language, split: Split = "train") -> Counter[int]:
        self._see("text", f"the {split} subwords")
        return self._hand(f"the {split} subwords of {language.code}", super().subwords(language, split))

    def read(self, reading: Reading, language: Language | None = None) -> ReadingResult:
        what = told(reading)
        if reading not in self._needs.readings:
            self.undeclared.append(what)
        elif self._lost:
            raise MeasureError(f"the training, or the reading of its {reading.kind}, has failed")
        found = super().read(reading, language)
        self._see("text" if reading.of == "initial" else "labels", what)
        place = f"{what}{f' of {language.code}' if language else ''}"
        self._hand(f"the description of the {place}", found.meta)
        for name, array in found.arrays.items():
            self._hand(f"the array {name!r} of the {place}", array)
        return found

    def similarity(self, measure: str) -> SimilarityMatrix:
        if measure not in self._needs.measures:
            self.undeclared.append(f"the matrix of {measure}")
        elif self._lost and self._row.others[measure].readings:
            raise MeasureError(f"{measure} has no answer: its readings have failed")
        found = super().similarity(measure)
        self._see(self._row.others[measure].measure.access, f"the matrix of {measure}")
        self._hand(f"the matrix of {measure}", found.values)
        return found

    def transfer(self, without: Language | None = None) -> TransferMatrix:
        if not self._needs.transfer:
            self.undeclared.append("transfer")
        found = super().transfer(without)
        self._see("transfer", "transfer")
        self._hand("transfer", found.values)
        return found

    def changed(self) -> list[str]:
        """What is no longer as it was handed out."""
        return list(dict.fromkeys(what for what, now, then in self._handed if not _same(now, then)))

    def _see(self, access: str, what: str) -> None:
        if ACCESS.index(access) > ACCESS.index(self.access[0]):
            self.access = access, what

    def _hand(self, what: str, given: Given) -> Given:
        self._handed.append((what, given, copy.deepcopy(given)))
        return given


def told(reading: Reading) -> str:
    """A reading for a person: ``gradients of joint``."""
    params = ", ".join(f"{key}={value}" for key, value in reading.params)
    return f"{reading.kind} of {reading.of}{f' ({params})' if params else ''}"


def _same(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.array_equal(a, b, equal_nan=True)
    return a == b


@dataclass(frozen=True)
class Answer:
    """What ``similarity`` gave or raised, how long it took, and what it looked at."""

    found: Any
    error: Exception | None
    seconds: float
    evidence: Watched


class Trial:
    """A measure in one run. ``row.error``: why it has no answer there.

    Raises:
        UserError: a measure that it builds on cannot be created; and whatever ``needs()`` raises.
    """

    def __init__(self, setup: Setup, measure: Measure, called: str) -> None:
        self.setup, self.called = setup, called
        self.row = row_of(measure, called)
        check([self.row], setup)

    def ask(self, lost: bool = False) -> Answer:
        """The measure's answer to new evidence; ``lost``: all its readings have failed."""
        evidence = Watched(self.row, self.setup, Systems(self.setup), lost)
        begun, found, error = time.perf_counter(), None, None
        try:
            found = self.row.measure.similarity(evidence)
        except Exception as raised:  # a plugin's code
            error = raised
        return Answer(found, error, time.perf_counter() - begun, evidence)

    @property
    def jobs(self) -> list[TrainJob]:
        """The trainings that the measure's needs ask for; scored only where transfer is one of them."""
        [of] = self.setup.seeds
        jobs = [replace(job, evaluate=()) for job in self.setup.read_jobs(of, self.row.readings)]
        return jobs + [self.setup.each(of, code) for code in self.setup.sources if self.row.transfer]


def train(trials: Sequence[Trial]) -> list[str]:
    """Do the trainings of trials that the cache lacks; what failed, a line each."""
    jobs = [job for trial in trials for job in trial.jobs]
    if not jobs:
        return []
    for trial in trials:
        materialise(trial.setup)
    stage = plan(jobs, trials[0].setup.store)
    if not stage.todo:
        return []
    say(f"{trials[0].called}: {len(stage.todo)} small trainings")
    import torch

    workers = cores() if len(stage.todo) > FEW else 1
    executor: Executor = Pool(workers) if workers > 1 else InProcess()
    store = trials[0].setup.store
    progress = Progress(trials[0].called, stage.todo, {job.key: float(len(job.data)) for job in stage.todo}, store)
    failed, threads = [], torch.get_num_threads()
    try:
        with shown(progress):
            for outcome in executor.map(stage.todo, store):
                progress.done(outcome)
                if outcome.error:
                    failed.append(f"training {outcome.job.label}: {outcome.error}")
                failed += [f"reading {reading}" for reading in outcome.unread]
    finally:
        torch.set_num_threads(threads)  # which a job done in this process has changed
    return failed
