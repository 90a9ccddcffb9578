"""Strategies that bend the languages' gradients before they become one step: PCGrad and Gradient Vaccine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.seeds import derive
from benchmark.training.batches import Batch, concatenate
from benchmark.training.contributions import Contributions, Part
from benchmark.training.model import blocks
from benchmark.training.strategy import Loss, Start, Strategy
from benchmark.training.vaccine import vaccinate
from tasks.languages import Language

Granularity = Literal["model", "layer", "matrix"]


class Surgery(Strategy):
    """Corrects the gradient of each language of a step by those of the others, block by block.

    What a language contributes is its examples' share of the mean loss, so that without a correction the step
    is that of ``plain``. The step uses the sum of the corrected gradients.
    """

    beta: float

    def __init__(self, granularity: Granularity = "layer", embeddings: bool = True) -> None:
        self.granularity = granularity
        self.embeddings = embeddings

    def begin(self, start: Start) -> None:
        self.codes = sorted(language.code for language in start.languages)
        self.seed, self.step = start.seed, 0
        by_block = blocks(start.model)
        if not self.embeddings:
            by_block.pop("embeddings", None)
        self.contributions = Contributions(start.model, by_block)
        n = len(self.codes)
        groups = [group for block, names in by_block.items() for group in self._groups(block, names)]
        self.targets = {group: np.zeros((n, n)) for group in dict.fromkeys(groups)}

    def backward(self, model: nn.Module, batches: Mapping[Language, Batch], loss: Loss) -> Tensor:
        order = sorted(batches, key=lambda language: language.code)
        parts = [batches[language] for language in order]
        whole = concatenate(parts)
        present = np.array([self.codes.index(language.code) for language in order])
        # The order of the others is drawn for all languages, so that who else takes part changes nothing.
        drawn = np.random.default_rng(derive(self.seed, "surgery", str(self.step))).random([len(self.codes)] * 2)
        self.step += 1
        kept: dict[str, Part] = {}

        def ready(block: str, found: Mapping[str, Part]) -> None:
            if self.granularity == "model":
                kept.update(found)
                return
            self._leave(list(found) if self.granularity == "matrix" else [block], found, present, drawn)

        value = self.contributions.backward(parts, whole, lambda: loss(model, whole), ready)
        if kept:
            self._leave(["model"], kept, present, drawn)
        return value

    def _groups(self, block: str, names: Sequence[str]) -> list[str]:
        """Which parameters are corrected together."""
        return list(names) if self.granularity == "matrix" else [block if self.granularity == "layer" else "model"]

    def _leave(
        self, groups: list[str], found: Mapping[str, Part], present: NDArray[np.int64], drawn: NDArray[np.float64]
    ) -> None:
        parts = [[found[group]] for group in groups] if self.granularity == "matrix" else [list(found.values())]
        grams = np.stack([_gram(of) for of in parts])
        square = np.ix_(present, present)
        targets = np.stack([self.targets[group][square] for group in groups])
        weights = vaccinate(grams, targets, self.beta, _orders(drawn[square]))
        for group, target in zip(groups, targets, strict=True):
            self.targets[group][square] = target
        for of, weight in zip(parts, weights, strict=True):
            for part in of:
                part.leave(torch.as_tensor(weight, dtype=torch.float32, device=part.values.device))

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step, "targets": self.targets}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step, self.targets = state["step"], state["targets"]


def _gram(parts: Sequence[Part]) -> NDArray[np.float64]:
    """Inner products over all parameters of a group, ``[languages, languages]``."""
    total = torch.zeros(len(parts[0].values), len(parts[0].values), device=parts[0].values.device)
    for part in parts:
        flat = part.values.flatten(1)
        total += flat @ flat.T
    return total.double().cpu().numpy()


def _orders(drawn: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each language the others, ``[n, n - 1]``, by drawn numbers."""
    keys = drawn.copy()
    np.fill_diagonal(keys, np.inf)
    return np.argsort(keys, axis=1)[:, :-1]
