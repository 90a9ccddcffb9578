"""Typology: how alike two languages are in what grammars and atlases say of them."""

from __future__ import annotations

from typing import Literal

import numpy as np

from measures.base import Evidence, Measure, SimilarityMatrix
from measures.needs import Needs
from measures.uriel import KINDS, Kind, Vectors, cosines, stand_in, vectors
from tasks.base import TaskSpec
from tasks.languages import Language

ENOUGH = 3  # languages: with two there is nothing to rank


class Typology(Measure):
    """Cosine of the typological vectors of URIEL (Littell et al., EACL 2017), from lang2vec's files.

    1 − d over the features that both languages have, with d = 1 − cos, or ``distance=angular``:
    d = 2·arccos(cos)/π, which runs from 0 to 1 for vectors without negative entries.

    ``features``: ``syntax`` (103 binary features; the default, as it is attested for 2654 languages,
    inventory for 1715, phonology for 1296), ``phonology`` (28), ``inventory`` (158, of sounds),
    ``family`` (a feature per node of the family tree; equals the measure ``family``), ``geography``
    (great-circle distances to 299 points spread over the globe, in half circumferences: their cosine
    falls steadily with the distance between two languages, from 1 to about .68 at the antipodes), or
    ``all``: the five concatenated as they are, like LangRank's "featural" distance (Lin et al., ACL
    2019). There geography has most weight, as its vectors are the longest.

    ``fill``: ``knn``, what is missing predicted by URIEL from the nearest languages, so that kinship
    and place are in it too; ``attested``, the mean of the sources, over what both languages have.
    Geography and family have nothing to fill in.

    Coverage is the share of features attested in both languages, predicted or not (with ``all``, the
    mean share of the kinds). A language of which nothing is attested is represented by its
    macro-language or, if it is one, by the individual language with most attested features, kind by
    kind, and a note says so; where there is none, by its predictions (coverage 0) or by NaN. NaN, too,
    where one of two languages has none of the features on which both are attested.
    """

    name = "typology"
    access = "none"

    def __init__(
        self,
        features: Literal["syntax", "phonology", "inventory", "geography", "family", "all"] = "syntax",
        fill: Literal["knn", "attested"] = "knn",
        distance: Literal["cosine", "angular"] = "cosine",
    ) -> None:
        self.features = features
        self.fill = fill
        self.distance = distance

    def needs(self) -> Needs:
        return Needs(packages=("lang2vec",))

    def skip(self, task: TaskSpec, languages: tuple[Language, ...]) -> str | None:
        known = sum(
            any(stand_in(language.iso639_3, kind, self.fill) for kind in self._kinds()) for language in languages
        )
        if known >= min(ENOUGH, len(languages)):
            return None
        kind = "any kind" if self.features == "all" else self.features
        return f"URIEL has features of {kind} for {known} of {len(languages)} languages, at least {ENOUGH} needed"

    def _kinds(self) -> tuple[Kind, ...]:
        return KINDS if self.features == "all" else (self.features,)

    def similarity(self, evidence: Evidence) -> SimilarityMatrix:
        codes = [language.iso639_3 for language in evidence.languages]
        of = {kind: vectors(codes, kind, self.fill) for kind in self._kinds()}
        values = cosines(np.concatenate([one.values for one in of.values()], axis=1))
        if self.distance == "angular":
            values = 1 - 2 * np.arccos(values) / np.pi
        shares = []
        for one in of.values():
            attested = one.attested.astype(np.float64)
            shares.append(attested @ attested.T / attested.shape[1])
        coverage = np.where(np.isnan(values), 0.0, np.mean(shares, axis=0))
        return SimilarityMatrix(evidence.languages, values, coverage, _notes(codes, of))


def _notes(codes: list[str], of: dict[Kind, Vectors]) -> tuple[str, ...]:
    """One sentence per language and code that was used instead of its own attested features."""
    found: list[str] = []
    for place, code in enumerate(codes):
        kinds: dict[str, list[str]] = {}
        for kind, one in of.items():
            used = one.used[place]
            if used is None:
                used = "nothing"
            elif not one.attested[place].any():
                used = "what is predicted" if used == code else f"what is predicted for {used}"
            kinds.setdefault(used, []).append(kind)
        found += [
            f"nothing is attested of {code} ({', '.join(names)}), {used} was used"
            for used, names in kinds.items()
            if used != code
        ]
    return tuple(found)
