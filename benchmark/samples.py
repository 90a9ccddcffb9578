"""Which examples a run uses: seeded, stratified subsamples, and the pools probes draw from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.base import Example
from tasks.rows import Rows


def stratified(examples: Sequence[Example], size: int | None, seed: int) -> tuple[Example, ...]:
    """``size`` examples with the labels in their natural shares (largest remainder), in their own order.

    All of them if there are no more than ``size``, or if ``size`` is ``None``.
    """
    if size is None or len(examples) <= size:
        return tuple(examples)
    labels = examples.labels if isinstance(examples, Rows) else np.array([one.label for one in examples])
    kinds, counts = np.unique(labels, return_counts=True)
    quota, remainder = np.divmod(counts * size, len(examples))
    short = np.argsort(-remainder, kind="stable")[: size - int(quota.sum())]
    quota[short] += 1
    random = np.random.default_rng(seed)
    chosen = [
        random.choice(np.flatnonzero(labels == kind), number, replace=False)
        for kind, number in zip(kinds, quota, strict=True)
    ]
    places = [int(place) for place in np.sort(np.concatenate(chosen))]
    return tuple(examples.take(places) if isinstance(examples, Rows) else [examples[place] for place in places])


def unseen(dev: Sequence[Example], *others: Sequence[Example]) -> tuple[Example, ...]:
    """The dev examples whose text is in none of the other splits."""
    kept = tuple(dev)
    texts = {(example.text, example.pair) for example in kept}
    # Only what is in dev is kept: the others may be large.
    seen = {text for other in others for one in other if (text := (one.text, one.pair)) in texts}
    return tuple(example for example in kept if (example.text, example.pair) not in seen)
