"""Do groups that a measure likes better turn out better? Counted by hand."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import spearmanr

from benchmark.gains import Gains
from benchmark.systems import Grouping

CODES = ("deu", "fra", "ita", "nld", "spa", "swe")


def literal_objective(S, groups):
    """Σ_i mean over the other members j of C[j, i], C being S without the means of its sources and targets."""
    n = len(S)
    off = ~np.eye(n, dtype=bool)
    design = np.zeros((n * n, 2 * n))
    for s in range(n):
        for t in range(n):
            design[s * n + t, [s, n + t]] = 1
    keep = off.reshape(-1)
    effects = np.linalg.lstsq(design[keep], S.reshape(-1)[keep], rcond=None)[0]
    C = S - (design @ effects).reshape(n, n)
    return sum(np.mean([C[j, i] for j in group if j != i]) for group in groups for i in group if len(group) > 1)


@pytest.fixture
def case():
    rng = np.random.default_rng(4)
    S = rng.normal(size=(6, 6))
    firsts = rng.permutation([(0, *pair) for pair in combinations(range(1, 6), 2)])[:7]  # no partition twice
    drawn = [[first, np.setdiff1d(range(6), first)] for first in firsts]
    groupings = [Grouping.partition([[CODES[i] for i in group] for group in one]) for one in drawn]
    scores = dict(zip(map(id, groupings), rng.random(7), strict=True))
    setup = SimpleNamespace(sources=CODES, codes=CODES, source="embedded")
    systems = SimpleNamespace(by_seed=lambda one: np.array([[scores[id(one)]]]))
    gains = Gains.__new__(Gains)
    gains.setup, gains.systems = setup, systems
    gains.partitions = {"3+3": [(one, one) for one in groupings]}
    row = SimpleNamespace(grouping=groupings[0], asked=True, matrix=SimpleNamespace(values=S))
    return SimpleNamespace(gains=gains, row=row, S=S, drawn=drawn, scores=list(scores.values()))


def test_foreseen_is_the_rank_correlation_over_random_partitions(case):
    found = case.gains.foreseen(case.row)
    objectives = [literal_objective(case.S, groups) for groups in case.drawn]
    assert found.draws == 7
    assert found.objectives == pytest.approx(objectives)
    assert found.scores == pytest.approx(case.scores)
    assert found.spearman == pytest.approx(spearmanr(objectives, case.scores)[0])


def test_samples_controls_and_covers_foresee_nothing(case):
    assert case.gains.foreseen(SimpleNamespace(**{**vars(case.row), "asked": False})) is None
    overlapping = Grouping((("deu", "fra"), ("fra", "ita")), {"deu": 0, "fra": 0, "ita": 1})
    assert case.gains.foreseen(SimpleNamespace(**{**vars(case.row), "grouping": overlapping})) is None
    case.gains.setup.source = "sample"
    assert case.gains.foreseen(case.row) is None
