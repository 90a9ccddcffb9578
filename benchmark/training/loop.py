"""The training loop: AdamW, linear warm-up and decay, clipping, early stopping on dev."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from benchmark.jobs import Hyper
from benchmark.seeds import derive
from benchmark.training.batches import Mixture
from benchmark.training.model import cross_entropy
from benchmark.training.strategy import Masks, Start, Strategy


class TrainingFailed(RuntimeError):  # noqa: N818 - reads as a sentence where it is caught
    """A training that diverged."""


class Probe(Protocol):
    """Looks at a model along its training; touches neither its RNG nor its mode nor ``.grad``."""

    seconds: float

    def steps(self, total: int) -> frozenset[int]:
        """The steps before which it wants to look, of ``total``."""

    def look(self, model: nn.Module, step: int, lr: float) -> None: ...


@dataclass
class History:
    """What happened: steps made, seconds without probes, mean loss and dev score per epoch.

    ``strategy``: what that has to say.
    """

    steps: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    dev: list[float] = field(default_factory=list)
    strategy: dict[str, Any] = field(default_factory=dict)


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """bf16 mixed precision, or nothing: weights and optimiser stay float32."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def optimiser(model: nn.Module, hyper: Hyper, device: torch.device) -> torch.optim.Optimizer:
    """AdamW without decay on vectors (biases, norms)."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": hyper.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=hyper.lr, fused=device.type in ("cpu", "cuda"))


def learning_rate(step: int, total: int, hyper: Hyper) -> float:
    """Linear from 0 over the warm-up share of the steps, then linear to 0."""
    warmup = max(1, round(hyper.warmup * total))
    if step < warmup:
        return hyper.lr * (step + 1) / warmup
    return hyper.lr * max(0.0, (total - step) / max(1, total - warmup))


def train(
    model: nn.Module,
    mixture: Mixture,
    hyper: Hyper,
    strategy: Strategy,
    seed: int,
    device: torch.device,
    *,
    probes: Sequence[Probe] = (),
    dev_score: Callable[[], float] | None = None,
    masks: Masks | None = None,
    report: Callable[[float], None] = lambda done: None,
) -> History:
    """Fit ``model`` in place. With patience, the weights of the best epoch on dev are restored.

    ``masks``: the subnetworks that the strategy starts from, where it needs them.

    Raises:
        TrainingFailed: the loss is no longer finite.
    """
    history = History()
    begun = time.perf_counter()
    total = mixture.steps(hyper.batch_size) * hyper.epochs
    looks = [(probe, probe.steps(total)) for probe in probes]
    adam = optimiser(model, hyper, device)
    parameters = [parameter for group in adam.param_groups for parameter in group["params"]]
    try:
        strategy.begin(Start(model, mixture.languages, seed, total, hyper.lr, masks or {}))
        torch.manual_seed(derive(seed, "dropout"))
        best: dict[str, torch.Tensor] = {}
        of_best: dict[str, Any] = {}
        step, waited = 0, 0
        for epoch in range(hyper.epochs):
            model.train()
            sum_of_losses = torch.zeros((), device=device)
            for batches in mixture.epoch(hyper.batch_size, derive(seed, "order", str(epoch))):
                lr = learning_rate(step, total, hyper)
                for probe, wanted in looks:
                    if step in wanted:
                        probe.look(model, step, lr)
                for group in adam.param_groups:
                    group["lr"] = lr
                with autocast(device, hyper.precision):
                    loss = strategy.backward(
                        model, {language: batch.to(device) for language, batch in batches.items()}, cross_entropy
                    )
                nn.utils.clip_grad_norm_(parameters, hyper.clip)
                adam.step()
                adam.zero_grad(set_to_none=True)
                strategy.end_step(step)
                sum_of_losses += loss
                step += 1
                if step % 10 == 0:
                    report(step / total)
            history.losses.append(sum_of_losses.item() / mixture.steps(hyper.batch_size))
            if not math.isfinite(history.losses[-1]):
                raise TrainingFailed(f"the loss is {history.losses[-1]} after epoch {epoch + 1} (lr {hyper.lr:g})")
            if dev_score is not None:
                history.dev.append(dev_score())
                waited += 1
                if history.dev[-1] > max(history.dev[:-1], default=-math.inf):
                    waited = 0
                    best = {name: value.detach().clone() for name, value in model.state_dict().items()}
                    of_best = copy.deepcopy(strategy.state_dict())  # its masks belong to these weights
                if waited >= hyper.patience:
                    break
        if best:
            model.load_state_dict(best)
            strategy.load_state_dict(of_best)
        history.strategy = strategy.record()
    finally:
        strategy.end()
    history.steps = step
    history.seconds = time.perf_counter() - begun - sum(probe.seconds for probe in probes)
    return history
