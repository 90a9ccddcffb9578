"""Readings with everything resolved: what a job is told to take, and where it is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmark.seeds import digest
from measures.needs import Reading, ReadingResult

Params = tuple[tuple[str, str | int | float], ...]
VERSION = 2  # raised whenever a change of ours changes what a reading holds
REPEAT = ("repeat", 1)  # of a reading: of the language's second training, under another seed


@dataclass(frozen=True)
class TracePlan:
    """Gradients along a training: which examples, how many probes."""

    kind: str
    params: Params
    pools: tuple[tuple[str, str], ...]  # (language, key of its encoded examples)
    probes: int
    half_batch: int
    parallel: bool

    def key(self, training: str) -> str:
        return f"{training}.reading.{digest([VERSION, asdict(self)])[:16]}"


@dataclass(frozen=True)
class ModelPlan:
    """A reading of a model as it stands, untrained or at the end of its training.

    ``sets``: the encoded examples it takes, by language (embeddings) or by split.
    """

    kind: str
    params: Params
    of: Literal["initial", "trained"]
    sets: tuple[tuple[str, str], ...]

    def key(self, training: str) -> str:
        return f"{training}.reading.{digest([VERSION, asdict(self)])[:16]}"


ReadingPlan = TracePlan | ModelPlan


def save(folder: Path, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
    """Write what came of a reading into its folder of the store."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    (folder / "meta.json").write_text(json.dumps(meta, indent=1), "utf8")


def load(folder: Path) -> ReadingResult:
    """What :func:`save` wrote."""
    arrays = {path.stem: np.load(path, allow_pickle=False) for path in folder.glob("*.npy")}
    return ReadingResult(arrays, json.loads((folder / "meta.json").read_text("utf8")))


def repeated(reading: Reading) -> bool:
    """Whether it is of the second training of a language."""
    return REPEAT in reading.params
