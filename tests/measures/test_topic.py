"""Topics: planted ones are found, and the shares are compared as scipy compares them."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from measures import MeasureError, Needs, Reading, ReadingResult
from measures.topic import TEXTS, Topic, by_vectors, by_words, chosen_texts
from tasks.base import Example
from tasks.languages import Language, language

CODES = ("deu", "eng", "fra", "nld", "rus", "tir")
EMBEDDINGS = Reading("joint", "embeddings")


def of(fake, train, dev=None, codes=None, **more):
    """``train``, ``dev``: code → texts, or (text, label)."""
    rows = {}
    for split, given_rows in (("train", train), ("dev", dev or {})):
        for code, items in given_rows.items():
            pairs = [item if isinstance(item, tuple) else (item, 0) for item in items]
            rows[split, code] = tuple(Example(text, label) for text, label in pairs)
    return fake(tuple(map(language, codes or train)), rows, **more)


def slow_similarity(mixtures):
    return [[1 - jensenshannon(a, b, base=2) ** 2 for b in mixtures] for a in mixtures]


# by=labels


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), max_size=6), min_size=1, max_size=6), st.integers(0, 5))
def test_labels_against_scipy(fake, labels, turn):
    train = {code: [("x", label) for label in own] for code, own in zip(CODES, labels, strict=False)}
    found = Topic(by="labels").similarity(of(fake, train)).values
    np.testing.assert_array_equal(found, found.T)
    for i, a in enumerate(labels):
        for j, b in enumerate(labels):
            counts = [[own.count(label) for label in range(3)] for own in (a, b)]
            expected = 1 - jensenshannon(*counts, base=2) ** 2 if a and b else math.nan
            np.testing.assert_allclose(found[i, j], expected, rtol=0, atol=1e-12)
    order = np.roll(np.arange(len(labels)), turn)
    codes = [list(train)[at] for at in order]
    moved = Topic(by="labels").similarity(of(fake, train, codes=codes)).values
    np.testing.assert_array_equal(moved, found[np.ix_(order, order)])


def test_labels_are_those_of_training(fake):
    train = {"deu": [("x", 0)], "eng": [("x", 1)], "tir": []}
    dev = {"deu": [("x", 1)], "eng": [("x", 1)], "tir": [("x", 0)]}
    found = Topic(by="labels").similarity(of(fake, train, dev)).values
    assert found[0, 1] == 0
    assert np.isnan(found[2]).all()


# by=words

SPORT = "goal match team player league coach score stadium"
FOOD = "bread soup cook salt kitchen butter oven spoon"


def planted(shares, texts=40, seed=0):
    """Texts of eight words, each of one topic; a language has a share of them about sport."""
    rng = np.random.default_rng(seed)
    return {
        code: [
            " ".join(rng.choice((SPORT if at < share * texts else FOOD).split(), size=8)) for at in range(texts)
        ]
        for code, share in shares.items()
    }


def smoothed(share):
    """What the prior of one half per topic leaves of a share: of eight words and one, 8.5 are the text's own."""
    return [share * 8.5 / 9 + (1 - share) * 0.5 / 9, share * 0.5 / 9 + (1 - share) * 8.5 / 9]


def test_planted_topics_are_found(fake):
    shares = {"deu": 1.0, "eng": 0.9, "fra": 0.5, "nld": 0.1}
    found = Topic(topics=2).similarity(of(fake, planted(shares)))
    expected = slow_similarity([smoothed(share) for share in shares.values()])
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=0.01)
    np.testing.assert_allclose(np.diag(found.values), 1.0, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found.values, found.values.T)
    assert found.notes == ("40 texts of each language",)


def test_the_mixture_is_the_mean_of_the_texts_mixtures(fake):
    """The shares of a language's texts, compared as scipy compares them."""
    chosen = chosen_texts(
        of(fake, planted({"deu": 0.8, "eng": 0.3})), languages := tuple(map(language, ("deu", "eng")))
    )
    mixtures = by_words(chosen, 3, 7)
    values = [[mixtures[one][topic] for topic in range(3)] for one in languages]
    np.testing.assert_allclose(np.sum(values, axis=1), 1.0)
    from sklearn.decomposition import LatentDirichletAllocation
    from sklearn.feature_extraction.text import CountVectorizer

    pool = chosen[languages[0]] + chosen[languages[1]]
    found = LatentDirichletAllocation(3, random_state=7).fit_transform(CountVectorizer().fit_transform(pool))
    np.testing.assert_allclose(values, [found[:40].mean(axis=0), found[40:].mean(axis=0)], rtol=0, atol=1e-9)


def test_as_many_texts_of_each_language(fake):
    texts = {"deu": [f"a{at}" for at in range(500)], "eng": ["b", "…", "c", "d"], "fra": [], "nld": ["!"]}
    chosen = {one.code: own for one, own in chosen_texts(of(fake, texts), sorted(map(language, texts))).items()}
    assert chosen["eng"] == ["b", "c", "d"]
    assert len(chosen["deu"]) == 3
    assert set(chosen["deu"]) <= set(texts["deu"])
    assert chosen["fra"] == chosen["nld"] == []
    del texts["eng"]
    alone = chosen_texts(of(fake, texts), [language("deu")])[language("deu")]
    assert len(alone) == TEXTS == 200
    assert alone == sorted(alone)
    assert 60 < sum(text < "a3" for text in alone) / len(alone) * 222 < 160  # drawn, not the first ones
    other = chosen_texts(of(fake, texts, seed=1), [language("deu")])[language("deu")]
    assert 40 < len(set(alone) & set(other)) < 120  # 80 expected


def test_a_language_without_training_data_is_its_dev_texts(fake):
    train = planted({"deu": 1.0, "eng": 0.0})
    dev = {"tir": planted({"tir": 1.0}, seed=1)["tir"], "deu": train["eng"], "rus": []}
    found = Topic(topics=2).similarity(of(fake, train, dev, codes=("deu", "eng", "tir", "rus"))).values
    assert found[2, 0] == pytest.approx(1, abs=0.01)
    assert found[2, 1] == pytest.approx(slow_similarity([smoothed(0), smoothed(1)])[0][1], abs=0.01)
    assert np.isnan(found[3]).all()


def test_no_text_at_all_says_nothing(fake):
    found = Topic().similarity(of(fake, {"deu": [], "eng": ["…"]}))
    assert np.isnan(found.values).all()


def test_vocabularies_apart_make_topics_of_languages(fake):
    """What the docstring warns of: the same matters in two languages are different topics. (A prior of
    one quarter per topic leaves 8.25 of nine parts to a text's own.)"""
    texts = planted({"deu": 0.5, "eng": 0.5})
    texts["deu"] = [" ".join(word[::-1] for word in text.split()) for text in texts["deu"]]
    own, prior = (8.25 / 9 + 0.25 / 9) / 2, 0.25 / 9
    expected = slow_similarity([[own, own, prior, prior], [prior, prior, own, own]])[0][1]
    assert expected < 0.32
    found = [Topic(topics=4).similarity(of(fake, texts, seed=seed)).values[0, 1] for seed in range(3)]
    assert np.median(found) == pytest.approx(expected, abs=0.01)


# by=embeddings


def embedded(fake, vectors, codes=None, seed=0):
    readings = {EMBEDDINGS: ReadingResult(vectors, {})}
    return fake(tuple(map(language, codes or vectors)), readings=readings, seed=seed)


def clouds(shares, rows=40, shift=True, seed=0):
    """Three far clusters; each language has its shares of them, and a place of its own."""
    rng = np.random.default_rng(seed)
    centres = 20 * np.eye(3, 8)
    found = {}
    for at, (code, share) in enumerate(shares.items()):
        which = np.repeat(np.arange(3), [round(one * rows) for one in share])
        found[code] = centres[which] + rng.normal(size=(len(which), 8)) + (1000 * (at + 1) if shift else 0)
    return found


def test_clusters_are_found_under_the_languages_own_places(fake):
    """Shares that leave the means where they are, as far as k-means with the same centres can see."""
    shares = {"deu": (0.35, 0.35, 0.3), "eng": (0.3, 0.35, 0.35), "fra": (0.35, 0.3, 0.35)}
    found = Topic(by="embeddings", topics=3).similarity(embedded(fake, clouds(shares))).values
    np.testing.assert_allclose(found, slow_similarity(list(shares.values())), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(found, found.T)


def test_what_goes_with_the_mean_is_not_seen(fake):
    vectors = clouds({"deu": (1, 0, 0), "eng": (0, 1, 0)}, rows=400)
    assert Topic(by="embeddings", topics=2).similarity(embedded(fake, vectors)).values[0, 1] > 0.98


def test_a_big_language_does_not_dominate():
    """Its two halves would take both clusters, were each vector to weigh the same."""
    big = np.repeat([[-3.0, 0.0], [3.0, 0.0]], 500, axis=0)
    small = np.repeat([[0.0, -8.0], [0.0, 8.0]], 5, axis=0)
    found = by_vectors({language("deu"): big, language("eng"): small}, 2, 0)
    assert sorted(found[language("eng")].values()) == [0.5, 0.5]


def test_a_language_without_vectors_is_nan_and_few_vectors_are_enough(fake):
    vectors = {"deu": np.eye(2), "eng": np.eye(2), "fra": np.empty((0, 2))}
    found = Topic(by="embeddings").similarity(embedded(fake, vectors, codes=("deu", "fra", "eng", "tir"))).values
    said = np.array([True, False, True, False])
    np.testing.assert_array_equal(np.isfinite(found), np.outer(said, said))
    assert found[0, 2] == 1
    assert np.isnan(Topic(by="embeddings").similarity(embedded(fake, {}, codes=("deu",))).values).all()


# All three


def test_what_each_needs_and_sees():
    assert Topic().needs() == Topic(by="labels").needs() == Needs()
    assert Topic(by="embeddings").needs() == Needs(readings=frozenset({Reading("joint", "embeddings", ())}))
    assert [Topic(by=by).access for by in ("words", "labels", "embeddings")] == ["text", "labels", "labels"]
    assert Topic.access == "text"
    for by in ("words", "labels", "embeddings"):
        with pytest.raises(MeasureError, match=r"^topics must be at least 2, found 1$"):
            Topic(by=by, topics=1).needs()
    Topic(topics=2).needs()


@pytest.mark.parametrize("by", ["words", "embeddings"])
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1000), order=st.permutations(range(5)))
def test_the_order_of_the_languages_does_not_change_a_bit(fake, by, seed, order):
    rng = np.random.default_rng(seed)
    names = (*CODES[:4], "srp")
    both = Language("srp", "Latn", "Serbian")
    texts = {code: [" ".join(rng.choice(list("abcdefghij"), size=5)) for _ in range(6)] for code in names}
    rows = {("train", code): tuple(Example(text, 0) for text in own) for code, own in texts.items()}
    readings = {EMBEDDINGS: ReadingResult({code: rng.normal(size=(7, 3)) for code in names}, {})}
    whole = [*map(language, CODES[:4]), both]
    first = Topic(by=by, topics=3).similarity(fake(tuple(whole), rows, readings=readings, seed=seed))
    moved = tuple(whole[at] for at in order)
    mixed = {place: tuple(rng.permutation(np.array(own, dtype=object))) for place, own in rows.items()}
    again = Topic(by=by, topics=3).similarity(fake(moved, mixed, readings=readings, seed=seed))
    np.testing.assert_array_equal(again.values, first.values[np.ix_(order, order)])
    assert ((first.values >= 0) & (first.values <= 1)).all()
    np.testing.assert_array_equal(first.values, first.values.T)
    np.testing.assert_allclose(np.diag(first.values), 1.0, rtol=0, atol=1e-12)


def test_the_seed_matters(fake):
    texts = planted({"deu": 0.8, "eng": 0.5, "fra": 0.3}, texts=10)
    one, other = (Topic(topics=4).similarity(of(fake, texts, seed=seed)).values for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_shares_count_every_vector():
    vectors = {language("deu"): np.repeat([[-1.0], [1.0]], [3, 1], axis=0)}
    found = by_vectors(vectors, 2, 0)[language("deu")]
    assert Counter(found.values()) == Counter([0.75, 0.25])
