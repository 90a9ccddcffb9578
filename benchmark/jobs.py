"""The unit of work: one training, what is read along it and what it is scored on.

A job is frozen and JSON-able; no tensor, closure or live object crosses this seam. Readings
and scores are products beside the training: they are no part of its key, and are stored apart,
so that a reading or a language added later trains nothing again.
"""

from __future__ import annotations

import functools
import json
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.readings import ModelPlan, ReadingPlan, TracePlan, load, save
from benchmark.seeds import derive, digest
from benchmark.shots import Shots
from benchmark.store import Store

if TYPE_CHECKING:
    import torch

    from benchmark.training.strategy import Strategy

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
        found = {name: value for name, value in asdict(self).items() if name not in products}
        return found if self.masks else {name: value for name, value in found.items() if name != "masks"}

    @cached_property
    def key(self) -> str:
        return digest(self.identity())

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(language for language, _ in self.data)


class MasksMissing(RuntimeError):  # noqa: N818 - reads as a sentence where it is caught
    """A training whose strategy starts from readings that have failed."""


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
    """``(split, examples key) → scores key``: what a training has been scored on already."""
    found = {}
    for key in store.keys(f"{training}.scores."):
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


def predictions(store: Store, scores: str, split: str, examples: str) -> np.ndarray[Any, Any]:
    """Predicted labels on one set, in the order of its targets, from a scores object (see ``scored``)."""
    found: np.ndarray[Any, Any] = np.load(store.path(scores) / f"{split}-{examples[:16]}.npy")
    return found


def execute(job: TrainJob, store: Store) -> Outcome:
    """Do whatever of the job is missing: the one place where work happens. Never raises for the
    job's own failure; failures are told in the outcome and never stored."""
    try:
        with store.lock(job.key):
            to_train, readings, sets = missing(job, store)
            shots = unadapted(job, store)
            if not (to_train or readings or sets or shots):
                return Outcome(job)
            unread, failed = _work(job, store, to_train, readings, sets, shots)
        return Outcome(job, trained=to_train, unread=unread, unadapted=failed)
    except Exception as error:
        return Outcome(job, error=_told(error))
    finally:
        store.unreport(job.key)


def _told(error: Exception) -> str:
    if "--debug" in sys.argv:  # workers have the arguments of the run
        traceback.print_exc()
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _work(
    job: TrainJob,
    store: Store,
    to_train: bool,
    readings: list[ReadingPlan],
    sets: list[EvalSet],
    shots: list[Shots],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Readings and adaptations that failed."""
    import torch
    from safetensors.torch import load_file

    from benchmark.training import model as models

    torch.set_num_threads(1)  # the number of threads changes the last bits; processes do not
    device = torch.device(job.device)
    model = models.load(Path(job.model_path), job.labels, derive(job.seed, "initialisation")).to(device)
    traces = [reading for reading in readings if isinstance(reading, TracePlan)]
    still = [reading for reading in readings if isinstance(reading, ModelPlan)]
    unread = _read(job, store, model, [reading for reading in still if reading.of == "initial"], device)
    later = [reading for reading in still if reading.of == "trained"]
    if to_train or traces:
        # A trace that is missing is taken along the same training once more: same bits.
        _train(job, store, model, traces, to_train, device)
    elif sets or later or shots:
        model.load_state_dict(load_file(store.path(job.key) / "model.safetensors"))
    if sets:
        _evaluate(job, store, model, sets, device)
    unread += _read(job, store, model, later, device)
    return unread, _adapt(job, store, model, shots, device)


def _read(
    job: TrainJob, store: Store, model: torch.nn.Module, readings: list[ModelPlan], device: torch.device
) -> tuple[str, ...]:
    """Take readings of a model as it stands; one that fails harms neither the others nor the training."""
    from benchmark.training.batches import Encoded
    from benchmark.training.readings import take

    failed = []
    for reading in readings:
        begun = time.perf_counter()
        sets = {name: Encoded.open(store.path(key)) for name, key in reading.sets}
        try:
            arrays, meta = take(reading, model, sets, job, device)
        except Exception as error:
            failed.append(f"{reading.kind} of {job.label} (seed {job.seed}): {_told(error)}")
            continue
        cost = {"seconds": time.perf_counter() - begun, "peak_memory_mb": peak_memory_mb(device)}
        _keep(job, store, reading, arrays, meta, cost)
    return tuple(failed)


def _keep(job: TrainJob, store: Store, reading: ReadingPlan, arrays: Any, meta: Any, cost: Any) -> None:
    about = {"kind": "reading", "training": job.key, "reading": asdict(reading), "cost": cost}
    store.put(reading.key(job.key), lambda folder: save(folder, arrays, meta), about)


def _train(
    job: TrainJob,
    store: Store,
    model: torch.nn.Module,
    readings: list[TracePlan],
    keep: bool,
    device: torch.device,
) -> None:
    from safetensors.torch import save_file

    from benchmark.registry import create
    from benchmark.training.batches import Encoded, Mixture
    from benchmark.training.loop import train
    from benchmark.training.probes import GradientTrace
    from tasks.languages import language as named

    def encoded(pairs: tuple[tuple[str, str], ...]) -> dict[str, Encoded]:
        return {language: Encoded.open(store.path(key)) for language, key in pairs}

    probes = [
        GradientTrace(
            encoded(reading.pools),
            probes=reading.probes,
            half_batch=reading.half_batch,
            parallel=reading.parallel,
            seed=derive(job.seed, "probes", reading.kind, str(reading.params)),
            precision=job.hyper.precision,
            device=device,
        )
        for reading in readings
    ]
    mixture = Mixture({named(language): data for language, data in encoded(job.data).items()})
    strategy, _ = create("strategies", job.strategy)
    lacking = [language for language, key in job.masks if not store.has(key)]
    if lacking:
        raise MasksMissing(
            f"{job.strategy} starts from masks of all languages, found none of {', '.join(lacking)}"
        )
    masks = {language: load(store.path(key)).arrays for language, key in job.masks}
    dev = list(encoded(job.dev).values())
    history = train(
        model,
        mixture,
        job.hyper,
        strategy,
        job.seed if job.order is None else job.order,
        device,
        probes=probes,
        dev_score=(lambda: _mean_score(job, model, dev, device, strategy)) if job.hyper.patience else None,
        masks=masks,
        report=lambda done: store.report(job.key, done),
    )
    peak = peak_memory_mb(device)
    if keep:

        def write(folder: Path) -> None:
            save_file(
                {n: v.contiguous().cpu() for n, v in model.state_dict().items()}, folder / "model.safetensors"
            )
            for code, mask in strategy.masks().items():
                for kind, values in mask.items():
                    np.save(folder / f"{code}.{kind}.npy", values)
            (folder / "history.json").write_text(json.dumps(asdict(history), indent=1), "utf8")

        cost = {"seconds": history.seconds, "peak_memory_mb": peak}
        store.put(job.key, write, {"kind": "training", "job": job.identity(), "cost": cost})
    for reading, probe in zip(readings, probes, strict=True):
        _keep(job, store, reading, *probe.result(), {"seconds": probe.seconds, "peak_memory_mb": peak})


def _mean_score(
    job: TrainJob, model: torch.nn.Module, dev: list[Any], device: torch.device, strategy: Strategy
) -> float:
    from benchmark.training.evaluation import predict
    from tasks.metrics import score

    masks = strategy.masks()
    found = predict(model, dev, device, job.hyper.precision, [masks.get(code) for code, _ in job.dev])
    scores = [
        score(job.metric, one.targets, said, job.names, one.words) for one, said in zip(dev, found, strict=True)
    ]
    return float(np.mean(scores))


def _masks(store: Store, training: str) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    """The subnetwork of each language that a training has one for."""
    found: dict[str, dict[str, np.ndarray[Any, Any]]] = {}
    for path in sorted(store.path(training).glob("*.*.npy")):
        code, kind, _ = path.name.split(".")
        found.setdefault(code, {})[kind] = np.load(path)
    return found


def _evaluate(
    job: TrainJob, store: Store, model: torch.nn.Module, sets: list[EvalSet], device: torch.device
) -> None:
    from benchmark.training.batches import Encoded
    from benchmark.training.evaluation import predict

    begun = time.perf_counter()
    data = [Encoded.open(store.path(one.examples)) for one in sets]
    masks = _masks(store, job.key)
    found = predict(model, data, device, job.hyper.precision, [masks.get(one.language) for one in sets])

    def write(folder: Path) -> None:
        for one, said in zip(sets, found, strict=True):
            np.save(folder / f"{one.split}-{one.examples[:16]}.npy", said)

    covered = [[one.split, one.examples] for one in sets]
    cost = {"seconds": time.perf_counter() - begun, "peak_memory_mb": peak_memory_mb(device)}
    about = {"kind": "scores", "training": job.key, "sets": covered, "cost": cost}
    key = f"{job.key}.scores.{digest(covered)[:16]}"
    store.put(key, write, about)


def _adapt(
    job: TrainJob, store: Store, model: torch.nn.Module, shots: list[Shots], device: torch.device
) -> tuple[str, ...]:
    """Adapt the model to languages that are kept out; one that fails harms neither the others nor the training."""
    if not shots:
        return ()
    from benchmark.training.adaptation import adapt
    from benchmark.training.batches import Encoded
    from benchmark.training.evaluation import predict

    failed = []
    trained = {name: value.clone() for name, value in model.state_dict().items()}
    for one in shots:
        begun = time.perf_counter()
        seed = derive(job.seed, "shots", one.language, str(one.k))
        try:
            model.load_state_dict(trained)
            test = Encoded.open(store.path(one.test))
            if one.k:
                said = adapt(model, Encoded.open(store.path(one.support)), test, job.hyper, seed, device)
            else:
                said = predict(model, [test], device, job.hyper.precision)[0]
        except Exception as error:
            failed.append(f"{one.language}, {one.k} shots, of {job.label} (seed {job.seed}): {_told(error)}")
            continue
        cost = {"seconds": time.perf_counter() - begun, "peak_memory_mb": peak_memory_mb(device)}
        about = {"kind": "shots", "training": job.key, "shots": asdict(one), "cost": cost}
        store.put(one.key(job.key), functools.partial(_save, said), about)
    return tuple(failed)


def _save(said: np.ndarray[Any, Any], folder: Path) -> None:
    np.save(folder / "test.npy", said)


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory of this process so far, in MB; of the device where that is a GPU."""
    import torch

    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (2**20 if sys.platform == "darwin" else 2**10)
