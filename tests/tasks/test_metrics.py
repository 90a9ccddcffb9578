"""Scores against scikit-learn's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from tasks.metrics import majority, score

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
        assert score(metric, gold, predicted, n) == pytest.approx(value, abs=1e-12)
        assert score(metric, np.array(gold), np.array(predicted), n) == score(metric, gold, predicted, n)


def test_labels_that_occur_nowhere_do_not_count() -> None:
    assert score("macro_f1", [0, 1], [0, 1], 5) == 1.0


def test_a_label_only_predicted_counts_for_macro_but_not_for_weighted() -> None:
    assert score("macro_f1", [0, 0, 1, 1], [0, 0, 1, 2], 3) == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert score("weighted_f1", [0, 0, 1, 1], [0, 0, 1, 2], 3) == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize(
    ("metric", "gold", "predicted", "found"),
    [
        ("f1", [0], [0], "unknown metric 'f1'; allowed: accuracy, macro_f1, weighted_f1"),
        ("accuracy", [], [], "at least 1"),
        ("accuracy", [0, 1], [0], "same length"),
        ("accuracy", [0, 2], [0, 1], "gold labels must be integers from 0 to 1"),
        ("accuracy", [0, 1], [0, -1], "predicted labels must be integers from 0 to 1"),
        ("accuracy", [0.0, 1.0], [0, 1], "found float64"),
    ],
)
def test_refused(metric: str, gold: list[int], predicted: list[int], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        score(metric, gold, predicted, 2)


def test_majority() -> None:
    assert majority([2, 1, 1, 0]) == 1
    assert majority([2, 2, 0, 0, 1]) == 0, "of equally common labels the lowest"
    with pytest.raises(ValueError, match="found none"):
        majority([])
