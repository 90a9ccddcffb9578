"""Fisher information: do two languages' models depend on the same parameters?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from measures.base import Evidence, Matrix, Measure, SimilarityMatrix
from measures.needs import Needs, Reading
from measures.parameters import compared, pairwise, read_each, repeat
from measures.trace import block_patterns, select_blocks

READING = Reading("each", "fisher")
Vector = NDArray[np.float64]


class Fisher(Measure):
    """Cosine of the normalised Fisher information of two languages' own models.

    F_l = E_x E_{y∼p(y|x)} (∂ log p(y|x)/∂θ)² of the model trained on l, over its examples, averaged over
    the weights of each filter (an output row of a matrix, a token of an embedding table);
    S = cos(F_s/(F_s + F_t), F_t/(F_s + F_t)), element by element, filters where both are 0 left out: one
    minus the distance of Task2Vec (Achille et al., ICCV 2019), from 0 to 1. ``blocks``: ``all``,
    ``embeddings`` (of tokens), ``positions``, ``body``, ``head``, ``layer.0``, ``layer.0-3``, joined with
    ``+``; a view for each. A token that one language alone has counts against the two: ``embeddings`` is
    much like vocabulary overlap.

    Yardstick: the similarity to the same language trained again under another seed from the same start.
    A language without training examples has no model: NaN, coverage 0.
    """

    name = "fisher"
    access = "labels"

    def __init__(self, blocks: str = "all") -> None:
        self.blocks = blocks

    def needs(self) -> Needs:
        block_patterns(self.blocks)  # a misspelt block is said before anything is trained
        return Needs(readings=frozenset({READING, repeat(READING)}))

    def similarity(self, evidence: Evidence) -> SimilarityMatrix:
        languages = evidence.languages
        first, again = read_each(evidence, READING), read_each(evidence, repeat(READING))
        names = next((list(one.meta["blocks"]) for one in first.values()), [])
        chosen = [names[block] for block in select_blocks(self.blocks, names)] if first else []

        def compare(blocks: Sequence[str]) -> Matrix:
            vectors = {place: joined(result.arrays, blocks) for place, result in first.items()}
            return pairwise(vectors, len(languages), normalised_cosine)

        yardstick = {
            languages[place].code: normalised_cosine(*(joined(of[place].arrays, chosen) for of in (first, again)))
            for place in sorted(first.keys() & again.keys())
        }
        views = {block: compare([block]) for block in chosen} if len(chosen) > 1 else {}
        return compared(languages, compare(chosen), views, yardstick)


def joined(arrays: Mapping[str, Vector], blocks: Sequence[str]) -> Vector:
    """The vectors of several blocks, end to end."""
    return np.concatenate([arrays[block] for block in blocks])


def normalised_cosine(a: Vector, b: Vector) -> float:
    """cos(a/(a + b), b/(a + b)) of two non-negative vectors; NaN if either is 0 throughout."""
    both = a + b
    said = both > 0
    if not (a.any() and b.any()):
        return float("nan")
    x, y = a[said] / both[said], b[said] / both[said]
    return min(1.0, float(x @ y / np.sqrt((x @ x) * (y @ y))))
