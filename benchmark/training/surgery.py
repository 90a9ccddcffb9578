"""Strategies that bend the languages' gradients before they become one step: PCGrad and Gradient Vaccine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.seeds import derive
from benchmark.training.batches import Batch, concatenate
from benchmark.training.contributions import Contributions, Gradients
from benchmark.training.model import blocks
from benchmark.training.strategy import Loss, Start, Strategy
from benchmark.training.vaccine import Matrix, vaccinate
from benchmark.training.watch import ALL, Watch
from measures.needs import Reading
from tasks.languages import Language

Granularity = Literal["model", "layer", "matrix"]
HELD = 1 / 2  # of the languages' gradients of the largest layer: so much may wait to be corrected in one go


class Surgery(Strategy):
    """Corrects the gradient of each language of a step by those of the others, one group of parameters at a time.

    What a language contributes is its examples' share of the mean loss, so that without a correction the step
    is that of ``plain``. The step uses the sum of the corrected gradients.
    """

    beta: float
    cost = 1.4
    contributions: Contributions | None = None  # until the training begins

    def __init__(self, granularity: Granularity = "layer", embeddings: bool = True) -> None:
        self.granularity = granularity
        self.embeddings = embeddings

    def begin(self, start: Start) -> None:
        self.codes = sorted(language.code for language in start.languages)
        self.seed, self.step = start.seed, 0
        by_block = blocks(start.model)
        if not self.embeddings:
            by_block.pop("embeddings", None)
        groups: dict[Granularity, list[str]] = {
            "model": [ALL],
            "layer": list(by_block),
            "matrix": [name for names in by_block.values() for name in names],
        }
        self.groups = {group: place for place, group in enumerate(groups[self.granularity])}
        self.targets = np.zeros((len(self.groups), len(self.codes), len(self.codes)))
        self.watch = Watch(self.codes, list(by_block), start.steps)
        parameters = dict(start.model.named_parameters())
        layers = [
            names for block, names in by_block.items() if block != "embeddings"
        ]  # of which few rows are used
        self.largest = max((sum(parameters[name].nbytes for name in names) for names in layers), default=0)
        self.contributions = Contributions(start.model, by_block)

    def end(self) -> None:
        if self.contributions is not None:
            self.contributions.remove()

    def backward(self, model: nn.Module, batches: Mapping[Language, Batch], loss: Loss) -> Tensor:
        order = sorted(batches, key=lambda language: language.code)
        parts = [batches[language] for language in order]
        whole = concatenate(parts)
        step, self.step = self.step, self.step + 1
        if len(parts) == 1:  # nobody to be corrected by
            value = loss(model, whole)
            value.backward()  # type: ignore[no-untyped-call]
            return value.detach()
        present = np.array([self.codes.index(language.code) for language in order])
        # The order of the others is drawn for all languages, so that who else takes part changes nothing.
        drawn = np.random.default_rng(derive(self.seed, "surgery", str(step))).random([len(self.codes)] * 2)
        orders = _orders(drawn[np.ix_(present, present)])
        seen: list[tuple[list[str], Matrix, Matrix]] = []
        held: dict[str, Gradients] = {}
        room = HELD * len(parts) * self.largest

        def ready(block: str, found: Gradients) -> None:
            held[block] = found
            if self.granularity != "model" and sum(one.bytes for one in held.values()) > room:
                seen.append(self._operate(held, present, orders))
                held.clear()

        assert self.contributions is not None
        value = self.contributions.backward(parts, lambda: loss(model, whole), ready)
        if held:
            with torch.autocast(value.device.type, enabled=False):
                seen.append(self._operate(held, present, orders))
        of_block = [block for names, _, _ in seen for block in names]
        grams, combined = (np.concatenate([found[place] for found in seen]) for place in (1, 2))
        self.watch.see(step, present, of_block, grams, combined)
        return value

    @torch.no_grad()
    def _operate(
        self, held: Mapping[str, Gradients], present: NDArray[np.int64], orders: NDArray[np.int64]
    ) -> tuple[list[str], Matrix, Matrix]:
        """Leave the corrected gradients of some blocks; what ``Watch`` is to see of them."""
        groups, of_block = dict(held), list(held)
        if self.granularity == "matrix":
            groups = {name: one for of in held.values() for name, one in of.apart().items()}
            of_block = [block for block, of in held.items() for _ in of.parts]
        products = [one.gram() for one in groups.values()]
        grams = torch.stack(products).double().cpu().numpy()
        if self.granularity == "model":
            combined = self._correct([ALL], grams.sum(0, keepdims=True), present, orders).repeat(
                len(grams), axis=0
            )
        else:
            combined = self._correct(list(groups), grams, present, orders)
        weights = torch.from_numpy(combined.sum(1)).to(products[0])
        for one, weight in zip(groups.values(), weights, strict=True):
            one.leave(weight)
        return of_block, grams, combined

    def _correct(
        self, groups: list[str], grams: Matrix, present: NDArray[np.int64], orders: NDArray[np.int64]
    ) -> Matrix:
        """The corrected gradients of some groups as combinations of the original ones; moves the targets."""
        where = np.ix_(np.array([self.groups[group] for group in groups]), present, present)
        targets = self.targets[where]
        combined = vaccinate(grams, targets, self.beta, orders)
        self.targets[where] = targets
        return combined

    def record(self) -> dict[str, Any]:
        return self.watch.record()

    def state_dict(self) -> dict[str, Any]:
        arrays = {"targets": self.targets, **self.watch.state()}
        return {"step": self.step, **{name: torch.tensor(array) for name, array in arrays.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        arrays = {name: value.cpu().numpy().copy() for name, value in state.items() if name != "step"}
        self.step, self.targets = state["step"], arrays.pop("targets")
        self.watch.restore(arrays)


class PCGrad(Surgery):
    """Where two languages' gradients conflict, each loses its part against the other (gradient surgery).

    For each language in turn, and the others in random order: where its gradient, as corrected so far, has a
    negative cosine with the original one of the other, it is projected onto the plane orthogonal to that. The
    step is the sum of the corrected gradients.

    granularity: what is corrected together: the model, each layer (the token embeddings, the other embeddings and
    the head are layers of their own), or each matrix and vector. embeddings: whether the table of token embeddings
    takes part; without, its gradient is that of ``plain``.

    Source: Yu, Kumar, Gupta, Levine, Hausman & Finn 2020, "Gradient Surgery for Multi-Task Learning", NeurIPS.
    """

    name = "pcgrad"
    beta = 0.0


class GradVac(Surgery):
    """Brings two languages' gradients up to the cosine that they have had on average so far (Gradient Vaccine).

    For each language i in turn, and the others j in random order, with φ the cosine of i's gradient, as corrected
    so far, and j's original one: where φ is below the target φ̂_ij, a multiple of j's gradient is added to i's so
    that their cosine is φ̂_ij. Then φ̂_ij ← (1 − β) φ̂_ij + β φ, corrected or not; φ̂ starts at 0. The step is the
    sum of the corrected gradients.

    beta: how fast the target follows, from 0 (which is ``pcgrad``) to 1; a widespread reimplementation has 0.5.
    granularity: what is corrected together: the model, each layer (the token embeddings, the other embeddings and
    the head are layers of their own), or each matrix and vector. embeddings: whether the table of token embeddings
    takes part; without, its gradient is that of ``plain``.

    Source: Wang, Tsvetkov, Firat & Cao 2021, "Gradient Vaccine: Investigating and Improving Multi-task
    Optimization in Massively Multilingual Models", ICLR.
    """

    name = "gradvac"

    def __init__(self, beta: float = 0.01, granularity: Granularity = "layer", embeddings: bool = True) -> None:
        super().__init__(granularity, embeddings)
        self.beta = beta

    def needs(self) -> frozenset[Reading]:
        if not 0 <= self.beta <= 1:
            raise ValueError(f"gradvac[beta=…] takes a number from 0 to 1, found {self.beta:g}")
        return frozenset()


def _orders(drawn: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each language the others, ``[n, n - 1]``, by drawn numbers."""
    keys = drawn.copy()
    np.fill_diagonal(keys, np.inf)
    return np.argsort(keys, axis=1)[:, :-1]
