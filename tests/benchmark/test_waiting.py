"""Nothing in a training waits for the device: on a GPU the host would stand still, and then the GPU.

What makes the host wait is an operation that hands a value from a tensor to Python. They are the same on a CPU,
and counted here.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from benchmark.training import loop
from benchmark.training.batches import Batch, Encoded, Mixture, collate
from benchmark.training.evaluation import predict
from benchmark.training.meta import _padded
from benchmark.training.model import _MASKS_AS_GIVEN, Classifier, load
from benchmark.training.strategy import Plain
from tasks.languages import language

CPU = torch.device("cpu")
WAITS = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default, torch.ops.aten.equal.default}
SHAPE = {
    **{
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "vocab_size": 60,
    },
    **{
        "dim": 16,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 24,
        "embedding_size": 16,
        "max_position_embeddings": 40,
    },
}


class Waits(TorchDispatchMode):
    """Counts what hands a value to Python."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function in WAITS:
            self.found.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.fixture
def sets(tiny, examples):
    rows = {code: examples(code, count) for code, count in (("deu", 30), ("nld", 22))}
    return {code: Encoded.open(tiny.store.path(tiny.encode(rows[code]))) for code in rows}


@pytest.fixture
def model(tiny):
    return load(tiny.folder, 2, 0)


def encoder(kind):
    torch.manual_seed(0)
    config = CONFIG_MAPPING[kind](**SHAPE, pad_token_id=1)
    return Classifier(AutoModel.from_config(config, attn_implementation="sdpa"), 3).eval()


def batch(lengths):
    width = max(lengths)
    ids = torch.randint(5, 60, (len(lengths), width), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    return Batch(torch.where(mask.bool(), ids, 1), mask, torch.zeros(len(lengths), dtype=torch.long))


@pytest.mark.parametrize("kind", _MASKS_AS_GIVEN)
@pytest.mark.parametrize("lengths", [[5, 5, 5], [5, 3, 4], [6]])
@pytest.mark.parametrize("training", [False, True])
def test_encoders_take_the_mask_as_they_would_make_it(kind, lengths, training, monkeypatch):
    """Bit for bit, and without being asked."""
    of, given = encoder(kind).train(training), batch(lengths).to(CPU)
    torch.manual_seed(3)
    with Waits() as waits:
        ours = of(given)
    assert waits.found == []
    ours.sum().backward()
    grads = [parameter.grad.clone() for parameter in of.parameters() if parameter.grad is not None]
    of.zero_grad()
    monkeypatch.setattr("benchmark.training.model._MASKS_AS_GIVEN", ())
    torch.manual_seed(3)
    theirs = of(given)
    assert torch.equal(ours, theirs)
    theirs.sum().backward()
    found = [parameter.grad for parameter in of.parameters() if parameter.grad is not None]
    assert all(map(torch.equal, grads, found))


def test_other_attention_gets_the_mask_as_it_is(monkeypatch):
    of, given = encoder("bert"), batch([5, 3, 4]).to(CPU)
    assert of._attended(given).shape == (3, 1, 5, 5)
    monkeypatch.setattr(of.encoder.config, "_attn_implementation", "eager")
    assert of._attended(given) is given.mask
    monkeypatch.setattr(of.encoder.config, "model_type", "deberta-v2")
    assert of._attended(given) is given.mask


def test_what_is_full_stays_known(sets):
    data = list(sets.values())
    rows = np.argsort(data[0].lengths, kind="stable")
    widest = int(data[0].lengths.max())
    for chosen in (rows[:4], rows[-6:], np.flatnonzero(data[0].lengths == widest)):
        whole = collate(data[0], chosen)
        assert whole.full is None
        there = whole.to(CPU)
        assert there.full == bool(whole.mask.all())
        part = there[1:3]
        assert part.full in ((True,) if there.full else (None,))
        assert part.to(CPU).full == bool(part.mask.all())
        wide = _padded({"one": there, "other": replace(there, mask=there.mask[:, :1], ids=there.ids[:, :1])}, 0)
        assert wide["one"].full == there.full
        assert not wide["other"].full or whole.ids.shape[1] == 1


def test_a_training_asks_the_device_only_for_its_loss(sets, model, hyper):
    """On a CPU at every step, as it costs nothing there; at the end of an epoch; and at last, for each weight."""
    mixture = Mixture({language(code): data for code, data in sets.items()})
    with Waits() as waits:
        history = loop.train(model, mixture, replace(hyper, epochs=3), Plain(), 0, CPU)
    assert len(waits.found) == history.steps + 2 * 3 + sum(1 for one in model.parameters() if one.requires_grad)


def test_predictions_are_fetched_when_all_are_made(sets, model):
    with Waits() as waits:
        predict(model, list(sets.values()), CPU, "fp32")
    assert waits.found == []
