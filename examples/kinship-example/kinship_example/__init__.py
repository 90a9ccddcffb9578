"""Similarity by compression, a measure for Kinship."""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable
from typing import Literal

import numpy as np

from measures import Evidence, Measure, SimilarityMatrix

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {"lzma": lzma.compress, "bz2": bz2.compress}


class Compression(Measure):
    """How much of one language's training texts a compressor can make out of another's.

    1 − NCD, with the normalised compression distance (Cilibrasi & Vitányi, IEEE Transactions on
    Information Theory 2005) NCD(x, y) = (C(xy) − min(C(x), C(y))) / max(C(x), C(y)). C is the length
    of the compressed UTF-8 bytes, xy one text after the other, C(xy) the mean of both orders.
    Near 0: they share nothing; near 1: the same text.

    ``compressor``: ``lzma``, or ``bz2``, which looks back 900 kB at most. Compare data sets of equal
    sizes. NaN, coverage 0, for a language without training data.
    """

    name = "compression"
    access = "text"

    def __init__(self, compressor: Literal["lzma", "bz2"] = "lzma") -> None:
        self.compressor = compressor

    def similarity(self, evidence: Evidence) -> SimilarityMatrix:
        languages = evidence.languages
        texts = ["\n".join(evidence.texts(language)).encode() for language in languages]
        values = np.full((len(languages), len(languages)), np.nan)
        for s, source in enumerate(texts):
            for t, target in enumerate(texts[: s + 1]):
                if source and target:
                    values[s, t] = values[t, s] = similarity(source, target, COMPRESSORS[self.compressor])
        silent = [language.code for language, text in zip(languages, texts, strict=True) if not text]
        notes = (f"no training texts: {', '.join(silent)}",) if silent else ()
        return SimilarityMatrix(languages, values, coverage=np.where(np.isnan(values), 0.0, 1.0), notes=notes)


def similarity(x: bytes, y: bytes, compress: Callable[[bytes], bytes]) -> float:
    """1 − NCD of two texts."""
    one, other = len(compress(x)), len(compress(y))
    both = (len(compress(x + y)) + len(compress(y + x))) / 2
    return 1 - (both - min(one, other)) / max(one, other)
