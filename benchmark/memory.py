"""What a run will need of memory, estimated before it starts, and what there is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from benchmark.config import SCRATCH, SCRATCH_LAYERS
from benchmark.devices import places
from benchmark.jobs import TrainJob
from benchmark.models import Model
from benchmark.readings import TracePlan
from benchmark.setup import Setup

LOADED = 400 * 2**20  # of Python with torch and transformers; shared by all workers where these are forked
FLOAT = 4
STATE = 4  # weights, gradients and Adam's two moments, each as large as the weights
COPIED = 3  # while a checkpoint is written: weights and moments once more, gradients gone
EVALUATED = 16384  # tokens at once where a model is only scored
TRACE = 2 << 30  # bytes that a gradient trace takes at most
SCRATCH_SHAPE = {"hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 512, "vocab_size": 8000}


@dataclass(frozen=True)
class Shape:
    """Of an encoder: ``parameters`` in all, of which ``table`` are token embeddings."""

    parameters: int
    table: int
    layers: int
    hidden: int
    inner: int
    heads: int


@dataclass(frozen=True)
class Estimate:
    """In bytes. ``largest``: the job that needs ``worker``; ``there``: what is free, where that can be known."""

    worker: int
    workers: int
    shared: int
    largest: str
    where: str
    there: int | None

    @property
    def total(self) -> int:
        return self.shared + self.worker * self.workers

    @property
    def fits(self) -> bool:
        return self.there is None or self.total <= self.there

    def line(self) -> str:
        """For a person."""
        many = f"{self.workers} side by side" if self.workers > 1 else "one at a time"
        free = "" if self.there is None else f", of {_gb(self.there)} free"
        return (
            f"memory: about {_gb(self.total)} of {self.where}{free} "
            f"({_gb(self.shared)} and {_gb(self.worker)} a training at most, {many}; the largest: {self.largest})"
        )

    @property
    def warning(self) -> str | None:
        """One line where it does not fit."""
        if self.fits or self.there is None:
            return None
        fitting = max(0, self.there - self.shared) // max(1, self.worker)
        hint = f"--jobs {fitting} would" if 1 <= fitting < self.workers else "a smaller model or --batch-size may"
        return (
            f"warning: the trainings may need about {_gb(self.total)} of {self.where}, and {_gb(self.there)} are "
            f"free; {hint} fit"
        )


def estimate(setup: Setup, jobs: Sequence[TrainJob], workers: int) -> Estimate:
    """What some jobs will need, so many at a time. An accelerator is counted by what it has free itself; each of
    several trains as many."""
    shapes = {of.model.digest: shape(of.model) for of in setup.seeds}
    needs = {job.label: need(job, shapes[job.model_digest], _length(setup, job)) for job in jobs}
    largest = max(needs, key=lambda label: needs[label], default="none")
    on_host = setup.device == "cpu"
    used = max(1, -(-min(workers, len(jobs)) // len(places(setup.device))))
    return Estimate(
        worker=needs.get(largest, 0),
        workers=used,
        shared=2 * LOADED + _examples(setup) if on_host else 0,
        largest=largest,
        where="memory" if on_host else setup.device,
        there=available() if on_host else _free_on(setup.device),
    )


def need(job: TrainJob, of: Shape, length: int) -> int:
    """Bytes that one training needs beside what is loaded: the most of training, writing and scoring."""
    weights = FLOAT * of.parameters
    kept = weights * bool(job.hyper.patience) + weights * bool(job.shots)
    trace = max((_trace(plan, of, length) for plan in job.readings if isinstance(plan, TracePlan)), default=0)
    trained = STATE * weights + max(activations(job.hyper.batch_size, length, of), trace)
    written = 2 * COPIED * weights
    scored = weights + FLOAT * EVALUATED * (8 * of.hidden + 2 * of.inner)
    return int(kept + max(trained, written, scored))


def activations(rows: int, length: int, of: Shape) -> int:
    """Bytes kept for the backward pass of a batch."""
    tokens = rows * length
    layer = tokens * (12 * of.hidden + 3 * of.inner) + 3 * rows * of.heads * length * length
    return FLOAT * (of.layers * layer + 4 * tokens * of.hidden)


def _trace(plan: TracePlan, of: Shape, length: int) -> int:
    rows = 2 * len(plan.pools)
    touched = min(of.table, plan.half_batch * length * of.hidden)
    exact = rows * FLOAT * (of.parameters - of.table + touched)
    return min(exact, TRACE) + FLOAT * of.parameters + activations(min(32, plan.half_batch), length, of)


def _length(setup: Setup, job: TrainJob) -> int:
    """Tokens of a text at most: no more than it has bytes, and the special ones."""
    of = next(of for of in setup.seeds if of.seed == job.seed)
    longest = max((_bytes(row) for code in job.languages for row in of.train[code]), default=0)
    return min(job.hyper.max_length, longest + 3)


def _bytes(row: Any) -> int:
    return len(row.text.encode()) + len((row.pair or "").encode())


def _examples(setup: Setup) -> int:
    """Of the texts themselves, in the process that plans."""
    return sum(600 + 2 * _bytes(row) for rows in _rows(setup) for row in rows)


def _rows(setup: Setup) -> Iterator[Iterable[Any]]:
    for part in (setup.dev, setup.test):
        yield from part.values()
    for of in setup.seeds:
        yield from of.train.values()


def shape(model: Model) -> Shape:
    """Of a model's folder; of a scratch model, which may not be built yet, at most."""
    config: Mapping[str, Any] = {**SCRATCH_SHAPE, "num_hidden_layers": SCRATCH_LAYERS}
    if model.name != SCRATCH:
        config = json.loads((model.folder / "config.json").read_text("utf8"))
    hidden = _number(config, "hidden_size", "dim", "d_model", "n_embd", default=768)
    layers = _number(config, "num_hidden_layers", "n_layers", "num_layers", "n_layer", default=12)
    inner = _number(config, "intermediate_size", "hidden_dim", "d_ff", "n_inner", default=4 * hidden)
    heads = _number(config, "num_attention_heads", "n_heads", "num_heads", "n_head", default=12)
    table = _number(config, "vocab_size", default=50_000) * _number(config, "embedding_size", default=hidden)
    counted = table + layers * (4 * hidden * hidden + 2 * hidden * inner + 9 * hidden + inner) + 514 * hidden
    return Shape(_stored(model.folder) or counted, table, layers, hidden, inner, heads)


def _number(config: Mapping[str, Any], *names: str, default: int) -> int:
    for name in names:
        found = config.get(name)
        if isinstance(found, int) and not isinstance(found, bool) and found > 0:
            return found
    return default


def _stored(folder: Path) -> int:
    """Parameters in a folder's weights, from the headers of its files; 0 where there are none yet."""
    from safetensors import safe_open

    total = 0
    for path in folder.glob("*.safetensors"):
        try:
            with safe_open(path, "np") as file:
                total += sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
        except Exception:  # no such file: whoever loads it says so
            return 0
    return total or sum(path.stat().st_size for path in folder.glob("pytorch_model*.bin")) // FLOAT


def available() -> int | None:
    """Bytes of memory that this process could still have; ``None`` where nobody says."""
    found = [one for one in (_meminfo(), _cgroup()) if one is not None]
    return min(found) if found else None


def _meminfo() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return None
    except OSError:  # no Linux: all there is, used or not
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (AttributeError, ValueError, OSError):
            return None


def _cgroup() -> int | None:
    """What a container's limit leaves."""
    for most, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            root = Path("/sys/fs/cgroup")
            limit = (root / most).read_text().strip()
            if limit.isdigit() and int(limit) < 1 << 60:
                return max(0, int(limit) - int((root / used).read_text()))
        except (OSError, ValueError):
            continue
    return None


def _free_on(device: str) -> int | None:
    import torch

    if not device.startswith("cuda"):
        return None
    try:
        free, _ = torch.cuda.mem_get_info(torch.device(device))
    except (RuntimeError, ValueError, AssertionError):
        return None
    return int(free)


def _gb(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
