"""The diagonal of a model's Fisher information, averaged over the weights of each filter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.seeds import derive
from benchmark.training.batches import Batch, Encoded, collate
from benchmark.training.contributions import Contributions, Gradients
from benchmark.training.loop import autocast
from benchmark.training.model import blocks

TOKENS = 256  # at most, padding included, in a pass of several examples
DRAWS = 4  # of random signs, for each sentence of tagged tokens


def fisher(
    model: nn.Module,
    data: Encoded,
    *,
    seed: int,
    precision: str,
    device: torch.device,
    examples: int = 128,
) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any]]:
    """F = E_x E_{y∼p(y|x)} (∂ log p(y|x)/∂θ)² by block, as in Task2Vec (Achille et al. 2019).

    x runs over at most so many examples, drawn at random; y over the model's own predictions, not the
    gold labels, and its expectation is exact (of tagged tokens, taken as independent given the sentence,
    an unbiased estimate: see ``directions``). A filter is the row of a matrix (an output, or the
    embedding of a token); a bias or a norm has one weight a filter. The model is left as it was.

    Raises:
        ValueError: no examples.
    """
    if not len(data):
        raise ValueError("Fisher information needs at least one example, found none")
    by_block = blocks(model)
    parameters = dict(model.named_parameters())
    sums = {
        name: torch.zeros(parameters[name].shape[:1], dtype=torch.float64, device=device)
        for of_block in by_block.values()
        for name in of_block
    }
    was_training = model.training
    model.eval()
    rows = np.random.default_rng(derive(seed, "fisher")).permutation(len(data))[:examples]
    examined = _Examples(model, data, seed, precision, device)
    try:
        try:
            contributions = Contributions(model, by_block)
        except ValueError:  # weights that are used in another way than in a plain layer
            _one_by_one(examined, rows, sums)
        else:
            try:
                _together(examined, rows, sums, contributions)
            finally:
                contributions.remove()
    finally:
        model.train(was_training)
    arrays = {
        block: torch.cat([sums[name] for name in of_block]).cpu().numpy() / len(rows)
        for block, of_block in by_block.items()
    }
    return arrays, {"blocks": list(by_block), "examples": len(rows)}


@dataclass
class _Examples:
    """What is examined, and how."""

    model: nn.Module
    data: Encoded
    seed: int
    precision: str
    device: torch.device

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        return collate(self.data, rows).to(self.device)

    def logits(self, batch: Batch) -> Tensor:
        with autocast(self.device, self.precision):
            return self.model(batch).float()  # type: ignore[no-any-return]

    def directions(self, logits: Tensor, row: int) -> Tensor:
        return directions(logits.detach(), derive(self.seed, "fisher", str(row)))


def _together(
    of: _Examples, rows: NDArray[np.int64], sums: dict[str, Tensor], contributions: Contributions
) -> None:
    """Several examples by one forward pass, and a backward one for each direction."""

    def add(block: str, gradients: Gradients) -> None:
        for name, one in gradients.parts.items():
            sums[name] += one.squares()

    for part in _parts(of.data, rows):
        batch = of.batch(part)
        terms = of.data.terms[part].tolist()

        def loss(batch: Batch = batch) -> Tensor:
            return of.logits(batch)

        def directions(logits: Tensor, part: NDArray[np.int64] = part, terms: list[int] = terms) -> list[Tensor]:
            each = [of.directions(one, row) for one, row in zip(torch.split(logits, terms), part, strict=True)]
            return [
                torch.cat([one[number] if number < len(one) else torch.zeros_like(one[0]) for one in each])
                for number in range(max(map(len, each)))
            ]

        contributions.backward([batch[row : row + 1] for row in range(len(batch))], loss, add, directions)


def _parts(data: Encoded, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Rows of similar lengths together."""
    found: list[list[int]] = [[]]
    for row in rows[np.argsort(data.lengths[rows], kind="stable")[::-1]]:
        if found[-1] and (len(found[-1]) + 1) * data.lengths[found[-1][0]] > TOKENS:
            found.append([])
        found[-1].append(int(row))
    return [np.array(part) for part in found]


def _one_by_one(of: _Examples, rows: NDArray[np.int64], sums: dict[str, Tensor]) -> None:
    parameters = dict(of.model.named_parameters())
    table: Any = of.model.encoder.get_input_embeddings()  # type: ignore[union-attr, operator]
    table_name = next((name for name in sums if parameters[name] is table.weight), "")
    dense = [name for name in sums if name != table_name]
    embedded: list[Tensor] = []
    hook = table.register_forward_hook(lambda module, inputs, output: embedded.append(output))
    try:
        for row in rows:
            embedded.clear()
            batch = of.batch(np.array([row]))
            logits = of.logits(batch)
            # The gradient of a token's embedding is had from its occurrences, not from the whole table.
            inputs = [parameters[name] for name in dense] + (embedded if table_name else [])
            for direction in of.directions(logits, row):
                grads = torch.autograd.grad(logits, inputs, direction, retain_graph=True, allow_unused=True)
                for name, grad in zip(dense, grads, strict=False):
                    if grad is not None:
                        sums[name] += grad.square().flatten(1).mean(1) if grad.ndim > 1 else grad.square()
                if table_name:
                    _add_tokens(sums[table_name], batch.ids[0], grads[-1][0], table.padding_idx)
    finally:
        hook.remove()


def directions(logits: Tensor, seed: int) -> Tensor:
    """Vectors v, ``[directions, terms, labels]``, with Σ (v·∂logits/∂θ)² the expected squared gradient.

    For one term they are its ``factors``. For more, that would be (labels − 1) × terms backward passes;
    ``DRAWS`` sums of all of them under random signs have the same expectation (Hutchinson 1989).
    """
    each = torch.stack([factors(term) for term in logits])  # [terms, labels - 1, labels]
    if len(logits) == 1:
        return each.transpose(0, 1)
    random = torch.Generator().manual_seed(seed % 2**63)
    signs = torch.randint(0, 2, (DRAWS, *each.shape[:2]), generator=random).to(each) * 2 - 1
    found: Tensor = torch.einsum("dtk,tkl->dtl", signs, each) / DRAWS**0.5
    return found


def factors(logits: Tensor) -> Tensor:
    """Vectors v, ``[labels - 1, labels]``, with Σ v vᵀ = diag(p) − p pᵀ: the Fisher information of the logits.

    As ∂ log p(y)/∂θ = (e_y − p)ᵀ ∂logits/∂θ, the sum of (vᵀ ∂logits/∂θ)² over them is its expected square
    over all labels, with one backward fewer than there are labels.
    """
    p = logits.double().softmax(-1)
    values, vectors = torch.linalg.eigh(
        torch.diag(p) - torch.outer(p, p)
    )  # the lowest value is 0, of equal shifts
    found: Tensor = vectors * values.clamp(min=0).sqrt()
    return found.T[1:].to(logits.dtype)


def _add_tokens(total: Tensor, ids: Tensor, grad: Tensor, padding: int | None) -> None:
    """Squared gradients of the rows of a table from those of its occurrences, ``[length, width]``."""
    tokens, place = torch.unique(ids, return_inverse=True)
    rows = torch.zeros(len(tokens), grad.shape[1], device=grad.device).index_add_(0, place, grad.float())
    squares = rows.square().mean(1).double()
    if padding is not None:
        squares = squares * (tokens != padding)  # not trained
    total.index_add_(0, tokens, squares)
