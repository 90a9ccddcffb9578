"""How the languages' gradients become one step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from benchmark.training.batches import Batch, concatenate
from tasks.languages import Language

Loss = Callable[[nn.Module, Batch], Tensor]


class Strategy(ABC):
    """One per training. ``backward`` is called once a step and leaves ``p.grad``."""

    name: ClassVar[str]

    def begin(self, model: nn.Module, languages: Sequence[Language]) -> None:
        """Called before the first step."""
        return

    @abstractmethod
    def backward(self, model: nn.Module, batches: Mapping[Language, Batch], loss: Loss) -> Tensor:
        """Leave the step's gradient in ``p.grad``; return the mean loss, detached."""

    def end_step(self, step: int) -> None:
        """Called after the optimiser's step."""
        return

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        return


class Plain(Strategy):
    """The gradient of the mean loss over all examples of the step, whatever their language."""

    name = "plain"

    def backward(self, model: nn.Module, batches: Mapping[Language, Batch], loss: Loss) -> Tensor:
        value = loss(model, concatenate(list(batches.values())))
        value.backward()  # type: ignore[no-untyped-call]
        return value.detach()
