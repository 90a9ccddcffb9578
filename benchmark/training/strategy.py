"""How the languages' gradients become one step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.training.batches import Batch, concatenate
from measures.needs import Reading
from tasks.languages import Language

Loss = Callable[[nn.Module, Batch], Tensor]


Masks = Mapping[str, Mapping[str, NDArray[np.float64]]]
"""By language code: ``heads`` ``[layers, heads]`` and ``units`` ``[layers, units]``, 1 open and 0 closed."""


@dataclass(frozen=True)
class Start:
    """What a strategy is told before the first step of a training of at least two languages.

    ``steps``: of the whole training. ``lr``: its peak. ``masks``: of each language, where the strategy needs them.
    """

    model: nn.Module
    languages: Sequence[Language]
    seed: int
    steps: int
    lr: float
    masks: Masks = field(default_factory=dict)


class Strategy(ABC):
    """One per training. ``backward`` is called once a step and leaves ``p.grad``.

    Parameters are stored by ``__init__``, as measures do. What is random must follow from ``Start.seed`` and the
    languages' codes, never from torch's global generator, which belongs to the training's dropout.
    """

    name: ClassVar[str]
    cost: float = 1.0  # of a step, in steps of ``plain``, about: what progress is foretold from
    additive: bool = False
    """Whether a step may be made in parts where a device has no room for it: ``backward`` adds to ``p.grad``, and
    the gradient of a batch is the mean of those of its parts, by their labels. Of a class that says how
    ``backward`` works, and not inherited by one that says it anew."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "backward" in vars(cls) and "additive" not in vars(cls):
            cls.additive = False

    def needs(self) -> frozenset[Reading]:
        """Masks of each language's own training, or nothing.

        Raises:
            ValueError: a parameter's value that is not allowed.
        """
        return frozenset()

    def skip(self, config: Mapping[str, Any]) -> str | None:
        """Why a model of this configuration (``config.json``) cannot be trained so, in one line; or nothing."""
        return None

    def begin(self, start: Start) -> None:
        """Called before the first step.

        Raises:
            ValueError: the model lacks what the strategy is about.
        """
        return

    @abstractmethod
    def backward(self, model: nn.Module, batches: Mapping[Language, Batch], loss: Loss) -> Tensor:
        """Leave the step's gradient in ``p.grad``; return the mean loss, detached. All batches have one width."""

    def end_step(self, step: int) -> None:
        """Called after the optimiser's step."""
        return

    def masks(self) -> Masks:
        """The subnetworks that the languages' texts pass through when the model is used, as they are now.

        A language without one uses the whole model.
        """
        return {}

    def record(self) -> dict[str, Any]:
        """What is worth knowing of the training, as plain JSON; kept with its history."""
        return {}

    def end(self) -> None:
        """Called after the last step, also where the training fails: take every hook off the model."""
        return

    def state_dict(self) -> dict[str, Any]:
        """All that the next step, ``masks`` and ``record`` depend on beside ``begin`` and the model.

        Of dicts, lists, tensors, arrays, numbers and strings: what else there is cannot be kept in a checkpoint.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where ``state_dict`` was taken; called after ``begin``. Tensors are on the CPU."""
        return


class Plain(Strategy):
    """The gradient of the mean loss over all examples of the step, whatever their language."""

    name = "plain"
    additive = True

    def backward(self, model: nn.Module, batches: Mapping[Language, Batch], loss: Loss) -> Tensor:
        value = loss(model, concatenate(list(batches.values())))
        value.backward()  # type: ignore[no-untyped-call]
        return value.detach()
