"""Meta-learning over languages as tasks: first-order MAML and Reptile."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from typing import Any, Literal

import torch
from torch import Tensor, nn

from benchmark.architectures import gated
from benchmark.training.batches import Batch, concatenate
from benchmark.training.fast_weights import FastWeights
from benchmark.training.strategy import Loss, Masks, Start, Strategy
from benchmark.training.subnets import SubnetDynamic, SubnetStatic, Subnetworks
from measures.needs import Reading
from tasks.languages import Language

POINTS, EACH = 20, 3  # of a training, at most, that the record tells of; steps that each is the mean of
Batches = dict[Language, Batch]


class Meta(Strategy):
    """Trains the model for what it becomes after a few steps on one language: first-order MAML, or Reptile.

    A step's batch holds few examples of many languages. Each language l is a task: its weights θ_l start from
    the model's θ and make plain gradient steps of size ``inner_lr`` on the batches of the language that came
    before, the last of them last, one batch a step; then

    - ``fomaml`` (Finn et al. 2017, first order): after ``inner_steps`` steps (by default 1) the gradient is
      Σ_l share_l ∇L_l(θ_l), at the present batch; without any step it is that of ``plain``;
    - ``reptile`` (Nichol et al. 2018): the present batch is the last of ``inner_steps`` steps (by default 2), and
      the gradient is Σ_l share_l (θ − θ_l) / (``inner_lr`` · steps); one step is ``plain``.

    share_l is the language's share of the step's mean loss. So each example counts as often as in ``plain``; a
    language makes fewer steps until it has been seen often enough. ``inner_lr`` is of plain gradient descent and
    has nothing to do with the optimiser's; the loss of the history is that after the inner steps.

    ``masks``: each language passes through its subnetwork of ``subnet-static`` or ``subnet-dynamic`` throughout
    (Choenni et al. 2022). The record has the loss on present batches before and after the inner steps.
    """

    name = "meta"

    def __init__(
        self,
        algorithm: Literal["fomaml", "reptile"] = "fomaml",
        inner_steps: int | None = None,
        inner_lr: float = 0.01,
        masks: Literal["none", "static", "dynamic"] = "none",
    ) -> None:
        self.algorithm = algorithm
        self.cost = 4.2 if algorithm == "reptile" else 3.2
        self.inner_steps = inner_steps
        self.inner_lr = inner_lr
        self.subnets: Subnetworks | None = None
        if masks != "none":
            self.subnets = SubnetStatic() if masks == "static" else SubnetDynamic()

    def needs(self) -> frozenset[Reading]:
        least = 1 if self.algorithm == "reptile" else 0
        if self.inner_steps is not None and self.inner_steps < least:
            raise ValueError(f"inner_steps of {self.algorithm} must be at least {least}, found {self.inner_steps}")
        if not (self.inner_lr > 0 and math.isfinite(self.inner_lr)):
            raise ValueError(f"inner_lr must be above 0 and finite, found {self.inner_lr:g}")
        return self.subnets.needs() if self.subnets else frozenset()

    def skip(self, config: Mapping[str, Any]) -> str | None:
        """Why a model with this ``config.json`` cannot be trained so; ``None`` if it can."""
        return gated(config) if self.subnets else None

    @property
    def remembered(self) -> int:
        """Batches of a language that its inner steps are made on before the present one."""
        if self.algorithm == "reptile":
            return 1 if self.inner_steps is None else self.inner_steps - 1
        return 1 if self.inner_steps is None else self.inner_steps

    def begin(self, start: Start) -> None:
        self._ends = ExitStack()
        self.steps, self.step = start.steps, 0
        self.memory: dict[str, list[Batch]] = {}
        self.losses: dict[int, dict[str, list[float]]] = {}  # point → language → terms, before, after
        config = getattr(getattr(start.model, "encoder", None), "config", None)
        self.pad = int(getattr(config, "pad_token_id", None) or 0)
        if self.subnets:
            self.subnets.begin(start)
            self._ends.callback(self.subnets.end)
        self.fast = FastWeights(start.model)
        self._ends.callback(self.fast.remove)

    def backward(self, model: nn.Module, batches: Mapping[Language, Batch], loss: Loss) -> Tensor:
        order = sorted(batches, key=lambda language: language.code)
        before = {
            language: [batch.to(batches[language].ids.device) for batch in self.memory.get(language.code, [])]
            for language in order
        }
        depth = max(map(len, before.values()))
        if depth == 0:
            with self._through(batches) as whole:
                value = loss(model, whole)
                value.backward()  # type: ignore[no-untyped-call]
        else:
            value = self._adapt(model, {language: batches[language] for language in order}, before, depth, loss)
        if self.remembered:
            for language, batch in batches.items():
                kept = [*self.memory.get(language.code, []), batch]
                self.memory[language.code] = kept[-self.remembered :]
        self.step += 1
        return value.detach()

    def _adapt(
        self, model: nn.Module, now: Batches, before: Mapping[Language, list[Batch]], depth: int, loss: Loss
    ) -> Tensor:
        total = sum(len(batch.labels) for batch in now.values())
        shares = {language: len(batch.labels) / total for language, batch in now.items()}
        weights, trained = shares, []
        if self.algorithm == "reptile":
            weights = {language: share / (len(before[language]) + 1) for language, share in shares.items()}
            trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        sizes = [self.inner_lr / weight for weight in weights.values()]
        self.fast.forget()
        for back in range(depth, 0, -1):
            then = _padded({language: of[-back] for language, of in before.items() if len(of) >= back}, self.pad)
            with self._through(then) as whole:
                value = _sum(self._losses(now, then, whole, loss, keep=True), weights)
                for parameter, grad in zip(trained, self.fast.step(value, sizes, trained), strict=True):
                    if grad is not None:
                        parameter.grad = grad if parameter.grad is None else parameter.grad + grad
        if self.step % max(1, self.steps // (POINTS * EACH)) == 0:
            self._look(model, now, before, loss)
        with self._through(now) as whole:
            losses = self._losses(now, now, whole, loss)
            _sum(losses, weights).backward()  # type: ignore[no-untyped-call]
        self.fast.forget()
        return _sum(losses, shares)

    @contextmanager
    def _through(self, batches: Mapping[Language, Batch]) -> Iterator[Batch]:
        """The batches as one, each language through its subnetwork if there are any."""
        if self.subnets:
            with self.subnets.through(batches) as whole:
                yield whole
        else:
            yield concatenate(list(batches.values()))

    def _losses(
        self, now: Batches, batches: Batches, whole: Batch, loss: Loss, keep: bool = False
    ) -> dict[Language, Tensor]:
        """The mean loss of each language that has rows, under its own weights."""
        logits = self.fast.run(whole, [batches.get(language) for language in now], keep)
        said = {language: _Said(one) for language, one in zip(now, logits, strict=True)}
        return {language: loss(said[language], batch) for language, batch in batches.items()}

    @torch.no_grad()
    def _look(self, model: nn.Module, now: Batches, before: Mapping[Language, list[Batch]], loss: Loss) -> None:
        """Note the losses before and after the inner steps, without dropout."""
        was_training = model.training
        model.eval()
        with self._through(now) as whole:
            after = self._losses(now, now, whole, loss)
            shifts, self.fast.shifts = self.fast.shifts, {}
            unadapted = self._losses(now, now, whole, loss)
            self.fast.shifts = shifts
        model.train(was_training)
        point = self.losses.setdefault(self.step * POINTS // self.steps, {})
        for language, batch in now.items():
            if before[language]:
                terms = len(batch.labels)
                each = [1.0, unadapted[language].item(), after[language].item()]
                sums = point.get(language.code, [0.0, 0.0, 0.0])
                point[language.code] = [sum_ + terms * one for sum_, one in zip(sums, each, strict=True)]

    def end_step(self, step: int) -> None:
        if self.subnets:
            self.subnets.end_step(step)

    def masks(self) -> Masks:
        return self.subnets.masks() if self.subnets else {}

    def record(self) -> dict[str, Any]:
        """``adaptation``: at so many ``steps``, by language, the loss ``before`` and ``after`` the inner steps."""
        points = sorted(self.losses)
        codes = sorted({code for of in self.losses.values() for code in of})

        def means(place: int) -> dict[str, list[float | None]]:
            rows = {code: [self.losses[point].get(code) for point in points] for code in codes}
            return {c: [round(row[place] / row[0], 5) if row else None for row in of] for c, of in rows.items()}

        steps = [round((point + 0.5) * self.steps / POINTS) for point in points]
        found = {"adaptation": {"steps": steps, "before": means(1), "after": means(2)}}
        return {**found, **self.subnets.record()} if self.subnets else found

    def end(self) -> None:
        self._ends.close()

    def state_dict(self) -> dict[str, Any]:
        def saved(batch: Batch) -> dict[str, Tensor | bool | None]:
            found = {field.name: getattr(batch, field.name) for field in fields(batch)}
            return {name: one.cpu().clone() if isinstance(one, Tensor) else one for name, one in found.items()}

        return {
            "step": self.step,
            "memory": {code: [saved(batch) for batch in kept] for code, kept in self.memory.items()},
            "losses": copy.deepcopy(self.losses),
            "subnets": self.subnets.state_dict() if self.subnets else {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.memory = {code: [Batch(**batch) for batch in kept] for code, kept in state["memory"].items()}
        self.losses = {int(point): copy.deepcopy(of) for point, of in state["losses"].items()}
        if self.subnets:
            self.subnets.load_state_dict(state["subnets"])


class _Said(nn.Module):
    """Stands for a model whose logits are known."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, batch: Batch) -> Tensor:
        return self.logits


def _sum(losses: Mapping[Language, Tensor], weights: Mapping[Language, float]) -> Tensor:
    return torch.stack([weights[language] * one for language, one in losses.items()]).sum()


def _padded(batches: Batches, pad: int) -> Batches:
    """Batches of different steps, all of one width."""
    width = max(batch.ids.shape[1] for batch in batches.values())
    return {language: _widened(batch, width, pad) for language, batch in batches.items()}


def _widened(batch: Batch, width: int, pad: int) -> Batch:
    """The batch, padded to a width."""
    old = batch.ids.shape[1]
    more = (0, width - old)
    places = batch.places
    if places is not None:
        places = places // old * width + places % old
    types = None if batch.types is None else nn.functional.pad(batch.types, more)
    ids = nn.functional.pad(batch.ids, more, value=pad)
    full = batch.full if width == old else False
    return Batch(ids, nn.functional.pad(batch.mask, more), batch.labels, types, places, full)
