"""URIEL's vectors, read from the data files of the lang2vec distribution.

Only the files are used, and found through the distribution, nothing is imported: the module
needs a setuptools that no longer exists, the released version has no distances, and it puts a
script of the same name beside the environment's programs, which shadows the package for every
one of them. Rows are found by language code, never by position.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import metadata

import numpy as np
from numpy.typing import NDArray


@cache
def _family() -> tuple[dict[str, int], NDArray[np.float32]]:
    path = metadata.distribution("lang2vec").locate_file("lang2vec/data/family_features.npz")
    with np.load(str(path), allow_pickle=False) as file:
        return {str(code): row for row, code in enumerate(file["langs"])}, file["data"][:, :, 0]


def relatives(code: str) -> list[str]:
    """Codes that may stand in for an ISO 639-3 code: its macro-language, then its individual ones."""
    from iso639 import Lang
    from iso639.exceptions import InvalidLanguageValue

    try:
        language = Lang(code)
    except InvalidLanguageValue:
        return []
    macro = language.macro()
    found = [macro] if macro else sorted(language.individuals(), key=lambda one: one.pt3)
    return [one.pt3 for one in found]


def family_vectors(codes: Sequence[str]) -> tuple[NDArray[np.float64], list[str | None]]:
    """Family vectors, shape ``[n, features]`` (NaN rows where unknown), and the code each came from."""
    rows, data = _family()
    vectors = np.full((len(codes), data.shape[1]), np.nan)
    used: list[str | None] = []
    for place, code in enumerate(codes):
        with_vector = (c for c in (code, *relatives(code)) if c in rows and data[rows[c]].any())
        found = next(with_vector, None)
        if found is not None:
            vectors[place] = data[rows[found]]
        used.append(found)
    return vectors, used
