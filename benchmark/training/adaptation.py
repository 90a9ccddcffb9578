"""Few-shot adaptation: a trained model, fine-tuned on some examples of a language that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmark.jobs import Hyper
from benchmark.training.batches import Encoded, Mixture
from benchmark.training.evaluation import predict
from benchmark.training.loop import train
from benchmark.training.strategy import Plain
from tasks.base import Example
from tasks.languages import Language
from tasks.rows import Rows

EPOCHS, LEAST = 5, 20  # passes over the examples; steps at least
UNSEEN = Language("und", "Zyyy", "the language that is adapted to")


def adapt(
    model: nn.Module, support: Encoded, test: Encoded, hyper: Hyper, seed: int, device: torch.device
) -> NDArray[np.int16]:
    """Fine-tune ``model`` in place on all of ``support``; labels it predicts for ``test``, in order of targets.

    Everything is trained, as ``plain`` does it, whatever strategy the model comes from: a language that it has
    not seen has no subnetwork and passes through the whole of it. ``hyper`` is that of the model's own training.

    Raises:
        ValueError: no examples.
        TrainingFailed: the loss is no longer finite.
    """
    if not len(support):
        raise ValueError("adaptation needs at least one example, found none")
    train(model, Mixture({UNSEEN: support}), few(hyper, len(support)), Plain(), seed, device)
    return predict(model, [test], device, hyper.precision)[0]


def few(hyper: Hyper, examples: int) -> Hyper:
    """Hyper-parameters of an adaptation: those of the training, for ``EPOCHS`` passes or ``LEAST`` steps.

    The number of passes does not follow the training's, nor is there a dev set to stop by: a few hundred
    examples give up to about a hundred steps. Learning rate (its peak, warm-up and decay), batch size and
    all else stay.
    """
    steps = -(-examples // hyper.batch_size)
    return replace(hyper, epochs=max(EPOCHS, -(-LEAST // steps)), patience=0)


def nested(examples: Sequence[Example], sizes: Sequence[int], seed: int) -> list[list[Example]]:
    """For each of ``sizes`` so many examples, the smaller among the larger, labels in their natural shares.

    Examples of a label follow each other in random order; which label is next is decided by the largest of
    (its number among all) / (2 · times chosen + 1), the rule of Webster and Sainte-Laguë, which, unlike largest
    remainders, never takes back what a smaller size had. Each set is in the examples' own order.

    Raises:
        ValueError: fewer examples than are asked for.
    """
    most = max(sizes, default=0)
    if min(sizes, default=0) < 0 or most > len(examples):
        raise ValueError(f"sizes must be from 0 to the {len(examples)} examples there are, found {list(sizes)}")
    labels = examples.labels if isinstance(examples, Rows) else np.array([one.label for one in examples])
    kinds, counts = np.unique(labels, return_counts=True)
    random = np.random.default_rng(seed)
    waiting = [list(random.permutation(np.flatnonzero(labels == kind))) for kind in kinds]
    taken = np.zeros(len(kinds), dtype=np.int64)
    order: list[int] = []
    for _ in range(most):
        quotients = np.where(taken < counts, counts / (2 * taken + 1), 0.0)
        place = int(np.argmax(quotients))
        order.append(int(waiting[place][taken[place]]))
        taken[place] += 1
    chosen = [sorted(order[:size]) for size in sizes]
    if isinstance(examples, Rows):
        return [examples.take(places) for places in chosen]
    return [[examples[place] for place in places] for places in chosen]
