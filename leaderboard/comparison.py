"""Is one measure better than another, on one task and across tasks?

On one task languages are resampled, the same ones for all measures. Languages that share a
family are no independent draws, so intervals are then too narrow (see docs/statistics.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from leaderboard.ranking import Matrix, Vector, midranks, prepared, weighted_per_targets


class Difference(NamedTuple):
    """Of two per-target correlations with its 95 % interval and two-sided p."""

    difference: float
    low: float
    high: float
    p: float


class Resampled(NamedTuple):
    """Per-target correlations of measures: ``observed``, and ``drawn`` over resamples of the languages."""

    observed: dict[str, float]
    drawn: dict[str, Vector]


class Borda(NamedTuple):
    """``mean_rank`` of the measures known in every task (1 is best), best first; the others with
    the tasks that they lack."""

    mean_rank: dict[str, float]
    incomplete: dict[str, tuple[str, ...]]


def resampled(
    similarities: Mapping[str, ArrayLike], T: ArrayLike, centred: bool = True, draws: int = 1000, seed: int = 0
) -> Resampled:
    """The per-target Spearman with T of each measure, by the node bootstrap.

    Each draw gives every language a multiplicity, the same for all measures, as in
    :func:`~leaderboard.resampling.node_bootstrap_interval`. Without the measures for which
    the statistic is None.
    """
    n = len(np.asarray(T))
    pairs = {name: prepared(S, T, centred) for name, S in similarities.items()}
    if not pairs:
        return Resampled({}, {})
    transfer = next(iter(pairs.values()))[1]
    matrices = [similarity for similarity, _ in pairs.values()]
    observed = weighted_per_targets(matrices, transfer, np.ones((1, n)))[:, 0]
    if np.isnan(observed).any():  # of all or none: it is T that leaves no target
        return Resampled({}, {})
    drawn = weighted_per_targets(matrices, transfer, _weights(n, draws, seed))
    return Resampled(dict(zip(pairs, observed.tolist(), strict=True)), dict(zip(pairs, drawn, strict=True)))


def paired_difference(
    S_a: ArrayLike, S_b: ArrayLike, T: ArrayLike, centred: bool = True, draws: int = 1000, seed: int = 0
) -> Difference | None:
    """The per-target Spearman of S_a with T less that of S_b with T, by the paired node bootstrap
    (:func:`resampled`, :func:`difference`). None where the statistic is."""
    found = resampled({"a": S_a, "b": S_b}, T, centred, draws, seed)
    return difference(found, "a", "b") if found.observed else None


def difference(found: Resampled, a: str, b: str) -> Difference | None:
    """Of measure ``a`` less ``b``. The interval is that of percentiles; p = 2 (k + 1) / (m + 1), at
    most 1, with k the smaller number of the m draws with a difference ≤ 0 or ≥ 0: about the
    level at which the interval just reaches 0. None if no draw has any target left.
    """
    drawn = found.drawn[a] - found.drawn[b]
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return None
    low, high = np.percentile(drawn, [2.5, 97.5])
    beyond = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    p = min(1.0, 2 * (beyond + 1) / (len(drawn) + 1))
    return Difference(found.observed[a] - found.observed[b], float(low), float(high), p)


def _weights(n: int, draws: int, seed: int) -> Matrix:
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)


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
    """:func:`ranks` by per-target Spearman with T; None where the statistic is."""
    found = ranks(resampled(similarities, T, centred, draws, seed), level)
    return {name: found.get(name) for name in similarities}


def ranks(found: Resampled, level: float = 0.05) -> dict[str, int]:
    """Ranks, 1 the best, shared by measures that cannot be told apart; best first.

    The best measure without a rank is compared with all below it (:func:`difference`, Holm
    over them). Those from it down to the first that differs at ``level`` share its rank, which is
    1 plus the number of measures above; from that first one it begins anew. So a rank never
    contradicts the order, and sharing one means "not told apart from the first of this rank",
    not "equal". Measures with the same correlation go by name.
    """
    order = sorted(found.observed, key=lambda name: (-found.observed[name], name))
    given: dict[str, int] = {}
    while len(given) < len(order):
        leader, *below = order[len(given) :]
        compared = [difference(found, leader, name) for name in below]
        differs = [value <= level for value in holm([1.0 if one is None else one.p for one in compared])]
        shared = 1 + (differs.index(True) if True in differs else len(below))
        given |= dict.fromkeys([leader, *below][:shared], len(given) + 1)
    return given


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
    places = [midranks(-np.array([scores[name] for name in complete], dtype=float)) for scores in table.values()]
    means = dict(zip(complete, np.mean(places, axis=0).tolist(), strict=True)) if complete else {}
    return Borda(
        dict(sorted(means.items(), key=lambda item: (item[1], item[0]))),
        {name: lacks[name] for name in sorted(measures) if lacks[name]},
    )


def _finite(score: float | None) -> bool:
    return score is not None and bool(np.isfinite(score))
