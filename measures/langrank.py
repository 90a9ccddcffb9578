"""Two further features of LangRank (Lin et al., ACL 2019): type-token ratio and relative size.

Beside them stand its overlap (``overlap``), its size (``size``) and its distances (``typology``).
"""

from __future__ import annotations

import numpy as np

from measures.base import Evidence, Measure, SimilarityMatrix
from measures.overlap import represented_by, words
from tasks.languages import Language


class TypeTokenRatio(Measure):
    """−(1 − TTR_s/TTR_t)², TTR the number of different words over the number of words; directed.

    From LangRank (Lin et al., ACL 2019), with its sign turned: 0 is most alike. It stands for how rich
    the morphology is, and also falls with the length of a text: compare data sets of equal sizes. Words
    as in ``overlap``. A language without training data is represented by its dev texts.
    """

    name = "ttr"
    symmetric = False
    access = "text"

    def similarity(self, evidence: Evidence) -> SimilarityMatrix:
        ratios = np.array([_ratio(evidence, language) for language in evidence.languages])
        distance = np.square(1 - ratios[:, None] / ratios[None, :])
        return SimilarityMatrix(evidence.languages, 0.0 - distance)


class SizeRatio(Measure):
    """N_s/N_t: how much more training data the source has than the target; directed.

    From LangRank (Lin et al., ACL 2019). Within a target its order is that of ``size``, and the two
    differ only in correlations over all pairs. NaN where either language has no training data.
    """

    name = "size-ratio"
    symmetric = False
    access = "text"

    def similarity(self, evidence: Evidence) -> SimilarityMatrix:
        counts = [len(evidence.examples(language, "train")) for language in evidence.languages]
        sizes = np.array([count if count else np.nan for count in counts])
        return SimilarityMatrix(evidence.languages, sizes[:, None] / sizes[None, :])


def _ratio(evidence: Evidence, language: Language) -> float:
    """Types over tokens, NaN without words."""
    found = [word for text in evidence.texts(language, represented_by(evidence, language)) for word in words(text)]
    return len(set(found)) / len(found) if found else float("nan")
