"""Groups that may overlap: each language is served by the group that is best for it.

A language's score in a group is its mean :func:`~benchmark.grouping.affinity` from the other members.
As TAG and GradSim do it, what serves whom is fixed before training; a language is trained on in
every group that holds it, and served by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmark.grouping import (
    EXACT_UP_TO,
    Groups,
    Matrix,
    Vector,
    affinity,
    best_blocks,
    best_sums,
    canonical,
    check_k,
    filled,
    labels_of,
    partition,
    value_order,
)

_KICKS = 100
_TRIES = 50  # per cover drawn, before all are taken to have come


@dataclass(frozen=True)
class Cover:
    """Groups in canonical form, and for each language the place in ``groups`` of the one that serves it.

    ``exact``: no cover by as many groups has a higher objective.
    """

    groups: Groups
    served: tuple[int, ...]
    exact: bool

    def objective(self, C: ArrayLike) -> float:
        """Σ_i mean over the other members j of the group that serves i of C[j, i]; alone, i scores 0.

        ``C`` as :func:`~benchmark.grouping.affinity` gives it, ``[n, n]``; missing cells count as 0.
        """
        values = filled(C)
        total = 0.0
        for i, place in enumerate(self.served):
            group = self.groups[place]
            total += float(values[list(group), i].sum()) / max(len(group) - 1, 1)
        return total


def cover(S: ArrayLike, k: int) -> Cover:
    """At most ``k`` groups that hold every language and maximise :meth:`Cover.objective` of the
    :func:`~benchmark.grouping.affinity` of ``S`` ``[n, n]``, each language served by its best group.

    A further group never harms, so at most ``k`` is as good as just ``k``; one that would serve nobody is
    left out. Among equals the smallest group serves. Exact up to 14 languages; beyond, the best that moves
    and many fixed pseudo-random kicks reach from :func:`~benchmark.grouping.partition`, never below it.
    ValueError for k outside 1 to n.

    The languages that one group serves are a block. Given its block B, the best group of m languages is B and
    those of the others that give B most, so a cover is a partition into blocks, each worth what its best
    group gives it: a dynamic program over subsets, as for a partition.
    """
    C = affinity(S)
    n = len(C)
    check_k(n, k)
    # In whole multiples of a small unit sums are exact, so ties are ties in whatever order languages come.
    C = np.rint(C * (2.0**36 / (float(np.abs(C).max(initial=0.0)) or 1.0)))
    order = value_order(C + C.T)
    C = C[np.ix_(order, order)]
    if n <= EXACT_UP_TO:
        value = _subset_values(C)
        best = best_sums(value[:, None], k)[:, 0]
        fewest = int((best[-1] > best[-1].max() - 1).argmax())  # less than a unit is rounding
        blocks = best_blocks(value, best, fewest)
    else:
        ordered = np.array(S, dtype=np.float64)[np.ix_(order, order)]
        labels = _searched(C, labels_of(partition(ordered, k), n), k)
        blocks = [np.flatnonzero(labels == b).tolist() for b in np.unique(labels)]
    return _served(C, {_best_group(C, block) for block in blocks}, order)


def random_covers(cover: Cover, draws: int, seed: int) -> list[Cover]:
    """``draws`` random renamings of the languages of ``cover``: the same sizes, overlaps and servings.

    None comes again before all have come (but for chances under e^-50).
    """
    rng = np.random.default_rng(seed)
    result: list[Cover] = []
    seen: set[Cover] = set()
    failed = 0
    while len(result) < draws:
        one = _renamed(cover.groups, cover.served, rng.permutation(len(cover.served)), exact=False)
        if one not in seen:
            seen.add(one)
            result.append(one)
            failed = 0
        else:
            failed += 1
        if failed > _TRIES * (len(seen) + 1):
            seen.clear()
    return result


def _renamed(
    groups: Sequence[Sequence[int]], served: Sequence[int], names: NDArray[np.int64], exact: bool
) -> Cover:
    """``names[i]`` is what language i is called."""
    renamed = [tuple(sorted(int(names[i]) for i in group)) for group in groups]
    result = canonical(renamed)
    place = [result.index(group) for group in renamed]
    by = {int(names[i]): place[g] for i, g in enumerate(served)}
    return Cover(result, tuple(by[i] for i in range(len(by))), exact)


def _best_values(given: Matrix, block: NDArray[np.bool_], added: Matrix) -> Matrix:
    """What blocks ``[…, n]`` of languages get from a group that holds m others, m = 0 to n.

    ``given[…, j]`` is Σ of C[j, i] over i in the block; ``added`` the same from the most to the least giving,
    -inf for the block's own.
    """
    inside = np.where(block, given, 0.0).sum(axis=-1, keepdims=True)
    total = np.concatenate([inside, inside + added.cumsum(axis=-1)], axis=-1)
    size = block.sum(axis=-1, keepdims=True) + np.arange(total.shape[-1])
    values: Matrix = total / np.maximum(size - 1, 1)
    return values


def _block_value(given: Matrix, block: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of the best group for each block ``[…, n]``; 0 for an empty block, which nothing is given."""
    added = -np.sort(np.where(block, np.inf, -given), axis=-1)
    value: NDArray[np.float64] = _best_values(given, block, added).max(axis=-1)
    return value


def _subset_values(C: Matrix) -> Vector:
    """:func:`_block_value` of every subset, by its bit mask."""
    n = len(C)
    block = (np.arange(1 << n)[:, None] >> np.arange(n) & 1).astype(bool)
    return _block_value(block @ C.T, block)


def _best_group(C: Matrix, members: Sequence[int]) -> tuple[int, ...]:
    """The group that gives these languages most, the smallest of equals."""
    block = np.zeros(len(C), dtype=bool)
    block[list(members)] = True
    given = C @ block
    first = np.argsort(np.where(block, np.inf, -given), kind="stable")
    added = np.where(block, -np.inf, given)[first]
    others = first[: int(_best_values(given, block, added).argmax())].tolist()
    return tuple(sorted([*members, *others]))


def _served(C: Matrix, groups: set[tuple[int, ...]], order: NDArray[np.int64]) -> Cover:
    """Each language with its best group, the smallest of equals; a group that serves nobody is left out."""
    n = len(C)
    candidates = sorted(groups, key=lambda group: (len(group), group))
    score = np.full((len(candidates), n), -np.inf)
    for g, group in enumerate(candidates):
        score[g, list(group)] = C[np.ix_(group, group)].sum(axis=0) / max(len(group) - 1, 1)
    serving, served = np.unique(score.argmax(axis=0), return_inverse=True)
    kept = [candidates[g] for g in serving]
    return _renamed(kept, served.tolist(), order, exact=n <= EXACT_UP_TO)


def _searched(C: Matrix, start: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """The block of each language: the best that moves find from ``start``, kicked again and again."""
    n = len(C)
    rng = np.random.default_rng(0)
    best, found = _moved(C, start, k)
    for _ in range(_KICKS):  # iterated local search: a few languages displaced, then moved again
        kicked = found.copy()
        several = rng.choice(n, size=rng.integers(2, 2 + max(2, n // 4)), replace=False)
        kicked[several] = rng.integers(k, size=len(several))
        value, labels = _moved(C, kicked, k)
        if value > best:
            best, found = value, labels
    return found


def _moved(C: Matrix, start: NDArray[np.int64], k: int) -> tuple[float, NDArray[np.int64]]:
    """The best move of a language to another block, again and again, until none improves."""
    labels = start.copy()
    n = len(C)
    given = np.eye(k)[labels].T @ C.T  # [block, j]
    value = np.zeros(k)
    without, joined = np.zeros(n), np.zeros((n, k))
    stale = list(range(k))
    while True:
        for b in stale:
            block = labels == b
            value[b] = _block_value(given[b], block)
            mine, theirs = np.flatnonzero(block), np.flatnonzero(~block)
            fewer = np.tile(block, (len(mine), 1))
            fewer[np.arange(len(mine)), mine] = False
            without[mine] = _block_value(given[b] - C[:, mine].T, fewer)
            more = np.tile(block, (len(theirs), 1))
            more[np.arange(len(theirs)), theirs] = True
            joined[theirs, b] = _block_value(given[b] + C[:, theirs].T, more)
        gain = joined - value + (without - value[labels])[:, None]
        gain[np.arange(n), labels] = -np.inf
        i, to = divmod(int(gain.argmax()), k)
        if gain[i, to] < 1:  # less than a unit is rounding
            return float(value.sum()), labels
        stale = [int(labels[i]), to]
        given[labels[i]] -= C[:, i]
        given[to] += C[:, i]
        labels[i] = to
