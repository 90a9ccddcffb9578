"""Seeds derived by hashing what they are for, never from the order of execution."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def derive(seed: int, purpose: str, *about: str) -> int:
    """A seed below 2**63 for one purpose (``subsample``, ``order``, …) and what it concerns."""
    return int(digest([seed, purpose, *about])[:16], 16) >> 1


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no blanks, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """sha256 of the canonical JSON of a value, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
