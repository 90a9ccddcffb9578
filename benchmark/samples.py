"""Which examples a run uses: seeded, stratified subsamples, and the pools probes draw from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.base import Example


def stratified(examples: Sequence[Example], size: int | None, seed: int) -> tuple[Example, ...]:
    """``size`` examples with the labels in their natural shares (largest remainder), in their own order.

    All of them if there are no more than ``size``, or if ``size`` is ``None``.
    """
    if size is None or len(examples) <= size:
        return tuple(examples)
    labels = np.array([example.label for example in examples])
    kinds, counts = np.unique(labels, return_counts=True)
    quota, remainder = np.divmod(counts * size, len(examples))
    short = np.argsort(-remainder, kind="stable")[: size - int(quota.sum())]
    quota[short] += 1
    random = np.random.default_rng(seed)
    chosen = [
        random.choice(np.flatnonzero(labels == kind), number, replace=False)
        for kind, number in zip(kinds, quota, strict=True)
    ]
    return tuple(examples[int(place)] for place in np.sort(np.concatenate(chosen)))


def unseen(dev: Sequence[Example], *others: Sequence[Example]) -> tuple[Example, ...]:
    """The dev examples whose text is in none of the other splits."""
    seen = {(example.text, example.pair) for other in others for example in other}
    return tuple(example for example in dev if (example.text, example.pair) not in seen)
