"""What a measure knows of transfer beyond the obvious: MRQAP (Dekker, Krackhardt & Snijders 2007)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leaderboard.ranking import Matrix, Vector, cells, midranks, prepared, square
from leaderboard.resampling import batches, permutation_p, source_orders

NEGLIGIBLE = 1e-8  # of its norm: what is left of a variable that others explain


@dataclass(frozen=True)
class Mrqap:
    """``coefficient``: by how many standard deviations of T's ranks T rises with one of S's ranks,
    all else equal; ``t``: its t-statistic; ``p``: two-sided. All None where S says nothing that the
    controls and effects do not say, or where there are too few cells.

    ``controls`` that were used, and those ``dropped`` with the reason.
    """

    coefficient: float | None
    t: float | None
    p: float | None
    controls: tuple[str, ...]
    dropped: Mapping[str, str] = field(default_factory=dict)


def mrqap(
    S: ArrayLike,
    T: ArrayLike,
    controls: Mapping[str, ArrayLike],
    *,
    permutations: int = 1999,
    seed: int = 0,
) -> Mrqap:
    """The regression of T on S, the controls and an effect of each source and each target, all
    ``[source, target]`` and ranked over the off-diagonal cells, with p by permuting languages.

    Double semi-partialling: the residual of S on controls and effects has its rows and columns
    permuted together (as in :func:`~leaderboard.resampling.qap_p`: sources only, exactly with up to
    7), and takes the place of S in the regression; p = (b + 1) / (m + 1) by absolute t.

    A cell missing in T or in a control is left out. One missing only in S has the residual 0, which
    is what controls and effects expect of it: the coefficient is then the same as without the cell.
    A control is dropped if it is constant, if the effects or the controls before it already
    give it, or if it is unknown wherever S and T are known. ValueError for shapes that do not fit.
    """
    similarity, transfer = prepared(S, T)
    used = cells(transfer)
    dropped: dict[str, str] = {}
    matrices = {}
    for name, control in controls.items():
        matrix = square(control)
        if matrix.shape != transfer.shape:
            raise ValueError(f"control {name}: expected the shape of T, {transfer.shape}, found {matrix.shape}")
        if (used & np.isfinite(similarity) & np.isfinite(matrix)).any():
            matrices[name] = matrix
        else:
            dropped[name] = "unknown"
    for matrix in matrices.values():
        used &= np.isfinite(matrix)
    both = used & np.isfinite(similarity)
    ranked = {name: _ranks(matrix, used) for name, matrix in matrices.items()}
    x = _ranks(similarity, both)[both]
    effects, obvious, kept = _explained(ranked, both, dropped)
    residual = np.zeros_like(transfer)
    residual[both] = _without(x, np.hstack([effects, obvious]))
    nothing = Mrqap(None, None, None, kept, dropped)
    if np.linalg.norm(residual) <= NEGLIGIBLE * np.linalg.norm(x):
        return nothing

    effects, obvious, _ = _explained({name: ranked[name] for name in kept}, used, {})
    basis = np.hstack([effects, obvious])
    y = _ranks(transfer, used)[used]
    left = _without(y, basis)
    freedom = len(y) - basis.shape[1] - 1
    if freedom < 1 or np.linalg.norm(left) <= NEGLIGIBLE * np.linalg.norm(y):
        return nothing
    whole = cells(transfer).any(axis=1, keepdims=True) & ~np.eye(len(used), dtype=bool)
    if np.array_equal(used, whole):
        basis = obvious  # no gaps: a permuted residual is still free of effects
    unmoved = np.arange(len(transfer))[None, :]
    orders = source_orders(transfer, permutations, seed)
    observed = float(_partial(residual, left, basis, used, unmoved)[0])
    null = np.concatenate([np.zeros(0), *(_partial(residual, left, basis, used, p) for p in batches(orders))])
    return Mrqap(
        coefficient=float(residual[used] @ left / (residual[used] @ residual[used])),
        t=float(observed * np.sqrt(freedom / max(1 - observed**2, 1e-15))),
        p=permutation_p(abs(observed), np.abs(null)),  # |t| rises with |r|: they count the same
        controls=kept,
        dropped=dropped,
    )


def _ranks(M: Matrix, used: NDArray[np.bool_]) -> Matrix:
    """Ranks over the cells used, mean 0 and standard deviation 1 (0 if constant), 0 elsewhere."""
    ranks = np.zeros_like(M)
    values = M[used]
    if len(values) and values.max() > values.min():
        ranks[used] = midranks(values)
        ranks[used] -= ranks[used].mean()
        ranks /= ranks[used].std()
    return ranks


def _explained(
    controls: Mapping[str, Matrix], used: NDArray[np.bool_], dropped: dict[str, str]
) -> tuple[Matrix, Matrix, tuple[str, ...]]:
    """Orthonormal bases ``[cells, rank]`` of the effects, and of what the controls add to them, with
    the names of those that add something; the reasons for the others go to ``dropped``.
    """
    source, target = np.nonzero(used)
    dummies = np.hstack([np.eye(len(used))[source], np.eye(len(used))[target]])
    left, size, _ = np.linalg.svd(dummies, full_matrices=False)
    effects = left[:, size > 1e-10 * size.max(initial=0.0)]
    obvious, kept = np.zeros((len(source), 0)), []
    for name, control in controls.items():
        ranks = control[used]
        enough = NEGLIGIBLE * np.linalg.norm(ranks)
        without_effects = _without(ranks, effects)
        rest = _without(without_effects, obvious)
        if np.linalg.norm(rest) > enough:
            kept.append(name)
            rest = _without(rest, np.hstack([effects, obvious]))
            obvious = np.column_stack([obvious, rest / np.linalg.norm(rest)])
        elif not np.ptp(ranks):
            dropped[name] = "constant"
        elif np.linalg.norm(without_effects) <= enough:
            dropped[name] = "given by source and target effects"
        else:
            dropped[name] = "given by the controls before it"
    return effects, obvious, tuple(kept)


def _without(values: Vector, basis: Matrix) -> Vector:
    for _ in range(2):  # the second pass removes the rounding errors of the first
        values = values - basis @ (basis.T @ values)
    return values


def _partial(
    residual: Matrix, left: Vector, basis: Matrix, used: NDArray[np.bool_], orders: NDArray[np.int64]
) -> Vector:
    """The partial correlation, given the basis, of T with the permuted residual of S, ``[orders]``."""
    source, target = np.nonzero(used)
    x = residual[orders[:, source], orders[:, target]]
    own = (x**2).sum(axis=1)
    rest = own - ((x @ basis) ** 2).sum(axis=1)
    ok = rest > NEGLIGIBLE * own
    partial = (x @ left) / (np.sqrt(np.where(ok, rest, 1.0)) * np.linalg.norm(left))
    result: Vector = np.clip(np.where(ok, partial, 0.0), -1.0, 1.0)
    return result
