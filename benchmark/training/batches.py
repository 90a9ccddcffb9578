"""Encoded examples, memory-mapped, and the batches cut from them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.languages import Language

POOL = 50  # batches that are sorted by length together: little padding, still random


@dataclass(frozen=True)
class Encoded:
    """Token ids of many texts, end to end (``ids[offsets[i]:offsets[i + 1]]``), a row for each.

    A row is an example, or, of tagged tokens, as much of a sentence as fits. ``tags`` are the labels of
    tokens, -1 where there is none to predict: behind the first of a word, and at special tokens.
    """

    ids: NDArray[np.int32]
    types: NDArray[np.int8] | None
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]  # of rows, 0 where tokens are tagged
    halves: NDArray[np.int8]  # 0 or 1: the half an item falls into, the same in every language
    pad: int
    tags: NDArray[np.int16] | None = None  # of tokens
    owners: NDArray[np.int64] | None = None  # of rows: the sentence a row is of, where tokens are tagged

    @classmethod
    def open(cls, folder: Path) -> Encoded:
        """Map the arrays of a ``tokens`` object; workers share the pages."""
        # As plain arrays: to cut a piece from a memmap takes several times as long.
        arrays = {
            path.stem: np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
            for path in folder.glob("*.npy")
        }
        meta = json.loads((folder / "meta.json").read_text("utf8"))
        return cls(
            arrays["ids"],
            arrays.get("types"),
            arrays["offsets"],
            arrays["labels"],
            arrays["halves"],
            int(meta["pad"]),
            arrays.get("tags"),
            arrays.get("owners"),
        )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    @property
    def targets(self) -> NDArray[np.int64]:
        """All that is to be predicted, in order: a label a row, or a tag a word."""
        return self.labels if self.tags is None else self.tags[self.tags >= 0].astype(np.int64)

    @property
    def terms(self) -> NDArray[np.int64]:
        """How many targets each row has, ``[rows]``."""
        if self.tags is None:
            return np.ones(len(self), dtype=np.int64)
        before = np.concatenate([[0], np.cumsum(self.tags >= 0)])
        return np.diff(before[self.offsets])

    @property
    def words(self) -> NDArray[np.int64] | None:
        """How many words each sentence has, where tokens are tagged."""
        if self.owners is None:
            return None
        return np.bincount(self.owners, weights=self.terms).astype(np.int64)


@dataclass(frozen=True)
class Batch:
    """Padded tensors ``[rows, length]`` and labels ``[terms]``: one a row, or one at each of ``places``.

    ``places`` are the places, ``[terms]``, of the tokens to be labelled in the flattened ``ids``. ``full``:
    whether nothing is padding, where that is known; a device is never asked, as the host would wait for it.
    """

    ids: Tensor
    mask: Tensor
    labels: Tensor
    types: Tensor | None = None
    places: Tensor | None = None
    full: bool | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device) -> Batch:
        """On the device: the copy is under way when this returns, and what comes next may be prepared."""

        def move(tensor: Tensor) -> Tensor:
            pinned = tensor.pin_memory() if device.type == "cuda" and tensor.device.type == "cpu" else tensor
            return pinned.to(device, non_blocking=True)

        return Batch(
            move(self.ids),
            move(self.mask),
            move(self.labels),
            None if self.types is None else move(self.types),
            None if self.places is None else move(self.places),
            bool(self.mask.numpy().all()) if self.mask.device.type == "cpu" else self.full,
        )

    def __getitem__(self, rows: slice) -> Batch:
        types = None if self.types is None else self.types[rows]
        labels, places = self.labels[rows], None
        if self.places is not None:
            start, stop, _ = rows.indices(len(self))
            width = self.ids.shape[1]
            here = (self.places >= start * width) & (self.places < stop * width)
            labels, places = self.labels[here], self.places[here] - start * width
        return Batch(self.ids[rows], self.mask[rows], labels, types, places, self.full or None)


def concatenate(batches: Sequence[Batch]) -> Batch:
    """Batches of one width as one."""
    if len(batches) == 1:
        return batches[0]
    types = [batch.types for batch in batches if batch.types is not None]
    places, before = [], 0
    for batch in batches:
        if batch.places is not None:
            places.append(batch.places + before)
        before += batch.ids.numel()
    return Batch(
        torch.cat([batch.ids for batch in batches]),
        torch.cat([batch.mask for batch in batches]),
        torch.cat([batch.labels for batch in batches]),
        torch.cat(types) if types else None,
        torch.cat(places) if places else None,
        None if any(batch.full is None for batch in batches) else all(batch.full for batch in batches),
    )


def collate(data: Encoded, rows: NDArray[np.int64], width: int = 0) -> Batch:
    """Some rows, padded to the longest of them, or to ``width`` where that is more."""
    starts = data.offsets[rows]
    lengths = data.offsets[rows + 1] - starts
    columns = np.arange(max(width, int(lengths.max())))
    within = columns < lengths[:, None]
    at = starts[:, None] + columns

    def padded(values: NDArray[Any], padding: int) -> NDArray[np.int64]:
        return np.where(within, values.take(at, mode="clip"), padding).astype(np.int64)

    places, labels = None, data.labels[rows]
    if data.tags is not None:
        tags = padded(data.tags, -1).reshape(-1)
        places = np.flatnonzero(tags >= 0)
        labels = tags[places]
    return Batch(
        torch.from_numpy(padded(data.ids, data.pad)),
        torch.from_numpy(within.astype(np.int64)),
        torch.from_numpy(labels),
        None if data.types is None else torch.from_numpy(padded(data.types, 0)),
        None if places is None else torch.from_numpy(places),
    )


def pieces(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places ``starts[i]`` to ``starts[i] + lengths[i]`` of every ``i``, end to end."""
    ends = np.cumsum(lengths)
    return np.repeat(starts - ends + lengths, lengths) + np.arange(lengths.sum())


def alike(sets: Sequence[Encoded]) -> list[Encoded]:
    """The same sets, with token types in all of them if in any."""
    if all(one.types is None for one in sets):
        return list(sets)
    return [replace(one, types=np.zeros(len(one.ids), np.int8)) if one.types is None else one for one in sets]


class Mixture:
    """The training examples of several languages, and batches of them, split by language."""

    def __init__(self, sets: Mapping[Language, Encoded]) -> None:
        self.languages = list(sets)
        self.sets = alike(list(sets.values()))
        sizes = [len(one) for one in self.sets]
        self.which = np.repeat(np.arange(len(sizes)), sizes)
        self.rows = np.concatenate([np.arange(size) for size in sizes])
        self.lengths = np.concatenate([one.lengths for one in self.sets])

    def __len__(self) -> int:
        return len(self.which)

    def steps(self, batch_size: int) -> int:
        """Batches in one epoch."""
        return -(-len(self) // batch_size)

    def epoch(self, batch_size: int, seed: int, skip: int = 0) -> Iterator[dict[Language, Batch]]:
        """One pass in random order, batches of similar lengths; each split by language.

        ``skip``: so many of the first batches are left out.
        """
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
        for start in cuts[random.permutation(len(cuts))[skip:]]:
            yield self.step(order[start : start + batch_size])

    def step(self, chosen: NDArray[np.int64]) -> dict[Language, Batch]:
        """The chosen examples, one batch per language, all padded to one width."""
        which, width = self.which[chosen], int(self.lengths[chosen].max())
        return {
            self.languages[one]: collate(self.sets[one], self.rows[chosen[which == one]], width)
            for one in np.unique(which).tolist()
        }
