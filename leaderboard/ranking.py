"""Rank statistics of a similarity S against a transfer T, both ``[source, target]``.

Diagonals are ignored and NaN (or any other value that is not finite) is missing. The sources
are the languages with a finite off-diagonal cell in their row of T; the others are targets only.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

# Differences below this share of the largest value of the uncentred matrix are float noise.
NOISE = 1e-10
_WEIGHTS_AT_ONCE = 65_536  # cells of the weights of some draws


def square(M: ArrayLike) -> Matrix:
    """``M`` as float64 ``[n, n]`` with NaN for whatever is not finite. ValueError for another shape."""
    values = np.array(M, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise ValueError(f"matrix: expected a square [source, target] matrix, found shape {values.shape}")
    values[~np.isfinite(values)] = np.nan
    return values


def cells(T: Matrix) -> NDArray[np.bool_]:
    """The off-diagonal cells where ``T`` is known, ``[n, n]``."""
    known: NDArray[np.bool_] = np.isfinite(T) & ~np.eye(len(T), dtype=bool)
    return known


def centre(M: ArrayLike) -> Matrix:
    """``M`` without its additive effects: the residual of the least-squares fit
    M[s, t] ≈ μ + a_s + b_t over the finite off-diagonal cells, complete or not.

    Returns ``[n, n]``, NaN where ``M`` is and on the diagonal. Residuals that differ by no more
    than float noise (1e-10 of the largest absolute value in ``M``) are made equal, so a matrix
    of effects alone centres to exact zeros and ties stay ties.
    """
    values = square(M)
    known = cells(values)
    residual = np.where(known, values, 0.0)
    scale = float(np.abs(residual).max(initial=0.0))
    if scale > 0:
        residual /= scale
        weight = known.astype(np.float64)
        normal = np.block([[np.diag(weight.sum(1)), weight], [weight.T, np.diag(weight.sum(0))]])
        inverse = np.linalg.pinv(normal, rcond=1e-12, hermitian=True)
        for _ in range(2):  # the second pass removes the rounding errors of the first
            effects = inverse @ np.concatenate([residual.sum(1), residual.sum(0)])
            source, target = np.split(effects, 2)
            residual -= np.where(known, source[:, None] + target[None, :], 0.0)
        residual[known] = merged(residual[known]) * scale
    residual[~known] = np.nan
    return residual


def merged(values: Vector) -> Vector:
    """Values in units of the scale, those within noise of one another made equal, of zero made zero."""
    order = np.argsort(values)
    ascending = values[order]
    first = np.concatenate([[True], np.diff(ascending) > NOISE])
    group = np.cumsum(first) - 1
    level = ascending[first]
    level[np.unique(group[np.abs(ascending) <= NOISE])] = 0.0
    merged = np.empty_like(values)
    merged[order] = level[group]
    return merged


def prepared(S: ArrayLike, T: ArrayLike, centred: bool = False) -> tuple[Matrix, Matrix]:
    """Both matrices checked, rows of S kept for sources only, and both centred if asked for."""
    similarity, transfer = square(S), square(T)
    if similarity.shape != transfer.shape:
        raise ValueError(f"S and T: expected one shape, found {similarity.shape} and {transfer.shape}")
    similarity[~cells(transfer).any(axis=1)] = np.nan
    return (centre(similarity), centre(transfer)) if centred else (similarity, transfer)


def rank_deviations(x: Vector, weights: Matrix) -> Matrix:
    """Weighted mid-ranks less their mean: r_i = Σ_s w_s (1[x_s < x_i] + ½·1[x_s = x_i]) − ½ Σ_s w_s.

    ``x`` is ``[m]``, ``weights`` ``[draws, m]``, the result ``[draws, m]``. A missing value takes
    the mid-rank of the others, which is a deviation of 0.
    """
    known = np.isfinite(x)
    below = (x[:, None] < x[None, :]) + 0.5 * (x[:, None] == x[None, :])
    deviations: Matrix = weights @ below - 0.5 * weights[:, known].sum(axis=1, keepdims=True)
    deviations[:, ~known] = 0.0
    return deviations


def deviations(x: Vector) -> Vector:
    """Mid-ranks less their mean, unweighted."""
    result: Vector = rank_deviations(x, np.ones((1, len(x))))[0]
    return result


def weighted_per_target(S: Matrix, T: Matrix, weights: Matrix) -> Vector:
    """The per-target Spearman with every language present ``weights[draw, language]`` times.

    ``S`` and ``T`` as :func:`prepared` gives them. The same as copying languages, where a copy
    is no source for another copy of itself. Returns ``[draws]``, NaN where no target remains.
    """
    values: Vector = weighted_per_targets([S], T, weights)[0]
    return values


def weighted_per_targets(similarities: Sequence[Matrix], T: Matrix, weights: Matrix) -> Matrix:
    """:func:`weighted_per_target` of several similarities with one T, ``[similarity, draw]``: what T's
    ranks take is done once, and draws in parts that stay in the processor's cache."""
    n, known = len(T), cells(T)
    columns = [np.flatnonzero(known[:, t]) for t in range(n)]
    shape = len(similarities), len(weights)
    total, mass = np.zeros(shape), np.zeros(len(weights))
    rows = max(1, _WEIGHTS_AT_ONCE // max(1, n))
    for start in range(0, len(weights), rows):
        part = weights[start : start + rows]
        for t, sources in enumerate(columns):
            drawn = np.flatnonzero(part[:, t])  # the draws in which the target is
            w = part[np.ix_(drawn, sources)]
            y = rank_deviations(T[sources, t], w)
            wy = w * y
            # With whole weights these are sums of multiples of 1/4: exact, so 0 means constant.
            of_y = np.einsum("ds,ds->d", wy, y)
            here = part[drawn, t] * (of_y > 0)
            mass[start + drawn] += here
            for place, S in enumerate(similarities):
                x = rank_deviations(S[sources, t], w)
                covariance = np.einsum("ds,ds->d", wy, x)
                of_x = np.einsum("ds,ds,ds->d", w, x, x)
                ok = (of_x > 0) & (of_y > 0)
                spread = np.sqrt(np.where(ok, of_x * of_y, 1.0))
                correlation = np.clip(np.where(ok, covariance / spread, 0.0), -1.0, 1.0)
                total[place, start + drawn] += here * correlation
    result: Matrix = np.where(mass > 0, total / np.where(mass > 0, mass, 1.0), np.nan)
    return result


def per_target_spearman(S: ArrayLike, T: ArrayLike, centred: bool = False) -> float | None:
    """Spearman of S[·, t] with T[·, t] over the sources s ≠ t, averaged over targets; in [−1, 1].

    ``centred`` first removes source and target effects from both (see :func:`centre`; of S only
    the rows of sources count), so a target-blind ranking of the sources scores 0. A constant
    column of S counts as 0, a missing cell of S takes the mid-rank, a constant column of T drops
    that target; None if none remains. ValueError for shapes that do not fit.
    """
    similarity, transfer = prepared(S, T, centred)
    value = float(weighted_per_target(similarity, transfer, np.ones((1, len(transfer))))[0])
    return None if np.isnan(value) else value


def midranks(x: Vector) -> Vector:
    """Ranks from 1, ties sharing their mean."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    ranks: Vector = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks


def pearson(x: Vector, y: Vector) -> float | None:
    """Pearson's r; 0 if only ``x`` is constant, None if ``y`` is or fewer than two values are given."""
    if len(y) < 2 or y.max() == y.min():
        return None
    if x.max() == x.min():
        return 0.0
    x, y = x / np.abs(x).max(), y / np.abs(y).max()
    x, y = x - x.mean(), y - y.mean()
    spread = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(np.clip(x @ y / spread, -1.0, 1.0)) if spread > 0 else 0.0


def _pairs(S: ArrayLike, T: ArrayLike) -> tuple[Vector, Vector]:
    similarity, transfer = prepared(S, T)
    both = cells(transfer) & np.isfinite(similarity)
    return similarity[both], transfer[both]


def matrix_spearman(S: ArrayLike, T: ArrayLike) -> float | None:
    """Spearman over the ordered pairs s ≠ t known in both; 0 for a constant S, None for a constant T."""
    x, y = _pairs(S, T)
    return pearson(midranks(x), midranks(y))


def matrix_pearson(S: ArrayLike, T: ArrayLike) -> float | None:
    """Pearson over the ordered pairs s ≠ t known in both; 0 for a constant S, None for a constant T."""
    return pearson(*_pairs(S, T))


def _gains(candidates: int, k: int) -> Vector:
    """2^rel − 1 by true position, relevance k, k−1, …, 1 for the best k and 0 below."""
    relevance = np.maximum(k - np.arange(candidates), 0)
    gains: Vector = 2.0**relevance - 1.0
    return gains


def _discounts(candidates: int, k: int) -> Vector:
    position = np.arange(candidates)
    discounts: Vector = np.where(position < k, 1.0 / np.log2(position + 2.0), 0.0)
    return discounts


def _shared(keys: Vector, by_position: Vector) -> Vector:
    """What each item expects from its position when sorted by descending key, ties in random order."""
    _, inverse, counts = np.unique(-keys, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    until = np.concatenate([[0.0], np.cumsum(by_position)])
    expected: Vector = ((until[ends] - until[ends - counts]) / counts)[inverse]
    return expected


def ndcg_at_k(S: ArrayLike, T: ArrayLike, k: int = 3) -> float | None:
    """NDCG@k of the sources ranked by S (Lin et al. 2019), averaged over targets; in [0, 1].

    The best k sources by T have relevance k, …, 1, the gain is 2^rel − 1. Ties in S and in T
    are both taken in expectation over their orders, so a random S expects :func:`ndcg_chance`
    with ties in T too (and ties among the true best keep any S from reaching 1). Missing cells
    and constant columns as in :func:`per_target_spearman`; None if no target remains.
    """
    similarity, transfer = prepared(S, T)
    known = cells(transfer)
    values = []
    for t in range(len(transfer)):
        sources = np.flatnonzero(known[:, t])
        truth = transfer[sources, t]
        if len(sources) < 2 or truth.max() == truth.min():
            continue
        gains, discounts = _gains(len(sources), k), _discounts(len(sources), k)
        found = _shared(truth, gains) @ _shared(deviations(similarity[sources, t]), discounts)
        values.append(float(found / (gains @ discounts)))
    return float(np.mean(values)) if values else None


def ndcg_chance(n_sources: int, k: int = 3) -> float:
    """The mean NDCG@k over all orders of n − 1 candidates (the target is one of the n sources):
    mean gain times summed discounts over the ideal; for k = 3 (11 / (n−1)) · 2.131 / 9.393.
    """
    if n_sources < 2:
        raise ValueError(f"ndcg_chance: expected at least 2 sources, found {n_sources}")
    gains, discounts = _gains(n_sources - 1, k), _discounts(n_sources - 1, k)
    return float(gains.mean() * discounts.sum() / (gains @ discounts))


def regret_at_1(S: ArrayLike, T_dev: ArrayLike, T_test: ArrayLike) -> float | None:
    """T_test at the source that is best by T_dev less T_test at the source that is best by S,
    averaged over targets, in the unit of T; negative where S chose better than dev did.

    Ties at the top, in S and in T_dev, count as their mean. Missing cells of S take the
    mid-rank. Targets with fewer than two candidates are dropped; None if no target remains.
    """
    return regret_at_k(S, T_dev, T_test, 1)


def regret_at_k(S: ArrayLike, T_dev: ArrayLike, T_test: ArrayLike, k: int) -> float | None:
    """What is lost by trying only the k sources that S ranks first: T_test at the source that is
    best by T_dev of all candidates less T_test at the one that is best by T_dev of these k,
    averaged over targets, in the unit of T.

    The k sources are tried as one would in practice, on dev: the best of them by test is not
    known to whoever chooses. Nothing is lost with as many as there are candidates; k = 1 is
    :func:`regret_at_1`. In expectation over ties, in S at the k-th place and in T_dev at the top;
    missing cells and dropped targets as there.
    """
    if k < 1:
        raise ValueError(f"k: expected at least 1, found {k}")
    similarity, transfer = prepared(S, T_test)
    dev = square(T_dev)
    known = cells(transfer) & cells(dev)
    values = []
    for t in range(len(transfer)):
        sources = np.flatnonzero(known[:, t])
        if len(sources) < 2:
            continue
        test, by_dev = transfer[sources, t], dev[sources, t]
        best = test[by_dev == by_dev.max()].mean()
        values.append(float(best - _tried(deviations(similarity[sources, t]), by_dev, test, k)))
    return float(np.mean(values)) if values else None


def _tried(by_measure: Vector, by_dev: Vector, test: Vector, k: int) -> float:
    """Expected ``test`` at the best ``by_dev`` of the first k ``by_measure``, ties in both in random order."""
    k = min(k, len(test))
    last = np.sort(by_measure)[-k]
    certain, tied = by_measure > last, by_measure == last
    places = k - int(certain.sum())  # of the first k that the tied share: each subset is as likely
    orders = comb(int(tied.sum()), places)
    lower, expected = int(tied.sum()), 0.0
    for level in np.unique(by_dev)[::-1]:  # the best by dev is here, and nothing above was drawn
        here = by_dev == level
        sure, maybe = test[here & certain], test[here & tied]
        lower -= len(maybe)
        for drawn in range(min(len(maybe), places) + 1):
            if len(sure) + drawn:
                ways = comb(len(maybe), drawn) * comb(lower, places - drawn)
                mean = (sure.sum() + drawn * (maybe.mean() if drawn else 0.0)) / (len(sure) + drawn)
                expected += ways / orders * mean
        if len(sure):
            break
    return float(expected)
