"""Topic: whether two languages' data are about the same things."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from measures.base import Evidence, Matrix, Measure, MeasureError, SimilarityMatrix
from measures.distributions import jensen_shannon, shares
from measures.needs import Needs, Reading
from measures.overlap import represented_by, words
from tasks.languages import Language

Mixtures = dict[Language, dict[Hashable, float]]  # shares of the topics; empty where nothing is known

TEXTS = 200  # of a language, at most: a model of topics needs no more, and its time grows with them
EMBEDDINGS = Reading("joint", "embeddings")


class Topic(Measure):
    """1 − the Jensen-Shannon divergence, base 2, of two languages' shares of topics.

    The authors of GradSim (Wang et al., EMNLP 2023) found the topics of the data to matter beside
    linguistic features. What a topic is, is said by ``by``; ``topics`` is their number:

    - ``words``: latent Dirichlet allocation (Blei et al., 2003) over the words of all languages' texts,
      as many of each language; a language's share is its texts' mean. It cannot see that two words of
      different languages mean the same: where vocabularies are not shared, its topics are mostly the
      languages themselves, and what it measures is close to word overlap. It needs no training.
    - ``embeddings``: k-means over the joint model's vectors of the dev texts, each language with the
      same weight and its own mean taken away, for otherwise clusters are languages. It cannot see what
      goes with the mean, such as a topic that all texts of a language have; nor more than the encoder
      knows, and that has seen the labels.
    - ``labels``: the shares of the labels among the training examples. It cannot see a topic at all,
      only how the classes are balanced; ``topics`` does not matter.

    For ``words`` a language without training data is represented by its dev texts, for ``labels`` it
    is NaN.
    """

    name = "topic"
    access: Literal["none", "text", "labels", "transfer"] = "text"

    def __init__(self, by: Literal["words", "labels", "embeddings"] = "words", topics: int = 10) -> None:
        self.by = by
        self.topics = topics
        if by != "words":
            self.access = "labels"

    def needs(self) -> Needs:
        if self.topics < 2:
            raise MeasureError(f"topics must be at least 2, found {self.topics}")
        return Needs(readings=frozenset({EMBEDDINGS} if self.by == "embeddings" else ()))

    def similarity(self, evidence: Evidence) -> SimilarityMatrix:
        # Sorted, so that the result is the same bits whatever the order of the languages.
        languages = sorted(evidence.languages)
        mixtures: Mixtures
        notes: tuple[str, ...] = ()
        if self.by == "labels":
            mixtures = {one: shares(_labels(evidence, one)) for one in languages}
        elif self.by == "embeddings":
            arrays = evidence.read(EMBEDDINGS).arrays
            mixtures = by_vectors(
                {one: arrays[one.code] for one in languages if one.code in arrays},
                self.topics,
                _random_state(evidence.seed),
            )
        else:
            chosen = chosen_texts(evidence, languages)
            mixtures = by_words(chosen, self.topics, _random_state(evidence.seed))
            notes = (f"{max(map(len, chosen.values()), default=0)} texts of each language",)
        return SimilarityMatrix(evidence.languages, _pairwise(evidence.languages, mixtures), notes=notes)


def _random_state(seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}|topic".encode()).digest()[:4], "big")


def _labels(evidence: Evidence, language: Language) -> Counter[Hashable]:
    return Counter(label for example in evidence.examples(language, "train") for label in example.targets)


def chosen_texts(evidence: Evidence, languages: Sequence[Language]) -> dict[Language, list[str]]:
    """The same number of texts with words of every language that has any, drawn by a hash of the text."""
    texts: dict[Language, list[str]] = {}
    for language in languages:
        own = [text for text in evidence.texts(language, represented_by(evidence, language)) if words(text)]
        texts[language] = _shuffled(own, f"{evidence.seed}|topic|{language.code}|")
    number = min([TEXTS, *(len(own) for own in texts.values() if own)])
    return {language: sorted(own[:number]) for language, own in texts.items()}


def _shuffled(texts: Sequence[str], lot: str) -> list[str]:
    return sorted(texts, key=lambda text: hashlib.sha256((lot + text).encode()).digest())


def by_words(texts: Mapping[Language, Sequence[str]], topics: int, random_state: int) -> Mixtures:
    """Mean topic mixture of each language's texts under latent Dirichlet allocation over all of them."""
    from sklearn.decomposition import LatentDirichletAllocation
    from sklearn.feature_extraction.text import CountVectorizer

    pool = [text for own in texts.values() for text in own]
    if not pool:
        return {}
    counts = CountVectorizer(analyzer=words).fit_transform(pool)
    model = LatentDirichletAllocation(n_components=topics, random_state=random_state)
    found = model.fit_transform(counts)
    mixtures: Mixtures = {}
    start = 0
    for language, own in texts.items():
        if own:
            mixtures[language] = shares(dict(enumerate(found[start : start + len(own)].mean(axis=0).tolist())))
        start += len(own)
    return mixtures


def by_vectors(vectors: Mapping[Language, NDArray[np.float64]], topics: int, random_state: int) -> Mixtures:
    """Shares of the clusters that k-means finds in the languages' centred vectors."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    vectors = {language: own for language, own in vectors.items() if len(own)}
    if not vectors:
        return {}
    pool = np.concatenate([own - own.mean(axis=0) for own in vectors.values()])
    weights = np.concatenate([np.full(len(own), 1 / len(own)) for own in vectors.values()])
    model = KMeans(min(topics, len(pool)), n_init=4, random_state=random_state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different vectors than clusters
        clusters = model.fit_predict(pool, sample_weight=weights)
    mixtures: Mixtures = {}
    start = 0
    for language, own in vectors.items():
        mixtures[language] = shares(Counter(clusters[start : start + len(own)].tolist()))
        start += len(own)
    return mixtures


def _pairwise(languages: Sequence[Language], mixtures: Mapping[Language, Mapping[Hashable, float]]) -> Matrix:
    values = np.full((len(languages), len(languages)), np.nan)
    for i, a in enumerate(languages):
        for j in range(i, len(languages)):
            values[i, j] = values[j, i] = jensen_shannon(mixtures.get(a, {}), mixtures.get(languages[j], {}))
    return values
