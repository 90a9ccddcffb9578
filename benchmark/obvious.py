"""What anybody would say of two languages without a measure: the controls of MRQAP."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from benchmark.rows import Row
from benchmark.setup import Setup

SHOWN = {"same-script": "script", "family": "family"}  # controls of the table that are among them


def obvious(measures: Iterable[Row], setup: Setup) -> dict[str, NDArray[np.float64]]:
    """By name, ``[source, target]``: same script, family, the difference of log sizes and the distance of
    label shares, |log N_s − log N_t| and ½ Σ_y |p_s(y) − p_t(y)|, of the first seed's training examples.

    Sizes themselves are effects of source and target, which MRQAP takes out anyway. A language
    without training examples has neither size nor shares: NaN.
    """
    found = {
        SHOWN[row.called]: row.matrix.values
        for row in measures
        if row.called in SHOWN and not row.params and row.matrix is not None
    }
    train = setup.seeds[0].train
    counts = np.array(
        [
            np.bincount([label for one in train[code] for label in one.targets], minlength=len(setup.spec.labels))
            for code in setup.codes
        ],
        dtype=np.float64,
    )
    sizes = np.where(counts.sum(axis=1) > 0, counts.sum(axis=1), np.nan)
    logs, shares = np.log(sizes), counts / sizes[:, None]
    found["sizes"] = np.abs(logs[:, None] - logs[None, :])
    found["label shares"] = np.abs(shares[:, None, :] - shares[None, :, :]).sum(axis=2) / 2
    return found
