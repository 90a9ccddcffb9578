"""Task vectors: do two languages move the weights in the same direction?"""

from __future__ import annotations

import numpy as np

from measures.base import Evidence, Matrix, Measure, SimilarityMatrix
from measures.needs import Needs, Reading
from measures.parameters import compared, trained
from measures.trace import block_patterns, select_blocks

READING = Reading("each", "weights")


class TaskVector(Measure):
    """Cosine of what two languages' own trainings add to the same initial weights.

    cos(θ_s − θ_0, θ_t − θ_0), with θ_0 the untrained model and θ_l the model trained on l alone (task
    vectors: Ilharco et al., ICLR 2023). ``blocks``: ``all``, ``embeddings`` (of tokens), ``positions``,
    ``body``, ``head``, ``layer.0``, ``layer.0-3``, joined with ``+``; a view for each.

    Yardstick: the cosine with the same language trained again under another seed from the same θ_0.
    A language without training examples has no task vector: NaN, coverage 0.
    """

    name = "task-vector"
    access = "labels"

    def __init__(self, blocks: str = "all") -> None:
        self.blocks = blocks

    def needs(self) -> Needs:
        block_patterns(self.blocks)  # a misspelt block is said before anything is trained
        return Needs(readings=frozenset({READING}))

    def similarity(self, evidence: Evidence) -> SimilarityMatrix:
        languages = evidence.languages
        if not trained(evidence):
            return compared(languages, np.full((len(languages),) * 2, np.nan), {}, {})
        result = evidence.read(READING)
        names = list(result.meta["blocks"])
        rows = {code: row for row, code in enumerate(result.meta["languages"])}
        repeats = {code: row + len(rows) for row, code in enumerate(result.meta["repeats"])}
        known = [place for place, one in enumerate(languages) if one.code in rows]
        order = [rows[languages[place].code] for place in known]

        def cosines(blocks: list[int]) -> tuple[Matrix, Matrix]:
            """Of all rows, and of the languages of the run."""
            every = cosine(result.arrays["gram"][blocks].sum(axis=0))  # blocks are orthogonal: products add
            values = np.full((len(languages),) * 2, np.nan)
            values[np.ix_(known, known)] = every[np.ix_(order, order)]
            return every, values

        chosen = select_blocks(self.blocks, names)
        every, values = cosines(chosen)
        return compared(
            languages,
            values,
            {names[block]: cosines([block])[1] for block in chosen} if len(chosen) > 1 else {},
            {
                languages[place].code: float(every[row, repeats[languages[place].code]])
                for place, row in zip(known, order, strict=True)
                if languages[place].code in repeats
            },
        )


def cosine(gram: Matrix) -> Matrix:
    """Cosines from inner products; NaN with a vector of length 0."""
    norms = np.sqrt(np.maximum(np.diag(gram), 0))
    norms = np.where(norms > 0, norms, np.nan)
    values: Matrix = gram / (norms[:, None] * norms[None, :])
    values = np.clip((values + values.T) / 2, -1.0, 1.0)  # symmetric but for rounding
    np.fill_diagonal(values, np.where(np.isnan(norms), np.nan, 1.0))
    return values
