"""A batch whose rows pass through weights of their language's own: the model's, some gradient steps further.

A step of size η on a linear map takes Σ η g_s x_sᵀ away from its weight, x_s being its inputs and g_s the
gradients of its outputs; so the shifted map sends x to W x − Σ η (x_s·x) g_s. Shifted weights are never made and
the model's are never touched, and all languages go through the model at once. What a step leaves is inputs and
gradients of every map, as many rows for each language as that which has most: the activations of a pass or two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.training.batches import Batch


@dataclass(frozen=True)
class _Slots:
    """Where rows lie when each language has ``height`` places of its own, in the order of all languages."""

    places: Tensor
    languages: int
    height: int

    @classmethod
    def of(cls, sizes: Sequence[int], device: torch.device) -> _Slots:
        """For rows that lie language by language, so many of each."""
        height = max(sizes)
        places = [language * height + row for language, size in enumerate(sizes) for row in range(size)]
        return cls(torch.tensor(places, device=device), len(sizes), height)

    def lay(self, rows: Tensor) -> Tensor:
        """``[rows, …]`` as ``[languages, height, …]``, zero where there is none."""
        laid = rows.new_zeros(self.languages * self.height, *rows.shape[1:])
        return laid.index_copy(0, self.places, rows).view(self.languages, self.height, *rows.shape[1:])

    def take(self, laid: Tensor) -> Tensor:
        """The rows back from ``[languages, height, …]``."""
        return laid.flatten(0, 1).index_select(0, self.places)


@dataclass(frozen=True)
class _Use:
    """One use of a module in a pass: its input and output, and where their rows belong."""

    module: nn.Module
    seen: Tensor
    output: Tensor
    slots: _Slots


Shift = tuple[Tensor, Tensor]


class FastWeights:
    """Hooks that shift the weights of each language's rows; they sleep but in ``run``.

    Raises:
        ValueError: trained parameters held by a module of a kind whose step is not known here.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        modules = []
        for name, module in model.named_modules():
            if any(parameter.requires_grad for parameter in module.parameters(recurse=False)):
                if not isinstance(module, (nn.Linear, nn.Embedding, nn.LayerNorm)):
                    found = f"{name or 'the model'} ({type(module).__name__})"
                    raise ValueError(f"linear maps, embeddings and layer norms can be adapted, found {found}")
                modules.append(module)
        self._on = self._keep = False
        self.forget()
        self.hooks = [module.register_forward_hook(self._hook) for module in modules]

    def remove(self) -> None:
        """Take the hooks off the model."""
        for hook in self.hooks:
            hook.remove()
        self.forget()

    def forget(self) -> None:
        """Back to the model's own weights."""
        # By module. Of a layer norm: by how much weight and bias are shifted, each [languages, width]. Of the
        # others: what was seen, and what the outputs for it are to be moved by, each [languages, seen, …].
        self.shifts: dict[nn.Module, Shift] = {}
        self.uses: list[_Use] = []

    def run(self, whole: Batch, parts: Sequence[Batch | None], keep: bool = False) -> list[Tensor]:
        """Logits of each of ``parts``, which together are ``whole``; ``None`` for a language that has no rows.

        The languages are the same, in the same order, from one ``forget`` to the next. ``keep``: what the next
        step is made from.
        """
        device = whole.ids.device
        terms = [0 if part is None else len(part.labels) for part in parts]
        self._rows = _Slots.of([0 if part is None else len(part) for part in parts], device)
        self._terms = _Slots.of(terms, device)
        self._on, self._keep, self.uses = True, keep, []
        try:
            logits = self.model(whole)
        finally:
            self._on = self._keep = False
        return list(logits.split(terms))

    def step(self, value: Tensor, sizes: Sequence[float], of: Sequence[Tensor] = ()) -> tuple[Tensor | None, ...]:
        """Shift each language's weights by so much against the gradient of ``value``; the gradients ``of`` others.

        ``value`` comes from a ``run`` that was to ``keep`` what this takes.
        """
        uses, self.uses = self.uses, []
        grads = torch.autograd.grad(value, [*(use.output for use in uses), *of], allow_unused=True)
        by = -torch.tensor(sizes, device=value.device, dtype=value.dtype)
        with torch.no_grad():
            for use, grad in zip(uses, grads, strict=False):
                if grad is not None:
                    new = _shift(use, grad, by)
                    old = self.shifts.get(use.module)
                    self.shifts[use.module] = new if old is None else _together(use.module, old, new)
        return grads[len(uses) :]

    def _hook(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if not self._on:
            return None
        (seen,) = inputs
        size = len(self._rows.places)
        if isinstance(module, nn.Embedding) and len(output) != size:
            # Positions are looked up once for all rows: each language needs them for itself.
            seen, output = seen.expand(size, -1), output.expand(size, *output.shape[1:])
        slots = self._rows if len(output) == size and output.ndim > 2 else self._terms
        if module in self.shifts:
            output = output + _added(module, seen, slots, self.shifts[module]).to(output.dtype)
        if self._keep:
            self.uses.append(_Use(module, seen.detach(), output, slots))
        return output


def _shift(use: _Use, grad: Tensor, by: Tensor) -> Shift:
    """What a step leaves of one use of a module."""
    moved = use.slots.lay(grad).flatten(1, -2) * by.to(grad.dtype)[:, None, None]
    if isinstance(use.module, nn.LayerNorm):
        normal = use.slots.lay(_normal(use.module, use.seen)).flatten(1, -2)
        return (normal * moved).sum(1), moved.sum(1)
    if isinstance(use.module, nn.Embedding):
        seen = use.slots.lay(use.seen).flatten(1)
        if use.module.padding_idx is not None:
            moved = moved * (seen != use.module.padding_idx).unsqueeze(-1)  # not trained
        return seen, moved
    return use.slots.lay(use.seen).flatten(1, -2), moved


def _together(module: nn.Module, one: Shift, other: Shift) -> Shift:
    if isinstance(module, nn.LayerNorm):
        return one[0] + other[0], one[1] + other[1]
    return torch.cat([one[0], other[0]], dim=1), torch.cat([one[1], other[1]], dim=1)


def _added(module: Any, x: Tensor, slots: _Slots, shift: Shift) -> Tensor:
    """What the shift of a module's weights adds to its output for ``x``."""
    seen, moved = shift
    laid = slots.lay(_normal(module, x) if isinstance(module, nn.LayerNorm) else x)
    if isinstance(module, nn.Embedding):
        found = (laid.flatten(1).unsqueeze(-1) == seen.unsqueeze(1)).to(moved.dtype) @ moved
        return slots.take(found.view(*laid.shape, -1))
    flat = laid.flatten(1, -2)
    found = flat.new_zeros(*flat.shape[:2], moved.shape[-1])
    is_norm = isinstance(module, nn.LayerNorm)
    if module.weight.requires_grad:
        found = flat * seen.unsqueeze(1) if is_norm else flat @ seen.transpose(1, 2) @ moved
    if module.bias is not None and module.bias.requires_grad:
        found = found + (moved.unsqueeze(1) if is_norm else moved.sum(1, keepdim=True))
    return slots.take(found.view(*laid.shape[:-1], -1))


def _normal(module: nn.LayerNorm, x: Tensor) -> Tensor:
    return nn.functional.layer_norm(x, module.normalized_shape, eps=module.eps)
