"""Looking at the languages' gradients of a training that goes on as it would: the ground for comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.training.batches import Batch, concatenate
from benchmark.training.contributions import Contributions, Gradients
from benchmark.training.model import blocks
from benchmark.training.strategy import Loss, Start, Strategy
from benchmark.training.vaccine import Matrix
from benchmark.training.watch import Watch
from tasks.languages import Language


class Observer:
    """Takes a step's gradient language by language, shows them to a ``Watch`` and leaves their sum.

    Raises:
        ValueError: a model of which gradients by language cannot be had.
    """

    def __init__(self, model: nn.Module, codes: Sequence[str], steps: int) -> None:
        by_block = blocks(model)
        self.codes, self.step = list(codes), 0
        self.watch = Watch(codes, list(by_block), steps)
        self.contributions = Contributions(model, by_block)

    def backward(self, batches: Mapping[Language, Batch], forward: Callable[[], Tensor]) -> Tensor:
        """``forward`` is the loss of the batches put together in their order; it comes back detached."""
        step, self.step = self.step, self.step + 1
        if len(batches) == 1:  # nothing to be compared
            value = forward()
            value.backward()  # type: ignore[no-untyped-call]
            return value.detach()
        seen: list[tuple[str, Matrix]] = []

        def ready(block: str, found: Gradients) -> None:
            gram = found.gram()
            seen.append((block, gram.double().cpu().numpy()))
            found.leave(torch.ones(len(gram), device=gram.device, dtype=gram.dtype))

        value = self.contributions.backward(list(batches.values()), forward, ready)
        present = np.array([self.codes.index(language.code) for language in batches])
        grams = np.stack([gram for _, gram in seen])
        as_they_are = np.broadcast_to(np.eye(len(present)), grams.shape)
        self.watch.see(step, present, [block for block, _ in seen], grams, as_they_are)
        return value

    def remove(self) -> None:
        self.contributions.remove()

    def state(self) -> dict[str, Any]:
        return {"step": self.step, **self.watch.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.step = int(state["step"])
        self.watch.restore(state)


class Watched(Strategy):
    """``plain``, with the languages' gradients watched at every step.

    The step is that of ``plain`` but for rounding; the record tells of the cosines of the languages' gradients
    along the training what the strategies of gradient surgery tell of theirs: it is what they are compared with.
    """

    name = "watched"
    cost = 1.4  # gradients by language, as surgery takes them
    observer: Observer | None = None  # until the training begins

    def begin(self, start: Start) -> None:
        self.observer = Observer(start.model, sorted(language.code for language in start.languages), start.steps)

    def backward(self, model: nn.Module, batches: Mapping[Language, Batch], loss: Loss) -> Tensor:
        assert self.observer is not None
        whole = concatenate(list(batches.values()))
        return self.observer.backward(batches, lambda: loss(model, whole))

    def record(self) -> dict[str, Any]:
        assert self.observer is not None
        return self.observer.watch.record()

    def end(self) -> None:
        if self.observer is not None:
            self.observer.remove()

    def state_dict(self) -> dict[str, Any]:
        return self.observer.state() if self.observer else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.observer is not None:
            self.observer.restore(state)
