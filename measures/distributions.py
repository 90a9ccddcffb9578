"""How alike two distributions are."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping


def shares(counts: Mapping[Hashable, float]) -> dict[Hashable, float]:
    """Relative frequencies of what occurs at all; empty where nothing does."""
    total = math.fsum(counts.values())
    return {key: count / total for key, count in counts.items() if count > 0}


def jensen_shannon(p: Mapping[Hashable, float], q: Mapping[Hashable, float]) -> float:
    """1 − the Jensen-Shannon divergence, base 2, of two distributions by key: 1 where they are the same,
    0 where they share nothing, NaN where one is empty.

    With m = (p + q)/2, what only one of them has adds p/2 or q/2 to the divergence. So
    1 − JSD = ½ Σ p·log2((p + q)/p) + q·log2((p + q)/q) over what they share, and nothing else is visited.
    """
    if not p or not q:
        return math.nan
    parts = []
    for key in p.keys() & q.keys():
        a, b = p[key], q[key]
        parts.append(a * math.log2((a + b) / a) + b * math.log2((a + b) / b))
    # fsum: the order of a set of strings differs from process to process, the exact sum does not
    return min(1.0, math.fsum(parts) / 2)
