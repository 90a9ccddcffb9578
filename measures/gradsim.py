"""GradSim: similarity of the languages' gradients along joint training."""

from __future__ import annotations

from typing import Literal

import numpy as np

from measures.base import Matrix
from measures.trace import (
    GradientMeasure,
    Gram,
    Trace,
    mean_over_probes,
    mean_products,
    probe_weights,
    products,
    quarters,
)

FLOOR = 0.1  # the split norm may not fall under this share of the raw one


class GradSim(GradientMeasure):
    """Cosine of two languages' gradients, pooled over probes of the joint training.

    With p probes, ḡ = (g^a + g^b)/2 and weights w_p = 1 / mean_i ‖ḡ_i(p)‖²:

    - ``pooled-split`` (default): N_ij / √(max(V_i, R_i/10) · max(V_j, R_j/10)), where
      N_ij = Σ_p w_p × the mean of the four inner products between a half of i and a half of j
      (the two crossed ones where items are parallel across languages),
      V_i = Σ_p w_p ⟨g_i^a, g_i^b⟩, the squared norm free of sampling noise, R_i = Σ_p w_p ‖ḡ_i‖².
    - ``pooled-cosine``: Σ_p w_p ⟨ḡ_i, ḡ_j⟩ / √(R_i R_j).
    - ``mean-cosine``: the mean over probes of cos(ḡ_i, ḡ_j), the baseline of TAG (Fifty et al.,
      2021) and, as far as its text can be read, of GradSim (Wang et al., EMNLP 2023).

    S_ii = 1; clipped to [-1, 1]. ``blocks``: ``all``, ``embeddings`` (of tokens), ``positions``, ``body``,
    ``head``, ``layer.0``, ``layer.0-3``, joined with ``+``. ``split``: probes on dev or train batches. A
    language without examples in that split has no gradient: NaN, coverage 0.
    """

    name = "gradsim"

    def __init__(
        self,
        blocks: str = "all",
        split: Literal["dev", "train"] = "dev",
        estimator: Literal["pooled-split", "pooled-cosine", "mean-cosine"] = "pooled-split",
    ) -> None:
        super().__init__(blocks, split)
        self.estimator = estimator

    def compare(self, trace: Trace) -> Matrix:
        return estimate(trace.gram, self.estimator, parallel=trace.parallel)


def estimate(gram: Gram, estimator: str, *, parallel: bool) -> Matrix:
    """Similarity ``[n, n]`` from Gram matrices ``[probes, 2n, 2n]`` (see :class:`GradSim`).

    NaN in the row and column of a language whose gradient is zero at every probe.
    """
    mean = mean_products(gram)
    raw = np.einsum("pii->pi", mean)
    with np.errstate(invalid="ignore", divide="ignore"):
        if estimator == "mean-cosine":
            values = mean_over_probes(mean / np.sqrt(raw[:, :, None] * raw[:, None, :]))
        else:
            weights = probe_weights(mean)
            energy = np.einsum("p,pi->i", weights, raw)
            if estimator == "pooled-cosine":
                summed, norms = np.einsum("p,pij->ij", weights, mean), energy
            else:
                summed = np.einsum("p,pij->ij", weights, products(gram, parallel=parallel))
                split = np.einsum("p,pii->i", weights, quarters(gram)[1])
                norms = np.maximum(split, FLOOR * energy)
            norms = np.where(energy > 0, norms, np.nan)
            values = summed / np.sqrt(norms[:, None] * norms[None, :])
    matrix: Matrix = np.clip((values + values.T) / 2, -1.0, 1.0)  # symmetric but for rounding
    np.fill_diagonal(matrix, np.where(np.isnan(np.diag(matrix)), np.nan, 1.0))
    return matrix
