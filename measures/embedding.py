"""Embeddings: how close two languages' sentences lie in an encoder's space."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from measures import clouds
from measures.base import Evidence, Matrix, Measure, MeasureError, SimilarityMatrix
from measures.clouds import Cloud
from measures.needs import Needs, Reading, ReadingResult
from tasks.base import Example, TaskSpec
from tasks.languages import Language

LAST = -1
FEWEST = 10  # rows of a cloud, and shared items of a pair: fewer say nothing
KERNEL_ROWS = 200  # of a language, at most, under a kernel
BANDWIDTH_ROWS = 2000  # of all languages together
CLASSIFIER_ROWS = 100  # of a language, at most, and the same number of both
FOLDS = 5


class Embedding(Measure):
    """How alike two languages' clouds of sentence vectors are (dev texts, mean-pooled).

    ``encoder``: the run's own, after ``joint`` training or ``initial``, untrained; ``layer``: -1 the
    last, 0 the embeddings, 1 … the layers. ``model``: another encoder instead, any sentence-transformers
    model by hub id or folder. With μ a language's mean, Σ its covariance and x, y vectors of s and t:

    - ``centroid`` (default): cos(μ_s − μ, μ_t − μ), μ the mean of the languages' means, without which
      every cosine is near 1 (anisotropy). With two languages always -1.
    - ``mmd``: −(E k(x,x') + E k(y,y') − 2 E k(x,y)), unbiased (Gretton et al., JMLR 2012),
      k(x,y) = exp(−‖x−y‖²/2σ²), σ the median distance in all languages together; at most 200 rows each.
    - ``frechet``: −(‖μ_s−μ_t‖² + Tr(Σ_s + Σ_t − 2(Σ_s^½ Σ_t Σ_s^½)^½)), the squared Wasserstein distance
      of Gaussians; each Σ shrunk to a multiple of the identity as far as its number of rows asks
      (Ledoit & Wolf, 2004): the plain estimate grows with the width and falls with the rows.
    - ``cka``: ‖YᵀX‖²_F / (‖XᵀX‖_F ‖YᵀY‖_F), columns centred, over the items that both languages have
      (Kornblith et al., ICML 2019). Parallel tasks only, at least 10 items; coverage is their share.
      Biased upwards where items are few beside the width: the fewer two languages share, the more.
    - ``classifier``: −2(1 − 2ε), the proxy A-distance (Ben-David et al., NeurIPS 2007), clipped to
      [-2, 0]; ε the error of a ridge classifier of the two languages in five folds, 100 rows each at
      most. An item, or text, is in the same fold in both: else those they share would be told wrong.

    A language with fewer than 10 dev examples: NaN, coverage 0.
    """

    name = "embedding"

    def __init__(
        self,
        encoder: Literal["joint", "initial"] = "joint",
        layer: int = LAST,
        model: str = "",
        distance: Literal["centroid", "mmd", "frechet", "cka", "classifier"] = "centroid",
    ) -> None:
        self.encoder = encoder
        self.layer = layer
        self.model = model
        self.distance = distance
        self.access = "labels" if encoder == "joint" and not model else "text"

    def needs(self) -> Needs:
        if self.layer < LAST:
            raise MeasureError(
                f"layer must be -1 (the last), 0 (the embeddings) or a layer's number from 1, found {self.layer}"
            )
        if self.model and self.layer != LAST:
            raise MeasureError(
                f"layer is for the run's encoder: with model it must be left at -1, found {self.layer}"
            )
        packages = ("sentence-transformers",) if self.model else ()
        return Needs(readings=frozenset({self._reading()}), packages=packages)

    def _reading(self) -> Reading:
        if self.model:
            return Reading("initial", "embeddings", (("model", self.model),))
        return Reading(self.encoder, "embeddings", () if self.layer == LAST else (("layer", self.layer),))

    def skip(self, task: TaskSpec, languages: tuple[Language, ...]) -> str | None:
        if self.distance == "cka" and not task.parallel:
            return f"cka compares the same items in two languages, and those of {task.name} are not parallel"
        return None

    def similarity(self, evidence: Evidence) -> SimilarityMatrix:
        result = evidence.read(self._reading())
        rows = {language.code: evidence.examples(language, "dev") for language in evidence.languages}
        known = known_clouds(result, rows)
        n = len(rows)
        values, coverage = np.full((n, n), np.nan), np.zeros((n, n))
        if known:
            places = np.array([list(rows).index(code) for code in known])
            cells = np.ix_(places, places)
            values[cells], coverage[cells] = self._compare(known, rows, evidence.seed)
        notes = [f"vectors of {result.meta['encoder']}, width {result.meta['width']}"]
        if missing := sorted(rows.keys() - known):
            notes.append(f"no cloud of at least {FEWEST} vectors, all finite, on dev: {', '.join(missing)}")
        return SimilarityMatrix(evidence.languages, values, coverage, tuple(notes))

    def _compare(
        self, known: Mapping[str, Cloud], rows: Mapping[str, Sequence[Example]], seed: int
    ) -> tuple[Matrix, Matrix]:
        """Similarity and coverage of the languages that have a cloud."""
        everything = np.ones((len(known), len(known)))
        if self.distance == "centroid":
            return clouds.centred_cosines(list(known.values())), everything
        if self.distance == "frechet":
            return 0.0 - clouds.frechet(list(known.values())), everything
        if self.distance == "cka":
            return compare_items(known, {code: rows[code] for code in known})
        order = {code: shuffled(len(cloud), seed, code) for code, cloud in known.items()}
        if self.distance == "mmd":
            drawn = [cloud[order[code][:KERNEL_ROWS]] for code, cloud in known.items()]
            share = max(2, BANDWIDTH_ROWS // len(drawn))
            bandwidth = clouds.median_distance(np.concatenate([cloud[:share] for cloud in drawn]))
            return 0.0 - clouds.mmd(drawn, bandwidth), everything
        chosen = {code: places[:CLASSIFIER_ROWS] for code, places in order.items()}
        folds = {code: fold_numbers([rows[code][i] for i in places], seed) for code, places in chosen.items()}
        return classify({code: known[code][places] for code, places in chosen.items()}, folds), everything


def known_clouds(result: ReadingResult, rows: Mapping[str, Sequence[Example]]) -> dict[str, Cloud]:
    """The clouds of the languages that have one, by code: no sum depends on the languages' order.

    Raises:
        MeasureError: vectors that are not one for each example.
    """
    known = {}
    for code in sorted(rows.keys() & result.arrays.keys()):
        cloud = np.asarray(result.arrays[code], dtype=np.float64)
        if len(cloud) != len(rows[code]):
            raise MeasureError(
                f"embeddings must have a row for each of {code}'s {len(rows[code])} dev examples, "
                f"found {len(cloud)}"
            )
        if len(cloud) >= FEWEST and np.isfinite(cloud).all():
            known[code] = cloud
    return known


def shuffled(count: int, seed: int, code: str) -> NDArray[np.int64]:
    """All row numbers in an order that depends on the seed and the language alone."""
    digest = hashlib.sha256(f"{seed}|embedding|{code}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big")).permutation(count)


def fold_numbers(rows: Sequence[Example], seed: int) -> NDArray[np.int64]:
    """The fold of each example, from a hash of its item, or its text where it has none."""
    keys = (row.item or f"{row.text}|{row.pair or ''}" for row in rows)
    digests = (hashlib.sha256(f"{seed}|fold|{key}".encode()).digest() for key in keys)
    return np.array([int.from_bytes(digest[:8], "big") % FOLDS for digest in digests])


def compare_items(known: Mapping[str, Cloud], rows: Mapping[str, Sequence[Example]]) -> tuple[Matrix, Matrix]:
    """Linear CKA over the items of both languages, and their share of the items of either."""
    items = [{row.item: place for place, row in enumerate(rows[code]) if row.item} for code in known]
    grams = [clouds.gram(cloud) for cloud in known.values()]
    values, coverage = np.full((len(items), len(items)), np.nan), np.zeros((len(items), len(items)))
    for i, mine in enumerate(items):
        for j, theirs in enumerate(items[: i + 1]):
            shared = sorted(mine.keys() & theirs.keys())
            coverage[i, j] = coverage[j, i] = len(shared) / max(1, len(mine.keys() | theirs.keys()))
            if len(shared) >= FEWEST:
                a, b = [mine[item] for item in shared], [theirs[item] for item in shared]
                values[i, j] = clouds.linear_cka(grams[i][np.ix_(a, a)], grams[j][np.ix_(b, b)])
                values[j, i] = values[i, j]
    return values, coverage


def classify(drawn: Mapping[str, Cloud], folds: Mapping[str, NDArray[np.int64]]) -> Matrix:
    """−2(1 − 2ε) of every pair, as many rows of one language as of the other."""
    codes = list(drawn)
    values = np.zeros((len(codes), len(codes)))
    for i, a in enumerate(codes):
        for j, b in enumerate(codes[:i]):
            k = min(len(drawn[a]), len(drawn[b]))
            error = clouds.classifier_error(drawn[a][:k], drawn[b][:k], folds[a][:k], folds[b][:k])
            values[i, j] = values[j, i] = min(0.0, -2 * (1 - 2 * error))
    return values
