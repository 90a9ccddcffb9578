"""Scores against scikit-learn's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score as seqeval_f1
from sklearn.metrics import accuracy_score, f1_score

from tasks.metrics import item_counts, majority, score

NAMES = tuple("abcdef")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")

pairs = st.integers(1, 6).flatmap(
    lambda n: st.tuples(
        st.just(n),
        st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), min_size=1, max_size=40),
    )
)


@given(pairs)
def test_scores_are_scikit_learns(drawn: tuple[int, list[tuple[int, int]]]) -> None:
    n, items = drawn
    gold, predicted = [g for g, _ in items], [p for _, p in items]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "accuracy": accuracy_score(gold, predicted),
            "macro_f1": f1_score(gold, predicted, average="macro", zero_division=0),
            "weighted_f1": f1_score(gold, predicted, average="weighted", zero_division=0),
        }
    for metric, value in expected.items():
        assert score(metric, gold, predicted, NAMES[:n]) == pytest.approx(value, abs=1e-12)
        arrays = np.array(gold), np.array(predicted)
        assert score(metric, *arrays, NAMES[:n]) == score(metric, gold, predicted, NAMES[:n])


def test_labels_that_occur_nowhere_do_not_count() -> None:
    assert score("macro_f1", [0, 1], [0, 1], NAMES) == 1.0


def test_a_label_only_predicted_counts_for_macro_but_not_for_weighted() -> None:
    assert score("macro_f1", [0, 0, 1, 1], [0, 0, 1, 2], NAMES[:3]) == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert score("weighted_f1", [0, 0, 1, 1], [0, 0, 1, 2], NAMES[:3]) == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize(
    ("metric", "gold", "predicted", "found"),
    [
        ("f1", [0], [0], "unknown metric 'f1'; allowed: accuracy, macro_f1, weighted_f1, span_f1"),
        ("accuracy", [], [], "at least 1"),
        ("accuracy", [0, 1], [0], "same length"),
        ("accuracy", [0, 2], [0, 1], "gold labels must be integers from 0 to 1"),
        ("accuracy", [0, 1], [0, -1], "predicted labels must be integers from 0 to 1"),
        ("accuracy", [0.0, 1.0], [0, 1], "found float64"),
    ],
)
def test_refused(metric: str, gold: list[int], predicted: list[int], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        score(metric, gold, predicted, NAMES[:2])


def test_majority() -> None:
    assert majority([2, 1, 1, 0]) == 1
    assert majority([2, 2, 0, 0, 1]) == 0, "of equally common labels the lowest"
    with pytest.raises(ValueError, match="found none"):
        majority([])


sentences = st.lists(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8), min_size=1, max_size=6
)


def split(drawn: list[list[tuple[int, int]]]) -> tuple[list[int], list[int], list[int]]:
    flat = [pair for sentence in drawn for pair in sentence]
    return [g for g, _ in flat], [p for _, p in flat], [len(sentence) for sentence in drawn]


@given(sentences)
def test_span_f1_is_seqevals(drawn: list[list[tuple[int, int]]]) -> None:
    gold, predicted, words = split(drawn)
    named = [[[TAGS[pair[side]] for pair in sentence] for sentence in drawn] for side in (0, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = seqeval_f1(*named)
    assert score("span_f1", gold, predicted, TAGS, words) == pytest.approx(expected, abs=1e-12)
    # The order of the tags' names is nobody's business.
    order = [3, 0, 4, 2, 1]
    moved = tuple(TAGS[order.index(place)] for place in range(5))
    again = score("span_f1", [order[i] for i in gold], [order[i] for i in predicted], moved, words)
    assert again == pytest.approx(expected, abs=1e-12)


def test_spans_end_with_their_sentence() -> None:
    assert score("span_f1", [1, 2, 2], [1, 2, 2], TAGS, [1, 2]) == 1.0
    # Two spans where the sentences part, one where they do not.
    assert item_counts("span_f1", [1, 2, 2], [0, 0, 0], TAGS, [1, 2]).tolist() == [
        [[0], [1], [0]],
        [[0], [1], [0]],
    ]
    assert item_counts("span_f1", [1, 2, 2], [1, 2, 0], TAGS, [3]).tolist() == [[[0], [1], [1]]]


@given(sentences, st.sampled_from(["accuracy", "macro_f1", "weighted_f1", "span_f1"]))
def test_items_add_up_to_the_whole(drawn: list[list[tuple[int, int]]], metric: str) -> None:
    gold, predicted, words = split(drawn)
    by_item = item_counts(metric, gold, predicted, TAGS, words)
    assert by_item.shape == (len(words), 3, 1 if metric == "span_f1" else 5)
    whole = item_counts(metric, gold, predicted, TAGS, words, whole=True)
    assert (by_item.sum(axis=0) == whole[0]).all()
    alone = [item_counts(metric, *split([sentence])[:2], TAGS, [len(sentence)])[0] for sentence in drawn]
    assert (by_item == np.array(alone)).all(), "a sentence's counts know nothing of its neighbours"


def test_words_must_be_those_of_the_tags() -> None:
    with pytest.raises(ValueError, match="must be 2, as many as tags; found 3"):
        score("span_f1", [0, 1], [0, 1], TAGS, [1, 2])
