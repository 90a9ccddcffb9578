"""Gradient surgery on a Gram matrix: PCGrad (Yu et al. 2020) and Gradient Vaccine (Wang et al. 2021).

A corrected gradient is a combination of the languages' gradients, so their inner products are all that is
needed to find its weights. For i, and for the others j in random order, with φ the cosine of the gradient of i as
corrected so far and the original one of j: where φ is below the target φ̂_ij,

    g_i += ‖g_i‖ (φ̂ √(1−φ²) − φ √(1−φ̂²)) / (‖g_j‖ √(1−φ̂²)) g_j,    so that cos(g_i, g_j) = φ̂;

then φ̂ ← (1−β) φ̂ + β φ, corrected or not. φ̂ starts at 0; with φ̂ ≡ 0 this is PCGrad.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
NEAREST = 1 - 1e-4  # a target nearer to 1 would ask for a step without bound


def vaccinate(grams: Matrix, targets: Matrix, beta: float, orders: NDArray[np.int64]) -> Matrix:
    """Weights ``[blocks, n]`` of the original gradients in the sum of the corrected ones.

    ``grams`` and ``targets`` are ``[blocks, n, n]``; the targets are moved in place. ``orders[i]`` is the order of
    the others for i, ``[n, n - 1]``. A gradient of zero corrects none, is not corrected, and moves no target.
    """
    blocks, n, _ = grams.shape
    norms = np.sqrt(np.maximum(np.diagonal(grams, axis1=1, axis2=2), 0.0))
    combined = np.broadcast_to(np.eye(n), (blocks, n, n)).copy()  # [block, corrected, original]
    products = grams.copy()  # of the corrected with the originals
    rows = np.arange(n)
    for others in orders.T:
        own = np.sqrt(np.maximum((products * combined).sum(axis=2), 0.0))
        other = norms[:, others]
        known = (own > 1e-12 * norms) & (other > 0)
        size = np.where(known, own * other, 1.0)
        cosine = np.clip(products[:, rows, others] / size, -1.0, 1.0)
        target = targets[:, rows, others]
        aim = np.clip(target, -NEAREST, NEAREST)
        root = np.sqrt(1 - aim**2)
        weight = own * (aim * np.sqrt(1 - cosine**2) - cosine * root) / (np.where(known, other, 1.0) * root)
        weight = np.where(known & (cosine < aim), weight, 0.0)
        combined[:, rows, others] += weight
        products += weight[:, :, None] * grams[:, others, :]
        targets[:, rows, others] = np.where(known, (1 - beta) * target + beta * cosine, target)
    summed: Matrix = combined.sum(axis=1)
    return summed


def cosines(grams: Matrix) -> Matrix:
    """Cosines of the gradients, ``[blocks, n, n]``; NaN where one is zero."""
    norms = np.sqrt(np.maximum(np.diagonal(grams, axis1=1, axis2=2), 0.0))
    size = norms[:, :, None] * norms[:, None, :]
    found: Matrix = np.where(size > 0, grams / np.where(size > 0, size, 1.0), np.nan)
    return found
