"""URIEL's vectors, read from the data files of the lang2vec distribution.

Only the files are used, and found through the distribution, nothing is imported: the module
needs a setuptools that no longer exists, the released version has no distances, and it puts a
script of the same name beside the environment's programs, which shadows the package for every
one of them. Rows are found by language code, never by position: their order differs between the files.

Of typology there are two files. In ``feature_averages`` stands what is attested (the mean of the
sources, -1 where none speaks); in ``feature_predictions`` every feature of every language, filled
in from the nearest neighbours, so that nothing is missing and nothing tells what is known.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from io import BytesIO
from typing import Any, Literal, get_args
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

Kind = Literal["syntax", "phonology", "inventory", "geography", "family"]
Fill = Literal["knn", "attested"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Kinds that stand in the two files of typology; the others have one of their own.
_PREFIXES = {"syntax": "S_", "phonology": "P_", "inventory": "INV_"}
_FILES = {"geography": "geocoord_features", "family": "family_features"}
_ROWS = 256  # read at a time, of a file that is large

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Vectors:
    """Features of one kind: ``values`` ``[n, features]``, NaN where unknown; ``attested``, same shape, which
    of them a source speaks of; ``used``, the code that each row came from, ``None`` where there is none."""

    values: NDArray[np.float64]
    attested: NDArray[np.bool_]
    used: tuple[str | None, ...]


@cache
def _file(name: str) -> tuple[dict[str, int], list[str], NDArray[Any]]:
    """Rows by code, names of the columns, data ``[rows, columns]``."""
    path = metadata.distribution("lang2vec").locate_file(f"lang2vec/data/{name}.npz")
    with np.load(str(path), allow_pickle=False) as file:
        rows = {str(code): row for row, code in enumerate(file["langs"])}
        features = [str(feature) for feature in file["feats"]]
        return rows, features, _bits(file) if name == _FILES["family"] else file["data"][:, :, 0]


def _bits(archive: Any) -> NDArray[np.bool_]:
    """The values ``[rows, columns]`` of a file of 0 and 1, in parts: the family tree has 30 million of them, and
    as floats, all at once, they take four times the memory and twice the time."""
    with _deflated(archive.zip, "data.npy") as file:
        np.lib.format.read_magic(file)
        (rows, columns, _), _, dtype = np.lib.format.read_array_header_1_0(file)
        found = np.empty((rows, columns), dtype=np.bool_)
        for start in range(0, rows, _ROWS):
            part = found[start : start + _ROWS]
            part[:] = np.frombuffer(file.read(part.size * dtype.itemsize), dtype).reshape(part.shape)
        file.read(1)  # behind the last value, where the checksum is compared
    return found


def _deflated(archive: ZipFile, name: str) -> Any:
    """A member of an archive, to be read by zlib-ng, which takes a twentieth of zlib's time for so many zeros.

    Such a member is what a gzip file holds, between another header and its checksum and size.
    """
    from zlib_ng.gzip_ng import GzipNGFile

    member = archive.getinfo(name)
    with open(str(archive.filename), "rb") as file:
        file.seek(member.header_offset + 26)
        file.seek(sum(struct.unpack("<HH", file.read(4))), os.SEEK_CUR)
        content = file.read(member.compress_size)
    end = struct.pack("<II", member.CRC, member.file_size)
    return GzipNGFile(fileobj=BytesIO(b"\x1f\x8b\x08" + bytes(6) + b"\xff" + content + end))  # type: ignore[no-untyped-call]


@cache
def _columns(name: str, prefix: str) -> list[int]:
    """Columns of a file, by name: two files agree on their order whatever it is inside."""
    features = _file(name)[1]
    return sorted((at for at, one in enumerate(features) if one.startswith(prefix)), key=lambda at: features[at])


def _features(code: str, kind: Kind, fill: Fill) -> Vector | None:
    """The features of exactly this code, NaN where unknown; ``None`` where the file lacks it."""
    name = _FILES.get(kind) or ("feature_predictions" if fill == "knn" else "feature_averages")
    rows, _, data = _file(name)
    if code not in rows:
        return None
    vector: Vector = data[rows[code], _columns(name, _PREFIXES.get(kind, ""))].astype(np.float64)
    vector[vector < 0] = np.nan
    return vector


def _attested(code: str, kind: Kind) -> int:
    """How many features are attested; of the family tree, the nodes above it: with none it is unclassified."""
    vector = _features(code, kind, "attested")
    if vector is None:
        return 0
    return int(vector.sum()) if kind == "family" else int((~np.isnan(vector)).sum())


def relatives(code: str) -> list[str]:
    """Codes that may stand in for an ISO 639-3 code: its macro-language, else its individual languages."""
    from iso639 import Lang
    from iso639.exceptions import DeprecatedLanguageValue, InvalidLanguageValue

    try:
        language = Lang(code)
    except (InvalidLanguageValue, DeprecatedLanguageValue):
        return []
    macro = language.macro()
    found = [macro] if macro else sorted(language.individuals(), key=lambda one: one.pt3)
    return [one.pt3 for one in found]


def stand_in(code: str, kind: Kind, fill: Fill = "knn") -> str | None:
    """The code whose row represents a language.

    Its own where anything at all is attested; else that of the relative with most attested
    features (the first by code among equals); else, for predicted features, any row there is.
    None for codes of local use (qaa to qtz), which URIEL gives to languages of its own.
    """
    if "qaa" <= code <= "qtz":
        return None
    if _attested(code, kind):
        return code
    others = relatives(code)
    best = max(others, key=lambda one: _attested(one, kind), default=None)
    if best is not None and _attested(best, kind):
        return best
    if fill == "attested" or kind in _FILES:
        return None
    return next((one for one in (code, *others) if _features(one, kind, fill) is not None), None)


def vectors(codes: Sequence[str], kind: Kind, fill: Fill = "knn") -> Vectors:
    """The vectors of languages by ISO 639-3 code, each from its own row or its stand-in's."""
    width = len(_columns(_FILES.get(kind, "feature_averages"), _PREFIXES.get(kind, "")))
    values = np.full((len(codes), width), np.nan)
    attested = np.zeros(values.shape, dtype=bool)
    used = tuple(stand_in(code, kind, fill) for code in codes)
    for place, code in enumerate(used):
        if code is not None:
            values[place] = _features(code, kind, fill)
            known = _features(code, kind, "attested")
            attested[place] = known is not None and ~np.isnan(known)
    return Vectors(values, attested, used)


def cosines(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine of each two rows over the columns known in both, shape ``[n, n]``.

    NaN where they share none, or where one of them is zero on all that they share.
    """
    known = (~np.isnan(values)).astype(np.float64)
    filled = np.nan_to_num(values, nan=0.0)
    energy = np.square(filled) @ known.T  # [i, j]: the squared norm of i on what j knows too
    norms = np.sqrt(energy * energy.T)
    found: NDArray[np.float64] = np.full(norms.shape, np.nan)
    np.divide(filled @ filled.T, norms, out=found, where=norms > 0)
    found = np.clip((found + found.T) / 2, -1.0, 1.0)  # symmetric and within bounds but for rounding
    np.fill_diagonal(found, np.where(np.isnan(np.diag(found)), np.nan, 1.0))
    return found
