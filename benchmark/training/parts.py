"""One parameter's gradients by language: their inner products, and any weighted sum of them.

Either the languages' gradients stand side by side (``Sums``), or, of a linear map and few tokens, they are never
formed. With x the inputs of the map and g the gradients of its outputs, token by token,

    ⟨Σ_s g_s x_s', Σ_t g_t x_t'⟩ = Σ_s Σ_t ⟨g_s, g_t⟩ ⟨x_s, x_t⟩,

and a weighted sum of the languages' gradients is one product of matrices, as the sum over the batch is: ``Pairs``.
A language may be anything that has rows of a batch to itself, down to a single example.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

PAIRS = 64  # numbers of a kernel of tokens that take as long as one of the languages' gradients, about


@dataclass
class Tokens:
    """A module's input and the gradient of its output, by token, ``[tokens, …]``.

    A token is a place in a row, or a label. ``lengths``: how many are of each language, one language after the
    other. ``owners``: whose each token is. ``sums`` is ``[languages, tokens]``, 1 where a token is of a language.
    """

    seen: Tensor
    grads: Tensor
    lengths: list[int]
    owners: Tensor
    sums: Tensor

    def split(self, by_token: Tensor) -> tuple[Tensor, ...]:
        """What is of each language."""
        return torch.split(by_token, self.lengths)


class Part(ABC):
    """The languages' gradients of one parameter."""

    parameter: nn.Parameter

    @property
    @abstractmethod
    def bytes(self) -> int:
        """What it holds on to."""

    @abstractmethod
    def gram(self) -> Tensor:
        """Inner products, ``[languages, languages]``."""

    @abstractmethod
    def squares(self) -> Tensor:
        """The mean square of each filter, a row of the parameter, summed over the languages, ``[rows]``."""

    @abstractmethod
    def leave(self, weights: Tensor) -> None:
        """Leave their weighted sum in ``.grad``."""


@dataclass
class Sums(Part):
    """``values`` is ``[languages, …]``; of a table ``[languages, rows, width]``, of ``rows`` looked up alone."""

    parameter: nn.Parameter
    values: Tensor
    rows: Tensor | None = None

    @property
    def bytes(self) -> int:
        return self.values.nbytes

    def gram(self) -> Tensor:
        flat = self.values.flatten(1)
        return flat @ flat.T

    def squares(self) -> Tensor:
        found = self.values.square().sum(0)
        found = found.mean(1) if found.ndim > 1 else found
        if self.rows is None:
            return found
        return torch.zeros(len(self.parameter), device=found.device).index_add_(0, self.rows, found)

    def leave(self, weights: Tensor) -> None:
        total = (weights @ self.values.flatten(1)).to(self.parameter.dtype)
        if self.rows is None:
            self.parameter.grad = total.view_as(self.parameter)
        else:
            self.parameter.grad = torch.zeros_like(self.parameter)
            self.parameter.grad[self.rows] = total.view(len(self.rows), -1)


@dataclass
class Pairs(Part):
    """The weight of a linear map, of which only the tokens are kept."""

    parameter: nn.Parameter
    tokens: Tokens

    @property
    def bytes(self) -> int:
        return self.tokens.seen.nbytes + self.tokens.grads.nbytes

    def gram(self) -> Tensor:
        kernel = self.tokens.seen @ self.tokens.seen.T
        kernel *= self.tokens.grads @ self.tokens.grads.T
        return self.tokens.sums @ kernel @ self.tokens.sums.T

    def squares(self) -> Tensor:
        found = torch.zeros(len(self.parameter), device=self.parameter.device)
        for seen, grads in zip(*map(self.tokens.split, (self.tokens.seen, self.tokens.grads)), strict=True):
            found += ((seen @ seen.T @ grads) * grads).sum(0)
        return found.clamp(min=0) / self.tokens.seen.shape[1]

    def leave(self, weights: Tensor) -> None:
        grads = self.tokens.grads * (weights @ self.tokens.sums)[:, None]
        self.parameter.grad = (grads.T @ self.tokens.seen).to(self.parameter.dtype)


def part(parameter: nn.Parameter, module: nn.Module, uses: Sequence[Tokens]) -> Part:
    """The gradients of a parameter from all uses of the module that holds it."""
    if isinstance(module, nn.Embedding):
        return _of_table(parameter, module, uses)
    if isinstance(module, nn.Linear) and parameter is module.weight:
        languages, tokens = len(uses[0].lengths), sum(uses[0].lengths)
        if len(uses) == 1 and tokens**2 * sum(parameter.shape) <= PAIRS * languages * parameter.numel():
            return Pairs(parameter, uses[0])
        return _of_map(parameter, uses)
    if isinstance(module, nn.LayerNorm) and parameter is module.weight:
        shape, eps = module.normalized_shape, module.eps
        values = [one.sums @ (one.grads * nn.functional.layer_norm(one.seen, shape, eps=eps)) for one in uses]
    else:
        values = [one.sums @ one.grads for one in uses]
    return Sums(parameter, sum(values[1:], values[0]))


def _of_map(parameter: nn.Parameter, uses: Sequence[Tokens]) -> Sums:
    """The weight of a linear map: sums of outer products."""
    values = torch.empty(len(uses[0].lengths), *parameter.shape, device=parameter.device)
    for place, one in enumerate(uses):
        by_language = zip(values, one.split(one.grads), one.split(one.seen), strict=True)
        for total, grads, seen in by_language:
            torch.addmm(total, grads.T, seen, beta=1 if place else 0, out=total)
    return Sums(parameter, values)


def _of_table(parameter: nn.Parameter, module: nn.Embedding, uses: Sequence[Tokens]) -> Sums:
    rows, places = torch.unique(torch.cat([one.seen for one in uses]), return_inverse=True)
    values = torch.zeros(len(uses[0].lengths), len(rows), parameter.shape[1], device=parameter.device)
    for one, at in zip(uses, torch.split(places, [len(one.seen) for one in uses]), strict=True):
        values.view(-1, parameter.shape[1]).index_add_(0, one.owners * len(rows) + at, one.grads)
    if module.padding_idx is not None:
        values[:, rows == module.padding_idx] = 0.0  # not trained
    return Sums(parameter, values, rows)
