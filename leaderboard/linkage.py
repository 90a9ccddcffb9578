"""Agglomerative clustering by the chain of nearest neighbours (Murtagh 1983; Müllner 2011), as SciPy does it.

The tree is SciPy's, bit for bit: its clustering takes longer to import than all these matrices take.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from leaderboard.ranking import Matrix

Linkage = Literal["average", "complete"]


def linked(distance: ArrayLike, linkage: Linkage = "average") -> Matrix:
    """The tree over the rows of ``distance`` ``[n, n]``, symmetric and finite, as SciPy's ``linkage`` gives it.

    ``[n − 1, 4]``, a merge each, nearest first: the two clusters, the lower one first; their distance; how many
    rows they have together. Clusters 0 to n − 1 are the rows, cluster n + i is what merge i makes.
    """
    D = np.array(distance, dtype=np.float64)
    np.fill_diagonal(D, np.inf)
    n = len(D)
    size = [1] * n
    found: list[tuple[float, int, int]] = []
    chain: list[int] = []
    while len(found) < n - 1:
        if not chain:
            chain.append(next(row for row in range(n) if size[row]))
        nearest = D[chain[-1]]
        best = int(nearest.argmin())
        # Of equally near ones it is the one before it in the chain.
        if len(chain) < 2 or nearest[best] < nearest[chain[-2]]:
            chain.append(best)
            continue
        low, high = sorted((chain.pop(), chain.pop()))
        found.append((float(D[low, high]), low, high))
        if linkage == "average":
            joint = (size[low] * D[low] + size[high] * D[high]) / (size[low] + size[high])
        else:
            joint = np.maximum(D[low], D[high])
        size[low], size[high] = 0, size[low] + size[high]
        D[high] = D[:, high] = joint
        D[low] = D[:, low] = np.inf
        D[high, high] = np.inf
    found.sort(key=lambda one: one[0])  # stable: equal ones as they were found
    above, size = list(range(2 * n - 1)), [1] * n

    def top(node: int) -> int:
        while above[node] != node:
            node = above[node]
        return node

    tree = np.zeros((n - 1, 4))
    for number, (height, low, high) in enumerate(found):  # rounding may put a merge before one that it builds on
        one, other = sorted((top(low), top(high)))
        above[one] = above[other] = n + number
        size.append(size[one] + size[other])
        tree[number] = one, other, height, size[-1]
    return tree


def leaves(node: int, tree: Matrix) -> list[int]:
    """The rows below cluster ``node`` of a tree of :func:`linked`, in its order."""
    n = len(tree) + 1
    return [node] if node < n else [leaf for child in tree[node - n, :2] for leaf in leaves(int(child), tree)]


def seriated(distance: ArrayLike, tree: Matrix) -> list[int]:
    """The rows in an order of their tree that has near ones side by side: each two clusters are joined at the
    ends that are nearest (Gruvaeus and Wainer 1972)."""
    D = np.asarray(distance)
    orders = [[row] for row in range(len(D))]
    for left, right in tree[:, :2].astype(int).tolist():
        ways = [(a, b) for a in (orders[left], orders[left][::-1]) for b in (orders[right], orders[right][::-1])]
        first, then = min(ways, key=lambda way: D[way[0][-1], way[1][0]])
        orders.append(first + then)
    return orders[-1]
