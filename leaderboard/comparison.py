"""Is one measure better than another, on one task and across tasks?

On one task languages are resampled, the same ones for both measures. Languages that share a
family are no independent draws, so intervals are then too narrow (see docs/statistics.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from leaderboard.ranking import Matrix, Vector, midranks, per_target_spearman, prepared, weighted_per_target


class Difference(NamedTuple):
    """Of two per-target correlations with its 95 % interval and two-sided p."""

    difference: float
    low: float
    high: float
    p: float


class Borda(NamedTuple):
    """``mean_rank`` of the measures known in every task (1 is best), best first; the others with
    the tasks that they lack."""

    mean_rank: dict[str, float]
    incomplete: dict[str, tuple[str, ...]]


def paired_difference(
    S_a: ArrayLike, S_b: ArrayLike, T: ArrayLike, centred: bool = True, draws: int = 1000, seed: int = 0
) -> Difference | None:
    """The per-target Spearman of S_a with T less that of S_b with T, by the paired node bootstrap.

    Each draw gives every language a multiplicity, the same for both measures, as in
    :func:`~leaderboard.resampling.node_bootstrap_interval`. The interval is that of percentiles;
    p = 2 (b + 1) / (m + 1), at most 1, with b the smaller number of the m draws with a
    difference ≤ 0 or ≥ 0: about the level at which the interval just reaches 0. None where
    the statistic is.
    """
    a, b = (per_target_spearman(S, T, centred) for S in (S_a, S_b))
    if a is None or b is None:
        return None
    weights = _weights(len(np.asarray(T)), draws, seed)
    return _difference(a - b, *(weighted_per_target(*prepared(S, T, centred), weights) for S in (S_a, S_b)))


def _weights(n: int, draws: int, seed: int) -> Matrix:
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)


def _difference(observed: float, a: Vector, b: Vector) -> Difference:
    drawn = a - b
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return Difference(observed, observed, observed, 1.0)
    low, high = np.percentile(drawn, [2.5, 97.5])
    beyond = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return Difference(observed, float(low), float(high), min(1.0, 2 * (beyond + 1) / (len(drawn) + 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p adjusted for as many tests, in the order given: Holm's step-down (1979), at most 1."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in adjusted]


def shared_ranks(
    similarities: Mapping[str, ArrayLike],
    T: ArrayLike,
    centred: bool = True,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.05,
) -> dict[str, int | None]:
    """Ranks by per-target Spearman, 1 the best, shared by measures that cannot be told apart.

    The best measure without a rank is compared with all below it (:func:`paired_difference`, Holm
    over them). Those from it down to the first that differs at ``level`` share its rank, which is
    1 plus the number of measures above; from that first one it begins anew. So a rank never
    contradicts the order, and sharing one means "not told apart from the first of this rank",
    not "equal". Measures with the same correlation go by name. None where the statistic is.
    """
    values = {name: per_target_spearman(S, T, centred) for name, S in similarities.items()}
    ranks: dict[str, int | None] = dict.fromkeys(similarities)
    known = {name: value for name, value in values.items() if value is not None}
    order = sorted(known, key=lambda name: (-known[name], name))
    if not order:
        return ranks
    weights = _weights(len(np.asarray(T)), draws, seed)
    drawn = {name: weighted_per_target(*prepared(similarities[name], T, centred), weights) for name in order}
    first = 0
    while first < len(order):
        leader, below = order[first], order[first + 1 :]
        p = [_difference(known[leader] - known[name], drawn[leader], drawn[name]).p for name in below]
        differs = [value <= level for value in holm(p)]
        shared = 1 + (differs.index(True) if True in differs else len(below))
        ranks |= dict.fromkeys(order[first : first + shared], first + 1)
        first += shared
    return ranks


def borda(table: Mapping[str, Mapping[str, float | None]]) -> Borda:
    """Mean rank over tasks (Borda count) from ``table[task][measure]``, higher scores better.

    Only measures with a finite score in every task are ranked, and among themselves: a measure
    that did not run where it is hard would gain from it. Ties share their mean rank.
    """
    measures = dict.fromkeys(name for scores in table.values() for name in scores)
    lacks = {
        name: tuple(task for task, scores in table.items() if not _finite(scores.get(name))) for name in measures
    }
    complete = sorted(name for name in measures if not lacks[name])
    ranks = [midranks(-np.array([scores[name] for name in complete], dtype=float)) for scores in table.values()]
    means = dict(zip(complete, np.mean(ranks, axis=0).tolist(), strict=True)) if complete else {}
    return Borda(
        dict(sorted(means.items(), key=lambda item: (item[1], item[0]))),
        {name: lacks[name] for name in sorted(measures) if lacks[name]},
    )


def _finite(score: float | None) -> bool:
    return score is not None and bool(np.isfinite(score))
