"""Scores of a classification, and of tagged tokens.

Counted with numpy: an evaluation asks for about a thousand scores, and scikit-learn's checks of its input (and
seqeval's lists of strings) cost more than the counting. The values are theirs (tests compare them).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Labels = Sequence[int] | NDArray[np.integer[Any]]

METRICS = ("accuracy", "macro_f1", "weighted_f1", "span_f1")


def score(
    metric: str, gold: Labels, predicted: Labels, labels: Sequence[str], words: Labels | None = None
) -> float:
    """The score of predictions, in [0, 1].

    ``gold`` and ``predicted`` are indices into ``labels``, one a text or, of tagged tokens, one a word. F1 is
    taken over the labels that occur in either, as scikit-learn does by default; macro F1 is their plain mean,
    weighted F1 weights each by its number of gold items. Span F1 is the micro average over the spans of tagged
    sentences, of so many ``words`` each: right are those with the right kind, beginning and end. A span begins
    at ``B-x``, and at an ``I-x`` that does not continue one of x (as in conlleval and seqeval); without any
    span, gold or predicted, it is 0.

    Raises:
        ValueError: an unknown metric, no items, unequal lengths, or a label out of range.
    """
    hits, of_gold, of_predicted = item_counts(metric, gold, predicted, labels, words, whole=True)[0]
    if metric == "accuracy":
        return float(hits.sum() / of_gold.sum())
    size = of_gold + of_predicted  # 2TP + FP + FN
    seen = size > 0
    f1 = 2 * hits[seen] / size[seen]
    if metric == "weighted_f1":
        return float((f1 * of_gold[seen]).sum() / of_gold.sum())
    return float(f1.mean()) if len(f1) else 0.0


def item_counts(
    metric: str,
    gold: Labels,
    predicted: Labels,
    labels: Sequence[str],
    words: Labels | None = None,
    whole: bool = False,
) -> NDArray[np.int64]:
    """What a metric is made of, ``[items, 3, classes]``: right, gold and predicted ones of each class.

    An item is a text, or a sentence of so many ``words``; ``whole``: everything is one item. The classes are the
    labels, or, for span F1, one: spans.

    Raises:
        ValueError: as for :func:`score`.
    """
    import numpy as np

    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; allowed: {', '.join(METRICS)}")
    g, p = _checked(gold, predicted, len(labels))
    lengths = np.ones(len(g), dtype=np.int64) if words is None else np.asarray(words)
    if lengths.sum() != len(g):
        raise ValueError(f"the words of all sentences must be {len(g)}, as many as tags; found {lengths.sum()}")
    items = 1 if whole else len(lengths)
    owner = np.zeros(len(g), dtype=np.int64) if whole else np.repeat(np.arange(items), lengths)
    if metric == "span_f1":
        starts = np.zeros(len(g), dtype=bool)
        starts[np.cumsum(lengths[:-1])] = True
        starts[0] = True
        of_gold, of_predicted = (_spans(one, starts, labels) for one in (g, p))
        marked = [(of_gold == of_predicted) & (of_gold >= 0), of_gold >= 0, of_predicted >= 0]
        counted = [np.bincount(owner[where], minlength=items)[:, None] for where in marked]
    else:
        n = len(labels)
        right = g == p
        counted = [
            np.bincount(owner[where] * n + one[where], minlength=items * n).reshape(items, n)
            for one, where in ((g, right), (g, slice(None)), (p, slice(None)))
        ]
    return np.stack(counted, axis=1)


def majority(train_labels: Sequence[int]) -> int:
    """The commonest label; of equally common ones the lowest.

    Raises:
        ValueError: no labels.
    """
    if not len(train_labels):
        raise ValueError("no majority label: at least one label is needed, found none")
    counts = Counter(int(label) for label in train_labels)
    return min(counts, key=lambda label: (-counts[label], label))


def _spans(tags: NDArray[np.int64], starts: NDArray[np.bool_], labels: Sequence[str]) -> NDArray[np.int64]:
    """Where a span begins, a number that stands for its kind and end; -1 elsewhere. ``starts``: of sentences."""
    import numpy as np

    kinds = sorted({label[2:] for label in labels if label != "O"})
    kind = np.array([0 if label == "O" else 1 + kinds.index(label[2:]) for label in labels])[tags]
    begins = np.array([label.startswith("B-") for label in labels])[tags]
    before = np.concatenate([[0], kind[:-1]])
    begins = (kind > 0) & (begins | starts | (kind != before))
    inside = (kind > 0) & ~begins
    # A span ends where what follows is not inside it.
    follows = np.concatenate([inside[1:], [False]])
    ends = np.flatnonzero((kind > 0) & ~follows)
    found = np.full(len(tags), -1, dtype=np.int64)
    found[begins] = ends * (len(kinds) + 1) + kind[begins]
    return found


def _checked(gold: Labels, predicted: Labels, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    import numpy as np

    g, p = np.asarray(gold), np.asarray(predicted)
    if g.ndim != 1 or g.shape != p.shape or not g.size:
        raise ValueError(
            f"gold and predicted labels must be two lists of the same length, at least 1; "
            f"found shapes {g.shape} and {p.shape}"
        )
    for name, values in (("gold", g), ("predicted", p)):
        if values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= n:
            raise ValueError(
                f"{name} labels must be integers from 0 to {n - 1}; "
                f"found {values.dtype} from {values.min()} to {values.max()}"
            )
    return g.astype(np.int64), p.astype(np.int64)
