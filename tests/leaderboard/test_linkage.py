from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.cluster.hierarchy import linkage

from leaderboard.linkage import leaves, linked, seriated

# Few values, so that many are equal, and tenths, whose means round.
VALUES = st.one_of(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.6]), st.floats(0, 1))
SQUARES = st.integers(2, 12).flatmap(lambda n: arrays(np.float64, (n, n), elements=VALUES))
DISTANCES = SQUARES.map(lambda D: D + D.T)


def condensed(D):
    return D[np.triu_indices(len(D), 1)]


def length(D, order):
    return sum(D[one, other] for one, other in pairwise(order))


@pytest.mark.parametrize("method", ["average", "complete"])
@given(D=DISTANCES)
def test_the_tree_is_scipys(method, D):
    before = D.copy()
    np.testing.assert_array_equal(linked(D, method), linkage(condensed(D), method))
    np.testing.assert_array_equal(D, before)


@pytest.mark.parametrize("method", ["average", "complete"])
def test_also_of_many(method):
    for seed in range(3):
        D = np.random.default_rng(seed).random((100, 100))
        D += D.T
        np.testing.assert_array_equal(linked(D, method), linkage(condensed(D), method))


def test_one_row_has_no_merge():
    tree = linked([[0.0]])
    assert tree.shape == (0, 4)
    assert leaves(0, tree) == seriated([[0.0]], tree) == [0]


@given(D=DISTANCES)
def test_every_cluster_lies_together_in_the_order(D):
    tree = linked(D)
    order = seriated(D, tree)
    assert sorted(order) == list(range(len(D)))
    for node in range(len(D), 2 * len(D) - 1):
        places = sorted(order.index(leaf) for leaf in leaves(node, tree))
        assert places == list(range(places[0], places[0] + len(places)))


def orders(node, tree):
    """All orders of the leaves below a cluster that the tree allows."""
    n = len(tree) + 1
    if node < n:
        return [[node]]
    one, other = (orders(int(child), tree) for child in tree[node - n, :2])
    return [both for a in one for b in other for both in (a + b, b + a)]


def test_the_order_is_nearly_as_short_as_the_trees_best():
    found, plain = [], []
    for seed in range(30):
        points = np.random.default_rng(seed).normal(size=(9, 2))
        D = np.linalg.norm(points[:, None] - points[None, :], axis=2)
        tree = linked(D)
        best = min(length(D, order) for order in orders(16, tree))
        found.append(length(D, seriated(D, tree)) / best)
        plain.append(length(D, leaves(16, tree)) / best)
    assert min(found) > 1 - 1e-9
    assert np.mean(found) < 1.1
    assert np.mean(plain) > 1.2
