"""Other ways to compare the languages' gradients: TracIn, TAG, and their magnitudes alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from measures.base import Matrix
from measures.trace import GradientMeasure, Trace, mean_over_probes, mean_products, products


class TracIn(GradientMeasure):
    """Inner product of two languages' gradients times the learning rate, summed along training.

    Σ_p η_p ⟨ḡ_s(p), ḡ_t(p)⟩ over the probes p, which stand for TracIn's checkpoints, with
    learning rate η_p (Pruthi et al., NeurIPS 2020): what plain gradient descent on s takes off
    the loss of t, to first order. Unbounded, and the larger the longer the gradients are.

    Where items are parallel across languages, the product is the mean of the two crossed halves
    (⟨g_s^a, g_t^b⟩ + ⟨g_s^b, g_t^a⟩)/2, as in ``gradsim``. Sampling noise does not bias the
    product of two languages; the diagonal is ‖ḡ_s‖² as published, which contains it.

    ``blocks``: ``all``, ``embeddings`` (of tokens), ``positions``, ``body``, ``head``, ``layer.0``,
    ``layer.0-3``, joined with ``+``. ``split``: probes on dev or train batches. NaN for a language whose
    gradient is zero throughout, and for all where the learning rate is.
    """

    name = "tracin"

    def compare(self, trace: Trace) -> Matrix:
        values = _weighted_sum(trace, np.repeat(trace.lr[:, None], trace.gram.shape[-1] // 2, axis=1))
        return np.asarray((values + values.T) / 2)  # symmetric but for rounding


class TAG(GradientMeasure):
    """Inter-task affinity: the share of the target's loss that a step on the source takes away.

    Z_{s→t} = mean over probes of η_p ⟨ḡ_s(p), ḡ_t(p)⟩ / L_t(p), L_t the mean loss of the two
    halves, η_p the learning rate: the first-order form of 1 − L_t(θ − η g_s)/L_t(θ) (Fifty et
    al., NeurIPS 2021), for a step of plain gradient descent. Directed; unbounded.

    Where items are parallel across languages, the product is the mean of the two crossed halves,
    as in ``gradsim``: a step is judged by other items than it was taken on, where TAG's tasks
    share their batch. Sampling noise does not bias the product of two languages; the diagonal
    takes ‖ḡ_t‖², which contains it.

    ``blocks`` and ``split`` as in ``gradsim``. A probe at which L_t is 0 is left out for target
    t. NaN for a language whose gradient is zero throughout, for a target whose loss is, and for
    all where the learning rate is.
    """

    name = "tag"
    symmetric = False

    def compare(self, trace: Trace) -> Matrix:
        n = trace.gram.shape[-1] // 2
        loss = (trace.loss[:, :n] + trace.loss[:, n:]) / 2
        said = loss > 0
        shares = np.divide(trace.lr[:, None], loss, out=np.zeros_like(loss), where=said)
        return _weighted_sum(trace, shares / np.maximum(said.sum(axis=0), 1))


class Magnitude(GradientMeasure):
    """Similarity of the lengths of two languages' gradients: what magnitude alone foretells.

    Mean over probes of 2‖ḡ_s‖‖ḡ_t‖ / (‖ḡ_s‖² + ‖ḡ_t‖²) (Yu et al., NeurIPS 2020), from
    near 0 to 1, and 1 for a language with itself. A control: it knows nothing of directions.

    The norms are those of the gradients as they are, as published. They contain sampling noise,
    which adds to both and, where it is of like size in both, draws the value towards 1.

    ``blocks`` and ``split`` as in ``gradsim``. A probe counts where both gradients are not zero;
    NaN where there is none.
    """

    name = "magnitude"

    def compare(self, trace: Trace) -> Matrix:
        lengths = np.sqrt(np.maximum(np.einsum("pii->pi", mean_products(trace.gram)), 0.0))
        lengths = np.where(lengths > 0, lengths, np.nan)
        s, t = lengths[:, :, None], lengths[:, None, :]
        return np.minimum(mean_over_probes(2 * s * t / (s * s + t * t)), 1.0)  # but for rounding


def _weighted_sum(trace: Trace, weights: NDArray[np.float64]) -> Matrix:
    """Σ_p w_pt ⟨g_s(p), g_t(p)⟩ for weights ``[probes, targets]``, shape ``[n, n]``.

    NaN where the gradient of s or that of t is zero at all probes with a weight: nothing was seen.
    """
    each = products(trace.gram, parallel=trace.parallel)
    seen = np.einsum("pt,pss->st", weights, each) > 0
    values = np.einsum("pt,pst->st", weights, each)
    return np.where(seen & np.diag(seen) & np.isfinite(values), values, np.nan)
