"""GradSim: similarity of the languages' gradients along joint training.

The runner keeps of the gradients only their inner products: at each probe, each language's
loss gradient on two disjoint half-batches a and b, one ``[2n, 2n]`` Gram matrix per block
of parameters (rows a of every language, then rows b). Everything here is algebra on that trace.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from measures.base import Evidence, Matrix, Measure, MeasureError, SimilarityMatrix
from measures.needs import Needs, Reading

Trace = NDArray[np.float64]
FLOOR = 0.1  # the split norm may not fall under this share of the raw one


class GradSim(Measure):
    """Cosine of two languages' gradients, pooled over probes of the joint training.

    With p probes, ḡ = (g^a + g^b)/2 and weights w_p = 1 / mean_i ‖ḡ_i(p)‖²:

    - ``pooled-split`` (default): N_ij / √(max(V_i, R_i/10) · max(V_j, R_j/10)), where
      N_ij = Σ_p w_p × the mean of the four inner products between a half of i and a half of j
      (the two crossed ones where items are parallel across languages),
      V_i = Σ_p w_p ⟨g_i^a, g_i^b⟩, the squared norm free of sampling noise, R_i = Σ_p w_p ‖ḡ_i‖².
    - ``pooled-cosine``: Σ_p w_p ⟨ḡ_i, ḡ_j⟩ / √(R_i R_j).
    - ``mean-cosine``: the mean over probes of cos(ḡ_i, ḡ_j), the form of TAG (Fifty et al.,
      2021) and, as far as its text can be read, of GradSim (Wang et al., EMNLP 2023).

    S_ii = 1; clipped to [-1, 1]. ``blocks``: ``all``, ``embeddings``, ``body``, ``head``,
    ``layer.0``, ``layer.0-3``, joined with ``+``. ``split``: probes on dev or train batches.
    A language without examples in that split has no gradient: NaN, coverage 0.
    """

    name = "gradsim"
    access = "labels"

    def __init__(
        self,
        blocks: str = "all",
        split: Literal["dev", "train"] = "dev",
        estimator: Literal["pooled-split", "pooled-cosine", "mean-cosine"] = "pooled-split",
    ) -> None:
        self.blocks = blocks
        self.split = split
        self.estimator = estimator

    def needs(self) -> Needs:
        block_patterns(self.blocks)  # a misspelt block is said before anything is trained
        return Needs(readings=frozenset({self._reading()}))

    def _reading(self) -> Reading:
        return Reading("joint", "gradients", (("split", self.split),))

    def similarity(self, evidence: Evidence) -> SimilarityMatrix:
        result = evidence.read(self._reading())
        chosen = select_blocks(self.blocks, result.meta["blocks"])
        gram = result.arrays["gram"][:, chosen].sum(axis=1)  # blocks are orthogonal: inner products add
        values = estimate(gram, self.estimator, parallel=bool(result.meta["parallel"]))
        signal = signal_fraction(gram)
        # The trace covers the languages that have probe data, in its own order.
        places = {code: place for place, code in enumerate(result.meta["languages"])}
        order = [places.get(language.code, -1) for language in evidence.languages]
        known = np.array(order) >= 0
        full = np.full((len(order), len(order)), np.nan)
        full[np.ix_(known, known)] = values[np.ix_(*[[p for p in order if p >= 0]] * 2)]
        coverage = np.where(np.isnan(full), 0.0, 1.0)
        note = (
            f"signal fraction of the gradients: median {np.nanmedian(signal):.2f}, "
            f"lowest {np.nanmin(signal):.2f}; {len(gram)} probes of "
            f"2×{result.meta['half_batch']} examples a language, {result.meta['exactness']}"
            if np.isfinite(signal).any()
            else "no language has a gradient: every probe was zero"
        )
        return SimilarityMatrix(evidence.languages, full, coverage, (note,))


def _halves(gram: Trace) -> tuple[Trace, Trace, Trace, Trace]:
    """The four ``[probes, n, n]`` quarters: aa, ab, ba, bb."""
    n = gram.shape[-1] // 2
    return gram[:, :n, :n], gram[:, :n, n:], gram[:, n:, :n], gram[:, n:, n:]


def _mean_gradients(gram: Trace) -> Trace:
    """⟨ḡ_i, ḡ_j⟩ per probe, shape ``[probes, n, n]``."""
    aa, ab, ba, bb = _halves(gram)
    return np.asarray((aa + ab + ba + bb) / 4)


def _probe_weights(mean: Trace) -> NDArray[np.float64]:
    scale = np.einsum("pii->p", mean) / mean.shape[-1]
    weights: NDArray[np.float64] = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    return weights


def estimate(gram: Trace, estimator: str, *, parallel: bool) -> Matrix:
    """Similarity ``[n, n]`` from Gram matrices ``[probes, 2n, 2n]`` (see :class:`GradSim`).

    NaN in the row and column of a language whose gradient is zero at every probe.
    """
    mean = _mean_gradients(gram)
    raw = np.einsum("pii->pi", mean)
    with np.errstate(invalid="ignore", divide="ignore"):
        if estimator == "mean-cosine":
            cosines = mean / np.sqrt(raw[:, :, None] * raw[:, None, :])
            values = np.full(mean.shape[1:], np.nan)
            said = np.isfinite(cosines)
            np.divide(np.where(said, cosines, 0).sum(0), said.sum(0), out=values, where=said.any(0))
        else:
            weights = _probe_weights(mean)
            energy = np.einsum("p,pi->i", weights, raw)
            if estimator == "pooled-cosine":
                products, norms = np.einsum("p,pij->ij", weights, mean), energy
            else:
                _, ab, ba, _ = _halves(gram)
                products = np.einsum("p,pij->ij", weights, (ab + ba) / 2 if parallel else mean)
                split = np.einsum("p,pii->i", weights, ab)
                norms = np.maximum(split, FLOOR * energy)
            norms = np.where(energy > 0, norms, np.nan)
            values = products / np.sqrt(norms[:, None] * norms[None, :])
    matrix: Matrix = np.clip((values + values.T) / 2, -1.0, 1.0)  # symmetric but for rounding
    np.fill_diagonal(matrix, np.where(np.isnan(np.diag(matrix)), np.nan, 1.0))
    return matrix


def signal_fraction(gram: Trace) -> NDArray[np.float64]:
    """V_i / R_i per language: the share of the squared gradient norm that is not sampling noise."""
    mean = _mean_gradients(gram)
    weights = _probe_weights(mean)
    energy = np.einsum("p,pii->i", weights, mean)
    split = np.einsum("p,pii->i", weights, _halves(gram)[1])
    share: NDArray[np.float64] = np.divide(split, energy, out=np.full_like(energy, np.nan), where=energy > 0)
    return share


def block_patterns(blocks: str) -> list[str]:
    """The parts of a ``blocks`` parameter, checked for form.

    Raises:
        MeasureError: a part that is none of the allowed forms.
    """
    parts = [part.strip() for part in blocks.split("+")]
    for part in parts:
        if part in ("all", "embeddings", "body", "head"):
            continue
        layers = re.fullmatch(r"layer\.(\d+)(?:-(\d+))?", part)
        if not layers or (layers[2] and int(layers[2]) < int(layers[1])):
            raise MeasureError(
                "blocks must be all, embeddings, body, head, layer.0, layer.0-3 or several joined with +, "
                f"found {part!r}"
            )
    return parts


def select_blocks(blocks: str, names: Sequence[str]) -> list[int]:
    """Indices of the blocks of a model (``embeddings``, ``layer.0``, …, ``head``) that are meant.

    Raises:
        MeasureError: a block that the model does not have.
    """
    chosen: set[int] = set()
    for part in block_patterns(blocks):
        if part == "all":
            wanted = set(names)
        elif part == "body":
            wanted = {name for name in names if name.startswith("layer.")}
        elif layers := re.fullmatch(r"layer\.(\d+)(?:-(\d+))?", part):
            wanted = {f"layer.{i}" for i in range(int(layers[1]), int(layers[2] or layers[1]) + 1)}
        else:
            wanted = {part}
        if not wanted or not wanted <= set(names):
            raise MeasureError(
                f"blocks={part!r}: this model has {names[0]} to {names[-1]} "
                f"({', '.join(names)}), found no {', '.join(sorted(wanted - set(names))) or part}"
            )
        chosen |= {names.index(name) for name in wanted}
    return sorted(chosen)
