"""What the overlap of subnetworks is worth: do masks follow the language, or the luck of one training?"""

from __future__ import annotations

import itertools
from statistics import fmean
from typing import TYPE_CHECKING, Any

from benchmark.training.subnet_masks import KINDS, Array, between, off_diagonal
from measures.subnetwork import overlap

if TYPE_CHECKING:
    from benchmark.training.strategy import Masks


def against_another_seed(masks: Masks, again: Masks) -> dict[str, Any]:
    """Overlap between languages against that of each language with itself under another seed.

    By kind: ``between`` and ``itself`` are means over pairs and over languages, ``chance`` what random masks
    with as many open places in each layer share, expected over expected: masks say something of languages only
    where ``itself`` is above ``between``, and ``between`` something of what they share only above ``chance``.
    NaN where there is nothing to compare.
    """
    found: dict[str, Any] = {}
    common = sorted(masks.keys() & again.keys())
    for kind in KINDS:
        itself = {code: float(between({"a": masks[code], "b": again[code]}, kind)[0, 1]) for code in common}
        pairs = list(itertools.combinations(sorted(masks), 2))
        expected = [_expected(masks[s][kind], masks[t][kind]) for s, t in pairs]
        found[kind] = {
            "between": float(off_diagonal(between(masks, kind)).mean()),
            "itself": fmean(itself.values()) if itself else None,
            "chance": fmean(expected),
            "by_language": itself,
        }
    return found


def _expected(s: Array, t: Array) -> float:
    shared = float((s.sum(axis=1) * t.sum(axis=1)).sum()) / s.shape[1]
    return overlap(shared, int(s.sum()), int(t.sum()), "jaccard")
