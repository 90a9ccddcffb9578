"""What each language's examples contribute to the gradient of a batch's loss, from one backward pass.

A weight's gradient is a sum over the tokens of a batch: of a linear map, of outer products of its input and the
gradient of its output. One backward pass through the activations gives both for all tokens, and the sums are then
taken language by language, for about the price of the one sum that they replace (Goodfellow 2015; Li et al. 2022).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.training.batches import Batch
from benchmark.training.model import cross_entropy
from benchmark.training.parts import Part, Tokens, part

KNOWN = (nn.Linear, nn.Embedding, nn.LayerNorm)


@dataclass
class Gradients:
    """The languages' gradients of some parameters, by name."""

    parts: Mapping[str, Part]

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.parts.values())

    def gram(self) -> Tensor:
        """Inner products over all of the parameters, ``[languages, languages]``."""
        return torch.stack([one.gram() for one in self.parts.values()]).sum(0)

    def leave(self, weights: Tensor) -> None:
        """Leave the languages' weighted sum in ``.grad``."""
        for one in self.parts.values():
            one.leave(weights)

    def apart(self) -> dict[str, Gradients]:
        """Each parameter by itself."""
        return {name: Gradients({name: one}) for name, one in self.parts.items()}


Ready = Callable[[str, Gradients], None]


@dataclass
class _Use:
    """One use of a module in a forward pass: its input and the gradient of its output."""

    module: nn.Module
    seen: Tensor
    grad: Tensor


class Contributions:
    """Takes a model's gradients language by language, a block of parameters at a time.

    Hooks stay until ``remove``, and sleep between uses. Parameters outside ``blocks`` get their gradient as ever.

    Raises:
        ValueError: a model of which not all gradients can be had in this way.
    """

    def __init__(self, model: nn.Module, blocks: Mapping[str, Sequence[str]]) -> None:
        parameters = dict(model.named_parameters())
        self.blocks = {block: {name: parameters[name] for name in names} for block, names in blocks.items()}
        wanted = {parameter for of in self.blocks.values() for parameter in of.values()}
        self.owners: dict[nn.Parameter, nn.Module] = {}
        for name, module in model.named_modules():
            own = [p for p in module.parameters(recurse=False) if p in wanted]
            # A subclass may do anything with its weight, as a scaled embedding does.
            if own and (type(module) not in KNOWN or any(p in self.owners for p in own)):
                raise _unknown(f"{name} ({type(module).__name__})")
            self.owners |= dict.fromkeys(own, module)
        self.block_of = {self.owners[p]: block for block, of in self.blocks.items() for p in of.values()}
        self.held_by = {block: [self.owners[p] for p in of.values()] for block, of in self.blocks.items()}
        self.rows: list[int] = []  # of each language
        self.labels: list[int] = []
        self.layouts: dict[torch.Size, tuple[list[int], Tensor, Tensor]] = {}  # of tokens, by shape
        self.uses: dict[str, list[_Use]] = {}
        self.due: Counter[str] = Counter()  # uses of a block whose gradient has not come yet
        self.last = True  # of the backward passes through a forward one
        self.ready: Ready | None = None
        self.hooks = [module.register_forward_hook(self._see) for module in self.block_of]
        try:
            with torch.autocast(next(model.parameters()).device.type, enabled=False):
                self._check(model)
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Take the hooks off the model."""
        for hook in self.hooks:
            hook.remove()

    def backward(
        self,
        batches: Sequence[Batch],
        loss: Callable[[], Tensor],
        ready: Ready,
        directions: Callable[[Tensor], Sequence[Tensor]] | None = None,
    ) -> Tensor:
        """The ``loss`` of the batches put together, detached.

        ``ready`` is given each block's gradients as soon as they are there; what it does not keep is freed. Where
        ``loss`` is not one number, ``directions`` turns it into its weights in one or more backward passes, each
        with gradients of its own.
        """
        self.rows, self.labels = [len(batch) for batch in batches], [len(batch.labels) for batch in batches]
        self.layouts, self.uses, self.due = {}, {}, Counter()
        for parameter in self.owners:
            parameter.requires_grad_(False)  # their sums over the whole batch would be for nothing
        self.ready = ready
        try:
            value = loss()
            passes = [None] if directions is None else directions(value.detach())
            expected = self.due.copy()
            for number, direction in enumerate(passes, 1):
                self.due, self.last = expected.copy(), number == len(passes)
                torch.autograd.backward(value, direction, retain_graph=not self.last)
                for block in list(self.uses):  # another use of it was not needed for the loss
                    self._deliver(block)
        finally:
            self.ready = None
            self.uses = {}
            for parameter in self.owners:
                parameter.requires_grad_(True)
        return value.detach()

    def _see(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if self.ready is None or not torch.is_grad_enabled():
            return None
        seen, block = [inputs[0].detach()], self.block_of[module]
        if isinstance(module, nn.Embedding) and output.shape[0] == 1:
            # Positions are looked up once for all rows: each row needs a gradient of its own.
            rows = sum(self.rows)
            seen, output = [seen[0].expand(rows, -1)], output.expand(rows, *output.shape[1:])
        if not output.requires_grad:
            output = output.detach().requires_grad_()
        self.due[block] += 1

        def arrived(grad: Tensor) -> None:
            # The graph holds on to this function: what it has seen must be let go.
            self.uses.setdefault(block, []).append(_Use(module, seen.pop() if self.last else seen[0], grad))
            self.due[block] -= 1
            if not self.due[block]:
                self._deliver(block)

        output.register_hook(arrived)  # type: ignore[no-untyped-call]
        return output

    def _deliver(self, block: str) -> None:
        assert self.ready is not None
        uses = self.uses.pop(block)
        with torch.no_grad(), torch.autocast(uses[0].grad.device.type, enabled=False):
            self.ready(block, self._gradients(block, uses))

    def _gradients(self, block: str, uses: Sequence[_Use]) -> Gradients:
        by_module: dict[nn.Module, list[Tokens]] = {}
        for use in uses:
            by_module.setdefault(use.module, []).append(self._tokens(use))
        # What was not used has no gradient, as after any backward pass.
        owned = zip(self.blocks[block].items(), self.held_by[block], strict=True)
        return Gradients({name: part(p, one, by_module[one]) for (name, p), one in owned if one in by_module})

    def _tokens(self, use: _Use) -> Tokens:
        shape = use.grad.shape
        if shape[:-1] not in self.layouts:
            lengths = [rows * shape[1] for rows in self.rows] if len(shape) == 3 else self.labels
            if shape[:-1].numel() != sum(lengths) or len(shape) > 3:
                found = f"{type(use.module).__name__} with an output of shape {list(shape)}"
                raise _unknown(f"{found} for {sum(self.rows)} rows")
            owners = torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths)).to(use.grad.device)
            languages = torch.arange(len(lengths), device=owners.device)
            self.layouts[shape[:-1]] = lengths, owners, (languages[:, None] == owners).float()
        lengths, owners, sums = self.layouts[shape[:-1]]
        seen, grads = use.seen, use.grad.reshape(-1, shape[-1]).float()
        seen = seen.reshape(-1) if isinstance(use.module, nn.Embedding) else seen.reshape(len(owners), -1).float()
        return Tokens(seen, grads, lengths, owners, sums)

    def _check(self, model: nn.Module) -> None:
        """On a made-up batch, that no weight is used in a way that is not seen from here.

        Raises:
            ValueError: what two languages contribute is not together the gradient of both.
        """
        device = next(iter(self.owners)).device
        words = len(model.encoder.get_input_embeddings().weight)  # type: ignore[union-attr, operator]
        ids = torch.arange(21, device=device).view(3, 7) % words
        mask = torch.ones_like(ids)
        mask[1, 4:] = 0
        whole = Batch(ids, mask, torch.zeros(3, dtype=torch.long, device=device))
        kept = {p: p.grad for p in model.parameters()}
        was_training = model.training
        model.eval()  # no dropout: torch's random numbers are not touched
        missed: list[str] = []
        try:
            model.zero_grad(set_to_none=True)
            cross_entropy(model, whole).backward()  # type: ignore[no-untyped-call]
            right = {name: p.grad for of in self.blocks.values() for name, p in of.items() if p.grad is not None}
            size = torch.stack([grad.norm() for grad in right.values()]).norm()
            model.zero_grad(set_to_none=True)

            def compare(block: str, gradients: Gradients) -> None:
                for name, one in gradients.parts.items():
                    one.leave(torch.ones(2, device=device))
                    found, grad = one.parameter.grad, right.pop(name, None)
                    assert found is not None
                    miss = (found - (0 if grad is None else grad)).norm()
                    if not miss <= 1e-3 * found.norm() + 1e-5 * size:
                        missed.append(name)
                    one.parameter.grad = None

            self.backward([whole[:2], whole[2:]], lambda: cross_entropy(model, whole), compare)
        finally:
            for parameter, grad in kept.items():
                parameter.grad = grad
            model.train(was_training)
        for name in [*missed, *right]:
            raise _unknown(f"{name} used in another way")


def _unknown(found: str) -> ValueError:
    return ValueError(
        f"gradients by language are known of plain linear maps, embeddings and layer norms, found {found}"
    )
