"""The training loop: AdamW, linear warm-up and decay, clipping, early stopping on dev."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.jobs import Hyper
from benchmark.seeds import derive
from benchmark.training.batches import Mixture
from benchmark.training.checkpoint import Checkpoints, Live, Probe
from benchmark.training.microbatches import Backward
from benchmark.training.model import cross_entropy
from benchmark.training.strategy import Masks, Start, Strategy


class TrainingFailed(RuntimeError):  # noqa: N818 - reads as a sentence where it is caught
    """A training that diverged."""


@dataclass
class History:
    """What happened: steps made, seconds without probes, mean loss and dev score per epoch.

    ``strategy``: what that has to say. ``micro_batch``: examples at a time, where the device had no room for all
    of a step.
    """

    steps: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    dev: list[float] = field(default_factory=list)
    strategy: dict[str, Any] = field(default_factory=dict)
    micro_batch: int | None = None


@dataclass
class Stand:
    """How far a training is, beside what moves in it: ``sum`` of this epoch's losses, epochs ``waited`` for a
    better dev score, weights and strategy of the ``best`` one, examples at a time."""

    sum: Tensor
    rows: int
    step: int = 0
    epoch: int = 0
    waited: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    dev: list[float] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)


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
    checkpoints: Checkpoints | None = None,
    report: Callable[[float], None] = lambda done: None,
) -> History:
    """Fit ``model`` in place. With patience, the weights of the best epoch on dev are restored.

    ``masks``: the subnetworks that the strategy starts from, where it needs them. ``checkpoints``: where those of
    this training are kept; it goes on from the last.

    Raises:
        TrainingFailed: the loss, or at the end a weight, is no longer finite.
        Unfit: the checkpoint could not be loaded; it is dropped, and the model must be made anew.
        torch.OutOfMemoryError: there is no room for a single example, or the strategy needs whole batches.
    """
    begun = time.perf_counter()
    per_epoch = mixture.steps(hyper.batch_size)
    total = per_epoch * hyper.epochs
    looks = [(probe, probe.steps(total)) for probe in probes]
    adam = optimiser(model, hyper, device)
    parameters = [parameter for group in adam.param_groups for parameter in group["params"]]
    live = Live(model, adam, strategy, probes, device)
    at = Stand(torch.zeros((), device=device), hyper.batch_size)

    def seconds() -> float:
        return at.seconds + time.perf_counter() - begun - sum(probe.seconds for probe in probes)

    def finite() -> None:
        if not math.isfinite(found := at.sum.item()):
            raise TrainingFailed(f"the loss is {found} at step {at.step} of {total} (lr {hyper.lr:g})")

    try:
        strategy.begin(Start(model, mixture.languages, seed, total, hyper.lr, masks or {}))
        torch.manual_seed(derive(seed, "dropout"))
        if checkpoints is not None and (known := checkpoints.load(live)):
            at = Stand(**{**known, "sum": known["sum"].to(device)})
            at.seconds += sum(probe.seconds for probe in probes)
            report(at.step / total)
        backward = Backward(model, strategy, cross_entropy, at.rows, device)
        for epoch in range(at.epoch, hyper.epochs):
            model.train()
            done = at.step - epoch * per_epoch
            for batches in mixture.epoch(hyper.batch_size, derive(seed, "order", str(epoch)), done):
                lr = learning_rate(at.step, total, hyper)
                for probe, wanted in looks:
                    if at.step in wanted:
                        probe.look(model, at.step, lr)
                for group in adam.param_groups:
                    group["lr"] = lr
                with autocast(device, hyper.precision):
                    at.sum += backward({language: batch.to(device) for language, batch in batches.items()})
                at.step += 1
                due = checkpoints is not None and checkpoints.due()
                if due or device.type == "cpu":  # elsewhere looking is waiting for the device
                    finite()
                nn.utils.clip_grad_norm_(parameters, hyper.clip)
                adam.step()
                adam.zero_grad(set_to_none=True)
                strategy.end_step(at.step - 1)
                at.rows = backward.rows
                if due and checkpoints is not None:
                    checkpoints.save({**vars(at), "seconds": seconds()}, live)
                if at.step % 10 == 0:
                    report(at.step / total)
            finite()
            at.losses.append(at.sum.item() / per_epoch)
            at.sum, at.epoch = torch.zeros_like(at.sum), epoch + 1
            if dev_score is not None:
                at.dev.append(dev_score())
                at.waited += 1
                if at.dev[-1] > max(at.dev[:-1], default=-math.inf):
                    at.waited = 0
                    weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
                    # Its masks belong to these weights.
                    at.best = {"model": weights, "strategy": copy.deepcopy(strategy.state_dict())}
                if at.waited >= hyper.patience:
                    break
        if at.best:
            model.load_state_dict(at.best["model"])
            strategy.load_state_dict(at.best["strategy"])
        if not all(bool(parameter.isfinite().all()) for parameter in parameters):
            raise TrainingFailed(f"a weight is not finite after {at.step} steps (lr {hyper.lr:g})")
        told = strategy.record()
    finally:
        strategy.end()
    return History(at.step, seconds(), at.losses, at.dev, told, at.rows if at.rows < hyper.batch_size else None)
