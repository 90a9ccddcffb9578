"""Scores of a classification.

Counted from one confusion matrix: an evaluation asks for about a thousand scores, and scikit-learn's checks
of its input cost more than the counting. The values are scikit-learn's (a test compares them).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Labels = Sequence[int] | NDArray[np.integer[Any]]

METRICS = ("accuracy", "macro_f1", "weighted_f1")


def score(metric: str, gold: Labels, predicted: Labels, n_labels: int) -> float:
    """The score of predictions, in [0, 1].

    ``gold`` and ``predicted`` are label indices below ``n_labels``, shape ``[items]``. F1 is taken over the
    labels that occur in either, as scikit-learn does by default; macro F1 is their plain mean, weighted F1
    weights each by its number of gold items.

    Raises:
        ValueError: an unknown metric, no items, unequal lengths, or a label out of range.
    """
    import numpy as np

    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; allowed: {', '.join(METRICS)}")
    counts = _confusion(gold, predicted, n_labels)
    hits = np.diag(counts).astype(np.float64)
    if metric == "accuracy":
        return float(hits.sum() / counts.sum())
    support = counts.sum(axis=1)
    size = support + counts.sum(axis=0)  # 2TP + FP + FN
    seen = size > 0
    f1 = 2 * hits[seen] / size[seen]
    if metric == "macro_f1":
        return float(f1.mean())
    return float(np.average(f1, weights=support[seen]))


def majority(train_labels: Sequence[int]) -> int:
    """The commonest label; of equally common ones the lowest.

    Raises:
        ValueError: no labels.
    """
    if not len(train_labels):
        raise ValueError("no majority label: at least one label is needed, found none")
    counts = Counter(int(label) for label in train_labels)
    return min(counts, key=lambda label: (-counts[label], label))


def _confusion(gold: Labels, predicted: Labels, n_labels: int) -> NDArray[np.int64]:
    """Item counts, ``[gold label, predicted label]``."""
    import numpy as np

    g, p = np.asarray(gold), np.asarray(predicted)
    if g.ndim != 1 or g.shape != p.shape or not g.size:
        raise ValueError(
            f"gold and predicted labels must be two lists of the same length, at least 1; "
            f"found shapes {g.shape} and {p.shape}"
        )
    for name, values in (("gold", g), ("predicted", p)):
        if values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= n_labels:
            raise ValueError(
                f"{name} labels must be integers from 0 to {n_labels - 1}; "
                f"found {values.dtype} from {values.min()} to {values.max()}"
            )
    cells = g.astype(np.int64) * n_labels + p.astype(np.int64)
    return np.bincount(cells, minlength=n_labels * n_labels).reshape(n_labels, n_labels)
