"""The gradient trace: inner products of the languages' gradients along a training.

One backward per language and half-batch; each parameter's gradient is consumed as it is
ready and freed. Exact while everything fits the memory budget, beyond that a CountSketch
(Charikar, Chen & Farach-Colton 2002) per block, which keeps inner products unbiased with a
standard error of about ‖g‖‖h‖/√buckets. Embedding rows are kept sparse in both.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.seeds import derive
from benchmark.training.batches import Encoded, collate
from benchmark.training.loop import autocast
from benchmark.training.microbatches import empty
from benchmark.training.model import blocks, cross_entropy

CHUNK = 1 << 20  # elements handled at once
MICRO_BATCH = 32  # little padding, and a bound on activations
STATE = ("at_once", "seconds", "grams", "losses", "taken", "exact", "blocks")
BUCKETS = 1 << 18  # of a sketch, per block, where the budget allows: error about 0.002 of a cosine


class GradientTrace:
    """A probe that records Gram matrices ``[probes, blocks, 2n, 2n]``.

    ``pools``: per language the examples to draw from. Rows and columns of a Gram matrix are
    half a of every language, then half b. The two halves are disjoint; where ``parallel``,
    they are disjoint *items*, the same in every language.
    """

    def __init__(
        self,
        pools: Mapping[str, Encoded],
        *,
        probes: int,
        half_batch: int,
        parallel: bool,
        seed: int,
        precision: str,
        device: torch.device,
        budget: int = 2 << 30,
    ) -> None:
        self.pools = dict(pools)
        self.probes, self.half_batch, self.parallel = probes, half_batch, parallel
        self.precision, self.device, self.budget = precision, device, budget
        self.random = np.random.default_rng(seed)
        self.at_once = MICRO_BATCH
        self.seconds = 0.0
        self.grams: list[NDArray[np.float64]] = []
        self.losses: list[list[float]] = []
        self.taken: list[tuple[int, float]] = []
        self.exact = True
        self.blocks: dict[str, list[str]] = {}

    def steps(self, total: int) -> frozenset[int]:
        """The middles of ``probes`` equal parts of the training."""
        return frozenset(int((place + 0.5) / self.probes * total) for place in range(self.probes))

    def draw(self, pool: Encoded) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Two disjoint random halves of ``half_batch`` rows each, labels as evenly as the pool allows.

        Even labels: where dev has other label shares than train, every language's gradient would
        first of all point to the difference, and all languages would look alike.
        """
        if self.parallel:
            a, b = (self._even(pool, np.flatnonzero(pool.halves == half)) for half in (0, 1))
            return a[: self.half_batch], b[: self.half_batch]
        both = self._even(pool, np.arange(len(pool)))[: 2 * self.half_batch]
        both = both[np.argsort(pool.labels[both], kind="stable")]  # dealt out label by label
        return both[::2], both[1::2]

    def _even(self, pool: Encoded, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """``rows`` in random order, the labels taking turns as long as they last."""
        rows = self.random.permutation(rows)
        labels = pool.labels[rows]
        turn = np.empty(len(rows), dtype=np.int64)
        for label in np.unique(labels):
            places = np.flatnonzero(labels == label)
            turn[places] = np.arange(len(places))
        return np.asarray(rows[np.argsort(turn, kind="stable")])

    def look(self, model: nn.Module, step: int, lr: float) -> None:
        """Take every language's two gradients; leaves the model as it was."""
        begun = time.perf_counter()
        self.blocks = self.blocks or blocks(model)
        parameters = dict(model.named_parameters())
        kept = {name: parameter.grad for name, parameter in parameters.items()}
        was_training = model.training
        model.eval()  # no dropout: the training's random numbers are not touched
        n = len(self.pools)
        tokens = model.encoder.get_input_embeddings().weight  # type: ignore[union-attr, operator]
        width = max(int(pool.lengths.max()) for pool in self.pools.values())
        ledger = _Ledger(parameters, self.blocks, tokens, 2 * n, self.budget, self.half_batch, width)
        self.exact = ledger.exact
        losses = [0.0] * (2 * n)
        for parameter in parameters.values():
            parameter.grad = None
        hooks = [
            parameters[name].register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                ledger.consumer(name, block)
            )
            for block, names in self.blocks.items()
            for name in names
        ]
        try:
            for place, pool in enumerate(self.pools.values()):
                for half, rows in enumerate(self.draw(pool)):
                    ledger.row = place + half * n
                    losses[ledger.row] = self._backward(model, pool, rows, ledger)
        finally:
            for hook in hooks:
                hook.remove()
            for name, parameter in parameters.items():
                parameter.grad = kept[name]
            model.train(was_training)
        self.grams.append(ledger.gram())
        self.losses.append(losses)
        self.taken.append((step, lr))
        self.seconds += time.perf_counter() - begun

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in STATE} | {"random": self.random.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in STATE:
            setattr(self, name, state[name])
        self.random.bit_generator.state = state["random"]

    def _backward(self, model: nn.Module, pool: Encoded, rows: NDArray[np.int64], ledger: _Ledger) -> float:
        """One language's gradient on one half: the mean loss; in smaller parts where the device has no room."""
        while True:
            try:
                return self._in_parts(model, pool, rows, ledger)
            except torch.OutOfMemoryError:
                if self.at_once == 1:
                    raise
            self.at_once = -(-self.at_once // 2)
            ledger.forget()
            model.zero_grad(set_to_none=True)
            empty(self.device)

    def _in_parts(self, model: nn.Module, pool: Encoded, rows: NDArray[np.int64], ledger: _Ledger) -> float:
        """In micro-batches of similar lengths."""
        rows = rows[np.argsort(pool.lengths[rows], kind="stable")]
        terms = int(pool.terms[rows].sum())
        total = 0.0
        for part in np.array_split(rows, -(-len(rows) // self.at_once)):
            batch = collate(pool, part).to(self.device)
            ledger.tokens = torch.unique(batch.ids)
            with autocast(self.device, self.precision):
                loss = cross_entropy(model, batch) * (len(batch.labels) / terms)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        return total

    def result(self) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any]]:
        """Arrays and description of the reading."""
        arrays = {
            "gram": np.stack(self.grams),
            "loss": np.array(self.losses),
            "lr": np.array([lr for _, lr in self.taken]),
        }
        meta = {
            "languages": list(self.pools),
            "blocks": list(self.blocks),
            "steps": [step for step, _ in self.taken],
            "half_batch": self.half_batch,
            "parallel": self.parallel,
            "exactness": "exact" if self.exact else f"CountSketch of at most {BUCKETS} buckets a block",
        }
        return arrays, meta


class _Ledger:
    """Gradients of one probe, a row per language and half, until their inner products are taken."""

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        by_block: Mapping[str, list[str]],
        token_table: object,
        rows: int,
        budget: int,
        half_batch: int,
        width: int,
    ) -> None:
        self.rows = rows
        self.row = 0
        self.tokens: Tensor = torch.empty(0)
        self.parameters = parameters
        # Of the table of token embeddings, only the rows of tokens that occur have a gradient.
        self.table = next((name for name, p in parameters.items() if p is token_table), "")
        self.starts: dict[str, int] = {}
        sizes: dict[str, int] = {}
        for block, names in by_block.items():
            for name in names:
                if name != self.table:
                    self.starts[name] = sizes.get(block, 0)
                    sizes[block] = sizes.get(block, 0) + parameters[name].numel()
        sparse = 0
        if self.table:
            table = parameters[self.table]
            micro_batches = -(-half_batch // MICRO_BATCH)
            sparse = min(micro_batches * table.shape[0], half_batch * width) * table.shape[1]
        self.exact = rows * 4 * (sum(sizes.values()) + sparse) <= budget
        device = next(iter(parameters.values())).device
        buckets = max(1, min(BUCKETS, budget // (rows * 4 * max(1, len(by_block)))))
        self.dense = {
            block: torch.zeros(rows, sizes.get(block, 0) if self.exact else buckets, device=device)
            for block in by_block
        }
        self.sparse: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(rows)]
        self.block_of_table = next((b for b, names in by_block.items() if self.table in names), "")

    def forget(self) -> None:
        """The present row is to be taken once more."""
        for dense in self.dense.values():
            dense[self.row] = 0
        self.sparse[self.row].clear()

    def consumer(self, name: str, block: str) -> Any:
        def consume(parameter: Tensor) -> None:
            grad = parameter.grad
            assert grad is not None
            parameter.grad = None
            if name == self.table:
                rows = self.tokens
                values = grad.index_select(0, rows).float()
                if self.exact:
                    self.sparse[self.row].append((rows, values))
                else:
                    width = values.shape[1]
                    places = rows[:, None] * width + torch.arange(width, device=rows.device)
                    self._sketch(block, name, values.reshape(-1), places.reshape(-1))
            elif self.exact:
                start = self.starts[name]
                self.dense[block][self.row, start : start + grad.numel()] += grad.reshape(-1)
            else:
                self._sketch(block, name, grad.reshape(-1).float(), None)

        return consume

    def _sketch(self, block: str, name: str, values: Tensor, places: Tensor | None) -> None:
        salt = derive(0, "sketch", name) >> 1
        sketch = self.dense[block][self.row]
        for start in range(0, len(values), CHUNK):
            part = values[start : start + CHUNK]
            if places is None:
                at = torch.arange(start, start + len(part), device=values.device)
            else:
                at = places[start : start + CHUNK]
            mixed = _mix(at + salt)
            sign = (mixed & 1) * 2 - 1
            bucket = ((mixed >> 1) & 0x7FFFFFFFFFFF) % len(sketch)
            sketch.index_add_(0, bucket, part * sign)

    def gram(self) -> NDArray[np.float64]:
        """Inner products, shape ``[blocks, rows, rows]``: float32 products, float64 sums."""
        grams = []
        for block, dense in self.dense.items():
            total = torch.zeros(self.rows, self.rows, dtype=torch.float64, device=dense.device)
            step = max(1, CHUNK // self.rows)
            for start in range(0, dense.shape[1], step):
                part = dense[:, start : start + step]
                total += (part @ part.T).double()
            if self.exact and block == self.block_of_table:
                total += self._sparse_gram(dense.device)
            grams.append(total.cpu().numpy())
        return np.stack(grams)

    def _sparse_gram(self, device: torch.device) -> Tensor:
        width = self.parameters[self.table].shape[1]
        touched = torch.unique(torch.cat([rows for parts in self.sparse for rows, _ in parts]))
        total = torch.zeros(self.rows, self.rows, dtype=torch.float64, device=device)
        step = max(1, 16 * CHUNK // (self.rows * width))
        for start in range(0, len(touched), step):
            ids = touched[start : start + step]
            part = torch.zeros(self.rows, len(ids), width, device=device)
            for row, parts in enumerate(self.sparse):
                for rows, values in parts:
                    here = (rows >= ids[0]) & (rows <= ids[-1])
                    part[row].index_add_(0, torch.searchsorted(ids, rows[here]), values[here])
            flat = part.reshape(self.rows, -1)
            total += (flat @ flat.T).double()
        return total


def _mix(x: Tensor) -> Tensor:
    """A 64-bit finaliser (splitmix64, signed arithmetic): every bit depends on every bit."""
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return x ^ ((x >> 31) & 0x1FFFFFFFF)
