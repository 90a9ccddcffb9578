"""How sure a difference of two systems is, from resampling test items: a paired bootstrap.

Both systems are scored on the same resamples, which follow from the seed and a language's code alone: so
are all systems of a run, and each is scored once, whatever it is compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaderboard.ranking import Matrix, Vector
from leaderboard.resampling import percentiles

Counts = NDArray[np.integer[Any]]
METRICS = ("accuracy", "macro_f1", "weighted_f1", "span_f1")

_KEPT = 1 << 28  # bytes of resamples; what is beyond is drawn again for each system
_CELLS_AT_ONCE = 65_536  # while they are drawn: they stay in the processor's cache


class ItemBootstrap:
    """Resamples of the test items (texts, or tagged sentences) of each language, each within itself."""

    def __init__(self, draws: int = 1000, seed: int = 0) -> None:
        self.draws, self.seed = draws, seed
        self._drawn: dict[tuple[str, int], NDArray[np.uint8]] = {}

    def scores(self, counts: Mapping[str, Counts], metric: str) -> Vector:
        """The score of a system on each resample, averaged over languages, ``[draws]``; the unit is 0 to 1.

        ``counts`` holds by language code what the metric is made of, ``[runs, items, 3, classes]``: how many of
        each class an item has that are right, gold, and predicted (``tasks.metrics.item_counts``). The score is
        averaged over runs (seeds). ``metric`` is ``accuracy``, or an F1 over the classes present in gold or
        predictions of the resample: ``macro_f1``, ``weighted_f1``, or ``span_f1`` (of one class).
        ValueError for another metric, or a language without runs or items.
        """
        if metric not in METRICS:
            raise ValueError(f"metric: expected one of {', '.join(METRICS)}, found {metric!r}")
        return np.mean([self._scored(code, one, metric) for code, one in counts.items()], axis=0)  # type: ignore[no-any-return]

    def _scored(self, code: str, counts: Counts, metric: str) -> Vector:
        if counts.ndim != 4 or counts.shape[2] != 3 or not counts.size:
            raise ValueError(f"counts: expected [runs, items, 3, classes], none of them 0, found {counts.shape}")
        runs, items, _, classes = counts.shape
        # Sums of whole numbers, exact as long as they fit the mantissa.
        exact = np.float32 if items * int(counts.max()) < 1 << 24 else np.float64
        by_item = counts.transpose(0, 2, 3, 1).reshape(-1, items).astype(exact)
        sums = by_item @ self.times(code, items).astype(exact)
        scores = [score(one, metric) for one in sums.reshape(runs, 3, classes, self.draws)]
        mean: Vector = np.mean(scores, axis=0)
        return mean

    def times(self, code: str, items: int) -> NDArray[np.uint8]:
        """How often each resample has each item of a language, ``[items, draws]``: ``items`` draws in all."""
        if (code, items) in self._drawn:
            return self._drawn[code, items]
        found = np.empty((items, self.draws), dtype=np.uint8)  # of 256 items, none comes 256 times
        random = np.random.default_rng([self.seed, *code.encode()])
        rows = max(1, _CELLS_AT_ONCE // items)
        for start in range(0, self.draws, rows):
            part = found[:, start : start + rows]
            which = random.integers(items, size=part.T.shape)
            which += items * np.arange(len(which))[:, None]
            part[:] = np.bincount(which.ravel(), minlength=part.size).reshape(which.shape).T
        if sum(one.size for one in self._drawn.values()) + found.size <= _KEPT:
            self._drawn[code, items] = found
        return found


def item_interval(a: Vector, b: Vector) -> tuple[float, float] | None:
    """95 % percentile interval of score(A) − score(B), from what both score on the same resamples, ``[draws]``."""
    return percentiles(a - b)


def score(sums: Matrix, metric: str) -> Vector:
    """The metric of each resample, from ``[3, classes, draws]``: right, gold and predicted ones."""
    hits, gold, predicted = sums.astype(np.float64)
    if metric == "accuracy":
        accuracy: Vector = hits.sum(axis=0) / gold.sum(axis=0)
        return accuracy
    present = gold + predicted
    f1 = 2 * hits / np.where(present > 0, present, 1.0)
    weights = gold if metric == "weighted_f1" else (present > 0).astype(np.float64)
    total = weights.sum(axis=0)
    found: Vector = (f1 * weights).sum(axis=0) / np.where(total > 0, total, 1.0)  # a resample without spans: 0
    return found
