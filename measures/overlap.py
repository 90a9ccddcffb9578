"""Data overlap: how much of their vocabulary two languages' training texts share."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Literal

import numpy as np

from measures.base import Evidence, Matrix, Measure, MeasureError, SimilarityMatrix
from measures.distributions import jensen_shannon, shares
from tasks.languages import Language

Bag = Counter[Hashable]


class Overlap(Measure):
    """Overlap of the n-grams of two languages' training texts.

    With V the set and c the counts of n-grams of lengths 1 to ``n``:
    ``dice`` 2|V_s ∩ V_t| / (|V_s| + |V_t|); ``jaccard`` |V_s ∩ V_t| / |V_s ∪ V_t|;
    ``cosine`` c_s · c_t / (‖c_s‖ ‖c_t‖); ``jensen-shannon`` 1 − JSD(p_s‖p_t), base 2, of the relative
    frequencies p. LangRank (Lin et al., ACL 2019) uses half of Dice; Limisiewicz et al. (Findings of
    ACL 2023) the divergence, of subwords.

    ``unit``: ``words`` (white space, NFKC, case-folded, outer punctuation stripped),
    ``subwords`` (the run's tokenizer) or ``chars`` (inside words, with word boundaries).
    ``n``: 1 for words and subwords, 3 for chars if not given. A language without training
    data is represented by its dev texts.
    """

    name = "overlap"
    access = "text"

    def __init__(
        self,
        unit: Literal["words", "subwords", "chars"] = "words",
        n: int | None = None,
        coefficient: Literal["dice", "jaccard", "cosine", "jensen-shannon"] = "dice",
    ) -> None:
        self.unit = unit
        self.n = n
        self.coefficient = coefficient

    def similarity(self, evidence: Evidence) -> SimilarityMatrix:
        n = self.n if self.n is not None else (3 if self.unit == "chars" else 1)
        if n < 1:
            raise MeasureError(f"n must be at least 1, found {n}")
        if self.unit == "subwords" and n > 1:
            raise MeasureError(f"unit=subwords counts single subwords: n must be 1, found {n}")
        bags = [self._bag(evidence, language, n) for language in evidence.languages]
        return SimilarityMatrix(evidence.languages, pairwise(bags, self.coefficient))

    def _bag(self, evidence: Evidence, language: Language, n: int) -> Bag:
        split = represented_by(evidence, language)
        if self.unit == "subwords":
            return Counter({token: count for token, count in evidence.subwords(language, split).items()})
        bag: Bag = Counter()
        for text in evidence.texts(language, split):
            units = words(text)
            if self.unit == "words":
                bag.update(ngrams(units, n))
            else:
                for word in units:
                    bag.update(ngrams(f" {word} ", n))
        return bag


def represented_by(evidence: Evidence, language: Language) -> Literal["train", "dev"]:
    """The split that stands for a language: its training data, or dev where it has none."""
    return "train" if len(evidence.examples(language, "train")) else "dev"


def words(text: str) -> list[str]:
    """Words between white space, NFKC and case-folded, without outer punctuation and symbols.

    Split by white space and not by ``\\w``: combining vowel signs are no word characters to ``re``.
    """
    found = []
    for word in unicodedata.normalize("NFKC", text).casefold().split():
        start, end = 0, len(word)
        while start < end and unicodedata.category(word[start])[0] in "PSC":
            start += 1
        while end > start and unicodedata.category(word[end - 1])[0] in "PSC":
            end -= 1
        if start < end:
            found.append(word[start:end])
    return found


def ngrams(units: Sequence[str], n: int) -> Iterable[Hashable]:
    """All n-grams of lengths 1 to ``n``: strings of characters, or tuples of words."""
    for length in range(1, n + 1):
        for start in range(len(units) - length + 1):
            gram = units[start : start + length]
            yield gram if isinstance(gram, str) else tuple(gram)


def pairwise(bags: Sequence[Bag], coefficient: str) -> Matrix:
    """The coefficient of every pair of bags, shape ``[n, n]``; NaN where a bag is empty."""
    values = np.full((len(bags), len(bags)), np.nan)
    distributions = [shares(bag) for bag in bags] if coefficient == "jensen-shannon" else []
    norms = [float(np.sqrt(sum(c * c for c in bag.values()))) for bag in bags]
    for i, a in enumerate(bags):
        for j in range(i, len(bags)):
            b = bags[j]
            if not a or not b:
                continue
            if coefficient == "jensen-shannon":
                values[i, j] = values[j, i] = jensen_shannon(distributions[i], distributions[j])
                continue
            shared = a.keys() & b.keys()
            if coefficient == "cosine":
                value = sum(a[key] * b[key] for key in shared) / (norms[i] * norms[j])
            elif coefficient == "jaccard":
                value = len(shared) / (len(a) + len(b) - len(shared))
            else:
                value = 2 * len(shared) / (len(a) + len(b))
            values[i, j] = values[j, i] = value
    return values
