"""Permutation tests and intervals: over languages, over seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import permutations as all_orders
from typing import Literal

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

_STATISTICS: dict[Statistic, Callable[[Matrix, Matrix], float | None]] = {
    "spearman": matrix_spearman,
    "per-target": per_target_spearman,
}
_CELLS_AT_ONCE = 16_384  # of permuted matrices: they stay in the processor's cache
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
    return percentiles(weighted_per_target(similarity, transfer, weights))


def percentiles(values: Vector) -> tuple[float, float] | None:
    """The 95 % percentile interval of resampled values; None if none is known."""
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
