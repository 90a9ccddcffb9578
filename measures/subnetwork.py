"""Language-specific subnetworks: do two languages need the same heads and feed-forward units?"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from measures.base import Evidence, Matrix, Measure, MeasureError, SimilarityMatrix
from measures.needs import Needs, Reading, ReadingResult
from measures.parameters import compared, pairwise, read_each, repeat

Mask = NDArray[np.bool_]
KINDS = ("heads", "units")


class Subnetwork(Measure):
    """Overlap of the subnetworks that two languages' own models can be pruned to.

    Attention heads and feed-forward units are ranked by importance E_x |∂L/∂ξ|, with a gate ξ = 1 on the
    output of each (Michel et al., NeurIPS 2019), divided by the ℓ2 norm of its layer, heads and units
    apart. The least important tenth of each is pruned, importance taken anew, and so on while the dev
    score is at least ``tolerance`` × that of the full model (Prasanna et al., EMNLP 2020).

    ``overlap`` of the two masks m: ``jaccard`` |m_s ∧ m_t| / |m_s ∨ m_t|, or ``ratio``
    |m_s ∧ m_t| / |m_s|, the share of the source's subnetwork that is also the target's (not symmetric).
    ``of``: ``all`` (one set of both; units are many times more), ``heads``, ``units``. Views: heads,
    units, and each layer; NaN where nothing is left of the layer.

    Yardstick: the overlap with the same language trained again under another seed from the same start,
    without which overlap means nothing; beside it the overlap expected of random masks as sparse.
    A language without training examples has no subnetwork: NaN, coverage 0.
    """

    name = "subnetwork"
    access = "labels"

    def __init__(
        self,
        overlap: Literal["jaccard", "ratio"] = "jaccard",
        of: Literal["all", "heads", "units"] = "all",
        tolerance: float = 0.95,
    ) -> None:
        self.overlap = overlap
        self.of = of
        self.tolerance = tolerance
        self.symmetric = overlap == "jaccard"

    def needs(self) -> Needs:
        if not 0 < self.tolerance <= 1:
            raise MeasureError(f"tolerance must be above 0 and at most 1, found {self.tolerance:g}")
        return Needs(readings=frozenset({self._reading(), repeat(self._reading())}))

    def _reading(self) -> Reading:
        return Reading("each", "masks", (("tolerance", float(self.tolerance)),))

    def similarity(self, evidence: Evidence) -> SimilarityMatrix:
        languages = evidence.languages
        first, again = (
            {place: masks(result) for place, result in read_each(evidence, reading).items()}
            for reading in (self._reading(), repeat(self._reading()))
        )
        kinds = KINDS if self.of == "all" else (self.of,)

        def compare(kinds: Sequence[str], layer: int | None = None) -> Matrix:
            parts = {place: joined(both, kinds, layer) for place, both in first.items()}
            return pairwise(parts, len(languages), self._overlap)

        views = {kind: compare([kind]) for kind in KINDS}
        for layer in range(next((len(one["heads"]) for one in first.values()), 0)):
            views[f"layer.{layer}"] = compare(kinds, layer)
        yardstick = {
            languages[place].code: self._overlap(*(joined(of[place], kinds) for of in (first, again)))
            for place in sorted(first.keys() & again.keys())
        }
        notes = (self._told(list(first.values()), kinds),) if first else ()
        return compared(languages, compare(kinds), views, yardstick, notes)

    def _overlap(self, s: Mask, t: Mask) -> float:
        return overlap(float((s & t).sum()), int(s.sum()), int(t.sum()), self.overlap)

    def _told(self, found: Sequence[Mapping[str, Mask]], kinds: Sequence[str]) -> str:
        kept = {kind: fmean(float(mask[kind].mean()) for mask in found) for kind in KINDS}
        told = f"kept, mean over languages: {kept['heads']:.0%} of the heads, {kept['units']:.0%} of the units"
        sizes = [[(int(mask[kind].sum()), mask[kind].size) for kind in kinds] for mask in found]
        pairs = [
            chance(tuple((a, b, n) for (a, n), (b, _) in zip(s, t, strict=True)), self.overlap)
            for at, s in enumerate(sizes)
            for other, t in enumerate(sizes)
            if at != other
        ]
        return f"{told}; random masks as sparse would overlap by {fmean(pairs):.2f}" if pairs else told


def masks(result: ReadingResult) -> Mapping[str, Mask]:
    """A reading's masks as truth values, ``[layers, heads]`` and ``[layers, units]``."""
    return {kind: np.asarray(result.arrays[kind]) > 0.5 for kind in KINDS}


def joined(both: Mapping[str, Mask], kinds: Sequence[str], layer: int | None = None) -> Mask:
    """The masks of several kinds as one vector; of one layer if given."""
    return np.concatenate([both[kind].ravel() if layer is None else both[kind][layer] for kind in kinds])


def overlap(shared: float, s: int, t: int, which: str) -> float:
    """Overlap of masks of sizes ``s`` and ``t`` that share so many places; NaN of nothing."""
    whole = s + t - shared if which == "jaccard" else s
    return shared / whole if whole else float("nan")


@functools.cache
def chance(sizes: tuple[tuple[int, int, int], ...], which: str) -> float:
    """Expected overlap of random masks that keep a and b of n places of each kind ``(a, b, n)``."""
    from scipy.stats import hypergeom

    shares = np.ones(1)  # probabilities of 0, 1, … shared places
    for a, b, n in sizes:
        shares = np.convolve(shares, hypergeom.pmf(np.arange(min(a, b) + 1), n, a, b))
    s, t = sum(a for a, _, _ in sizes), sum(b for _, b, _ in sizes)
    return float(sum(share * overlap(shared, s, t, which) for shared, share in enumerate(shares) if share))
