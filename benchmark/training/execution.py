"""What a job's work consists of: train, read along it and after it, score, adapt."""

from __future__ import annotations

import functools
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from benchmark.jobs import EvalSet, Outcome, TrainJob, missing, peak_memory_mb, told, unadapted
from benchmark.progress import say
from benchmark.readings import ModelPlan, ReadingPlan, TracePlan, load, save
from benchmark.registry import create
from benchmark.seeds import derive, digest
from benchmark.shots import Shots
from benchmark.store import Store
from benchmark.training import loop
from benchmark.training import model as models
from benchmark.training.batches import Encoded, Mixture
from benchmark.training.checkpoint import Checkpoints, Unfit
from benchmark.training.evaluation import predict
from benchmark.training.probes import GradientTrace
from benchmark.training.strategy import Strategy
from benchmark.training.subnet_masks import stored
from tasks.languages import language as named
from tasks.metrics import score

# What went wrong may be right the next time, and the checkpoint with it; after any other error it is dropped.
PASSING = (OSError, MemoryError, torch.OutOfMemoryError, getattr(torch, "AcceleratorError", MemoryError))


_opened = functools.lru_cache(maxsize=1024)(Encoded.open)  # every job of a run is scored on the same sets


class MasksMissing(RuntimeError):  # noqa: N818 - reads as a sentence where it is caught
    """A training whose strategy starts from readings that have failed."""


def work(job: TrainJob, store: Store) -> Outcome:
    """Do what is missing of a job whose lock is held."""
    try:
        return _work(job, store)
    except Unfit:  # dropped: without it, on a model of its own
        return _work(job, store)


def _work(job: TrainJob, store: Store) -> Outcome:
    to_train, readings, sets = missing(job, store)
    shots = unadapted(job, store)
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
    failed = _adapt(job, store, model, shots, device)
    return Outcome(job, trained=to_train, unread=unread, unadapted=failed)


def _read(
    job: TrainJob, store: Store, model: torch.nn.Module, readings: list[ModelPlan], device: torch.device
) -> tuple[str, ...]:
    """Take readings of a model as it stands; one that fails harms neither the others nor the training."""
    from benchmark.training.readings import take

    failed = []
    for reading in readings:
        begun = time.perf_counter()
        sets = {name: _opened(store.path(key)) for name, key in reading.sets}
        try:
            arrays, meta = take(reading, model, sets, job, device)
        except Exception as error:
            failed.append(f"{reading.kind} of {job.label} (seed {job.seed}): {told(error)}")
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
    def encoded(pairs: tuple[tuple[str, str], ...]) -> dict[str, Encoded]:
        return {language: _opened(store.path(key)) for language, key in pairs}

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
    keys = [reading.key(job.key) for reading in readings]
    checkpoints = Checkpoints(store.root / "checkpoints" / job.key, f"{job.label} (seed {job.seed})", keys)
    try:
        history = loop.train(
            model,
            mixture,
            job.hyper,
            strategy,
            job.seed if job.order is None else job.order,
            device,
            probes=probes,
            dev_score=(lambda: _mean_score(job, model, dev, device, strategy)) if job.hyper.patience else None,
            masks=masks,
            checkpoints=checkpoints,
            report=lambda done: store.report(job.key, done),
        )
    except Exception as error:
        if not isinstance(error, PASSING):
            checkpoints.drop()
        raise
    peak = peak_memory_mb(device)
    cost = {"seconds": history.seconds, "peak_memory_mb": peak}
    if history.micro_batch:
        cost["micro_batch"] = history.micro_batch
        say(
            f"{job.label} (seed {job.seed}): the device has no room for {job.hyper.batch_size} examples at once; "
            f"each step was made {history.micro_batch} at a time"
        )
    if keep:

        def write(folder: Path) -> None:
            save_file(
                {n: v.contiguous().cpu() for n, v in model.state_dict().items()}, folder / "model.safetensors"
            )
            for code, mask in strategy.masks().items():
                for kind, values in mask.items():
                    np.save(folder / f"{code}.{kind}.npy", values)
            (folder / "history.json").write_text(json.dumps(asdict(history), indent=1), "utf8")

        store.put(job.key, write, {"kind": "training", "job": job.identity(), "cost": cost})
    for reading, probe in zip(readings, probes, strict=True):
        _keep(
            job,
            store,
            reading,
            *probe.result(),
            {"seconds": probe.seconds, "peak_memory_mb": peak},
        )
    checkpoints.drop()


def _mean_score(
    job: TrainJob, model: torch.nn.Module, dev: list[Any], device: torch.device, strategy: Strategy
) -> float:
    masks = strategy.masks()
    found = predict(model, dev, device, job.hyper.precision, [masks.get(code) for code, _ in job.dev])
    scores = [
        score(job.metric, one.targets, said, job.names, one.words) for one, said in zip(dev, found, strict=True)
    ]
    return float(np.mean(scores))


def _evaluate(
    job: TrainJob, store: Store, model: torch.nn.Module, sets: list[EvalSet], device: torch.device
) -> None:
    begun = time.perf_counter()
    data = [_opened(store.path(one.examples)) for one in sets]
    masks = stored(store.path(job.key))
    found = predict(model, data, device, job.hyper.precision, [masks.get(one.language) for one in sets])

    def write(folder: Path) -> None:
        np.save(folder / "predictions.npy", np.concatenate(found))  # one file: each is synced to disk

    covered = [[one.split, one.examples] for one in sets]
    cost = {"seconds": time.perf_counter() - begun, "peak_memory_mb": peak_memory_mb(device)}
    about = {"kind": "predictions", "training": job.key, "sets": covered, "sizes": [len(said) for said in found]}
    key = f"{job.key}.predictions.{digest(covered)[:16]}"
    store.put(key, write, {**about, "cost": cost})


def _adapt(
    job: TrainJob, store: Store, model: torch.nn.Module, shots: list[Shots], device: torch.device
) -> tuple[str, ...]:
    """Adapt the model to languages that are kept out; one that fails harms neither the others nor the training."""
    if not shots:
        return ()
    from benchmark.training.adaptation import adapt

    failed = []
    trained = {name: value.clone() for name, value in model.state_dict().items()}
    for one in shots:
        begun = time.perf_counter()
        seed = derive(job.seed, "shots", one.language, str(one.k))
        try:
            model.load_state_dict(trained)
            test = _opened(store.path(one.test))
            if one.k:
                said = adapt(model, _opened(store.path(one.support)), test, job.hyper, seed, device)
            else:
                said = predict(model, [test], device, job.hyper.precision)[0]
        except Exception as error:
            failed.append(f"{one.language}, {one.k} shots, of {job.label} (seed {job.seed}): {told(error)}")
            continue
        cost = {"seconds": time.perf_counter() - begun, "peak_memory_mb": peak_memory_mb(device)}
        about = {"kind": "shots", "training": job.key, "shots": asdict(one), "cost": cost}
        store.put(one.key(job.key), functools.partial(_save, said), about)
    return tuple(failed)


def _save(said: np.ndarray[Any, Any], folder: Path) -> None:
    np.save(folder / "test.npy", said)
