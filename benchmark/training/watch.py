"""How much the languages' gradients agree along a training, and what surgery makes of it, block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.training.vaccine import Matrix, cosines

PARTS = 20  # of a training, at most
ALL = "model"  # all blocks together
DIGITS = 6


class Watch:
    """Sums over the steps of a training, of which ``record`` makes means.

    A step counts in the part of the training that it falls into. A language that takes no part in it, or whose
    gradient of a block is zero, has no cosine there.
    """

    def __init__(self, codes: Sequence[str], blocks: Sequence[str], steps: int) -> None:
        self.codes, self.blocks, self.steps = list(codes), [*blocks, ALL], steps
        n, parts = len(self.codes), max(1, min(PARTS, steps))
        # By block and part: pairs, their cosines, those below 0; steps, cosines of the step with plain's;
        # turns to be corrected, those that were; of the pairs, how far below 0.
        self.sums = np.zeros((len(self.blocks), parts, 8))
        self.cosines = np.zeros((len(self.blocks), n, n))
        self.met = np.zeros((len(self.blocks), n, n))

    def see(
        self, step: int, present: NDArray[np.int64], blocks: Sequence[str], grams: Matrix, combined: Matrix
    ) -> None:
        """One step of at least two languages, ``present``. Of groups of parameters, those of a block one after the
        other: their ``blocks``, their inner products and the corrected gradients as combinations of the original
        ones, each ``[groups, languages, languages]``."""
        names, m = list(dict.fromkeys(blocks)), len(present)
        if not names:
            return
        starts = [blocks.index(name) for name in names]
        weights = combined.sum(1)
        pulled = (grams * weights[:, None, :]).sum(2)
        corrected = np.count_nonzero(combined, axis=(1, 2)) - np.count_nonzero(
            combined[:, range(m), range(m)], axis=1
        )
        of_groups = [pulled.sum(1), (pulled * weights).sum(1), np.full(len(grams), m * (m - 1)), corrected]
        across, taken, turns, done = _with_all(np.add.reduceat(np.stack(of_groups, axis=1), starts)).T
        whole = _with_all(np.add.reduceat(grams, starts))
        angles = cosines(whole)
        pairs = angles[:, *np.triu_indices(m, 1)]
        both = np.maximum(whole.sum((1, 2)), 0.0) * np.maximum(taken, 0.0)
        moves = (both > 0) & np.isfinite(both)
        known, at = np.isfinite(angles), np.array([*map(self.blocks.index, names), len(self.blocks) - 1])
        counts = [
            np.isfinite(pairs).sum(1),
            np.nansum(pairs, axis=1),
            (pairs < 0).sum(1),
            moves,
            np.where(moves, across / np.sqrt(np.where(moves, both, 1.0)), 0.0),
            turns,
            done,
            np.nansum(np.maximum(-pairs, 0.0), axis=1),
        ]
        part = min(step * self.sums.shape[1] // max(1, self.steps), self.sums.shape[1] - 1)
        self.sums[at, part] += np.stack(counts, axis=1)
        where = np.ix_(at, present, present)
        self.cosines[where] += np.where(known, angles, 0.0)
        self.met[where] += known

    def record(self) -> dict[str, Any]:
        """By block: mean cosine of two languages, share of conflicts (cosine below 0), how deep they are (mean of
        max(−cosine, 0) over all pairs), share of corrections made, cosine of the step with that of ``plain``;
        each over all steps and by part of the training; and the mean cosine of each two languages. ``None`` where
        nothing was seen.

        What two languages do not share of a model is orthogonal: masks shrink cosines of either sign. So of
        conflicts their share and their depth are told.
        """
        blocks = {}
        for place, block in enumerate(self.blocks):
            told: dict[str, Any] = {}
            means = {"cosine": (1, 0), "conflicts": (2, 0), "depth": (7, 0), "step": (4, 3), "corrected": (6, 5)}
            for name, (top, below) in means.items():
                along = self.sums[place]
                told[name] = _mean(along[:, top].sum(), along[:, below].sum())
                told[f"{name}_along"] = [_mean(one[top], one[below]) for one in along]
            told["cosines"] = [
                [_mean(*cell) for cell in zip(*rows, strict=True)]
                for rows in zip(self.cosines[place], self.met[place], strict=True)
            ]
            blocks[block] = told
        return {"languages": self.codes, "blocks": blocks}

    def state(self) -> dict[str, Matrix]:
        """All that ``record`` depends on."""
        return {"sums": self.sums.copy(), "cosines": self.cosines.copy(), "met": self.met.copy()}

    def restore(self, state: Mapping[str, Matrix]) -> None:
        self.sums, self.cosines, self.met = (np.array(state[name]) for name in ("sums", "cosines", "met"))


def _with_all(by_block: Matrix) -> Matrix:
    """And the sum over all blocks."""
    return np.concatenate([by_block, by_block.sum(0, keepdims=True)])


def _mean(total: float, count: float) -> float | None:
    return round(float(total) / float(count), DIGITS) if count else None
