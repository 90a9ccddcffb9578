"""The unit of work: one training, what is read along it and what it is scored on.

A job is frozen and JSON-able; no tensor, closure or live object crosses this seam. Readings
and scores are products beside the training: they are no part of its key, and are stored apart,
so that a reading or a language added later trains nothing again.
"""

from __future__ import annotations

import re
import sys
import traceback
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.readings import ReadingPlan
from benchmark.seeds import digest
from benchmark.shots import Shots
from benchmark.store import Store
from tasks.sources import one_line

if TYPE_CHECKING:
    import torch

NUMERICS = 1  # raised whenever a change of ours changes the numbers of a training


@dataclass(frozen=True)
class Hyper:
    """Hyper-parameters of one training.

    ``warmup``: share of the steps. ``patience``: epochs without a better dev score before
    stopping, 0 for none. ``precision``: ``fp32`` or ``bf16`` (mixed).
    """

    epochs: int
    batch_size: int
    lr: float
    max_length: int
    precision: str
    patience: int = 0
    weight_decay: float = 0.01
    warmup: float = 0.1
    clip: float = 1.0


@dataclass(frozen=True)
class EvalSet:
    """A set of examples to be scored on."""

    language: str
    split: str
    examples: str  # key of the encoded examples


@dataclass(frozen=True)
class TrainJob:
    """One model fitted on one set of languages by one strategy with one seed."""

    task: str
    labels: int
    metric: str
    data: tuple[tuple[str, str], ...]  # (language, key of its encoded training examples), sorted
    model: str
    model_digest: str
    hyper: Hyper
    seed: int
    numerics: str
    strategy: str = "plain"
    dev: tuple[tuple[str, str], ...] = ()  # only with patience: part of what is trained
    order: int | None = None  # seed of order and dropout, where that is not ``seed`` (a repeat)
    masks: tuple[tuple[str, str], ...] = ()  # (language, key of the reading), where the strategy starts from them
    # Products and places: no part of the key.
    names: tuple[str, ...] = field(default=(), compare=False)  # of the labels: the task's version stands for them
    model_path: str = field(default="", compare=False)
    device: str = field(default="cpu", compare=False)
    readings: tuple[ReadingPlan, ...] = field(default=(), compare=False)
    evaluate: tuple[EvalSet, ...] = field(default=(), compare=False)
    shots: tuple[Shots, ...] = field(default=(), compare=False)
    label: str = field(default="", compare=False)  # for a person: "swa", "joint", "deu+nld"

    def identity(self) -> dict[str, Any]:
        """What the key is made of."""
        products = ("names", "model_path", "device", "readings", "evaluate", "shots", "label")
        found = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in products}
        found["hyper"] = asdict(self.hyper)
        return found if self.masks else {name: value for name, value in found.items() if name != "masks"}

    @cached_property
    def key(self) -> str:
        return digest(self.identity())

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(language for language, _ in self.data)


@dataclass(frozen=True)
class Outcome:
    """What came of a job: an error in one line, or nothing to say; and what failed by itself, a line each:
    readings, and adaptations to languages that are kept out."""

    job: TrainJob
    error: str | None = None
    trained: bool = False
    unread: tuple[str, ...] = ()
    unadapted: tuple[str, ...] = ()


def scored(store: Store, training: str) -> dict[tuple[str, str], str]:
    """``(split, examples key) → key``: the sets that a training has predicted already, and where."""
    found = {}
    for key in store.keys(f"{training}.predictions."):
        if store.has(key):
            for split, examples in store.manifest(key)["sets"]:
                found[split, examples] = key
    return found


def missing(job: TrainJob, store: Store) -> tuple[bool, list[ReadingPlan], list[EvalSet]]:
    """What of a job is still to do: the training, readings, sets to be scored on."""
    have = scored(store, job.key)
    return (
        not store.has(job.key),
        [reading for reading in job.readings if not store.has(reading.key(job.key))],
        [one for one in job.evaluate if (one.split, one.examples) not in have],
    )


def unadapted(job: TrainJob, store: Store) -> list[Shots]:
    """What else is still to do: languages that the model is to be adapted to."""
    return [one for one in job.shots if not store.has(one.key(job.key))]


def predictions(store: Store, key: str) -> dict[tuple[str, str], np.ndarray[Any, Any]]:
    """``(split, examples key) → predicted labels``, in the order of a set's targets; ``key``: from ``scored``."""
    about = store.manifest(key)
    found = np.load(store.path(key) / "predictions.npy", allow_pickle=False)
    each = np.split(found, np.cumsum(about["sizes"])[:-1])
    return {(split, examples): said for (split, examples), said in zip(about["sets"], each, strict=True)}


def execute(job: TrainJob, store: Store) -> Outcome:
    """Do whatever of the job is missing: the one place where work happens. Never raises for the
    job's own failure; failures are told in the outcome and never stored."""
    try:
        with store.lock(job.key):
            if not (any(missing(job, store)) or unadapted(job, store)):
                return Outcome(job)
            from benchmark.training.execution import work

            return work(job, store)
    except Exception as error:
        return Outcome(job, error=told(error))
    finally:
        store.unreport(job.key)


def told(error: Exception) -> str:
    """One line of an error."""
    if "--debug" in sys.argv:  # workers have the arguments of the run
        traceback.print_exc()
    return f"{type(error).__name__}: {one_line(error)}"


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory of this process so far, in MB; of the device where that is a GPU."""
    if device.type == "cuda":
        import torch

        return float(torch.cuda.max_memory_allocated(device)) / 2**20
    status = Path("/proc/self/status")  # Linux; there getrusage counts the process that started this one too
    if status.exists() and (found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(found[1]) / 2**10
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (2**20 if sys.platform == "darwin" else 2**10)
