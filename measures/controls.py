"""Controls: what a measure has to beat, and what it cannot honestly know."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from measures.base import Evidence, Measure, SimilarityMatrix
from measures.needs import Needs
from tasks.base import TaskSpec
from tasks.languages import Language


class Random(Measure):
    """Uniform numbers, symmetric; a pair's number follows from the seed and the two codes alone."""

    name = "random"
    access = "none"

    def similarity(self, evidence: Evidence) -> SimilarityMatrix:
        n = len(evidence.languages)
        values = np.ones((n, n))
        for i, a in enumerate(evidence.languages):
            for j in range(i):
                pair = "|".join(sorted((str(a), str(evidence.languages[j]))))
                digest = hashlib.sha256(f"{evidence.seed}|random|{pair}".encode()).digest()
                values[i, j] = values[j, i] = int.from_bytes(digest[:8], "big") / 2**64
        return SimilarityMatrix(evidence.languages, values)


class SameScript(Measure):
    """1 where two languages are written in the same script, 0 elsewhere."""

    name = "same-script"
    access = "none"

    def similarity(self, evidence: Evidence) -> SimilarityMatrix:
        scripts = [language.script for language in evidence.languages]
        return SimilarityMatrix(evidence.languages, np.array([[float(a == b) for b in scripts] for a in scripts]))


class Size(Measure):
    """log N_s: more training data, a better source, whatever the target (LangRank's size feature).

    Constant, and so worth nothing, where every language has the same number of examples.
    """

    name = "size"
    symmetric = False
    access = "text"

    def similarity(self, evidence: Evidence) -> SimilarityMatrix:
        sizes = [len(evidence.examples(language, "train")) for language in evidence.languages]
        column = np.array([math.log(size) if size else np.nan for size in sizes])
        return SimilarityMatrix(evidence.languages, np.tile(column[:, None], (1, len(sizes))))


class Family(Measure):
    """Cosine of the genealogical vectors of URIEL (Littell et al., EACL 2017), from lang2vec's files.

    One binary feature per node of the family tree. Where a code has no vector its macro-language
    or an individual language of it stands in, and a note says so; NaN where there is none.
    """

    name = "family"
    access = "none"

    def needs(self) -> Needs:
        return Needs(packages=("lang2vec",))

    def skip(self, task: TaskSpec, languages: tuple[Language, ...]) -> str | None:
        from measures.uriel import stand_in

        if any(stand_in(language.iso639_3, "family") for language in languages):
            return None
        return f"URIEL has a family for none of the {len(languages)} languages"

    def similarity(self, evidence: Evidence) -> SimilarityMatrix:
        from measures.uriel import cosines, vectors

        found = vectors([language.iso639_3 for language in evidence.languages], "family")
        values = cosines(found.values)
        notes = tuple(
            f"{language.code} has no vector of its own, {code or 'none'} was used"
            for language, code in zip(evidence.languages, found.used, strict=True)
            if code != language.iso639_3
        )
        return SimilarityMatrix(evidence.languages, values, np.where(np.isnan(values), 0.0, 1.0), notes)


class SourceQuality(Measure):
    """Mean transfer (dev) of the source to all *other* targets: knows the sources, not the pair."""

    name = "source-quality"
    symmetric = False
    access = "transfer"

    def needs(self) -> Needs:
        return Needs(transfer=True)

    def similarity(self, evidence: Evidence) -> SimilarityMatrix:
        transfer = evidence.transfer().values.copy()
        np.fill_diagonal(transfer, np.nan)
        seen = np.isfinite(transfer)
        values = np.where(seen, transfer, 0.0)
        others = values.sum(axis=1, keepdims=True) - values
        count = seen.sum(axis=1, keepdims=True) - seen
        quality = np.divide(others, count, out=np.full_like(values, np.nan), where=count > 0)
        return SimilarityMatrix(evidence.languages, quality)


class Oracle(Measure):
    """Transfer itself, on dev: what choosing by trying it out is worth; scored on test like the rest."""

    name = "oracle"
    symmetric = False
    access = "transfer"

    def needs(self) -> Needs:
        return Needs(transfer=True)

    def similarity(self, evidence: Evidence) -> SimilarityMatrix:
        return SimilarityMatrix(evidence.languages, evidence.transfer().values)
