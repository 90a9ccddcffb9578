"""What each language's examples contribute to the gradient of a batch's loss, from one backward pass.

A weight's gradient is a sum over the rows of a batch: of a linear map, of outer products of its input and the
gradient of its output. One backward pass through the activations gives both for all rows, and the sums are then
taken language by language, for the price of the one sum that they replace (Goodfellow 2015; Li et al. 2022).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.training.batches import Batch


@dataclass
class _Use:
    """One use of a module in a forward pass: its input and the gradient of its output."""

    module: nn.Module
    seen: Tensor
    grad: Tensor


@dataclass
class Part:
    """The languages' gradients of one parameter, ``[languages, …]``; of a table, of its ``rows`` alone."""

    parameter: nn.Parameter
    values: Tensor
    rows: Tensor | None = None

    def leave(self, weights: Tensor) -> None:
        """Leave their weighted sum in ``.grad``."""
        total = torch.tensordot(weights, self.values, dims=1)
        if self.rows is not None:
            dense = torch.zeros_like(self.parameter)
            dense[self.rows] = total.to(dense.dtype)
            self.parameter.grad = dense
        else:
            self.parameter.grad = total.to(self.parameter.dtype)


Ready = Callable[[str, Mapping[str, Part]], None]


class Contributions:
    """Takes a model's gradients language by language, a block of parameters at a time.

    Hooks stay until ``remove``, and sleep between uses.

    Raises:
        ValueError: parameters held by a module of a kind whose gradient is not known here.
    """

    def __init__(self, model: nn.Module, blocks: Mapping[str, Sequence[str]]) -> None:
        parameters = dict(model.named_parameters())
        self.blocks = {block: {name: parameters[name] for name in names} for block, names in blocks.items()}
        wanted = {parameter for of in self.blocks.values() for parameter in of.values()}
        self.owners: dict[nn.Parameter, nn.Module] = {}
        for name, module in model.named_modules():
            own = [p for p in module.parameters(recurse=False) if p in wanted]
            if own and not isinstance(module, (nn.Linear, nn.Embedding, nn.LayerNorm)):
                found = f"{name or 'the model'} ({type(module).__name__})"
                raise ValueError(f"linear maps, embeddings and layer norms are known here, found {found}")
            self.owners |= dict.fromkeys(own, module)
        self.places = {self.owners[p]: block for block, of in self.blocks.items() for p in of.values()}
        self.uses: dict[str, list[_Use]] = {}
        self.due: Counter[str] = Counter()  # uses of a block whose gradient has not come yet
        self.segments: list[tuple[int, int]] = []
        self.terms: list[tuple[int, int]] = []
        self.size = 0
        self.ready: Ready | None = None
        self.hooks = [module.register_forward_hook(self._see) for module in self.places]

    def remove(self) -> None:
        """Take the hooks off the model."""
        for hook in self.hooks:
            hook.remove()

    def backward(self, batches: Sequence[Batch], whole: Batch, loss: Callable[[], Tensor], ready: Ready) -> Tensor:
        """The loss of ``whole``, which is ``batches`` put together, detached.

        ``ready`` is given each block's gradients as soon as they are there; what it does not keep is freed.
        """
        self.uses, self.due, self.size = {}, Counter(), len(whole)
        self.segments, self.terms = (
            _cuts([len(one) for one in batches]),
            _cuts([len(one.labels) for one in batches]),
        )
        for parameter in self.owners:
            parameter.requires_grad_(False)  # their sums over the whole batch would be for nothing
        self.ready = ready
        try:
            value = loss()
            value.backward()  # type: ignore[no-untyped-call]
        finally:
            self.ready = None
            self.uses = {}
            for parameter in self.owners:
                parameter.requires_grad_(True)
        return value.detach()

    def _part(self, block: str, parameter: nn.Parameter) -> Part:
        """The languages' gradients of a parameter, in float32."""
        module = self.owners[parameter]
        uses = [use for use in self.uses[block] if use.module is module]
        if isinstance(module, nn.Embedding):
            return self._of_table(parameter, module, uses)
        total = torch.zeros(len(self.segments), *parameter.shape, device=parameter.device)
        for use in uses:
            grads = use.grad.float()
            if isinstance(module, nn.LayerNorm) and parameter is module.weight:
                seen = use.seen.float()
                normal = nn.functional.layer_norm(seen, module.normalized_shape, eps=module.eps)
                grads = grads * normal
            cuts = self._cuts_of(grads)
            outer = isinstance(module, nn.Linear) and parameter is module.weight
            for place, (start, end) in enumerate(cuts):
                mine = grads[start:end].flatten(0, -2)
                total[place] += mine.T @ use.seen[start:end].float().flatten(0, -2) if outer else mine.sum(0)
        return Part(parameter, total)

    def _of_table(self, parameter: nn.Parameter, module: nn.Embedding, uses: Sequence[_Use]) -> Part:
        rows, inverse = torch.unique(torch.cat([use.seen.flatten() for use in uses]), return_inverse=True)
        total = torch.zeros(len(self.segments), len(rows), parameter.shape[1], device=parameter.device)
        done = 0
        for use in uses:
            places = inverse[done : done + use.seen.numel()].view(use.seen.shape)
            done += use.seen.numel()
            for language, (start, end) in enumerate(self._cuts_of(use.grad)):
                total[language].index_add_(
                    0, places[start:end].flatten(), use.grad[start:end].float().flatten(0, -2)
                )
        if module.padding_idx is not None:
            total[:, rows == module.padding_idx] = 0.0  # not trained
        return Part(parameter, total, rows)

    def _cuts_of(self, grads: Tensor) -> list[tuple[int, int]]:
        """Which part of a tensor is whose: along the rows of the batch, or along its labels."""
        return self.segments if len(grads) == self.size and grads.ndim > 2 else self.terms

    def _see(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if self.ready is None or not torch.is_grad_enabled():
            return None
        seen = inputs[0].detach()
        if isinstance(module, nn.Embedding):
            # Positions are looked up once for all rows: each row needs a gradient of its own.
            if len(output) != self.size:
                seen, output = seen.expand(self.size, -1), output.expand(self.size, *output.shape[1:])
            output = output.detach().requires_grad_()
        self.due[self.places[module]] += 1
        output.register_hook(lambda grad: self._arrived(module, seen, grad))  # type: ignore[no-untyped-call]
        return output

    def _arrived(self, module: nn.Module, seen: Tensor, grad: Tensor) -> None:
        block = self.places[module]
        self.uses.setdefault(block, []).append(_Use(module, seen, grad))
        self.due[block] -= 1
        if not self.due[block]:
            assert self.ready is not None
            self.ready(block, {name: self._part(block, p) for name, p in self.blocks[block].items()})
            del self.uses[block]


def _cuts(lengths: Sequence[int]) -> list[tuple[int, int]]:
    ends = [sum(lengths[: place + 1]) for place in range(len(lengths))]
    return list(zip([0, *ends[:-1]], ends, strict=True))
