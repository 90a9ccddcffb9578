"""Trainings of a few steps on a made-up model and made-up data, in which a strategy is tried and watched."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.findings import line
from benchmark.seeds import derive
from benchmark.training import made_up
from benchmark.training.batches import Batch
from benchmark.training.checkpoint_codec import decode, encode
from benchmark.training.loop import autocast
from benchmark.training.made_up import EACH, LANGUAGES, SEED, batches, masks, model
from benchmark.training.microbatches import Backward
from benchmark.training.model import cross_entropy
from benchmark.training.strategy import Start, Strategy
from tasks.languages import Language

LR = 0.05
CPU = torch.device("cpu")

State = dict[str, Any]
Grads = Mapping[str, Tensor | None]


class Crash(RuntimeError):  # noqa: N818 - reads as a sentence where it is caught
    """A training that was made to fail."""


@dataclass
class Seen:
    """What there was to see of a training. ``error``: what it failed with; ``where``: in which call.

    By step: what ``backward`` returned, and the gradients it left, by parameter. ``drew``: the global generators
    that moved in a step without dropout. ``touched``: what of the model was changed that is not a strategy's.
    """

    strategy: Strategy
    model: nn.Module
    where: str = ""
    error: Exception | None = None
    losses: list[Any] = field(default_factory=list)
    grads: list[dict[str, Tensor | None]] = field(default_factory=list)
    masks: list[tuple[str, Any]] = field(default_factory=list)  # when, and which
    record: Any = None
    drew: list[str] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # of hooks, after the end
    random: bytes = b""  # torch's generator at the end
    saved: dict[int, State] = field(default_factory=dict)  # by steps made: what a checkpoint holds

    @property
    def weights(self) -> dict[str, bytes]:
        return {name: value.detach().numpy().tobytes() for name, value in self.model.state_dict().items()}


class _Kept:
    """What of a model is not a strategy's to change: modes, requires_grad, weights."""

    def __init__(self, made: nn.Module) -> None:
        self.modules, self.parameters = list(made.named_modules()), list(made.named_parameters())
        self.take()

    def take(self) -> None:
        """Keep the weights as they are."""
        self.weights = [parameter.detach().clone() for _, parameter in self.parameters]

    def changed(self) -> list[str]:
        """What is not as it was kept; modes and requires_grad are put right."""
        found = [f"the mode of {name or 'the model'}" for name, one in self.modules if not one.training]
        found += [f"requires_grad of {name}" for name, parameter in self.parameters if not parameter.requires_grad]
        for (name, parameter), before in zip(self.parameters, self.weights, strict=True):
            if not torch.equal(parameter, before):
                found.append(f"the value of {name}")
            parameter.requires_grad_(True)
        for _, module in self.modules if found else ():
            module.training = True
        return found


@dataclass(frozen=True)
class Course:
    """A training. ``steps``: which languages have rows in each; ``STEPS`` if not given.

    ``ordered``: the places of the languages as they are listed, of all that is handed over. ``noise``: the state
    of the global generators before it begins. ``dropout``: its seed; 0 for none. ``crash``: the step whose loss
    fails. ``masked``: whether the strategy gets the masks that it needs. ``save``: after so many steps what a
    checkpoint holds is kept. ``resume``: from one of these.
    """

    kind: str = "text"
    steps: Sequence[Sequence[int]] = ()
    ordered: Sequence[int] = (0, 1, 2, 3)
    noise: int = 1
    dropout: int = 1
    precision: str = "fp32"
    crash: int | None = None
    masked: bool = True
    save: tuple[int, ...] = ()
    resume: State | None = None

    def run(self, strategy: Strategy) -> Seen:
        """Train by a strategy that has not begun. Leaves the process's generators as they were."""
        made = model(bool(self.dropout))
        made.train()
        seen = Seen(strategy, made)
        with _generators(), _one_thread():
            _seed(self.noise)
            before = _hooks(made)
            try:
                self._train(seen)
            except Exception as error:  # a plugin's code, or the crash
                seen.error = error
            try:
                strategy.end()
            except Exception as error:
                seen.where, seen.error = "end()", error
            seen.left = [name for name, now in _hooks(made).items() if now != before.get(name)]
            seen.random = torch.get_rng_state().numpy().tobytes()
        return seen

    def _train(self, seen: Seen) -> None:
        strategy, made = seen.strategy, seen.model
        kept, steps = _Kept(made), self.steps or made_up.STEPS
        seen.where = "begin()"
        listed = [LANGUAGES[place] for place in self.ordered]
        needed = masks() if self.masked and strategy.needs() else {}
        strategy.begin(Start(made, listed, SEED, len(steps), LR, needed))
        seen.touched += [f"{name}, by begin()" for name in kept.changed()]
        seen.touched += [
            f"the gradient of {name}, by begin()" for name, p in kept.parameters if p.grad is not None
        ]
        made.zero_grad()
        first = 0
        if self.resume is not None:
            seen.where = "load_state_dict()"
            first = self.resume["step"]
            made.load_state_dict(self.resume["model"])
            strategy.load_state_dict(self.resume["strategy"])
            torch.set_rng_state(self.resume["random"])
        else:
            torch.manual_seed(derive(self.dropout, "dropout"))
            seen.where = "masks()"
            seen.masks.append(("before the first step", strategy.masks()))
        for step, present in list(enumerate(batches(self.kind, steps)))[first:]:
            codes = ", ".join(one.code for one in present)
            seen.where = f"backward() in step {step + 1} ({self.kind}: {codes})"
            self._step(seen, step, {one: present[one] for one in listed if one in present}, kept)
            seen.where = f"end_step({step})"
            strategy.end_step(step)
            seen.where = "masks()"
            seen.masks.append((f"after step {step + 1}", strategy.masks()))
            if step + 1 in self.save:
                seen.where = "state_dict()"
                seen.saved[step + 1] = self._saved(seen, step + 1)
        seen.where = "record()"
        seen.record = strategy.record()

    def _step(self, seen: Seen, step: int, present: Mapping[Language, Batch], kept: _Kept) -> None:
        def loss(model: nn.Module, batch: Batch) -> Tensor:
            value = cross_entropy(model, batch)
            if step == self.crash:
                raise Crash("made to fail")
            return value

        kept.take()
        before = {} if self.dropout else _states()
        try:
            with autocast(CPU, self.precision):
                seen.losses.append(seen.strategy.backward(seen.model, present, loss))
        finally:
            seen.touched += kept.changed()
            seen.drew += [name for name, state in before.items() if state != _states()[name]]
        seen.grads.append({name: None if p.grad is None else p.grad.clone() for name, p in kept.parameters})
        with torch.no_grad():
            for _, parameter in kept.parameters:
                if parameter.grad is not None:
                    parameter.sub_(LR * parameter.grad)
                parameter.grad = None

    def _saved(self, seen: Seen, step: int) -> State:
        weights = {name: value.clone() for name, value in seen.model.state_dict().items()}
        random_state = torch.get_rng_state()
        return {"step": step, "model": weights, "strategy": through_a_file(seen.strategy), "random": random_state}


def through_a_file(strategy: Strategy) -> Any:
    """The strategy's state as it comes back from a checkpoint.

    Raises:
        TypeError, ValueError: it cannot be kept in one.
    """
    form, tensors = encode(strategy.state_dict())
    return decode(json.loads(json.dumps(form)), {name: tensor.clone() for name, tensor in tensors.items()})


def _hooks(made: nn.Module) -> dict[str, Any]:
    """By place: what hangs on each module and parameter."""
    found: dict[str, Any] = {}
    for name, module in made.named_modules():
        for kind, value in vars(module).items():
            if "hooks" in kind and isinstance(value, Mapping):
                found[f"{kind.strip('_')} of {name or 'the model'}"] = len(value)
        found[f"the forward() or the class of {name or 'the model'}"] = (type(module), vars(module).get("forward"))
    for name, parameter in made.named_parameters():
        hung = (getattr(parameter, kind, None) for kind in ("_backward_hooks", "_post_accumulate_grad_hooks"))
        found[f"hooks of the parameter {name}"] = [len(one or ()) for one in hung]
    return found


def _states() -> dict[str, Any]:
    """Of the generators that a process has one of."""
    numbers: Any = np.random.get_state()
    return {
        "torch's": torch.get_rng_state().numpy().tobytes(),
        "numpy's": [*map(str, numbers[:1]), numbers[1].tobytes(), *numbers[2:]],
        "Python's": random.getstate(),
    }


def _seed(noise: int) -> None:
    torch.manual_seed(noise)
    np.random.seed(noise)
    random.seed(noise)


@contextmanager
def _generators() -> Iterator[None]:
    kept = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        np.random.set_state(kept[0])
        random.setstate(kept[1])


@contextmanager
def _one_thread() -> Iterator[None]:
    """As in jobs: the number of threads changes the last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def failure(seen: Seen) -> str | None:
    """Where a training failed and with what, in one line."""
    if seen.error is None:
        return None
    return f"{seen.where}: {line(seen.error)}"


def parted(strategy: Strategy, kind: str, rows: int, distance: Callable[[Grads, Grads], float]) -> float:
    """How far the gradient of a step that is made in parts is from that of the whole."""
    [whole] = batches(kind, made_up.STEPS[:1])
    found: list[Grads] = []
    for most in (len(LANGUAGES) * EACH, rows):
        made, one = model(dropout=False), copy.deepcopy(strategy)
        made.train()
        with _generators(), _one_thread():
            try:
                one.begin(Start(made, LANGUAGES, SEED, 1, LR, masks() if one.needs() else {}))
                Backward(made, one, cross_entropy, most, CPU)(whole)
            finally:
                one.end()
        found.append({name: parameter.grad for name, parameter in made.named_parameters()})
    return distance(*found)
