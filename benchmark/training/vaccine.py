"""Gradient surgery on Gram matrices: PCGrad (Yu et al. 2020) and Gradient Vaccine (Wang et al. 2021).

A corrected gradient is a combination of the languages' gradients, so their inner products are all that is
needed to find its weights. For i, and for the others j in random order, with φ the cosine of the gradient of i as
corrected so far and the original one of j: where φ is below the target φ̂_ij,

    g_i += ‖g_i‖ (φ̂ √(1−φ²) − φ √(1−φ̂²)) / (‖g_j‖ √(1−φ̂²)) g_j,    so that cos(g_i, g_j) = φ̂;

then φ̂ ← (1−β) φ̂ + β φ, corrected or not. φ̂ starts at 0; with φ̂ ≡ 0 this is PCGrad.

torchjd's ``PCGradWeighting`` and ``GradVacWeighting`` find the same weights, to which the tests hold this module.
They are not used here, because
- they loop over pairs in scalars: for 6 blocks of 12 languages 8 and 30 ms, for 20 languages 24 and 85, of each
  step, where a small model's whole step takes some 15 ms, against 0.3 and 0.6 ms here;
- they draw from torch's global generator, which belongs to dropout;
- they keep one matrix of targets, and only while the number of languages stays the same: each step here has some
  of the languages, and each block has targets of its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
NEAREST = 1 - 1e-4  # a target nearer to ±1 would ask for a step without bound
NOTHING = 1e-3  # of a gradient: less than this is left of it by rounding alone, where inner products are float32


def vaccinate(grams: Matrix, targets: Matrix, beta: float, orders: NDArray[np.int64]) -> Matrix:
    """Each corrected gradient as a combination of the original ones, ``[blocks, corrected, original]``.

    ``grams`` and ``targets`` are ``[blocks, n, n]``; the targets are moved in place. ``orders[i]`` is the order of
    the others for i, ``[n, n - 1]``. Each pair has its turn once: a weight beside the diagonal is its correction.
    A gradient of zero, or of which the corrections have left nothing, corrects none, is not corrected and moves no
    target.
    """
    blocks, n, _ = grams.shape
    turns, rows = np.ascontiguousarray(orders.T), np.arange(n)  # who has a turn with each, [turns, n]
    norms = np.sqrt(np.maximum(np.diagonal(grams, axis1=1, axis2=2), 0.0))
    before = targets[:, rows, turns].transpose(1, 0, 2)  # [turns, blocks, n], as all that follows
    aims = np.clip(before, -NEAREST, NEAREST)
    slopes = aims / np.sqrt(1 - aims**2)
    others = norms[:, turns].transpose(1, 0, 2)
    inverse = 1 / np.where(others > 0, others, np.inf)
    weights, after = np.zeros(before.shape), before.copy()
    products = grams.copy()  # of the corrected with the originals
    squares, least = norms**2, NOTHING * norms
    with np.errstate(invalid="ignore", over="ignore"):  # a training that diverges: the loop will say so
        for turn, other in enumerate(turns):
            own = np.sqrt(np.maximum(squares, 0.0))
            dots = products.reshape(blocks, n * n).take(rows * n + other, axis=1)
            known = (others[turn] > 0) & (own > least)
            found = np.minimum(np.maximum(dots * inverse[turn] / np.where(known, own, 1.0), -1.0), 1.0)
            weight = own * inverse[turn] * (slopes[turn] * np.sqrt(1 - found * found) - found)
            weight = np.where(known & (found < aims[turn]), weight, 0.0)
            after[turn] = np.where(known, (1 - beta) * before[turn] + beta * found, before[turn])
            squares += weight * (2 * dots + weight * others[turn] ** 2)
            products += weight[:, :, None] * grams[:, other, :]
            weights[turn] = weight
    targets[:, rows, turns] = after.transpose(1, 0, 2)
    combined = np.broadcast_to(np.eye(n), (blocks, n, n)).copy()
    combined[:, rows, turns] = weights.transpose(1, 0, 2)
    return combined


def cosines(grams: Matrix) -> Matrix:
    """Cosines of the gradients, ``[blocks, n, n]``; NaN where one is zero, or not finite."""
    norms = np.sqrt(np.maximum(np.diagonal(grams, axis1=1, axis2=2), 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Matrix = grams / (norms[:, :, None] * norms[:, None, :])
    return np.where(np.isfinite(found), found, np.nan)
