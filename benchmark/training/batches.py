"""Encoded examples, memory-mapped, and the batches cut from them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.languages import Language

POOL = 50  # batches that are sorted by length together: little padding, still random


@dataclass(frozen=True)
class Encoded:
    """Token ids of many examples, end to end (``ids[offsets[i]:offsets[i + 1]]``)."""

    ids: NDArray[np.int32]
    types: NDArray[np.int8] | None
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    halves: NDArray[np.int8]  # 0 or 1: the half an item falls into, the same in every language
    pad: int

    @classmethod
    def open(cls, folder: Path) -> Encoded:
        """Map the arrays of a ``tokens`` object; workers share the pages."""
        arrays = {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}
        meta = json.loads((folder / "meta.json").read_text("utf8"))
        return cls(
            arrays["ids"],
            arrays.get("types"),
            arrays["offsets"],
            arrays["labels"],
            arrays["halves"],
            int(meta["pad"]),
        )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)


@dataclass(frozen=True)
class Batch:
    """Padded tensors ``[examples, length]`` and labels ``[examples]``."""

    ids: Tensor
    mask: Tensor
    labels: Tensor
    types: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Batch:
        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        return Batch(
            move(self.ids),
            move(self.mask),
            move(self.labels),
            None if self.types is None else move(self.types),
        )

    def __getitem__(self, rows: slice) -> Batch:
        types = None if self.types is None else self.types[rows]
        return Batch(self.ids[rows], self.mask[rows], self.labels[rows], types)


def concatenate(batches: Sequence[Batch]) -> Batch:
    """Batches of one width as one."""
    if len(batches) == 1:
        return batches[0]
    types = [batch.types for batch in batches if batch.types is not None]
    return Batch(
        torch.cat([batch.ids for batch in batches]),
        torch.cat([batch.mask for batch in batches]),
        torch.cat([batch.labels for batch in batches]),
        torch.cat(types) if types else None,
    )


def collate(sets: Sequence[Encoded], which: NDArray[np.int64], rows: NDArray[np.int64]) -> Batch:
    """Examples ``rows[k]`` of ``sets[which[k]]``, padded to the longest of them."""
    pieces = [
        (sets[w], int(sets[w].offsets[r]), int(sets[w].offsets[r + 1])) for w, r in zip(which, rows, strict=True)
    ]
    width = max(end - start for _, start, end in pieces)
    ids = np.full((len(pieces), width), sets[0].pad, dtype=np.int64)
    mask = np.zeros((len(pieces), width), dtype=np.int64)
    types = np.zeros_like(ids) if any(one.types is not None for one, _, _ in pieces) else None
    for place, (one, start, end) in enumerate(pieces):
        ids[place, : end - start] = one.ids[start:end]
        mask[place, : end - start] = 1
        if types is not None and one.types is not None:
            types[place, : end - start] = one.types[start:end]
    labels = np.array([sets[w].labels[r] for w, r in zip(which, rows, strict=True)], dtype=np.int64)
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(mask),
        torch.from_numpy(labels),
        None if types is None else torch.from_numpy(types),
    )


class Mixture:
    """The training examples of several languages, and batches of them, split by language."""

    def __init__(self, sets: Mapping[Language, Encoded]) -> None:
        self.languages = list(sets)
        self.sets = list(sets.values())
        sizes = [len(one) for one in self.sets]
        self.which = np.repeat(np.arange(len(sizes)), sizes)
        self.rows = np.concatenate([np.arange(size) for size in sizes])
        self.lengths = np.concatenate([one.lengths for one in self.sets])

    def __len__(self) -> int:
        return len(self.which)

    def steps(self, batch_size: int) -> int:
        """Batches in one epoch."""
        return -(-len(self) // batch_size)

    def epoch(self, batch_size: int, seed: int) -> Iterator[dict[Language, Batch]]:
        """One pass in random order, batches of similar lengths; each split by language (views)."""
        random = np.random.default_rng(seed)
        order = random.permutation(len(self))
        # Sorting inside pools of batches: a stable sort keeps equal lengths in random order.
        pools = range(0, len(order), POOL * batch_size)
        order = np.concatenate(
            [
                pool[np.argsort(self.lengths[pool], kind="stable")]
                for pool in (order[start : start + POOL * batch_size] for start in pools)
            ]
        )
        cuts = np.array(range(0, len(order), batch_size))
        for start in cuts[random.permutation(len(cuts))]:
            yield self.step(order[start : start + batch_size])

    def step(self, chosen: NDArray[np.int64]) -> dict[Language, Batch]:
        """The chosen examples, one batch per language, all padded to one width."""
        chosen = chosen[np.argsort(self.which[chosen], kind="stable")]
        which = self.which[chosen]
        whole = collate(self.sets, which, self.rows[chosen])
        present, starts = np.unique(which, return_index=True)
        ends = [*starts[1:], len(which)]
        return {
            self.languages[language]: whole[int(start) : int(end)]
            for language, start, end in zip(present, starts, ends, strict=True)
        }
