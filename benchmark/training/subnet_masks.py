"""Masks of heads and units as arrays: which are kept, which would be kept by chance, what they have in common."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.seeds import derive
from measures.subnetwork import overlap

if TYPE_CHECKING:  # which loads torch: records are made of masks without it
    from benchmark.training.strategy import Masks

Array = NDArray[np.float64]
KINDS = ("heads", "units")


def stored(folder: Path) -> Masks:
    """The masks that are kept with a training, of each language that it has one for."""
    found: dict[str, dict[str, Array]] = {}
    for path in sorted(folder.glob("*.*.npy")):
        code, kind, _ = path.name.split(".")
        found.setdefault(code, {})[kind] = np.load(path, allow_pickle=False)
    return found


def most_important(by: Array, share: float) -> Array:
    """A mask that keeps this share of all places, at least one: those with the greatest importance ``by``.

    Importance is divided by the ℓ2 norm of its layer and ranked over all layers, as where a subnetwork is
    pruned; what is closed already can be opened again.
    """
    norms = np.linalg.norm(by, axis=1, keepdims=True)
    ranked = np.where(norms > 0, by / np.where(norms > 0, norms, 1.0), 0.0)
    count = max(1, round(share * by.size))
    mask = np.zeros(by.size)
    mask[np.argsort(-ranked.ravel(), kind="stable")[:count]] = 1.0
    return mask.reshape(by.shape)


def shuffled(mask: Array, seed: int) -> Array:
    """Another mask with as many open places in each layer."""
    random = np.random.default_rng(seed)
    return np.stack([random.permutation(layer) for layer in mask])


def by_chance(masks: Masks, seed: int) -> dict[str, dict[str, Array]]:
    """For each language a random mask with as many open heads and units in each layer as its own."""
    return {
        code: {kind: shuffled(mask[kind], derive(seed, "random subnetwork", code, kind)) for kind in KINDS}
        for code, mask in masks.items()
    }


def between(masks: Masks, kind: str) -> Array:
    """Jaccard overlap of each pair of languages, ``[languages, languages]``, in the order of their codes."""
    flat = np.stack([masks[code][kind].ravel() for code in sorted(masks)])
    shared, sizes = flat @ flat.T, flat.sum(axis=1)
    return np.array(
        [[overlap(both, s, t, "jaccard") for both, t in zip(row, sizes, strict=True)]
         for row, s in zip(shared, sizes, strict=True)]
    )  # fmt: skip


def off_diagonal(square: Array) -> Array:
    """The entries of pairs of two, ``[pairs]``, of ``[…, n, n]`` that is symmetric."""
    rows, columns = np.triu_indices(square.shape[-1], k=1)
    return square[..., rows, columns].ravel()


def described(masks: Masks) -> dict[str, Any]:
    """Plain JSON: the share kept of each layer, languages that keep all, overlap between languages."""
    codes = sorted(masks)
    kept = {kind: {code: _plain(masks[code][kind].mean(axis=1)) for code in codes} for kind in KINDS}
    whole = [code for code in codes if all((masks[code][kind] == 1).all() for kind in KINDS)]
    overlaps = {kind: [_plain(row) for row in between(masks, kind)] for kind in KINDS}
    return {"kept": kept, "whole": whole, "overlap": {"languages": codes, **overlaps}}


def moved(before: Masks, after: Masks) -> dict[str, dict[str, float]]:
    """What one cut did, means over languages: share kept, closed, opened again; overlap of two languages."""
    found: dict[str, dict[str, float]] = {"kept": {}, "closed": {}, "opened": {}, "overlap": {}}
    for kind in KINDS:
        pairs = [(before[code][kind], after[code][kind]) for code in sorted(after)]
        found["kept"][kind] = round(fmean(float(new.mean()) for _, new in pairs), 4)
        found["closed"][kind] = round(fmean(float((old * (1 - new)).mean()) for old, new in pairs), 4)
        found["opened"][kind] = round(fmean(float((new * (1 - old)).mean()) for old, new in pairs), 4)
        found["overlap"][kind] = round(float(off_diagonal(between(after, kind)).mean()), 4)
    return found


def _plain(values: Array) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 4) for value in values]


def refuse(masks: Masks, codes: list[str], shapes: Mapping[str, tuple[int, int]]) -> None:
    """Check that every language has masks that fit the model.

    Raises:
        ValueError: a language without, or masks of another model.
    """
    missing = [code for code in codes if code not in masks]
    if missing:
        raise ValueError(f"every language needs a mask, found none of {', '.join(missing)}")
    for code, kind in itertools.product(codes, KINDS):
        found = masks[code][kind].shape
        if found != shapes[kind]:
            raise ValueError(f"{kind} of {code}: a mask of shape {shapes[kind]} is needed, found {found}")
