"""How many groups a similarity matrix asks for, one included."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from benchmark.grouping import (
    EXACT_UP_TO,
    Matrix,
    Vector,
    affinity,
    best_sums,
    improved,
    subset_values,
    value_order,
)

SHUFFLES = 50
THRESHOLD = 3.0  # standard deviations of the shuffles


def auto_k(S: ArrayLike, seed: int) -> int:
    """The K whose best :func:`~benchmark.grouping.objective` most exceeds its mean over dyad-shuffles of the
    :func:`~benchmark.grouping.affinity` of ``S`` ``[n, n]`` (:func:`dyad_shuffles`); 1 when that excess is
    under 3 standard deviations of the shuffles at that K.

    K is 2 to n − 1; with n groups the objective is always 0. Fewer than 7 languages mostly make one group:
    among so few pairs even clear groups are no great exception. ``seed`` drives the shuffles.
    """
    C = affinity(S)
    n = len(C)
    if n < 3 or not C.any():
        return 1
    pairs = C + C.T  # the objective sees only what two languages give each other
    order = value_order(pairs)
    pairs = pairs[np.ix_(order, order)]
    sums = best_by_k(np.stack([pairs, *dyad_shuffles(pairs, SHUFFLES, seed)]))[:, 2:]
    excess = sums[0] - sums[1:].mean(axis=0)
    at = int(excess.argmax())
    rounding = 1e-9 * float(np.abs(C).max())
    needed = max(THRESHOLD * float(sums[1:, at].std(ddof=1)), rounding)
    return at + 2 if excess[at] > needed else 1


def dyad_shuffles(pairs: Matrix, draws: int, seed: int) -> list[Matrix]:
    """Symmetric matrices ``[n, n]`` with the dyads of ``pairs`` in random places, centred again and with the
    root mean square of ``pairs``.

    ``pairs`` is what two languages give each other, centred. Shuffled, its dyads have node effects by chance,
    and what they take is missing elsewhere: against shuffles as they fall, noise exceeds the mean by about one
    standard deviation and passes for groups in 2 to 10 % of draws. Which value goes where does not depend
    on where it was, so not on the order of the languages.
    """
    n = len(pairs)
    rows, columns = np.triu_indices(n, 1)
    values = np.sort(pairs[rows, columns])
    rng = np.random.default_rng(seed)
    result = []
    for _ in range(draws):
        shuffled = np.zeros((n, n))
        shuffled[rows, columns] = rng.permutation(values)
        again = affinity(shuffled + shuffled.T)
        size = float(np.linalg.norm(again))
        result.append(again * (float(np.linalg.norm(pairs)) / size if size > 0 else 0.0))
    return result


def best_by_k(matrices: Matrix) -> Matrix:
    """``[matrix, K]``, K = 0 to n − 1: the highest objective with K groups, of symmetric ``[matrix, n, n]``.

    One search for all: exact up to 14 languages; beyond, :func:`_merged`, which can fall short.
    """
    n = matrices.shape[1]
    if n > EXACT_UP_TO:
        return np.stack([_merged(pairs) for pairs in matrices])
    value = np.stack([subset_values(pairs) for pairs in matrices], axis=1)
    sums: Matrix = best_sums(value, n - 1)[-1]
    return sums


def _merged(pairs: Matrix) -> Vector:
    """From one language a group, the best two groups merged and the best moves and swaps made, again and again."""
    n = len(pairs)
    labels = np.arange(n)
    result = np.full(n, -np.inf)
    for k in range(n - 1, 1, -1):
        member = np.eye(k + 1)[labels]
        size = member.sum(axis=0)
        between = member.T @ pairs @ member
        inside = np.diag(between) / 2
        value = inside / np.maximum(size - 1, 1)
        together = (inside[:, None] + inside[None, :] + between) / (size[:, None] + size[None, :] - 1)
        gain = together - value[:, None] - value[None, :]
        np.fill_diagonal(gain, -np.inf)
        first, second = sorted(divmod(int(gain.argmax()), k + 1))
        labels = np.where(labels == second, first, labels)
        labels = np.where(labels > second, labels - 1, labels)
        (result[k],), (labels,) = improved(pairs, labels[None], k)
    return result
