"""Language-specific subnetworks: the heads and units that a model needs to stay nearly as good on dev."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.seeds import derive
from benchmark.training.batches import Encoded, collate, pieces
from benchmark.training.evaluation import predict
from benchmark.training.gates import Gates
from benchmark.training.loop import autocast
from benchmark.training.model import losses_by_row
from tasks.metrics import score

TRAIN, DEV = 128, 200  # examples at most, for importance and for the score
SHARE = 10  # a tenth of all heads and of all units is pruned at a time
MICRO_BATCH = 32


def subnetwork(
    model: nn.Module,
    train: Encoded,
    dev: Encoded,
    *,
    metric: str,
    labels: Sequence[str],
    tolerance: float,
    seed: int,
    precision: str,
    device: torch.device,
) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any]]:
    """Masks ``heads [layers, heads]`` and ``units [layers, units]`` of 0 and 1, and what they cost on dev.

    The least important tenth of the original number of heads and of units, at least one of each, is
    pruned at a time (Prasanna et al. 2020) while the dev score stays at or above ``tolerance`` times
    the full model's; importance is taken anew under the mask each time. At least one head and one
    unit stay. The last mask that passed is the answer; the model is left as it was.

    Raises:
        ValueError: no examples, or an encoder that cannot be gated.
    """
    if not len(train) or not len(dev):
        raise ValueError(f"masks need train and dev examples, found {len(train)} and {len(dev)}")
    train = _take(train, _sample(train, TRAIN, derive(seed, "masks", "train")))
    dev_parts = [_take(dev, rows) for rows in _parts(dev, _sample(dev, DEV, derive(seed, "masks", "dev")))]
    gold = np.concatenate([part.targets for part in dev_parts])
    words = None if dev.tags is None else np.concatenate([part.terms for part in dev_parts])
    was_training = model.training
    model.eval()
    try:
        with Gates(model) as gates:

            def dev_score() -> float:
                said = [predict(model, [part], device, precision)[0] for part in dev_parts]
                return score(metric, gold, np.concatenate(said), labels, words)

            full = kept = dev_score()
            gates.open(device)
            assert gates.heads is not None
            assert gates.units is not None
            heads, units = gates.heads, gates.units
            while True:
                by_head, by_unit = importance(model, gates, train, precision=precision, device=device)
                gates.heads, gates.units = prune(heads, by_head), prune(units, by_unit)
                if torch.equal(gates.heads, heads) and torch.equal(gates.units, units):
                    break  # one of each is left
                reached = dev_score()
                if reached < tolerance * full:
                    break
                heads, units, kept = gates.heads, gates.units, reached
    finally:
        model.train(was_training)
    arrays = {name: mask.cpu().numpy().astype(np.float64) for name, mask in (("heads", heads), ("units", units))}
    shares = {name: float(mask.mean()) for name, mask in arrays.items()}
    return arrays, {"full": full, "kept": kept, **shares}


def importance(
    model: nn.Module, gates: Gates, data: Encoded, *, precision: str, device: torch.device
) -> tuple[Tensor, Tensor]:
    """E_x |∂L/∂ξ| of every head and unit (Michel et al. 2019), 0 where the gate ξ is 0 already.

    Each example has gates of its own, so one backward of the summed loss holds every example's gradient.
    """
    assert gates.heads is not None
    assert gates.units is not None
    masks = gates.heads, gates.units
    totals = [torch.zeros_like(mask) for mask in masks]
    try:
        for rows in _parts(data, np.arange(len(data))):
            batch = collate(data, rows).to(device)
            own = [mask.expand(len(rows), -1, -1).clone().requires_grad_() for mask in masks]
            gates.heads, gates.units = own
            with autocast(device, precision):
                loss = losses_by_row(model, batch).sum()
            for total, grad in zip(totals, torch.autograd.grad(loss, own), strict=True):
                total += grad.abs().sum(0)
    finally:
        gates.heads, gates.units = masks
    heads, units = (total * mask / len(data) for total, mask in zip(totals, masks, strict=True))
    return heads, units


def prune(mask: Tensor, by: Tensor) -> Tensor:
    """``mask`` without the least important tenth of all its places; at least one stays.

    Importance is divided by the ℓ2 norm of its layer, what was pruned before left out, and ranked
    over all layers.
    """
    by = by * mask
    norms = by.norm(dim=1, keepdim=True)
    ranked = torch.where(norms > 0, by / norms, torch.zeros_like(by)).masked_fill(mask == 0, torch.inf)
    left = int(mask.sum())
    count = min(max(1, round(mask.numel() / SHARE)), left - 1)
    pruned = mask.clone()
    pruned.view(-1)[ranked.flatten().argsort(stable=True)[:count]] = 0
    return pruned


def _sample(data: Encoded, most: int, seed: int) -> NDArray[np.int64]:
    """Rows of at most so many examples, drawn at random."""
    return np.sort(np.random.default_rng(seed).permutation(len(data))[:most])


def _parts(data: Encoded, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """``rows`` in micro-batches of similar lengths: little padding, and a bound on activations."""
    rows = rows[np.argsort(data.lengths[rows], kind="stable")]
    return np.array_split(rows, -(-len(rows) // MICRO_BATCH))


def _take(data: Encoded, rows: NDArray[np.int64]) -> Encoded:
    """Some rows by themselves; of tagged tokens, each row as if it were a sentence."""
    places = pieces(data.offsets[rows], data.lengths[rows])
    return Encoded(
        data.ids[places],
        None if data.types is None else data.types[places],
        np.concatenate([[0], np.cumsum(data.lengths[rows])]),
        data.labels[rows],
        data.halves[rows],
        data.pad,
        None if data.tags is None else data.tags[places],
        None if data.owners is None else np.arange(len(rows)),
    )
