"""An order of the languages that puts alike ones side by side, and the tree behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leaderboard.linkage import linked, seriated
from leaderboard.ranking import Matrix, cells, centre, square


@dataclass(frozen=True)
class Clustering:
    """``order``: places of all languages, those without any similarity last. ``tree``: the linkage over
    ``leaves``, the places of the others; None for fewer than two."""

    order: tuple[int, ...]
    leaves: tuple[int, ...]
    tree: Matrix | None


def clustered(S: ArrayLike) -> Clustering:
    """Average linkage on the similarity ``S`` ``[source, target]`` without its source and target effects.

    The same affinity as groups are formed by: both directions of a pair added up, a missing cell as no
    affinity. The distance of two languages is the highest affinity of any pair less theirs.
    """
    similarity = square(S)
    known = cells(similarity)
    some = known.any(axis=0) | known.any(axis=1)
    leaves = np.flatnonzero(some)
    rest = np.flatnonzero(~some)
    tree = None
    ordered: NDArray[np.int64] = leaves
    if len(leaves) > 1:
        inside = similarity[np.ix_(leaves, leaves)]
        # Of three languages' pairs centring leaves nothing.
        affinity = centre(inside) if len(leaves) > 3 else inside
        affinity = np.where(cells(affinity), affinity, 0.0)
        pairs = affinity + affinity.T
        distance = pairs[~np.eye(len(pairs), dtype=bool)].max() - pairs
        tree = linked(distance)
        ordered = leaves[seriated(distance, tree)]
    places = tuple(int(place) for place in leaves)
    return Clustering((*map(int, ordered), *map(int, rest)), places, tree)
