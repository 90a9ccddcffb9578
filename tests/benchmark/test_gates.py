"""A gate of 0 is no head and no unit: against the slices of the projections that read them."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import AutoConfig, AutoModel

from benchmark.architectures import PLACES, gated
from benchmark.training.batches import Batch
from benchmark.training.gates import Gates
from benchmark.training.model import Classifier

LAYERS, HEADS, HIDDEN, UNITS = 2, 4, 16, 24


def classifier(kind="bert", seed=0):
    """A tiny model with weights large enough that every head and unit matters."""
    torch.manual_seed(seed)
    width = {"hidden_dim": UNITS} if kind == "distilbert" else {"intermediate_size": UNITS}
    special = {name: 3 for name in ("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")}
    config = AutoConfig.for_model(
        kind,
        vocab_size=40,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=32,
        pad_token_id=0,
        initializer_range=0.4,
        **special,
        **width,
    )
    return Classifier(AutoModel.from_config(config), 3).eval()


def batch(lengths=(5, 3, 7), seed=0):
    generator = torch.Generator().manual_seed(seed)
    width = max(lengths)
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(4, 40, (len(lengths), width), generator=generator) * mask
    return Batch(ids, mask, torch.arange(len(lengths)) % 3)


def without(model, heads, units):
    """A copy whose projections have the columns of what is gated scaled by the gate."""
    model = copy.deepcopy(model)
    for module in model.modules():
        module._forward_pre_hooks.clear()  # the copy has no gates
    places = PLACES[model.encoder.config.model_type]
    for at, layer in enumerate(model.encoder.get_submodule(places.layers)):
        attention = layer.get_submodule(places.attention).weight
        feed_forward = layer.get_submodule(places.feed_forward).weight
        with torch.no_grad():
            width = HIDDEN // HEADS
            for head in range(HEADS):
                attention[:, head * width : (head + 1) * width] *= heads[at, head]
            for unit in range(UNITS):
                feed_forward[:, unit] *= units[at, unit]
    return model


@pytest.mark.parametrize("kind", PLACES)
@torch.no_grad()
def test_gates_are_scaled_slices_of_the_projections(kind):
    model, data = classifier(kind), batch()
    full = model(data)
    generator = torch.Generator().manual_seed(1)
    choices = [torch.bernoulli, lambda p, generator: torch.rand(p.shape, generator=generator) * 2]
    with Gates(model) as gates:
        assert gates.heads_shape == (LAYERS, HEADS)
        assert gates.units_shape == (LAYERS, UNITS)
        for choice in choices:
            gates.heads = choice(torch.full(gates.heads_shape, 0.5), generator=generator)
            gates.units = choice(torch.full(gates.units_shape, 0.5), generator=generator)
            found = model(data)
            torch.testing.assert_close(found, without(model, gates.heads, gates.units)(data), rtol=1e-4, atol=1e-4)
            assert (found - full).abs().max() > 0.01


@pytest.mark.parametrize("kind", ["bert", "distilbert", "modernbert"])
@torch.no_grad()
def test_each_single_head_is_removed(kind):
    model, data = classifier(kind), batch()
    with Gates(model) as gates:
        units = torch.ones(gates.units_shape)
        for layer in range(LAYERS):
            for head in range(HEADS):
                gates.heads = torch.ones(gates.heads_shape)
                gates.heads[layer, head] = 0
                expected = without(model, gates.heads, units)(data)
                torch.testing.assert_close(model(data), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", PLACES)
@torch.no_grad()
def test_open_gates_change_no_bit_and_removed_ones_are_gone(kind):
    model, data = classifier(kind), batch()
    full = model(data)
    gates = Gates(model)
    assert torch.equal(model(data), full)
    gates.open(torch.device("cpu"))
    assert torch.equal(model(data), full)
    gates.heads, gates.units = torch.zeros(gates.heads_shape), torch.zeros(gates.units_shape)
    assert not torch.equal(model(data), full)
    gates.remove()
    assert torch.equal(model(data), full)


@torch.no_grad()
def test_each_example_can_have_gates_of_its_own():
    model, data = classifier(), batch()
    generator = torch.Generator().manual_seed(2)
    with Gates(model) as gates:
        heads = torch.rand((3, *gates.heads_shape), generator=generator)
        units = torch.rand((3, *gates.units_shape), generator=generator)
        gates.heads, gates.units = heads, units
        found = model(data)
        for row in range(3):
            gates.heads, gates.units = heads[row], units[row]
            torch.testing.assert_close(found[row], model(data)[row], rtol=1e-5, atol=1e-5)


def test_gradients_reach_the_gates_in_either_precision():
    model, data = classifier(), batch()
    with Gates(model) as gates:
        gates.heads = torch.ones(gates.heads_shape, requires_grad=True)
        gates.units = torch.ones(gates.units_shape, requires_grad=True)
        exact = torch.autograd.grad(model(data)[0, 0], [gates.heads, gates.units])
        assert all(grad.ne(0).all() for grad in exact)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logit = model(data)[0, 0]
        rough = torch.autograd.grad(logit.float(), [gates.heads, gates.units])
        for one, other in zip(exact, rough, strict=True):
            assert torch.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.9


def test_an_unknown_architecture_is_refused():
    config = AutoConfig.for_model("mpnet", vocab_size=40, hidden_size=16, num_hidden_layers=1,
                                  num_attention_heads=2, intermediate_size=24)  # fmt: skip
    model = Classifier(AutoModel.from_config(config), 2)
    with pytest.raises(ValueError, match=r"known of bert, .*xlm-roberta.*, found mpnet"):
        Gates(model)
    assert gated({"model_type": "xlm-roberta"}) is None
    assert "found no model_type" in gated({})
    assert "found t5" in gated({"model_type": "t5", "hidden_size": 4})
