"""Predictions for many sets of examples in one pass, sorted by length."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.training.batches import Encoded, collate
from benchmark.training.gates import Gates
from benchmark.training.loop import autocast
from benchmark.training.microbatches import empty

TOKENS = 16384  # per batch: long texts in small batches, short ones in large
ROWS = 256  # per batch, at most; halved where the device is out of memory
ROWS_OF_A_CPU = 64  # their activations stay in its cache


def predict(
    model: nn.Module,
    sets: Sequence[Encoded],
    device: torch.device,
    precision: str,
    masks: Sequence[Mapping[str, NDArray[np.float64]] | None] = (),
) -> list[NDArray[np.int16]]:
    """Predicted labels of every set, in the order of its ``targets``. Restores the model's mode.

    ``masks``: the subnetwork (``heads``, ``units``) that each set passes through, ``None`` for the whole model.
    """
    which = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
    rows = np.concatenate([np.arange(len(one)) for one in sets])
    lengths = np.concatenate([one.lengths for one in sets])
    order = np.argsort(lengths, kind="stable")
    terms = np.concatenate([one.terms for one in sets])
    starts = np.concatenate([[0], np.cumsum(terms)])
    found = np.empty(starts[-1], dtype=np.int16)
    was_training = model.training
    model.eval()
    with torch.inference_mode(), autocast(device, precision), _gated(model, masks, device) as pass_through:

        def labels(batch: NDArray[np.int64]) -> NDArray[np.int16] | None:
            """Nothing where the device has no room for the batch."""
            try:
                pass_through(which[batch])
                logits = model(collate(sets, which[batch], rows[batch]).to(device))
                said: NDArray[np.int16] = logits.argmax(-1).to(torch.int16).cpu().numpy()
                return said
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                return None

        start, most = 0, ROWS_OF_A_CPU if device.type == "cpu" else ROWS
        while start < len(order):
            size = max(1, TOKENS // int(lengths[order[min(start + most - 1, len(order) - 1)]]))
            batch = order[start : start + min(size, most)]
            said = labels(batch)
            if said is None:  # those that follow are longer
                most = len(batch) // 2
                empty(device)
                continue
            places = np.concatenate([np.arange(starts[row], starts[row + 1]) for row in batch])
            found[places] = said
            start += len(batch)
    model.train(was_training)
    ends = np.cumsum([int(one.terms.sum()) for one in sets])[:-1]
    return list(np.split(found, ends))


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
