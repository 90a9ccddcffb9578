"""Steps that a device has no room for: in parts, and the same step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from benchmark.training.batches import Batch
from benchmark.training.checkpoint import random_state, set_random_state
from benchmark.training.strategy import Loss, Strategy
from tasks.languages import Language

Batches = Mapping[Language, Batch]


class Backward:
    """A strategy's backward pass, repeated in smaller parts where the device is out of memory.

    ``rows``: examples at a time, at most; halved when they are too many, and never raised again. The gradient is
    that of the whole batch: a part counts by its share of the labels. Dropout draws for each part anew.
    """

    def __init__(self, model: nn.Module, strategy: Strategy, loss: Loss, rows: int, device: torch.device) -> None:
        self.model, self.strategy, self.loss = model, strategy, loss
        self.rows, self.device = rows, device
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def __call__(self, batches: Batches) -> Tensor:
        """Leave the step's gradient; the mean loss.

        Raises:
            torch.OutOfMemoryError: there is no room for one example, or the strategy needs the whole batch.
        """
        count = sum(map(len, batches.values()))
        while True:
            random = random_state(self.device)
            cut = count > self.rows
            before = self.strategy.state_dict() if cut else None  # some parts may be done before one fails
            value = self._tried(batches, cut)
            if value is not None:
                return value
            rows, width = min(count, self.rows), next(iter(batches.values())).ids.shape[1]
            if rows == 1 or not self.strategy.additive:
                whole = "" if self.strategy.additive else ", and the strategy does not take a batch in parts"
                raise torch.OutOfMemoryError(
                    f"the {self.device.type} device has no room for {rows} examples of {width} tokens{whole}"
                )
            self.rows = -(-rows // 2)
            self.model.zero_grad(set_to_none=True)
            set_random_state(random, self.device)
            if before is not None:
                self.strategy.load_state_dict(before)
            empty(self.device)

    def _tried(self, batches: Batches, cut: bool) -> Tensor | None:
        """Nothing where the device is out of memory: the error, which refers to tensors, must be gone by then."""
        try:
            return self._in_parts(batches) if cut else self.strategy.backward(self.model, batches, self.loss)
        except torch.OutOfMemoryError:
            return None

    def _in_parts(self, batches: Batches) -> Tensor:
        labels = sum(len(batch.labels) for batch in batches.values())
        mean, last = torch.zeros((), device=self.device), 1.0
        for part in parts(batches, self.rows):
            share = sum(len(batch.labels) for batch in part.values()) / labels if labels else math.nan
            if share == 0:
                continue
            # So the strategy need not know of shares: what is there is in units of the present part's.
            self._scale(last / share)
            mean += share * self.strategy.backward(self.model, part, self.loss)
            last = share
        self._scale(last)
        return mean

    def _scale(self, by: float) -> None:
        grads = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if grads:
            torch._foreach_mul_(grads, by)


def parts(batches: Batches, rows: int) -> Iterator[dict[Language, Batch]]:
    """The batches in parts of at most so many rows, and nearly as many in each."""
    count = sum(map(len, batches.values()))
    pieces = -(-count // rows)
    for place in range(pieces):
        first, last = count * place // pieces, count * (place + 1) // pieces
        found: dict[Language, Batch] = {}
        start = 0
        for language, batch in batches.items():
            here = slice(max(0, first - start), max(0, min(len(batch), last - start)))
            if here.start < here.stop:
                found[language] = batch[here]
            start += len(batch)
        yield found


def empty(device: torch.device) -> None:
    """Give back what the device's allocator keeps for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
