"""Strategies under which languages share only part of the model (Choenni et al. 2022)."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.architectures import gated
from benchmark.training.batches import Batch, concatenate
from benchmark.training.gates import Gates
from benchmark.training.observer import Observer
from benchmark.training.strategy import Loss, Masks, Start, Strategy
from benchmark.training.subnet_masks import KINDS, Array, by_chance, described, most_important, moved, refuse
from measures.needs import Reading
from tasks.languages import Language

POINTS = 20  # of a training, at most, that the record tells of


class Subnetworks(Strategy):
    """Rows of a language pass through its subnetwork of heads and units alone, and so train nothing else.

    The step is that of ``plain`` otherwise: one pass for all languages, each row with gates of its own. What is
    closed in every language of a step has a gradient of zero; the optimiser's momentum and weight decay still
    reach it. A mask that is open everywhere changes no bit.
    """

    cost = 1.1
    additive = True
    learns = False  # whether masks follow the gradients of their gates
    observer: Observer | None = None

    def __init__(self, watch: bool = False) -> None:
        self.watch = watch
        self.additive = not watch  # who watches leaves a gradient and adds to none

    @abstractmethod
    def first(self, start: Start) -> Masks:
        """The masks that a training starts from, of each language.

        Raises:
            ValueError: masks that are needed are not there.
        """

    def skip(self, config: Mapping[str, Any]) -> str | None:
        """Why a model with this ``config.json`` cannot be trained so; ``None`` if it can."""
        return gated(config)

    def begin(self, start: Start) -> None:
        self.codes = sorted(language.code for language in start.languages)
        self.gates = Gates(start.model)
        self.shapes = {"heads": self.gates.heads_shape, "units": self.gates.units_shape}
        self.device = next(start.model.parameters()).device
        try:
            self._set(self.first(start))
            if self.watch:
                self.observer = Observer(start.model, self.codes, start.steps)
        except ValueError:
            self.end()
            raise

    def _set(self, masks: Masks) -> None:
        refuse(masks, self.codes, self.shapes)
        self.current = {
            code: {kind: np.asarray(masks[code][kind], float) for kind in KINDS} for code in self.codes
        }
        stacked = {kind: np.stack([self.current[code][kind] for code in self.codes]) for kind in KINDS}
        self._whole = {kind: (values == 1).all(axis=(1, 2)) for kind, values in stacked.items()}
        self._tables = {
            kind: torch.tensor(values, dtype=torch.float32, device=self.device) for kind, values in stacked.items()
        }

    @contextmanager
    def through(self, batches: Mapping[Language, Batch]) -> Iterator[Batch]:
        """The batches as one; until the end of ``with``, each row passes through its language's subnetwork.

        The loss's backward pass belongs inside, if there is one.
        """
        places = np.array([self.codes.index(language.code) for language in batches])
        sizes = [len(batch) for batch in batches.values()]
        owners = torch.from_numpy(np.repeat(places, sizes)).to(self.device)
        whole = concatenate(list(batches.values()))
        try:
            self.gates.heads, self.gates.units = (self._of_rows(kind, places, owners) for kind in KINDS)
            yield whole
            if self.learns:
                self._learn(places, sizes, whole)
        finally:
            self.gates.heads = self.gates.units = None

    def _of_rows(self, kind: str, places: NDArray[np.int64], owners: Tensor) -> Tensor | None:
        if self.learns:
            return self._tables[kind][owners].requires_grad_()
        return None if self._whole[kind][places].all() else self._tables[kind][owners]

    def _learn(self, places: NDArray[np.int64], sizes: list[int], whole: Batch) -> None:
        """Take in what a backward pass has left at the gates."""
        return

    def backward(self, model: nn.Module, batches: Mapping[Language, Batch], loss: Loss) -> Tensor:
        with self.through(batches) as whole:
            if self.observer is not None:
                return self.observer.backward(batches, lambda: loss(model, whole))
            value = loss(model, whole)
            value.backward()  # type: ignore[no-untyped-call]
        return value.detach()

    def masks(self) -> Masks:
        return self.current  # another after a cut, never changed itself

    def record(self) -> dict[str, Any]:
        watched = {} if self.observer is None else self.observer.watch.record()
        return {**described(self.current), **watched}

    def state_dict(self) -> dict[str, Any]:
        return {} if self.observer is None else {"watched": self.observer.state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.observer is not None:
            self.observer.restore(state["watched"])

    def end(self) -> None:
        if self.observer is not None:
            self.observer.remove()
        if hasattr(self, "gates"):  # not where the model had no place for them
            self.gates.remove()


class SubnetStatic(Subnetworks):
    """Each language trains the subnetwork that its own model can be pruned to.

    Heads and units of the language's own fine-tuned model are ranked by importance E|∂L/∂ξ| of a gate ξ = 1
    (Michel et al. 2019) and pruned by tenths while the dev score is at least ``tolerance`` × that of the full
    model; in the training of several languages each passes through, and updates, its subnetwork only, and is
    predicted through it (Choenni et al. 2022). Where no tenth can go, the whole model is the subnetwork, and
    the record says so. A language without a subnetwork is predicted by the whole model.

    watch: also look at the languages' gradients at every step, as ``watched`` does.
    """

    name = "subnet-static"

    def __init__(self, tolerance: float = 0.95, watch: bool = False) -> None:
        super().__init__(watch)
        self.tolerance = tolerance

    def needs(self) -> frozenset[Reading]:
        if not 0 < self.tolerance <= 1:
            raise ValueError(f"tolerance must be above 0 and at most 1, found {self.tolerance:g}")
        return frozenset({Reading("each", "masks", (("tolerance", float(self.tolerance)),))})

    def first(self, start: Start) -> Masks:
        return start.masks


class SubnetRandom(SubnetStatic):
    """Random subnetworks as sparse as those of ``subnet-static``: its control.

    In each layer as many heads and units as the language's own subnetwork has, at random places, that follow
    from the seed and the language alone. What ``subnet-static`` is worth is its gain over this.

    watch: also look at the languages' gradients at every step, as ``watched`` does.
    """

    name = "subnet-random"

    def first(self, start: Start) -> Masks:
        refuse(start.masks, self.codes, self.shapes)
        return by_chance({code: start.masks[code] for code in self.codes}, start.seed)


class SubnetDynamic(Subnetworks):
    """Each language trains a subnetwork that is chosen anew along the training, weights and masks moving together.

    Importance of a language's heads and units is E|∂L/∂ξ| of their gates ξ over its examples, from the backward
    passes of the training itself; also of closed ones, which can so come back. Every ``every`` steps it becomes
    the mean of what it was and of what was seen since, and each language keeps the most important places over
    all layers, after division by the ℓ2 norm of the layer. All are kept at first, fewer in a straight line over
    the first half of the training, then the share ``keep`` of heads and of units. A language that did not occur
    keeps its mask. The last mask is what its texts are predicted through. After Choenni et al. 2022, whose own
    schedule is not followed.

    watch: also look at the languages' gradients at every step, as ``watched`` does.
    """

    name = "subnet-dynamic"
    learns = True

    def __init__(self, keep: float = 0.7, every: int = 20, watch: bool = False) -> None:
        super().__init__(watch)
        self.keep = keep
        self.every = every

    def needs(self) -> frozenset[Reading]:
        if not 0 < self.keep <= 1:
            raise ValueError(f"keep must be above 0 and at most 1, found {self.keep:g}")
        if self.every < 1:
            raise ValueError(f"every must be at least 1, found {self.every}")
        return frozenset()

    def begin(self, start: Start) -> None:
        super().begin(start)
        self.steps = start.steps
        self.importance: dict[str, dict[str, Array]] = {}
        self.cuts: list[dict[str, Any]] = []
        self._forget()

    def first(self, start: Start) -> Masks:
        return {code: {kind: np.ones(self.shapes[kind]) for kind in KINDS} for code in self.codes}

    def _forget(self) -> None:
        self._sums = {kind: torch.zeros(len(self.codes), *self.shapes[kind], device=self.device) for kind in KINDS}
        self._seen = [0] * len(self.codes)

    def _learn(self, places: NDArray[np.int64], sizes: list[int], whole: Batch) -> None:
        """Add the gates' absolute gradients of each example's own loss, which the mean loss has a share of."""
        shares = _shares(whole)
        for kind in KINDS:
            gates = getattr(self.gates, kind)
            if gates.grad is None:
                return
            found = gates.grad.abs() / shares[:, None, None]
            start = 0
            for place, size in zip(places, sizes, strict=True):
                self._sums[kind][place] += found[start : start + size].sum(0)
                start += size
        for place, size in zip(places, sizes, strict=True):
            self._seen[place] += size

    def end_step(self, step: int) -> None:
        done = step + 1
        if done % self.every or done == self.steps:  # what is served is what was trained
            return
        share = 1 - (1 - self.keep) * min(1.0, 2 * done / self.steps)
        after = dict(self.current)
        for place, code in enumerate(self.codes):
            if self._seen[place]:
                fresh = {
                    kind: self._sums[kind][place].double().cpu().numpy() / self._seen[place] for kind in KINDS
                }
                before = self.importance.get(code, fresh)
                self.importance[code] = {kind: (before[kind] + fresh[kind]) / 2 for kind in KINDS}
                after[code] = {kind: most_important(self.importance[code][kind], share) for kind in KINDS}
        self.cuts.append({"step": done, **moved(self.current, after)})
        self._set(after)
        self._forget()

    def record(self) -> dict[str, Any]:
        chosen = np.unique(np.linspace(0, len(self.cuts) - 1, POINTS).round().astype(int))
        along = [self.cuts[place] for place in chosen] if self.cuts else []
        return {**super().record(), "cuts": len(self.cuts), "along": along}

    def state_dict(self) -> dict[str, Any]:
        sums = {kind: values.cpu().numpy() for kind, values in self._sums.items()}
        state = {
            "masks": self.current,
            "importance": self.importance,
            "sums": sums,
            "seen": self._seen,
            "cuts": self.cuts,
        }
        return copy.deepcopy({**super().state_dict(), **state})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        state = copy.deepcopy(state)
        super().load_state_dict(state)
        self._set(state["masks"])
        self.importance, self._seen, self.cuts = state["importance"], state["seen"], state["cuts"]
        self._sums = {kind: torch.as_tensor(values, device=self.device) for kind, values in state["sums"].items()}


def _array(values: Tensor) -> Array:
    return values.double().cpu().numpy()


def _shares(batch: Batch) -> Tensor:
    """The share of each row in the mean loss, ``[rows]``; 1 of a row without a label, whose loss is nothing."""
    if batch.places is None:
        return torch.full((len(batch),), 1 / len(batch), device=batch.ids.device)
    terms = torch.bincount(batch.places // batch.ids.shape[1], minlength=len(batch))
    return torch.where(terms > 0, terms / len(batch.labels), 1.0)
