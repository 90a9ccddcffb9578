"""Distances between clouds of vectors, each cloud ``[rows, width]``, finite and float64.

Functions of all clouds return ``[n, n]`` matrices, symmetric to the bit; they need no seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from measures.base import Matrix

Cloud = NDArray[np.float64]
FLAT = 1e-10  # a spread under this share of the vectors' own size is rounding


def centred_cosines(clouds: Sequence[Cloud]) -> Matrix:
    """cos(μ_s − μ, μ_t − μ), μ the mean of the clouds' means; NaN for a cloud whose mean is μ."""
    means = np.stack([cloud.mean(axis=0) for cloud in clouds])
    offsets = means - means.mean(axis=0)
    norms = np.linalg.norm(offsets, axis=1)
    norms[norms <= FLAT * np.linalg.norm(means, axis=1)] = np.nan
    directions = offsets / norms[:, None]
    cosines: Matrix = np.clip(directions @ directions.T, -1.0, 1.0)
    cosines = (cosines + cosines.T) / 2  # symmetric but for rounding
    np.fill_diagonal(cosines, np.where(np.isnan(norms), np.nan, 1.0))
    return cosines


def median_distance(rows: Cloud) -> float:
    """Median of the distances between different vectors; 1 where all are the same."""
    from scipy.spatial.distance import pdist

    distances = pdist(rows)
    apart = distances[distances > 0]
    return float(np.median(apart)) if len(apart) else 1.0


def mmd(clouds: Sequence[Cloud], bandwidth: float) -> Matrix:
    """MMD² of every pair under k(x, y) = exp(−‖x − y‖² / 2σ²), unbiased and so at times below 0.

    Mean k(x, x') over different rows + mean k(y, y') over different rows − 2 · mean k(x, y);
    every cloud has at least two rows.
    """
    sizes = np.array([len(cloud) for cloud in clouds])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rows = np.concatenate(clouds)
    rows = rows - rows.mean(axis=0)  # small numbers: less is lost in the squares below
    squares = np.einsum("ij,ij->i", rows, rows)
    sums = np.zeros((len(clouds), len(clouds)))
    for i, start in enumerate(starts):
        mine = slice(start, start + sizes[i])
        distances = squares[mine, None] + squares[None, start:] - 2 * rows[mine] @ rows[start:].T
        kernel = np.exp(np.maximum(distances, 0.0) / (-2 * bandwidth**2))
        sums[i, i:] = np.add.reduceat(kernel.sum(axis=0), starts[i:] - start)
        sums[i, i] -= np.trace(kernel)  # a row with itself
    within = np.diag(sums) / (sizes * (sizes - 1))
    across = np.triu(sums, 1) / np.outer(sizes, sizes)
    found: Matrix = within[:, None] + within[None, :] - 2 * (across + across.T)
    np.fill_diagonal(found, 0.0)
    return found


def frechet(clouds: Sequence[Cloud]) -> Matrix:
    """‖μ_s − μ_t‖² + Tr(Σ_s + Σ_t − 2(Σ_s^½ Σ_t Σ_s^½)^½), each Σ shrunk (Ledoit & Wolf 2004)."""
    from sklearn.covariance import ledoit_wolf

    means = [cloud.mean(axis=0) for cloud in clouds]
    covariances = [ledoit_wolf(cloud)[0] for cloud in clouds]
    roots = [_square_root(covariance) for covariance in covariances]
    found = np.zeros((len(clouds), len(clouds)))
    for i, root in enumerate(roots):
        for j in range(i):
            shared = np.linalg.eigvalsh(root @ covariances[j] @ root)
            spread = np.trace(covariances[i]) + np.trace(covariances[j]) - 2 * np.sqrt(np.maximum(shared, 0)).sum()
            offset = means[i] - means[j]
            found[i, j] = found[j, i] = offset @ offset + max(spread, 0.0)
    return found


def _square_root(covariance: Matrix) -> Matrix:
    values, vectors = np.linalg.eigh(covariance)
    root: Matrix = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


def gram(cloud: Cloud) -> Matrix:
    """Inner products of the rows, taken from their mean."""
    centred = cloud - cloud.mean(axis=0)
    products: Matrix = centred @ centred.T
    return products


def linear_cka(gram_x: Matrix, gram_y: Matrix) -> float:
    """‖YᵀX‖²_F / (‖XᵀX‖_F ‖YᵀY‖_F), columns centred, from the Gram matrices of matched rows.

    NaN where the rows of one side are all the same.
    """
    x, y = _centred(gram_x), _centred(gram_y)
    norms = np.linalg.norm(x), np.linalg.norm(y)
    if norms[0] <= FLAT * np.linalg.norm(gram_x) or norms[1] <= FLAT * np.linalg.norm(gram_y):
        return float("nan")
    return float(np.clip(np.vdot(x, y) / (norms[0] * norms[1]), 0.0, 1.0))


def _centred(products: Matrix) -> Matrix:
    means = products.mean(axis=0)
    centred: Matrix = products - means[:, None] - means[None, :] + means.mean()
    return centred


def classifier_error(x: Cloud, y: Cloud, folds_x: NDArray[np.integer], folds_y: NDArray[np.integer]) -> float:
    """Cross-validated error of a linear classifier that tells ``x`` from ``y``.

    Ridge regression on ±1, columns standardised on the training folds, penalty = number of
    training rows: a column's own energy, so that it shrinks whatever the width. Solved in
    closed form over the rows, which are fewer than a dense system over wide columns.
    """
    rows, folds = np.concatenate([x, y]), np.concatenate([folds_x, folds_y])
    sides = np.repeat([1.0, -1.0], [len(x), len(y)])
    wrong = 0.0
    for fold in np.unique(folds):
        seen = folds != fold
        known, asked = sides[seen], sides[~seen]
        if len(np.unique(known)) < 2:  # nothing to learn from: a guess
            wrong += len(asked) / 2
            continue
        centre, spread = rows[seen].mean(axis=0), rows[seen].std(axis=0)
        spread[spread <= FLAT * np.abs(centre)] = 1.0
        standard = (rows - centre) / spread
        train = standard[seen]
        penalised = train @ train.T
        penalised.flat[:: len(train) + 1] += len(train)
        weights = train.T @ np.linalg.solve(penalised, known)
        wrong += ((standard[~seen] @ weights + known.mean() > 0) != (asked > 0)).sum()
    return float(wrong / len(rows))
