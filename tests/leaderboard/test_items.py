"""Intervals over test items, against literal resampling and scikit-learn's metrics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from leaderboard import items
from leaderboard.items import ItemBootstrap, item_interval

METRICS = {
    "accuracy": accuracy_score,
    "macro_f1": lambda g, p: f1_score(g, p, average="macro", zero_division=0),
    "weighted_f1": lambda g, p: f1_score(g, p, average="weighted", zero_division=0),
}


def systems(seed, size, runs=()):
    rng = np.random.default_rng(seed)
    gold = rng.choice([0, 1, 2, 7], p=[0.6, 0.3, 0.05, 0.05], size=size)

    def predict(error, *shape):
        noise = rng.choice([0, 1, 2, 5], size=(*shape, size))
        return np.where(rng.random((*shape, size)) < error, noise, gold)

    return gold, predict(0.2, *runs), predict(0.4, *runs)


def made_of(gold, system):
    """What a metric is made of, [runs, items, 3, classes], counted one item at a time."""
    classes = 1 + max(int(np.max(part)) for part in (gold, system))

    def counts(run):
        found = np.zeros((len(gold), 3, classes), dtype=int)
        for item, (g, p) in enumerate(zip(gold, run, strict=True)):
            found[item, 0, g] += g == p
            found[item, 1, g] += 1
            found[item, 2, p] += 1
        return found

    return np.array([counts(run) for run in np.atleast_2d(system)])


def interval(languages, metric, **options):
    """Of (gold, A, B) by language."""
    bootstrap = ItemBootstrap(**options)
    a, b = (
        bootstrap.scores({code: made_of(one[0], one[which]) for code, one in languages.items()}, metric)
        for which in (1, 2)
    )
    return item_interval(a, b)


@pytest.mark.parametrize("metric", METRICS)
def test_item_interval_is_a_paired_bootstrap(metric):
    languages = {"deu": systems(1, 120), "nld": systems(2, 60)}
    low, high = interval(languages, metric, draws=4000, seed=5)
    rng = np.random.default_rng(9)
    score = METRICS[metric]
    differences = []
    for _ in range(600):
        picks = [(parts, rng.integers(len(parts[0]), size=len(parts[0]))) for parts in languages.values()]
        differences.append(np.mean([score(g[i], a[i]) - score(g[i], b[i]) for (g, a, b), i in picks]))
    expected = np.percentile(differences, [2.5, 97.5])
    assert (low, high) == pytest.approx(expected, abs=0.15 * (expected[1] - expected[0]))


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_scikit_learns_on_items_copied_as_often_as_they_are_drawn(metric):
    bootstrap = ItemBootstrap(draws=50, seed=3)
    languages = {"deu": systems(1, 40, runs=(2,)), "nld": systems(2, 25, runs=(2,))}
    found = bootstrap.scores({code: made_of(g, a) for code, (g, a, _) in languages.items()}, metric)
    for draw in range(50):
        of = []
        for code, (gold, a, _) in languages.items():
            drawn = np.repeat(np.arange(len(gold)), bootstrap.times(code, len(gold))[:, draw])
            of.append(np.mean([METRICS[metric](gold[drawn], run[drawn]) for run in a]))
        assert found[draw] == pytest.approx(np.mean(of), abs=1e-12)


@pytest.mark.parametrize("size", [4, 21])
def test_resamples_have_the_moments_of_a_multinomial(size):
    draws = 20000
    drawn = ItemBootstrap(draws).times("deu", size).T.astype(float)
    assert (drawn.sum(axis=1) == size).all()
    expected = np.eye(size) - 1 / size  # of `size` draws from as many items
    error = np.sqrt((expected**2 + np.outer(np.diag(expected), np.diag(expected))) / draws)  # of a covariance
    assert (abs(drawn.mean(axis=0) - 1) < 4.5 * np.sqrt(np.diag(expected) / draws)).all()
    assert (abs(np.cov(drawn.T) - expected) < 5.5 * error + 1e-3).all()


@given(size=st.integers(1, 60), seed=st.integers(0, 2**32 - 1), cells=st.integers(1, 5000))
@settings(max_examples=25)
def test_resamples_follow_from_seed_and_language_alone(size, seed, cells):
    """Not from what was drawn before, from how much is kept, or from how many are drawn at a time."""
    first = ItemBootstrap(40, seed)
    one, other = first.times("deu", size), first.times("nld", size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(items, "_KEPT", 0)
        patch.setattr(items, "_CELLS_AT_ONCE", cells)
        second = ItemBootstrap(40, seed)
        assert (second.times("nld", size) == other).all()
        assert (second.times("deu", size) == one).all()
    assert size < 5 or (one != other).any()


def test_the_order_of_the_languages_does_not_matter():
    counts = {code: made_of(*systems(place, 30)[:2]) for place, code in enumerate(("deu", "nld", "swe"))}
    found = [
        ItemBootstrap(seed=1).scores(dict(order), "macro_f1")
        for order in (counts.items(), reversed(counts.items()))
    ]
    np.testing.assert_allclose(*found, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_intervals_of_items_that_can_be_listed(metric):
    # One kind of item only in one language: every resample equals the data.
    assert interval({"deu": ([3] * 5, [3] * 5, [4] * 5)}, metric) == pytest.approx((1.0, 1.0))
    # With two items the resamples can be listed: (1,1), (1,2), (2,2).
    gold, a, b = np.array([0, 1]), np.array([0, 0]), np.array([1, 0])
    score = METRICS[metric]
    possible = {round(score(gold[i], a[i]) - score(gold[i], b[i]), 9) for i in ([0, 0], [0, 1], [1, 1])}
    low, high = interval({"deu": (gold, a, b)}, metric, draws=500)
    assert (round(low, 9), round(high, 9)) == (min(possible), max(possible))


def test_runs_are_averaged_and_paired_over_items():
    gold, a, b = systems(3, 80)
    single = interval({"deu": (gold, a, b)}, "macro_f1", seed=1)
    assert interval({"deu": (gold, [a, a], [b, b, b])}, "macro_f1", seed=1) == pytest.approx(single)
    assert interval({"deu": (gold, a, a)}, "macro_f1") == (0.0, 0.0)
    assert interval({"deu": (gold, [a, b], [b, a])}, "macro_f1") == pytest.approx((0.0, 0.0), abs=1e-12)


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ValueError, match="expected one of accuracy"):
        ItemBootstrap().scores({}, "f1")
    for shape in ((1, 0, 3, 2), (0, 3, 3, 2), (1, 3, 2, 2), (3, 3, 2)):
        with pytest.raises(ValueError, match=r"expected \[runs, items, 3, classes\]"):
            ItemBootstrap().scores({"deu": np.ones(shape, int)}, "accuracy")


def test_spans_are_resampled_by_sentence():
    """[runs, sentences, 3, 1], against scores of literally drawn sentences; some draws hold no span at all."""
    rng = np.random.default_rng(3)
    gold = rng.integers(0, 2, 12)
    hits = {name: rng.binomial(gold, rate) for name, rate in (("a", 0.8), ("b", 0.4))}
    said = {name: hits[name] + rng.integers(0, 2, 12) for name in hits}
    bootstrap = ItemBootstrap(draws=4000)
    scores = {
        name: bootstrap.scores(
            {"deu": np.stack([hits[name], gold, said[name]], axis=1)[None, :, :, None]}, "span_f1"
        )
        for name in hits
    }

    def f1(name, drawn):
        size = (gold + said[name])[drawn].sum()
        return 2 * hits[name][drawn].sum() / size if size else 0.0

    differences = [f1("a", drawn) - f1("b", drawn) for drawn in rng.integers(12, size=(4000, 12))]
    expected = np.percentile(differences, [2.5, 97.5])
    assert item_interval(scores["a"], scores["b"]) == pytest.approx(
        expected, abs=0.06 * (expected[1] - expected[0])
    )
    nothing = bootstrap.scores({"deu": np.zeros((1, 4, 3, 1), dtype=int)}, "span_f1")
    assert item_interval(nothing, nothing) == (0.0, 0.0)
