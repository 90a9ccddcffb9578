"""Reading what strategies told of a training, who may tell anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaderboard.records import Record

Seeds = NDArray[np.float64]  # [seeds, …]


def _values(record: Record, *path: str) -> list[Any]:
    """By seed, what is there."""
    found = []
    for told in (record.training or {}).values():
        for key in path:
            told = told.get(key) if isinstance(told, dict) else None
        if told is not None:
            found.append(told)
    return found


def blocks_of(record: Record) -> list[str]:
    return [block for told in _values(record, "blocks") if isinstance(told, dict) for block in told]


def number(record: Record, *path: str) -> float | None:
    found = [float(one) for one in _values(record, *path) if isinstance(one, int | float)]
    return float(np.mean(found)) if found else None


def series(block: str, what: str) -> Callable[[Record], Seeds | None]:
    """``[seeds, parts of the training]``"""
    return lambda record: _array(_values(record, "blocks", block, what), 1)


def matrices(*path: str) -> Callable[[Record], Seeds | None]:
    """``[seeds, languages, languages]`` in the record's order."""

    def read(record: Record) -> Seeds | None:
        found = _array(_values(record, *path), 2)
        codes = _values(record, *(("overlap", "languages") if path[0] == "overlap" else ("languages",)))
        if found is None or any(one != codes[0] for one in codes) or not codes:
            return None
        n = len(record.languages)
        if found.shape[1:] != (len(codes[0]),) * 2 or not set(codes[0]) <= set(record.languages):
            return None
        at = [record.languages.index(code) for code in codes[0]]
        whole = np.full((len(found), n, n), np.nan)
        whole[np.ix_(range(len(found)), at, at)] = found
        return whole

    return read


def again_by_language(kind: str) -> Callable[[Record], Seeds | None]:
    """``[seeds, languages]``: what a language's masks share with those under another seed."""

    def read(record: Record) -> Seeds | None:
        told = [one for one in _values(record, "again", kind, "by_language") if isinstance(one, dict)]
        return _array([[one.get(code) for code in record.languages] for one in told], 1)

    return read


def _array(values: Sequence[Any], axes: int) -> Seeds | None:
    """Lists of numbers with gaps as an array with one axis more; None where they are something else."""
    try:
        found = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return found if found.ndim == axes + 1 and found.size and np.isfinite(found).any() else None


def mean(seeds: Seeds) -> Any:
    """Over seeds, of what is known."""
    known = np.isfinite(seeds)
    total, count = np.where(known, seeds, 0.0).sum(axis=0), known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def joint_gains(record: Record) -> dict[str, list[float]]:
    """Of each language, by seed where that is known: multilingual less monolingual score, in points."""
    both, alone = record.scores.multilingual, record.scores.monolingual
    if both is None or alone is None:
        return {}
    first, second = (
        one.by_seed or {code: [value] for code, value in one.per_language.items()} for one in (both, alone)
    )
    return {
        code: [100 * (own - other) for own, other in zip(first[code], second[code], strict=True)]
        for code in first
        if code in second and len(first[code]) == len(second[code])
    }
