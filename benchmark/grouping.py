"""From a similarity matrix to groups of languages, one model each.

Groups are tuples of language indices in canonical form: each sorted, and sorted among
themselves. Similarities are ``[source, target]``, higher is more alike, NaN missing; only
languages that can be trained on belong in them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from heapq import heappush, heappushpop
from math import factorial, prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leaderboard.linkage import Linkage, leaves, linked
from leaderboard.ranking import NOISE
from leaderboard.statistics import centre

Groups = tuple[tuple[int, ...], ...]
Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

EXACT_UP_TO = 14  # languages; beyond, 3^n subset pairs are too many
_RANDOM_STARTS = 20
_KICKS = 200
_CELLS_AT_ONCE = 16_384  # of matrices of pairs: they stay in the processor's cache


def default_k(n: int) -> int:
    """How many groups ``n`` languages make unless told otherwise: max(2, round(n / 4))."""
    return max(2, round(n / 4))


def canonical(groups: Iterable[Iterable[int]]) -> Groups:
    """Each group sorted, groups sorted."""
    return tuple(sorted(tuple(sorted(int(i) for i in group)) for group in groups))


def affinity(S: ArrayLike) -> Matrix:
    """What grouping goes by: ``S`` ``[n, n]`` centred (:func:`leaderboard.statistics.centre`), which
    cancels node effects; missing cells and the diagonal are 0. All 0 says that no pair stands out.

    Of three languages' pairs centring leaves nothing, whatever the matrix; there it is ``S`` less its mean.
    """
    C = centre(S)
    if len(C) == 3:
        known = np.isfinite(C)
        C = np.where(known, np.array(S, dtype=np.float64), np.nan)
        C[known] -= C[known].mean() if known.any() else 0.0
        C[np.abs(C) <= NOISE * np.abs(np.where(known, np.array(S), 0.0)).max()] = 0.0
    return filled(C)


def objective(C: ArrayLike, groups: Iterable[Sequence[int]]) -> float:
    """Σ_i mean over the other members j of i's group of C[j, i]; a language alone scores 0.

    ``C`` as :func:`affinity` gives it, ``[n, n]``; missing cells count as 0.
    """
    values = filled(C)
    total = 0.0
    for group in groups:
        if len(group) > 1:
            total += float(values[np.ix_(group, group)].sum()) / (len(group) - 1)
    return total


def partition(S: ArrayLike, k: int) -> Groups:
    """The ``k`` non-empty groups that maximise :func:`objective` of the :func:`affinity` of ``S`` ``[n, n]``.

    Exact by dynamic programming over subsets up to 14 languages; beyond, the best that moves
    and swaps reach from agglomerative and many fixed pseudo-random starts. ValueError for k outside 1 to n.
    """
    C = affinity(S)
    check_k(len(C), k)
    pairs = C + C.T  # the objective sees only what two languages give each other
    order = value_order(pairs)
    pairs = pairs[np.ix_(order, order)]
    found = _exact(pairs, k) if len(C) <= EXACT_UP_TO else _searched(pairs, k)
    return canonical([order[list(group)].tolist() for group in found])


def value_order(pairs: Matrix) -> NDArray[np.int64]:
    """An order of the languages by their values alone, so that renaming them changes nothing."""
    strength = (pairs**2).sum(axis=1)
    order: NDArray[np.int64] = np.argsort(
        np.round(strength / max(float(strength.max()), 1e-300), 9), kind="stable"
    )
    return order


def agglomerative(S: ArrayLike, k: int) -> Groups:
    """``k`` clusters by average linkage on the symmetrised :func:`affinity` of ``S`` ``[n, n]``.
    ValueError for k outside 1 to n.
    """
    C = affinity(S)
    check_k(len(C), k)
    return canonical(_linked(C + C.T, k, "average"))


GROUPINGS: dict[str, Callable[[ArrayLike, int], Groups]] = {
    "partition": partition,
    "agglomerative": agglomerative,
}


def random_partitions(sizes: Sequence[int], draws: int, seed: int) -> list[Groups]:
    """``draws`` random partitions of Σ sizes languages into groups of these sizes.

    No partition comes again before every partition of this size profile has come.
    ValueError for a size below 1.
    """
    if not sizes or min(sizes) < 1:
        raise ValueError(f"sizes: expected group sizes of at least 1, found {list(sizes)}")
    n = sum(sizes)
    alike = Counter(sizes).values()
    possible = factorial(n) // prod(map(factorial, sizes)) // prod(map(factorial, alike))
    cuts = np.cumsum(sizes)[:-1]
    rng = np.random.default_rng(seed)
    result: list[Groups] = []
    seen: set[Groups] = set()
    while len(result) < draws:
        groups = canonical(part.tolist() for part in np.split(rng.permutation(n), cuts))
        if groups not in seen:
            seen.add(groups)
            result.append(groups)
        if len(seen) == possible:
            seen.clear()
    return result


def filled(C: ArrayLike) -> Matrix:
    """``C`` with 0 for missing cells and on the diagonal."""
    values = np.array(C, dtype=np.float64)
    np.fill_diagonal(values, 0.0)
    return np.where(np.isfinite(values), values, 0.0)


def check_k(n: int, k: int) -> None:
    if not 1 <= k <= n:
        raise ValueError(f"groups: expected 1 to {n} for {n} languages, found {k}")


def _exact(pairs: Matrix, k: int) -> list[list[int]]:
    value = subset_values(pairs)
    return best_blocks(value, best_sums(value[:, None], k)[:, 0], k)


def subset_values(pairs: Matrix) -> Vector:
    """What each subset of the languages adds to :func:`objective` as a group, by its bit mask.

    ``pairs`` is symmetric ``[n, n]``, what two languages give each other; the result ``[2^n]``.
    """
    n = len(pairs)
    inside, members = np.zeros(1 << n), np.zeros(1 << n)
    for i in range(n):  # subsets whose highest language is i
        low = 1 << i
        to_i = np.zeros(1)
        for j in range(i):
            to_i = np.concatenate([to_i, to_i + pairs[i, j]])
        inside[low : 2 * low] = inside[:low] + to_i
        members[low : 2 * low] = members[:low] + 1
    result: Vector = np.where(members > 1, inside / np.maximum(members - 1, 1), 0.0)
    return result


def best_sums(value: Matrix, k: int) -> NDArray[np.float64]:
    """``[mask, c, j]``: the highest sum of ``value[:, c]`` over j blocks that make up the languages in mask.

    ``value`` is ``[2^n, columns]``, each column by itself. Filled, for 0 to ``k`` blocks, where
    :func:`best_blocks` needs it: for all languages and for sets without language 0.
    """
    size, columns = value.shape
    best = np.full((size, columns, k + 1), -np.inf)
    best[0, :, 0] = 0.0
    # The block of the lowest language is chosen first; what is left never holds language 0.
    for mask in [*range(2, size, 2), size - 1]:
        block = _with_lowest(mask)
        best[mask, :, 1:] = (value[block, :, None] + best[mask - block, :, :k]).max(axis=0)
    return best


def best_blocks(value: Vector, best: Matrix, k: int) -> list[list[int]]:
    """The ``k`` blocks behind ``best[-1, k]``, one column of :func:`best_sums`."""
    blocks, mask = [], len(value) - 1
    for j in range(k, 0, -1):
        block = _with_lowest(mask)
        chosen = int(block[(value[block] + best[mask - block, j - 1]).argmax()])
        blocks.append([i for i in range(chosen.bit_length()) if chosen >> i & 1])
        mask -= chosen
    return blocks


def _with_lowest(mask: int) -> NDArray[np.int64]:
    """Every subset of ``mask`` that holds its lowest language."""
    subsets = np.full(1, mask & -mask)
    for i in range((mask & -mask).bit_length(), mask.bit_length()):
        if mask >> i & 1:
            subsets = np.concatenate([subsets, subsets + (1 << i)])
    return subsets


def _searched(pairs: Matrix, k: int) -> list[list[int]]:
    n = len(pairs)
    starts = [labels_of(_linked(pairs, k, linkage), n) for linkage in ("average", "complete")]
    rng = np.random.default_rng(0)
    starts += [_uneven(rng, n, k) for _ in range(_RANDOM_STARTS)]
    at_once = max(1, _CELLS_AT_ONCE // n**2)
    best, found = -np.inf, starts[0]
    for first in range(0, len(starts), at_once):
        values, labels = improved(pairs, np.array(starts[first : first + at_once]), k)
        for value, reached in zip(values, labels, strict=True):
            if _higher(value, best):
                best, found = value, reached
    kicks = []  # iterated local search: a few languages displaced, then improved again
    for _ in range(_KICKS):
        several = rng.choice(n, size=rng.integers(2, 2 + max(2, n // 4)), replace=False)
        kicks.append((several, rng.integers(k, size=len(several))))
    while kicks:  # those after one that helps are tried again from where it led
        kicked = np.tile(found, (min(at_once, len(kicks)), 1))
        for row, (several, groups) in zip(kicked, kicks, strict=False):
            row[several] = groups
        whole = [place for place, row in enumerate(kicked) if len(np.unique(row)) == k]
        values, labels = improved(pairs, kicked[whole], k)
        helped = next((place for place, value in enumerate(values) if _higher(value, best)), None)
        if helped is not None:
            best, found = values[helped], labels[helped]
        kicks = kicks[len(kicked) if helped is None else whole[helped] + 1 :]
    return [np.flatnonzero(found == g).tolist() for g in range(k)]


def _higher(value: float, best: float) -> bool:
    return bool(value > best + 1e-12 * abs(value))


def _uneven(rng: np.random.Generator, n: int, k: int) -> NDArray[np.int64]:
    """Random labels for k non-empty groups of often unequal sizes, as the best ones can be."""
    rest = rng.choice(k, size=n - k, p=rng.dirichlet(np.ones(k)))
    return rng.permutation(np.concatenate([np.arange(k), rest]))


def improved(pairs: Matrix, starts: NDArray[np.int64], k: int) -> tuple[Vector, NDArray[np.int64]]:
    """From each of ``starts`` ``[m, n]``, each language's group: the best move or swap, again and again, until
    none improves. The objectives ``[m]`` and the groups ``[m, n]``.
    """
    labels, values = starts.copy(), np.zeros(len(starts))
    n = len(pairs)
    least = 1e-10 * max(float(np.abs(pairs).max()), 1e-300)
    unit, everyone = np.eye(k), np.arange(n)
    rows = np.arange(len(starts))  # that still improve
    while len(rows):
        group = labels[rows]
        member = unit[group]  # [row, language, group]
        size = member.sum(axis=1)
        to = pairs @ member  # summed pairs with a group's members
        inside = (to * member).sum(axis=1) / 2
        value = inside / np.maximum(size - 1, 1)
        each = np.arange(len(rows))[:, None]
        own, m, now = to[each, everyone, group], size[each, group], value[each, group]

        without = inside[each, group] - own
        left = without / np.maximum(m - 2, 1) - now
        move = left[:, :, None] + (inside[:, None] + to) / size[:, None] - value[:, None]
        move[each, everyone, group] = -np.inf
        move[m == 1] = -np.inf  # no group is left empty

        swapped = member @ to.swapaxes(1, 2)  # [row, one, other]: what one gives the group of the other
        swapped += without[:, :, None]
        swapped -= pairs
        swapped /= np.maximum(m - 1, 1)[:, :, None]
        swapped -= now[:, :, None]
        swap = swapped + swapped.swapaxes(1, 2)
        swap[group[:, :, None] == group[:, None]] = -np.inf

        move, swap = move.reshape(len(rows), -1), swap.reshape(len(rows), -1)
        best_move, best_swap = move.argmax(axis=1), swap.argmax(axis=1)
        by_move, by_swap = move[each[:, 0], best_move], swap[each[:, 0], best_swap]
        better = np.maximum(by_move, by_swap) > least
        values[rows[~better]] = value[~better].sum(axis=1)
        moves, swaps = better & (by_move >= by_swap), better & (by_move < by_swap)
        language, target = divmod(best_move[moves], k)
        labels[rows[moves], language] = target
        one, other = divmod(best_swap[swaps], n)
        at = rows[swaps]
        labels[at, one], labels[at, other] = labels[at, other], labels[at, one]
        rows = rows[better]
    return values, labels


def _linked(pairs: Matrix, k: int, linkage: Linkage) -> list[list[int]]:
    """``k`` clusters by a linkage; what scikit-learn's clustering finds."""
    n = len(pairs)
    if k == n:
        return [[i] for i in range(n)]
    tree = linked(pairs.max() - pairs, linkage)
    nodes = [-(2 * n - 2)]  # a heap of the clusters so far, negative, the one that was merged last on top
    for _ in range(k - 1):
        one, other = tree[-nodes[0] - n, :2]
        heappush(nodes, -int(one))
        heappushpop(nodes, -int(other))
    return [sorted(leaves(-node, tree)) for node in nodes]


def labels_of(groups: Sequence[Sequence[int]], n: int) -> NDArray[np.int64]:
    labels = np.zeros(n, dtype=np.int64)
    for g, group in enumerate(groups):
        labels[list(group)] = g
    return labels
