"""What a measure wants from trainings: pure data, hashable, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Reading:
    """Something taken from a training while it is warm.

    ``of``: which model: untrained (``initial``), one per language (``each``), or the
    joint one. ``kind``: what is read (``gradients``, or a plugin's own).
    """

    of: Literal["initial", "each", "joint"]
    kind: str
    params: tuple[tuple[str, str | int | float], ...] = ()


@dataclass(frozen=True)
class Needs:
    """All that a measure asks for before it is run; an undeclared reading is refused."""

    readings: frozenset[Reading] = frozenset()
    measures: tuple[str, ...] = ()  # other measures' matrices (a learned combination)
    transfer: bool = False  # only oracles, and learned measures leave-one-target-out
    packages: tuple[str, ...] = ()  # optional distributions, checked before anything runs


@dataclass(frozen=True)
class ReadingResult:
    """What came of a reading: named arrays, and their description as plain JSON."""

    arrays: Mapping[str, NDArray[np.float64]]
    meta: Mapping[str, Any]
