"""Readings, opened: those that jobs took, and those put together here from what lies in the store."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from benchmark.jobs import peak_memory_mb
from benchmark.models import Model, pretrained
from benchmark.provenance import numerics
from benchmark.readings import VERSION, load, save
from benchmark.seeds import derive, digest
from benchmark.setup import SeedData, Setup
from measures import MeasureError, Reading, ReadingResult
from tasks.base import Example
from tasks.sources import fingerprint


def read(setup: Setup, of: SeedData, reading: Reading, code: str | None) -> ReadingResult:
    """What came of a reading; ``code`` for those of a language's own model.

    Raises:
        MeasureError: the training or the reading has failed, or the language has none.
    """
    if reading.kind == "weights":
        return load(setup.store.path(_weights(setup, of)))
    if "model" in dict(reading.params):
        return load(setup.store.path(_sentence_vectors(setup, of, str(dict(reading.params)["model"]))))
    if (reading.of == "each") != (code is not None):
        raise MeasureError(
            f"{reading.kind} of {reading.of} is read {'by' if code is None else 'without a'} language"
        )
    if code is not None and code not in setup.sources:
        raise MeasureError(f"{code} has no training data, and so no model of its own")
    job = setup.carrier(of, reading, code)
    key = job.readings[0].key(job.key)
    if not setup.store.has(key):
        raise MeasureError(f"the {job.label} training, or the reading of its {reading.kind}, has failed")
    return load(setup.store.path(key))


@functools.cache
def _model(name: str, offline: bool) -> Model:
    return pretrained(name, offline, sentence=True)


def check_model(setup: Setup, reading: Reading) -> None:
    """See that a model that a reading names can be had.

    Raises:
        UserError: neither a folder nor on the hub.
    """
    if "model" in dict(reading.params):
        _model(str(dict(reading.params)["model"]), setup.config.offline)


def derived_keys(setup: Setup, of: SeedData, reading: Reading) -> list[str]:
    """Store keys of what is put together here for a reading; none for what jobs take."""
    if reading.kind == "weights":
        return [_weights_key(setup, of)]
    if "model" in dict(reading.params):
        return [_vectors_key(setup, _model(str(dict(reading.params)["model"]), setup.config.offline).digest)]
    return []


def _make(setup: Setup, key: str, kind: str, take: Callable[[], tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """Take a reading in this process, on one thread as jobs do, unless the store holds it."""
    with setup.store.lock(key):
        if setup.store.has(key):
            return key
        import torch

        begun, threads = time.perf_counter(), torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            arrays, meta = take()
        finally:
            torch.set_num_threads(threads)
        seconds = time.perf_counter() - begun
        cost = {"seconds": seconds, "peak_memory_mb": peak_memory_mb(torch.device("cpu"))}
        about = {"kind": "reading", "reading": kind, "cost": cost}
        setup.store.put(key, lambda folder: save(folder, arrays, meta), about)
    return key


def _weights_key(setup: Setup, of: SeedData) -> str:
    jobs = [make(of, code).key for make in (setup.each, setup.again) for code in sorted(setup.sources)]
    return digest(["weights", VERSION, [key for key in jobs if setup.store.has(key)]])


def _weights(setup: Setup, of: SeedData) -> str:
    """Inner products of θ_l − θ_0 of all trained models, repeats after the others."""
    store = setup.store
    first = {code: setup.each(of, code) for code in sorted(setup.sources)}
    again = {code: setup.again(of, code) for code in sorted(setup.sources)}
    known = [code for code, job in first.items() if store.has(job.key)]
    repeats = [code for code, job in again.items() if store.has(job.key)]

    def take() -> tuple[dict[str, Any], dict[str, Any]]:
        from benchmark.training import model as models
        from benchmark.training.weights import task_vectors

        seed = derive(of.seed, "initialisation")
        initial = models.load(of.model.folder, len(setup.spec.labels), seed)
        blocks = models.blocks(initial)
        jobs = [first[code] for code in known] + [again[code] for code in repeats]
        trained = [store.path(job.key) / "model.safetensors" for job in jobs]
        gram = task_vectors(dict(initial.named_parameters()), trained, blocks)
        return {"gram": gram}, {"blocks": list(blocks), "languages": known, "repeats": repeats}

    return _make(setup, _weights_key(setup, of), "weights", take)


def _vectors_key(setup: Setup, model: str) -> str:
    rows = {code: fingerprint(setup.dev[code]) for code in sorted(setup.codes)}
    return digest(["sentence vectors", 1, model, rows, numerics(), version("sentence-transformers")])


def _sentence_vectors(setup: Setup, of: SeedData, name: str) -> str:
    model = _model(name, setup.config.offline)

    def take() -> tuple[dict[str, Any], dict[str, Any]]:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from benchmark.training.embeddings import sentence_transformer_vectors

        texts = {code: [_text(row) for row in setup.dev[code]] for code in sorted(setup.codes)}
        return sentence_transformer_vectors(model.folder, texts, "cpu")

    return _make(setup, _vectors_key(setup, model.digest), "embeddings", take)


def _text(row: Example) -> str:
    return row.text if row.pair is None else f"{row.text}\n{row.pair}"
