"""The learned combination: it learns from other targets, and never looks at the one it answers for."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr
from sklearn.ensemble import HistGradientBoostingRegressor

from measures import MeasureError, SimilarityMatrix, TransferMatrix, combined
from measures.combined import Combined
from tasks.languages import Language

CODES = [f"l{letter}{more}" for letter in "abcd" for more in "abcde"]


def languages(n):
    return tuple(Language(code, "Latn", code) for code in CODES[:n])


def component(rng, n, symmetric=True):
    places = rng.normal(size=(n, 3))
    values = -np.linalg.norm(places[:, None] - places[None], axis=2)
    return values if symmetric else values + rng.normal(size=(n, n))


def make(fake, values, transfer, seed=0, names="abcdefgh"):
    made = languages(len(transfer))
    matrices = {name: SimilarityMatrix(made, one) for name, one in zip(names, values, strict=False)}
    return fake(made, matrices=matrices, transfers=TransferMatrix(made, np.array(transfer)), seed=seed)


def world(fake, n=8, k=2, seed=0, missing=0.0, targets_only=()):
    """Components of every kind and a transfer that follows the first of them, with noise and target effects."""
    rng = np.random.default_rng(seed)
    values = [component(rng, n, symmetric=at % 2 == 0) for at in range(k)]
    transfer = np.tanh(values[0]) + 0.1 * rng.normal(size=(n, n)) + rng.normal(size=n)
    for one in values[1:]:
        one[rng.random((n, n)) < missing] = np.nan
    transfer[list(targets_only)] = np.nan
    return make(fake, values, transfer, seed)


def ask(evidence):
    return Combined("+".join(evidence.matrices)).similarity(evidence)


def ask_fast(evidence):
    with learning_fast():
        return ask(evidence)


def changed(fake, evidence, transfer):
    return fake(
        evidence.languages,
        matrices=evidence.matrices,
        transfers=TransferMatrix(evidence.languages, transfer),
        seed=evidence.seed,
    )


@contextmanager
def learning_fast():
    """For what must hold whatever is learned."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("TREES", 5), ("RATE", 0.3), ("LEAF", 4)):
            patch.setattr(combined, name, value)
        yield


@pytest.fixture
def few_trees():
    with learning_fast():
        yield


def test_few_languages_are_skipped(fake):
    assert Combined().skip(None, languages(5)) == "learning from other targets takes at least 6 languages, found 5"
    assert Combined().skip(None, languages(6)) is None
    rng = np.random.default_rng(0)
    values = component(rng, 6)
    assert np.ptp(ask(make(fake, [values], values)).values) > 0  # six are enough to learn something


# What is hidden

SETTINGS = settings(max_examples=12, deadline=None)


@SETTINGS
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), n=st.integers(6, 8))
def test_a_column_does_not_depend_on_transfer_to_or_from_its_target(fake, data, seed, n):
    only = data.draw(st.sets(st.integers(0, n - 1), max_size=2))
    evidence = world(fake, n, seed=seed, missing=data.draw(st.sampled_from([0.0, 0.3])), targets_only=only)
    t = data.draw(st.integers(0, n - 1))
    cells = st.one_of(st.floats(-1e6, 1e6), st.just(np.nan))
    row = data.draw(st.one_of(st.lists(cells, min_size=n, max_size=n), st.just([np.nan] * n)))
    column = data.draw(st.lists(cells, min_size=n, max_size=n))
    transfer = evidence.transfers.values.copy()
    transfer[t, :], transfer[:, t] = row, column
    before = ask_fast(evidence).values
    after = ask_fast(changed(fake, evidence, transfer)).values
    np.testing.assert_array_equal(before[:, t], after[:, t])
    assert np.isfinite(before[:, t]).sum() > n - 3


def test_a_column_does_not_depend_on_its_target_in_full(fake):
    evidence = world(fake, 10, k=3, seed=1)
    before = ask(evidence).values
    oracle = np.array(evidence.transfers.values)
    for t in (0, 6):
        transfer = oracle.copy()
        transfer[:, t], transfer[t, :] = -10 * oracle[:, t], 3 - oracle[t]
        after = ask(changed(fake, evidence, transfer)).values
        np.testing.assert_array_equal(before[:, t], after[:, t])
        others = np.arange(10) != t
        assert (before[:, others] != after[:, others]).any()  # of which the rest does


def test_transfer_is_never_asked_for_without_hiding_a_target(fake, few_trees):
    evidence = world(fake)
    hidden = []

    def transfer(without=None, real=evidence.transfer):
        hidden.append(without)
        return real(without)

    evidence.transfer = transfer
    ask(evidence)
    assert sorted(hidden) == sorted(evidence.languages)


# What is learned


def by_target(values, truth):
    """Spearman's correlation within each target, mean; 0 where all are tied."""
    found = []
    for t in range(len(truth)):
        others = np.arange(len(truth)) != t
        a, b = values[others, t], truth[others, t]
        found.append(spearmanr(a, b).statistic if np.ptp(a) else 0.0)
    return np.mean(found)


@pytest.mark.parametrize("right", ["a", "b"])
def test_it_finds_the_component_that_transfer_follows(fake, right):
    rng = np.random.default_rng(7)
    n, place = 14, "ab".index(right)
    values = [component(rng, n), component(rng, n)]
    transfer = np.exp(values[place]) + 0.1 * rng.normal(size=(n, n)) + rng.normal(size=n)
    found = ask(make(fake, values, transfer))
    assert by_target(found.values, transfer) > 0.5 > abs(by_target(values[1 - place], transfer)) + 0.3
    assert by_target(found.values, values[place]) > 0.85
    assert list(found.contributions) == ["a", "b"]
    assert found.contributions[right] > 0.8
    assert sum(found.contributions.values()) == pytest.approx(1)
    other = "ba"[place]
    assert found.notes[-1].startswith(f"shares of the prediction: {right} 0.")
    assert f", {other} 0." in found.notes[-1]


def test_it_beats_each_of_two_components_that_transfer_needs_both_of(fake):
    rng = np.random.default_rng(3)
    n = 14
    values = [component(rng, n), np.tile(rng.normal(size=(n, 1)), (1, n)), component(rng, n)]
    transfer = values[0] + values[1] + 0.2 * rng.normal(size=(n, n)) + rng.normal(size=n)
    found = ask(make(fake, values, transfer))
    best = max(by_target(one, transfer) for one in values)
    assert by_target(found.values, transfer) > best + 0.05
    assert found.contributions["c"] < 0.1 < min(found.contributions["a"], found.contributions["b"])


@pytest.mark.parametrize(("sign", "level"), [(-1, 0), (1, 20)])
def test_neither_sign_nor_what_the_target_alone_decides_is_in_the_way(fake, sign, level):
    rng = np.random.default_rng(5)
    values = component(rng, 12)
    levels = sign * values + level * rng.normal(size=12)
    assert by_target(ask(make(fake, [levels], values)).values, values) > 0.85


def slow_ranks(values, pairs):
    n = len(values)
    found = np.full((n, n), np.nan)
    for t in range(n):
        sources = [s for s in range(n) if pairs[s][t]]
        for s in sources:
            less = sum(values[u][t] < values[s][t] for u in sources)
            equal = sum(values[u][t] == values[s][t] for u in sources)
            found[s, t] = (less + equal / 2) / len(sources)
    return found


@SETTINGS
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 7))
def test_ranks_against_the_slow_way(seed, n):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 4, (n, n)).astype(float)
    pairs = rng.random((n, n)) < 0.7
    values[~pairs] = np.nan
    np.testing.assert_allclose(combined._ranks(values, pairs), slow_ranks(values, pairs), atol=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_against_the_slow_way(fake, seed):
    """The table of pairs, put together one by one."""
    n = 9
    evidence = world(fake, n, k=2, seed=seed, missing=0.2, targets_only=[4])
    for one in evidence.matrices.values():
        one.values[1, 3] = np.nan  # which no measure knows, and nothing is learned from
    T = evidence.transfers.values
    cells = [
        one.values / np.nanmax(np.abs(one.values[~np.eye(n, dtype=bool)])) for one in evidence.matrices.values()
    ]
    cells = [np.round(one, 9) for one in cells]
    off = ~np.eye(n, dtype=bool)
    features = cells + [slow_ranks(one, off & np.isfinite(one)) for one in cells]
    expected = np.full((n, n), np.nan)
    for t in range(n):
        table, labels = [], []
        for other in [at for at in range(n) if at != t]:
            sources = [s for s in range(n) if s not in (t, other) and np.isfinite(T[s, other])]
            ranks = (rankdata([T[s, other] for s in sources]) - 0.5) / len(sources)
            for s, rank in zip(sources, ranks, strict=True):
                if (s, other) != (1, 3):
                    table.append([one[s, other] for one in features])
                    labels.append(rank)
        model = HistGradientBoostingRegressor(
            learning_rate=0.05, max_iter=100, max_depth=2, max_leaf_nodes=None, min_samples_leaf=10,
            l2_regularization=1, max_features=0.5, early_stopping=False,
            random_state=combined._seed(seed, evidence.languages[t]),
        ).fit(table, labels)  # fmt: skip
        sources = [s for s in range(n) if s not in (t, 4) and (s, t) != (1, 3)]
        expected[sources, t] = model.predict([[one[s, t] for one in features] for s in sources])
        expected[t, t] = max(expected[s, t] for s in sources)
    np.testing.assert_allclose(ask(evidence).values, expected, atol=1e-9)


# Shares


def test_shares_of_an_additive_prediction_are_shares_of_its_variance():
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(200, 3)) * [1, 2, 5]
    table = np.hstack([cells, rng.normal(size=(200, 3))])
    found = combined._moved(lambda rows: rows[:, 0] + 3 * rows[:, 1] + 0 * rows[:, 2], table, seed=1)
    variance = cells.var(axis=0) * [1, 9, 0]
    np.testing.assert_allclose(found / found.sum(), variance / variance.sum(), atol=0.02)
    np.testing.assert_allclose(found, 2 * variance, rtol=0.1)


def test_a_cell_and_its_rank_change_places_together():
    rng = np.random.default_rng(0)
    table = np.tile(rng.normal(size=(20, 2)), (1, 2))
    found = combined._moved(lambda rows: rows[:, 0] - rows[:, 2] + rows[:, 1] + rows[:, 3], table, seed=1)
    assert found[0] == 0 < found[1]


def test_nothing_to_learn_is_no_share(fake):
    found = ask(make(fake, [component(np.random.default_rng(0), 8)], np.ones((8, 8))))
    assert found.contributions == {"a": 0.0}
    np.testing.assert_allclose(found.values, 0.5)
    assert found.notes == ("nothing was learned: the prediction does not depend on any measure",)


def test_the_note_lists_the_largest_share_first():
    assert combined._told({"a": 0.25, "c": 0.5, "b": 0.25}) == "shares of the prediction: c 0.50, a 0.25, b 0.25"


# What is missing


def test_a_target_only_is_predicted_and_is_no_source(fake, few_trees):
    found = ask(world(fake, 8, targets_only=[2, 5]))
    expected = np.zeros((8, 8), dtype=bool)
    expected[[2, 5]] = True
    np.fill_diagonal(expected, False)
    np.testing.assert_array_equal(np.isnan(found.values), expected)
    np.testing.assert_array_equal(found.coverage, np.where(expected, 0.0, 1.0))


def test_the_diagonal_is_the_best_of_its_column(fake, few_trees):
    found = ask(world(fake, 7)).values
    np.testing.assert_array_equal(np.diag(found), found.max(axis=0))
    np.testing.assert_array_equal(np.diag(found), np.where(np.eye(7, dtype=bool), -np.inf, found).max(axis=0))


def test_a_cell_that_no_measure_knows(fake, few_trees):
    evidence = world(fake, 8, k=2)
    values = [one.values.copy() for one in evidence.matrices.values()]
    values[0][1, 3] = values[1][1, 3] = values[1][2, 4] = np.nan
    values[0][:, 6] = values[1][:, 6] = np.nan
    found = ask(make(fake, values, evidence.transfers.values))
    unknown = np.zeros((8, 8), dtype=bool)
    unknown[1, 3] = True
    unknown[:, 6] = True
    np.testing.assert_array_equal(np.isnan(found.values), unknown)
    coverage = np.where(unknown, 0.0, 1.0)
    coverage[2, 4] = 0.5
    np.testing.assert_array_equal(found.coverage, coverage)
    assert found.notes[0] == f"nothing could be learned or known for the targets {CODES[6]}"


def test_a_component_that_cannot_answer_is_left_out(fake, few_trees):
    evidence = world(fake, 8)
    evidence.matrices["c"] = SimilarityMatrix(evidence.languages, np.where(np.eye(8), 1.0, np.nan))
    found = Combined("x+a+c+b").similarity(evidence)
    np.testing.assert_array_equal(found.values, Combined("a+b").similarity(evidence).values)
    assert found.notes[:2] == ("x is left out: not declared: x", "c is left out: it knows no pair of languages")
    assert list(found.contributions) == ["a", "b"]


def test_no_component_answers(fake):
    evidence = world(fake, 8)
    evidence.matrices["c"] = SimilarityMatrix(evidence.languages, np.full((8, 8), np.nan))
    with pytest.raises(MeasureError) as refused:
        Combined("x+c").similarity(evidence)
    assert str(refused.value) == (
        "combined needs at least one measure that answers, found none: "
        "x is left out: not declared: x; c is left out: it knows no pair of languages"
    )


def test_other_errors_are_not_swallowed(fake):
    evidence = world(fake, 8)
    evidence.similarity = lambda name: 1 / 0
    with pytest.raises(ZeroDivisionError):
        Combined("a").similarity(evidence)


@pytest.mark.parametrize("rows", [[], [3]])
def test_nothing_to_learn_from(fake, rows):
    evidence = world(fake, 8, targets_only=[at for at in range(8) if at not in rows])
    with pytest.raises(MeasureError, match="at least two sources whose transfer is known, found none"):
        ask(evidence)


# What does not matter


@SETTINGS
@given(seed=st.integers(0, 2**32 - 1), data=st.data())
def test_the_order_of_the_languages_does_not_matter(fake, seed, data):
    evidence = world(fake, 7, k=3, seed=seed, missing=0.2, targets_only=[2])
    before = ask_fast(evidence)
    order = data.draw(st.permutations(range(7)))
    made = tuple(evidence.languages[at] for at in order)
    place = np.ix_(order, order)
    matrices = {name: SimilarityMatrix(made, one.values[place]) for name, one in evidence.matrices.items()}
    after = ask_fast(fake(made, matrices=matrices, transfers=evidence.transfers, seed=seed))
    assert after.languages == made
    np.testing.assert_array_equal(after.values, before.values[place])
    np.testing.assert_array_equal(after.coverage, before.coverage[place])
    assert after.contributions == before.contributions
    assert after.notes == before.notes


@SETTINGS
@given(seed=st.integers(0, 2**32 - 1), offset=st.lists(st.integers(-3, 3), min_size=7, max_size=7))
def test_only_the_order_of_transfer_within_a_target_matters(fake, seed, offset):
    evidence = world(fake, 7, seed=seed, targets_only=[2])
    before = ask_fast(evidence).values
    grown = np.exp(evidence.transfers.values) * np.exp(offset)
    np.fill_diagonal(grown, 9.0)  # nor does the monolingual score
    np.testing.assert_array_equal(ask_fast(changed(fake, evidence, grown)).values, before)


def test_the_seed_alone_decides(fake, few_trees):
    evidence = world(fake, 8, k=4, targets_only=[1])
    first, again = ask(evidence), ask(evidence)  # and the evidence is left as it was
    np.testing.assert_array_equal(first.values, again.values)
    assert first.contributions == again.contributions
    evidence.seed = 1
    assert (ask(evidence).values != first.values).any()


def test_neither_rounding_nor_the_unit_of_a_component_matters(fake, few_trees):
    """Ties of a component stay ties where they were added up in another order."""
    rng = np.random.default_rng(0)
    values = [component(rng, 8).round(1), component(rng, 8)]
    transfer = rng.normal(size=(8, 8))
    before = ask(make(fake, values, transfer)).values
    for unit in (1, 2**-60):
        noisy = [one * unit * (1 + 1e-13 * rng.normal(size=(8, 8))) for one in values]
        np.testing.assert_array_equal(ask(make(fake, noisy, transfer)).values, before)


def test_values_are_finite_or_missing_and_shares_sum_to_1(fake, few_trees):
    for seed in range(3):
        evidence = world(fake, 8, k=3, seed=seed, missing=0.5)
        evidence.matrices["zero"] = SimilarityMatrix(evidence.languages, np.zeros((8, 8)))
        found = ask(evidence)
        assert ((found.values > 0) & (found.values < 1) | np.isnan(found.values)).all()
        assert sum(found.contributions.values()) == pytest.approx(1)
        assert min(found.contributions.values()) == found.contributions["zero"] == 0
