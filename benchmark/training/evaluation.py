"""Predictions for many sets of examples in one pass, sorted by length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmark.training.batches import Encoded, collate
from benchmark.training.loop import autocast

TOKENS = 16384  # per batch: long texts in small batches, short ones in large


def predict(
    model: nn.Module, sets: Sequence[Encoded], device: torch.device, precision: str
) -> list[NDArray[np.int16]]:
    """Predicted labels of every set, in the order of its ``targets``. Restores the model's mode."""
    which = np.repeat(np.arange(len(sets)), [len(one) for one in sets])
    rows = np.concatenate([np.arange(len(one)) for one in sets])
    lengths = np.concatenate([one.lengths for one in sets])
    order = np.argsort(lengths, kind="stable")
    terms = np.concatenate([one.terms for one in sets])
    starts = np.concatenate([[0], np.cumsum(terms)])
    found = np.empty(starts[-1], dtype=np.int16)
    was_training = model.training
    model.eval()
    with torch.inference_mode(), autocast(device, precision):
        start = 0
        while start < len(order):
            size = max(1, TOKENS // int(lengths[order[min(start + 255, len(order) - 1)]]))
            batch = order[start : start + min(size, 256)]
            logits = model(collate(sets, which[batch], rows[batch]).to(device))
            places = np.concatenate([np.arange(starts[row], starts[row + 1]) for row in batch])
            found[places] = logits.argmax(-1).to(torch.int16).cpu().numpy()
            start += len(batch)
    model.train(was_training)
    ends = np.cumsum([int(one.terms.sum()) for one in sets])[:-1]
    return list(np.split(found, ends))
