"""Permutation tests and intervals: over languages, over seeds, over test items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import permutations as all_orders
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leaderboard.ranking import (
    Matrix,
    Vector,
    cells,
    deviations,
    matrix_spearman,
    midranks,
    pearson,
    per_target_spearman,
    prepared,
    weighted_per_target,
)

Statistic = Literal["spearman", "per-target"]
Permutations = NDArray[np.int64]
Counts = NDArray[np.integer[Any]]
METRICS = ("accuracy", "macro_f1", "weighted_f1", "span_f1")

_STATISTICS: dict[Statistic, Callable[[Matrix, Matrix], float | None]] = {
    "spearman": matrix_spearman,
    "per-target": per_target_spearman,
}
_CELLS_AT_ONCE = 1_000_000  # bounds the memory of one batch of permutations
_ENUMERATED = 7  # up to so many sources all permutations are tried: 5,040


def qap_p(
    S: ArrayLike,
    T: ArrayLike,
    permutations: int = 1999,
    seed: int = 0,
    statistic: Statistic = "spearman",
    centred: bool = False,
) -> float | None:
    """Two-sided p of the quadratic assignment procedure (Krackhardt 1988) for the matrix Spearman
    or the per-target Spearman of S with T, both ``[source, target]``, ``centred`` or not.

    Rows and columns of S are permuted together, p = (b + 1) / (m + 1) with b the permutations
    whose absolute statistic is at least the observed one. Only sources are permuted, among
    themselves; target-only languages stay in place. With up to 7 sources every permutation is
    tried and p is exact. Centring is done once: it commutes with permuting the sources. None
    where the statistic is.
    """
    similarity, transfer = prepared(S, T, centred)
    observed = _STATISTICS[statistic](similarity, transfer)
    if observed is None:
        return None
    null = permuted_statistics(similarity, transfer, source_orders(transfer, permutations, seed), statistic)
    return permutation_p(abs(observed), np.abs(null))


def source_orders(T: Matrix, permutations: int, seed: int) -> Permutations:
    """Permutations ``[m, n]`` of the languages that move only the sources of ``T``: all but the
    identity where there are at most 7 sources, otherwise ``permutations`` random ones.
    """
    sources = np.flatnonzero(cells(T).any(axis=1))
    if len(sources) <= _ENUMERATED:
        moved = np.array(list(all_orders(sources)), dtype=np.int64)[1:]
    else:
        moved = np.random.default_rng(seed).permuted(np.tile(sources, (permutations, 1)), axis=1)
    orders = np.tile(np.arange(len(T)), (len(moved), 1))
    orders[:, sources] = moved
    return orders


def permutation_p(observed: float, null: Vector) -> float:
    """(b + 1) / (m + 1), with b of the m values at least ``observed`` but for rounding."""
    return (int(np.sum(null >= observed - 1e-12)) + 1) / (len(null) + 1)


def batches(orders: Permutations) -> Iterator[Permutations]:
    """``orders`` in parts whose permuted matrices fit in memory together."""
    rows = max(1, _CELLS_AT_ONCE // max(1, orders.shape[1] ** 2))
    for start in range(0, len(orders), rows):
        yield orders[start : start + rows]


def permuted_statistics(S: Matrix, T: Matrix, orders: Permutations, statistic: Statistic) -> Vector:
    """The statistic of S[p][:, p] with T for each row p of ``orders`` ``[m, n]``; 0 where undefined.

    ``S`` and ``T`` as :func:`prepared` gives them, every p leaving target-only languages in place.
    """
    n = len(T)
    known = cells(T)
    expected = ~np.eye(n, dtype=bool)
    expected[~known.any(axis=1)] = False
    complete = np.array_equal(known, expected)
    if statistic == "spearman" and not complete:
        # which cells are compared changes with p, and all ranks with it
        return np.array([matrix_spearman(S[np.ix_(p, p)], T) or 0.0 for p in orders])
    if statistic == "spearman" and not np.isfinite(S[known]).all():
        return _spearman_without(S, T, known, orders)
    truth = _standard_ranks(T, known, statistic)
    if statistic == "per-target":
        truth /= max(1, int(truth.any(axis=0).sum()))  # the mean over the targets that are kept
    parts = [np.zeros(0)]
    if not complete:
        return np.concatenate(parts + [_ranked_anew(S, truth, known, p) for p in batches(orders)])
    flat, weights = _standard_ranks(S, known, statistic).ravel(), truth.ravel()
    for p in batches(orders):
        index = (p[:, :, None] * n + p[:, None, :]).reshape(len(p), -1)
        parts.append(flat[index] @ weights)
    return np.concatenate(parts)


def _spearman_without(S: Matrix, T: Matrix, known: NDArray[np.bool_], orders: Permutations) -> Vector:
    """The matrix Spearman where only S has gaps. Its ranks move with its cells; T's, among the cells that a
    permutation leaves, are counted along one sorting of T."""
    there = known & np.isfinite(S)
    ranks = np.full_like(S, np.nan)
    ranks[there] = midranks(S[there])
    truth = T[known]
    ascending = np.argsort(truth, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(truth[ascending]) > 0]))  # of equal values
    tied = np.empty(len(truth), dtype=np.int64)
    tied[ascending] = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(truth))))
    found = np.zeros(len(orders))
    for place, p in enumerate(orders):
        x = ranks[np.ix_(p, p)][known]
        here = np.isfinite(x)
        counts = np.add.reduceat(here[ascending], starts, dtype=np.int64)
        found[place] = pearson(x[here], (np.cumsum(counts) - (counts - 1) / 2)[tied[here]]) or 0.0
    return found


def _ranked_anew(S: Matrix, truth: Matrix, known: NDArray[np.bool_], orders: Permutations) -> Vector:
    """The per-target statistic where T has gaps, which leave out other cells of S under each permutation."""
    from scipy.stats import rankdata

    total = np.zeros(len(orders))
    for t in np.flatnonzero(truth.any(axis=0)):
        sources = np.flatnonzero(known[:, t])
        x = S[orders[:, sources], orders[:, [t]]]
        missing = np.isnan(x)
        ranks = rankdata(np.where(missing, np.inf, x), axis=1)  # the missing ones above all others
        ranks -= ((~missing).sum(axis=1, keepdims=True) + 1) / 2
        ranks[missing] = 0.0
        norm = np.linalg.norm(ranks, axis=1)
        total += ranks @ truth[sources, t] / np.where(norm > 0, norm, 1.0)
    return total


def _standard_ranks(M: Matrix, known: NDArray[np.bool_], statistic: Statistic) -> Matrix:
    """Rank deviations of unit norm, over all cells or within each column; 0 in all other cells."""
    ranks = np.zeros_like(M)
    if statistic == "spearman":
        ranks[known] = midranks(M[known]) - (known.sum() + 1) / 2
        norm = np.full(len(M), np.linalg.norm(ranks))
    else:
        for t in range(len(M)):
            ranks[known[:, t], t] = deviations(M[known[:, t], t])
        norm = np.linalg.norm(ranks, axis=0)
    standard: Matrix = ranks / np.where(norm > 0, norm, 1.0)
    return standard


def node_bootstrap_interval(
    S: ArrayLike, T: ArrayLike, centred: bool = False, draws: int = 1000, seed: int = 0
) -> tuple[float, float] | None:
    """95 % percentile interval of the per-target Spearman from resampling languages.

    Each draw gives every language a multiplicity and is what copying languages would give,
    except that a language is no source for its own copies. ``centred`` centres once, on the full
    matrices, before any draw. In a draw a column of S that has become constant counts as 0, one
    of T is dropped; a draw without any target left is left out. None where the statistic is.
    """
    similarity, transfer = prepared(S, T, centred)
    n = len(transfer)
    if per_target_spearman(similarity, transfer) is None:
        return None
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)
    return _percentiles(weighted_per_target(similarity, transfer, weights))


def _percentiles(values: Vector) -> tuple[float, float] | None:
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def seed_interval(gains_per_seed: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of a mean gain over seeds, paired: mean ± t(m − 1) · sd / √m, in the unit of
    the gains, languages fixed. None with fewer than two seeds.
    """
    gains = np.asarray(gains_per_seed, dtype=np.float64)
    if len(gains) < 2:
        return None
    from scipy.stats import t

    half = float(t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains)))
    return float(gains.mean() - half), float(gains.mean() + half)


def item_interval(
    items: Iterable[tuple[Counts, Counts]], metric: str, draws: int = 1000, seed: int = 0
) -> tuple[float, float] | None:
    """95 % percentile interval of score(A) − score(B), averaged over languages, from resampling
    test items (texts, or tagged sentences) within each language; both systems see the same items.

    ``items`` holds per language what the metric is made of for A and for B, each
    ``[runs, items, 3, classes]``: how many of each class an item has that are right, gold, and predicted
    (``tasks.metrics.item_counts``); the score is averaged over runs (seeds, random partitions).
    ``metric`` is ``accuracy``, or an F1 over the classes present in gold or predictions of the resample:
    ``macro_f1``, ``weighted_f1``, or ``span_f1`` (of one class).
    The unit is 0 to 1. None without items. ValueError for another metric or unequal lengths.
    """
    if metric not in METRICS:
        raise ValueError(f"metric: expected one of {', '.join(METRICS)}, found {metric!r}")
    rng = np.random.default_rng(seed)
    differences = [_resampled(a, b, metric, draws, rng) for a, b in items]
    return _percentiles(np.mean(differences, axis=0)) if differences else None


def _resampled(a: Counts, b: Counts, metric: str, draws: int, rng: np.random.Generator) -> Vector:
    """score(A) − score(B) for each resample of one language's items, ``[draws]``.

    Items with equal counts are interchangeable, so only how many of each kind are drawn.
    """
    if a.ndim != 4 or b.ndim != 4 or a.shape[1:] != b.shape[1:] or not a.shape[1]:
        raise ValueError(
            f"items: expected [runs, items, 3, classes], at least one item, found {a.shape}, {b.shape}"
        )
    both = np.concatenate([a, b])
    kinds, counts = _kinds(both)
    total = int(counts.sum())
    drawn = _drawn(counts, draws, rng)
    exact = np.float32 if total * int(both.max()) < 1 << 24 else np.float64  # sums of whole numbers
    sums = kinds.T.astype(exact) @ drawn.T.astype(exact)
    scores = np.stack([_score(one, metric) for one in sums.reshape(len(both), 3, -1, draws)])
    difference: Vector = scores[: len(a)].mean(axis=0) - scores[len(a) :].mean(axis=0)
    return difference


def _drawn(counts: NDArray[np.int64], draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """How many of each kind a resample has, ``[draws, kinds]``: from as many items as there are."""
    total, kinds = int(counts.sum()), len(counts)
    if 2 * kinds <= total:
        return rng.multinomial(total, counts / total, size=draws)
    # A binomial draw for each kind takes longer than one of every item.
    which = np.repeat(np.arange(kinds), counts)[rng.integers(total, size=(draws, total))]
    which += kinds * np.arange(draws)[:, None]
    return np.bincount(which.ravel(), minlength=draws * kinds).reshape(draws, kinds)


def _kinds(both: Counts) -> tuple[NDArray[np.integer[Any]], NDArray[np.int64]]:
    """The different items of ``[runs, items, 3, classes]``, in lexicographic order, and how many of each."""
    width = np.min_scalar_type(int(both.max())).newbyteorder(">")  # bytes in the order of the numbers
    by_item = np.ascontiguousarray(both.swapaxes(0, 1).reshape(both.shape[1], -1).astype(width))
    rows = by_item.view(np.dtype((np.void, by_item.itemsize * by_item.shape[1]))).ravel()
    _, first, counts = np.unique(rows, return_index=True, return_counts=True)
    return by_item[first], counts


def _score(sums: NDArray[np.floating[Any]], metric: str) -> Vector:
    """The metric of each resample, from ``[3, classes, draws]``."""
    hits, gold, predicted = sums.astype(np.float64)
    if metric == "accuracy":
        accuracy: Vector = hits.sum(axis=0) / gold.sum(axis=0)
        return accuracy
    present = gold + predicted
    f1 = 2 * hits / np.where(present > 0, present, 1.0)
    weights = gold if metric == "weighted_f1" else (present > 0).astype(np.float64)
    total = weights.sum(axis=0)
    score: Vector = (f1 * weights).sum(axis=0) / np.where(total > 0, total, 1.0)  # a resample without spans: 0
    return score
