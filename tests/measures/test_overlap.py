"""Overlap against sets and counters built the slow way, and against scikit-learn."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from measures import MeasureError
from measures.distributions import jensen_shannon, shares
from measures.overlap import Overlap, ngrams, pairwise, words
from tasks.base import Example
from tasks.languages import language

COEFFICIENTS = ["dice", "jaccard", "cosine", "jensen-shannon"]
CODES = ("deu", "nld", "eng", "rus")
TEXTS = {
    "deu": ["Das Wasser ist kalt.", "Der Wind, der Wind!"],
    "nld": ["Het water is koud", "de wind waait (hard)"],
    "eng": ["The water is cold", "a cold wind"],
    "rus": ["Вода холодная", "ветер"],
}


def of(fake, texts, split="train", **more):
    rows = {(split, code): tuple(Example(text, 0) for text in texts[code]) for code in texts}
    return fake(tuple(map(language, texts)), rows, **more)


def slow_words(text):
    """The same rule for text without compatibility characters: lower case, outer ASCII punctuation off."""
    stripped = (word.strip(".,!?()\"'") for word in text.lower().split())
    return [word for word in stripped if word]


def slow_bag(texts, unit, n):
    bag = Counter()
    for text in texts:
        units = slow_words(text)
        if unit == "words":
            bag.update(tuple(units[i : i + k]) for k in range(1, n + 1) for i in range(len(units) - k + 1))
        else:
            for word in units:
                padded = f" {word} "
                bag.update(padded[i : i + k] for k in range(1, n + 1) for i in range(len(padded) - k + 1))
    return bag


def slow_coefficient(a, b, coefficient):
    if coefficient == "dice":
        return 2 * len(set(a) & set(b)) / (len(set(a)) + len(set(b)))
    if coefficient == "jaccard":
        return len(set(a) & set(b)) / len(set(a) | set(b))
    if coefficient == "jensen-shannon":
        keys = sorted({*a, *b}, key=repr)
        return 1 - jensenshannon([a[key] for key in keys], [b[key] for key in keys], base=2) ** 2
    product = sum(a[key] * b[key] for key in a)
    return product / math.sqrt(sum(c * c for c in a.values()) * sum(c * c for c in b.values()))


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
@pytest.mark.parametrize(("unit", "n", "used"), [
    ("words", None, 1), ("words", 2, 2), ("chars", None, 3), ("chars", 1, 1), ("chars", 5, 5),
])  # fmt: skip
def test_against_sets_and_counters(fake, unit, n, used, coefficient):
    found = Overlap(unit=unit, n=n, coefficient=coefficient).similarity(of(fake, TEXTS)).values
    bags = [slow_bag(TEXTS[code], unit, used) for code in CODES]
    expected = [[slow_coefficient(a, b, coefficient) for b in bags] for a in bags]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.diag(found), 1.0, atol=1e-12)


def test_two_small_vocabularies_by_hand(fake):
    """{a, b, c} and {b, c, d, e}: 2 shared of 3 and 4; counts 2·1 + 1·3 over √6 · √12; entropies."""
    evidence = of(fake, {"deu": ["a b b c"], "nld": ["b c c c d e"]})
    values = {name: Overlap(coefficient=name).similarity(evidence).values for name in COEFFICIENTS}
    assert values["dice"][0, 1] == pytest.approx(4 / 7)
    assert values["jaccard"][0, 1] == pytest.approx(2 / 5)
    assert values["cosine"][0, 1] == pytest.approx(5 / math.sqrt(6 * 12))
    # a: 1/4 against 0, b: 1/2 against 1/6, c: 1/4 against 1/2, d and e: 0 against 1/6
    means = (1 / 8, 1 / 3, 3 / 8, 1 / 12, 1 / 12)
    entropy = [
        -sum(p * math.log2(p) for p in ps) for ps in (means, (1 / 4, 1 / 2, 1 / 4), (1 / 6, 1 / 2, 1 / 6, 1 / 6))
    ]
    assert values["jensen-shannon"][0, 1] == pytest.approx(1 - entropy[0] + (entropy[1] + entropy[2]) / 2)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_chars_cosine_is_scikit_learn_s(fake, n):
    """``char_wb`` pads words with blanks too (and counts short words differently only from n = 4 on)."""
    found = Overlap(unit="chars", n=n, coefficient="cosine").similarity(of(fake, TEXTS)).values
    documents = [" ".join(word for text in TEXTS[code] for word in words(text)) for code in CODES]
    counted = CountVectorizer(analyzer="char_wb", ngram_range=(1, n), lowercase=False).fit_transform(documents)
    np.testing.assert_allclose(found, cosine_similarity(counted), atol=1e-12)


def test_words_cosine_is_scikit_learn_s(fake):
    found = Overlap(coefficient="cosine", n=2).similarity(of(fake, TEXTS)).values
    texts = [text for code in CODES for text in TEXTS[code]]
    counted = CountVectorizer(analyzer=lambda t: list(ngrams(words(t), 2))).fit_transform(texts).toarray()
    np.testing.assert_allclose(found, cosine_similarity(counted.reshape(4, 2, -1).sum(axis=1)), atol=1e-12)


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_subwords_are_the_run_s_own_counts(fake, coefficient):
    bags = {"deu": Counter({1: 3, 2: 1, 9: 1}), "nld": Counter({1: 1, 3: 2, 9: 4}), "eng": Counter({5: 1})}
    evidence = of(fake, {code: ["x"] for code in bags}, bags={("train", code): bag for code, bag in bags.items()})
    found = Overlap(unit="subwords", coefficient=coefficient).similarity(evidence).values
    expected = [[slow_coefficient(a, b, coefficient) for b in bags.values()] for a in bags.values()]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_pairs_count_both_texts(fake):
    rows = {("train", "deu"): (Example("a", 0, pair="b"),), ("train", "nld"): (Example("b", 0, pair="c"),)}
    found = Overlap().similarity(fake(tuple(map(language, ("deu", "nld"))), rows))
    assert found.values[0, 1] == pytest.approx(1 / 2)


@pytest.mark.parametrize("unit", ["words", "chars", "subwords"])
def test_a_language_without_training_data_is_its_dev_texts(fake, unit):
    rows = {
        ("train", "deu"): (Example("a b", 0),),
        ("dev", "deu"): (Example("x y", 0),),
        ("dev", "tir"): (Example("a c", 0),),
        ("test", "tir"): (Example("x y", 0),),
    }
    bags = {
        ("train", "deu"): Counter([1, 2]),
        ("dev", "deu"): Counter([8, 9]),
        ("dev", "tir"): Counter([1, 3]),
        ("test", "tir"): Counter([8, 9]),
    }
    n = 1 if unit != "chars" else 3
    found = Overlap(unit=unit, n=n).similarity(fake(tuple(map(language, ("deu", "tir"))), rows, bags)).values
    # chars of " a ", " b " against " a ", " c ": blank, a, " a", "a ", " a " of nine each
    assert found[0, 1] == pytest.approx(2 * 5 / 18 if unit == "chars" else 1 / 2)


def test_a_language_without_texts_is_nan(fake):
    found = Overlap().similarity(of(fake, {"deu": ["a"], "nld": [], "eng": ["…!"], "fra": ["a"]})).values
    said = np.isfinite(found)
    np.testing.assert_array_equal(said, np.outer([1, 0, 0, 1], [1, 0, 0, 1]).astype(bool))
    assert found[0, 3] == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("«Straße», STRASSE!", ["strasse", "strasse"]),
        ("don't re-do 3.5%", ["don't", "re-do", "3.5"]),
        ("हिन्दी, भाषा।", ["हिन्दी", "भाषा"]),  # vowel signs and virama are kept, the danda is not
        ("की", ["की"]),  # ends in a combining sign
        ("،مرحبا؟ بالعالم!", ["مرحبا", "بالعالم"]),
        ("مُحَمَّدٌ", ["مُحَمَّدٌ"]),  # vocalised: marks inside and at the end
        ("ﬁne ＡＢＣ １２", ["fine", "abc", "12"]),  # compatibility forms
        ("cafe\u0301", ["caf\u00e9"]),  # composed
        ("#tag @user :-) ... 👍 $5", ["tag", "user", "5"]),
        ("a\u200b\u200d b\u00a0c\td\ne", ["a", "b", "c", "d", "e"]),
        ("  ", []),
        ("", []),
        ("—", []),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n": 0}, "n must be at least 1, found 0"),
        ({"unit": "chars", "n": -2}, "n must be at least 1, found -2"),
        ({"unit": "subwords", "n": 2}, "unit=subwords counts single subwords: n must be 1, found 2"),
    ],
)
def test_a_bad_n_is_said(fake, params, message):
    with pytest.raises(MeasureError) as raised:
        Overlap(**params).similarity(of(fake, TEXTS))
    assert str(raised.value) == message


BAGS = st.lists(
    st.dictionaries(st.integers(0, 8), st.integers(1, 5), max_size=6).map(Counter), min_size=1, max_size=5
)


@settings(max_examples=80, deadline=None)
@given(BAGS, st.sampled_from(COEFFICIENTS))
def test_properties_of_the_coefficients(bags, coefficient):
    values = pairwise(bags, coefficient)
    np.testing.assert_array_equal(values, values.T)
    empty = np.array([not bag for bag in bags])
    np.testing.assert_array_equal(np.isnan(values), empty[:, None] | empty[None, :])
    said = values[~np.isnan(values)]
    assert ((said >= 0) & (said <= 1 + 1e-12)).all()
    np.testing.assert_allclose(np.diag(values)[~empty], 1.0, atol=1e-12)
    for i, a in enumerate(bags):
        for j, b in enumerate(bags):
            if a and b:
                assert values[i, j] == pytest.approx(slow_coefficient(a, b, coefficient), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=20), st.integers(1, 4))
def test_number_of_ngrams(text, n):
    assert len(list(ngrams(text, n))) == sum(max(0, len(text) - k + 1) for k in range(1, n + 1))
    assert all(isinstance(gram, str) and gram in text for gram in ngrams(text, n))


@settings(max_examples=50, deadline=None)
@given(BAGS, st.permutations(range(9)))
def test_the_order_of_the_keys_does_not_change_a_bit(bags, names):
    """Sets of strings come in another order in every process."""
    renamed = [Counter({names[key]: count for key, count in bag.items()}) for bag in bags]
    np.testing.assert_array_equal(pairwise(renamed, "jensen-shannon"), pairwise(bags, "jensen-shannon"))


def test_rounding_leads_to_nothing_above_1():
    a, b = shares({"x": 69533180, "y": 92083589}), shares({"x": 69533182, "y": 92083590})
    assert jensen_shannon(a, b) == 1


def test_shares_leave_out_what_does_not_occur():
    assert shares({"x": 3, "y": 0, "z": 1}) == {"x": 0.75, "z": 0.25}
    assert shares({}) == shares({"x": 0}) == {}
    assert math.isnan(jensen_shannon({}, {"x": 1.0}))
