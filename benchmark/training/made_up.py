"""A made-up model, made-up examples in four languages and made-up subnetworks: all of it small."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmark.seeds import derive
from benchmark.training.batches import Batch, Encoded, Mixture
from benchmark.training.model import Classifier
from benchmark.training.strategy import Masks
from tasks.languages import Language, language

LANGUAGES = tuple(map(language, ("deu", "fin", "nld", "swe")))
KINDS = ("text", "pair", "tagged")
# Which of them have rows in each step. Languages come and go; those of ``ALONE`` come by themselves.
MOST = 24  # steps
STEPS = 3 * ((0, 1, 2, 3), (1, 3), (0, 1, 2), (2, 3), (0, 1, 2, 3), (0, 3), (0, 1, 2, 3), (1, 2, 3))
ALONE = ((1,), (0, 1, 2, 3), (2,), (2,), (0, 3))
EACH = 3  # rows of a language in a step
LABELS, WORDS, LENGTHS = 3, 40, (4, 11)
LAYERS, HEADS, UNITS = 2, 2, 12
SEED = 7


def config() -> dict[str, Any]:
    """``config.json`` of the model."""
    return {
        "model_type": "bert", "vocab_size": WORDS, "hidden_size": 8, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "intermediate_size": UNITS, "max_position_embeddings": 32, "pad_token_id": 0,
    }  # fmt: skip


@cache
def _built() -> Classifier:
    from transformers import BertConfig, BertModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(SEED, "tryout"))
        settings = {name: value for name, value in config().items() if name != "model_type"}
        model = Classifier(BertModel(BertConfig(**settings), add_pooling_layer=False), LABELS)
        for parameter in model.parameters():  # larger than models begin with: something is to be seen in few steps
            nn.init.normal_(parameter, std=0.2) if parameter.ndim > 1 else None
    return model


def model(dropout: bool) -> Classifier:
    """A BERT of some thousand parameters with a head, the same every time."""
    made = copy.deepcopy(_built())
    for module in made.modules():
        if isinstance(module, nn.Dropout) and not dropout:
            module.p = 0.0
        if not dropout and isinstance(getattr(module, "dropout_prob", None), float):
            module.dropout_prob = 0.0  # type: ignore[assignment]
    return made


@cache
def _mixture(kind: str) -> Mixture:
    return Mixture({one: _rows(one.code, kind) for one in LANGUAGES})


def _rows(code: str, kind: str) -> Encoded:
    """Random words; which label they have depends on the first and on the language."""
    draw = np.random.default_rng(derive(SEED, "tryout", code, kind))
    count = EACH * MOST
    lengths = draw.integers(*LENGTHS, count)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = draw.integers(1, WORDS, offsets[-1]).astype(np.int32)
    labels = (ids[offsets[:-1]] // 3 + len(code) + ord(code[0])) % LABELS
    places = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    types = (places > np.repeat(lengths, lengths) // 2).astype(np.int8) if kind == "pair" else None
    tags = owners = None
    if kind == "tagged":
        tags = np.where(draw.random(offsets[-1]) < 0.6, ids % LABELS, -1).astype(np.int16)
        tags[offsets[:-1]] = labels  # no row without one
        owners, labels = np.arange(count), np.zeros_like(labels)
    return Encoded(ids, types, offsets, labels.astype(np.int64), np.zeros(count, np.int8), 0, tags, owners)


def batches(kind: str, steps: Sequence[Sequence[int]]) -> list[dict[Language, Batch]]:
    """The batches of a training's steps, the same every time."""
    mixture, found = _mixture(kind), []
    count = len(mixture) // len(LANGUAGES)
    for step, present in enumerate(steps):
        rows = [one * count + step * EACH + row for one in present for row in range(EACH)]
        found.append(mixture.step(np.array(rows)))
    return found


def masks() -> Masks:
    """Subnetworks for strategies that start from them: some of each layer closed, never all."""
    found = {}
    for one in LANGUAGES:
        draw = np.random.default_rng(derive(SEED, "tryout masks", one.code))
        heads, units = np.ones((LAYERS, HEADS)), (draw.random((LAYERS, UNITS)) < 0.7).astype(float)
        heads[draw.integers(LAYERS), draw.integers(HEADS)] = 0.0
        units[:, draw.integers(UNITS)] = 1.0
        found[one.code] = {"heads": heads, "units": units}
    return found
