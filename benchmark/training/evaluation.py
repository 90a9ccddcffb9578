"""Predictions for many sets of examples in one pass, sorted by length."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.training.batches import Encoded, alike, collate, pieces
from benchmark.training.gates import Gates
from benchmark.training.loop import autocast
from benchmark.training.microbatches import empty

TOKENS = 16384  # per batch: long texts in small batches, short ones in large
TOKENS_OF_A_CPU = 1024  # their activations stay in its cache
ROWS = 256  # per batch, at most; halved where the device is out of memory


def predict(
    model: nn.Module,
    sets: Sequence[Encoded],
    device: torch.device,
    precision: str,
    masks: Sequence[Mapping[str, NDArray[np.float64]] | None] = (),
) -> list[NDArray[np.int16]]:
    """Predicted labels of every set, in the order of its ``targets``. Restores the model's mode.

    A text that stands in several sets, as names do in many languages, is read once.

    ``masks``: the subnetwork (``heads``, ``units``) that each set passes through, ``None`` for the whole model.
    """
    which = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
    whole = _joined(sets)
    lengths, terms = whole.lengths, whole.terms
    first = _first(sets, masks)
    distinct = np.flatnonzero(first == np.arange(len(first)))
    order = distinct[np.argsort(lengths[distinct], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(terms)])
    said: list[tuple[NDArray[np.int64], Tensor]] = []
    was_training = model.training
    model.eval()
    with torch.inference_mode(), autocast(device, precision), _gated(model, masks, device) as pass_through:

        def labels(batch: NDArray[np.int64]) -> Tensor | None:
            """Nothing where the device has no room for the batch; else on the device, which is not waited for."""
            try:
                pass_through(which[batch])
                logits = model(collate(whole, batch).to(device))
                best: Tensor = logits.argmax(-1).to(torch.int16)
                return best
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                return None

        start, most, tokens = 0, ROWS, TOKENS_OF_A_CPU if device.type == "cpu" else TOKENS
        while start < len(order):
            size = max(1, tokens // int(lengths[order[min(start + most - 1, len(order) - 1)]]))
            batch = order[start : start + min(size, most)]
            best = labels(batch)
            if best is None:  # those that follow are longer
                most = len(batch) // 2
                empty(device)
                continue
            said.append((pieces(starts[batch], terms[batch]), best))
            start += len(batch)
    model.train(was_training)
    found = np.empty(starts[-1], dtype=np.int16)
    for places, best in said:
        found[places] = best.cpu().numpy()
    again = np.flatnonzero(first != np.arange(len(first)))  # texts that have one label each
    found[starts[again]] = found[starts[first[again]]]
    ends = np.cumsum([int(one.terms.sum()) for one in sets])[:-1]
    return list(np.split(found, ends))


def _joined(sets: Sequence[Encoded]) -> Encoded:
    """The rows of all sets as of one: batches are cut from it, whatever set their rows are of."""
    each = [one for one in alike(sets) if len(one)]
    if not each:
        return sets[0]
    before = np.cumsum([0, *(len(one.ids) for one in each)])
    offsets = [one.offsets[1:] + start for one, start in zip(each, before, strict=False)]

    def end_to_end(name: str) -> Any:
        arrays = [getattr(one, name) for one in each]
        return None if arrays[0] is None else np.concatenate(arrays)

    joined = {name: end_to_end(name) for name in ("ids", "types", "labels", "halves", "tags")}
    return Encoded(offsets=np.concatenate([[0], *offsets]), pad=sets[0].pad, **joined)


def _first(
    sets: Sequence[Encoded], masks: Sequence[Mapping[str, NDArray[np.float64]] | None]
) -> NDArray[np.int64]:
    """For each row of all sets, the place of the first that is the same to the model; of tagged ones, its own."""
    seen: dict[tuple[int, bytes, bytes], int] = {}
    first, place = np.empty(sum(map(len, sets)), dtype=np.int64), 0
    for one, mask in itertools.zip_longest(sets, masks):
        ids, types = one.ids.tobytes(), b"" if one.types is None else one.types.tobytes()
        size, typed = one.ids.itemsize, 0 if one.types is None else one.types.itemsize
        for start, end in itertools.pairwise(one.offsets.tolist()):
            key = id(mask), ids[size * start : size * end], types[typed * start : typed * end]
            first[place] = place if one.tags is not None else seen.setdefault(key, place)
            place += 1
    return first


@contextlib.contextmanager
def _gated(
    model: nn.Module, masks: Sequence[Mapping[str, NDArray[np.float64]] | None], device: torch.device
) -> Iterator[Callable[[NDArray[np.int64]], None]]:
    """Gates on the model while it is in use; what is given is told the set of each row of the next batch."""
    if not any(masks):
        yield lambda which: None
        return
    with Gates(model) as gates:

        def tables(kind: str, shape: tuple[int, int]) -> Tensor:
            each = [np.ones(shape) if mask is None else mask[kind] for mask in masks]
            return torch.tensor(np.array(each), dtype=torch.float32, device=device)

        heads, units = tables("heads", gates.heads_shape), tables("units", gates.units_shape)

        def pass_through(which: NDArray[np.int64]) -> None:
            places = torch.from_numpy(which).to(device)
            gates.heads, gates.units = heads[places], units[places]

        yield pass_through
