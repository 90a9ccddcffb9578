"""How well a measure foretold transfer, and how sure that is.

n(n − 1) ordered pairs share n languages, so nothing here treats pairs as independent: tests
permute languages (QAP), intervals resample them. Matrices are float64 ``[source, target]``,
diagonals ignored, NaN missing; languages whose row of T is missing are targets only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from leaderboard.mrqap import mrqap
from leaderboard.ranking import (
    cells,
    centre,
    matrix_pearson,
    matrix_spearman,
    merged,
    midranks,
    ndcg_at_k,
    ndcg_chance,
    pearson,
    per_target_spearman,
    regret_at_1,
    regret_at_k,
    square,
)
from leaderboard.records import Beyond, Correlation, ObjectiveGain
from leaderboard.resampling import node_bootstrap_interval, qap_p, seed_interval

__all__ = [
    "centre",
    "correlations",
    "matrix_pearson",
    "matrix_spearman",
    "ndcg_at_k",
    "ndcg_chance",
    "node_bootstrap_interval",
    "noise_ceiling",
    "objective_gain",
    "of_ceiling",
    "per_target_spearman",
    "qap_p",
    "regret_at_1",
    "reliability",
    "seed_interval",
]

_LEAST_PARTITIONS = 4  # of three, any order comes one time in six


def noise_ceiling(T_per_seed: Sequence[ArrayLike], centred: bool = False) -> float | None:
    """√R_m with R_m = m·r̄ / (1 + (m − 1)·r̄) (Spearman–Brown), r̄ the mean pairwise Pearson
    correlation of T between m seeds over the off-diagonal cells known in both: about the
    correlation with the mean T that a perfect measure could reach. ``centred``: of T less its source
    and target effects, which seeds agree on more than on the rest.

    None with one seed or where no pair of seeds has a correlation; 0 where r̄ is negative, as
    then the seeds agree on nothing.
    """
    matrices = [centre(T) if centred else square(T) for T in T_per_seed]
    pairs = []
    for first, second in combinations(matrices, 2):
        both = cells(first) & cells(second)
        if both.any() and np.ptp(first[both]) > 0:
            pairs.append(pearson(first[both], second[both]))
    known = [r for r in pairs if r is not None]
    if not known:
        return None
    m, r = len(matrices), float(np.mean(known))
    if r < 1e-12:  # negative, or zero but for rounding, which the root would magnify
        return 0.0
    return float(np.sqrt(m * r / (1 + (m - 1) * r)))


def of_ceiling(correlation: float | None, ceiling: float | None) -> float | None:
    """A correlation as a share of the noise ceiling. Negative where the correlation is, and above 1 where it is
    above the ceiling, which is an estimate; None where either is unknown or the ceiling is 0."""
    if correlation is None or not ceiling:
        return None
    return correlation / ceiling


def objective_gain(objectives: Sequence[float], scores: Sequence[float]) -> ObjectiveGain | None:
    """Spearman of the objective that a measure gives to random partitions with what these turned out to score.

    ``scores`` may as well be gains: what is the same for all partitions changes nothing. Objectives that
    differ by float noise are equal. None with fewer than 4 partitions, or where either is constant or not finite.
    ValueError if the two are not equally many.
    """
    if len(objectives) != len(scores):
        raise ValueError(f"scores: expected one per objective, {len(objectives)}, found {len(scores)}")
    x, y = (np.asarray(values, dtype=np.float64) for values in (objectives, scores))
    if len(x) < _LEAST_PARTITIONS or not np.isfinite([x, y]).all():
        return None
    x, y = (midranks(merged(values / (np.abs(values).max() or 1.0))) for values in (x, y))
    r = None if np.ptp(x) == 0 else pearson(x, y)
    if r is None:
        return None
    return ObjectiveGain(
        spearman=r, draws=len(x), objectives=[float(v) for v in objectives], scores=[float(v) for v in scores]
    )


def reliability(half: ArrayLike, other: ArrayLike) -> float | None:
    """How far S would come out the same again: the Spearman correlation r of two matrices from half of the
    evidence each, over the pairs known in both, stepped up to the whole, 2r/(1 + r) (Spearman–Brown).

    0 where r is negative, or one half constant; None where both are, or no pair is known in both.
    """
    found = [r for r in (matrix_spearman(half, other), matrix_spearman(other, half)) if r is not None]
    if not found:
        return None
    r = max(0.0, found[0])
    return 2 * r / (1 + r)


def correlations(
    S: ArrayLike,
    T_dev: ArrayLike,
    T_test: ArrayLike,
    T_test_per_seed: Sequence[ArrayLike],
    *,
    seed: int,
    controls: Mapping[str, ArrayLike] | None = None,
    draws: int = 1000,
    permutations: int = 1999,
) -> Correlation:
    """Everything a record says about S against transfer; each number finite or None.

    All statistics are against ``T_test``; ``T_dev`` only chooses the reference source of
    regret. ``qap_p`` belongs to the matrix Spearman. ``controls``: matrices of the obvious, for
    MRQAP. ``seed`` drives bootstrap and permutations.
    """
    raw, centred = (
        qap_p(S, T_test, permutations, seed, statistic="per-target", centred=one) for one in (False, True)
    )
    beyond = mrqap(S, T_test, controls or {}, permutations=permutations, seed=seed)
    return Correlation(
        per_target_qap_p=raw,
        centred_per_target_qap_p=centred,
        regret_at_3=regret_at_k(S, T_dev, T_test, 3),
        mrqap=Beyond(
            coefficient=beyond.coefficient,
            p=beyond.p,
            controls=list(beyond.controls),
            dropped=dict(beyond.dropped),
        ),
        per_target_spearman=per_target_spearman(S, T_test),
        per_target_spearman_ci95=node_bootstrap_interval(S, T_test, False, draws, seed),
        centred_per_target_spearman=per_target_spearman(S, T_test, centred=True),
        centred_per_target_spearman_ci95=node_bootstrap_interval(S, T_test, True, draws, seed),
        spearman=matrix_spearman(S, T_test),
        pearson=matrix_pearson(S, T_test),
        qap_p=qap_p(S, T_test, permutations, seed),
        ndcg_at_3=ndcg_at_k(S, T_test, k=3),
        regret_at_1=regret_at_1(S, T_dev, T_test),
        noise_ceiling=noise_ceiling(T_test_per_seed),
    )
