"""Watched trainings: their step is the one they watch, and what they tell is what single backward passes say."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from benchmark.training.batches import Encoded, Mixture, concatenate
from benchmark.training.model import blocks, cross_entropy, load
from benchmark.training.observer import Watched
from benchmark.training.strategy import Plain, Start
from benchmark.training.subnets import SubnetDynamic, SubnetRandom, SubnetStatic
from tasks.languages import language

CODES = ("deu", "nld", "rus")
LANGUAGES = tuple(map(language, CODES))


@pytest.fixture
def mixture(tiny, examples):
    keys = {code: tiny.encode(examples(code, count)) for code, count in zip(CODES, (30, 22, 17), strict=True)}
    return Mixture({language(code): Encoded.open(tiny.store.path(key)) for code, key in keys.items()})


@pytest.fixture
def model(tiny):
    """Gradients that conflict, as those of a trained model do; no dropout."""
    found = load(tiny.folder, 2, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return found.eval()


@pytest.fixture
def start(model):
    source = np.random.default_rng(3)
    config = model.encoder.config
    shapes = {"heads": (config.num_hidden_layers, config.num_attention_heads)}
    shapes["units"] = (config.num_hidden_layers, config.intermediate_size)
    masks = {code: {kind: (source.random(shape) < 0.6) * 1.0 for kind, shape in shapes.items()} for code in CODES}
    return Start(model, LANGUAGES, 7, 4, 1e-3, masks)


def gradient(model):
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def same(one, other):
    assert one.keys() == other.keys()
    size = max(value.abs().max() for value in other.values())
    for name, value in other.items():
        torch.testing.assert_close(one[name], value, rtol=1e-4, atol=1e-5 * float(size), msg=name)


PAIRS = {
    "watched": (Watched, Plain),
    "subnet-static": (lambda: SubnetStatic(watch=True), SubnetStatic),
    "subnet-random": (lambda: SubnetRandom(watch=True), SubnetRandom),
    "subnet-dynamic": (lambda: SubnetDynamic(watch=True), SubnetDynamic),
}


@pytest.mark.parametrize("name", PAIRS)
def test_steps_are_those_of_the_strategy_that_is_not_watched(name, model, mixture, start):
    found = []
    for make in PAIRS[name]:
        strategy = make()
        strategy.begin(start)
        steps = []
        for batches in mixture.epoch(8, seed=0):
            loss = strategy.backward(model, batches, cross_entropy)
            assert not loss.requires_grad
            steps.append((float(loss), gradient(model)))
        found.append(steps)
        strategy.end()
    assert not any(module._forward_hooks for module in model.modules())
    assert len(found[0]) == len(found[1]) > 3
    for (loss, own), (other_loss, other) in zip(*found, strict=True):
        assert loss == pytest.approx(other_loss, rel=1e-5)
        same(own, other)


@pytest.mark.parametrize("name", PAIRS)
def test_cosines_are_those_of_each_language_alone(name, model, mixture, start):
    """The mean over steps of the cosines of gradients taken one language after the other, block by block."""
    watched, alone = (make() for make in PAIRS[name])
    steps = list(mixture.epoch(8, seed=1))
    watched.begin(start)
    for batches in steps:
        watched.backward(model, batches, cross_entropy)
    model.zero_grad(set_to_none=True)
    told = watched.record()
    watched.end()
    assert json.loads(json.dumps(told)) == told
    by_block = blocks(model)
    by_block["model"] = [name for names in by_block.values() for name in names]
    cosines = {block: [] for block in by_block}
    alone.begin(start)
    for batches in steps:
        of = []
        for one, batch in batches.items():
            alone.backward(model, {one: batch}, cross_entropy)
            of.append(gradient(model))
        for block, names in by_block.items():
            flat = torch.stack([torch.cat([g[name].flatten() for name in names]) for g in of]).double()
            square = torch.nn.functional.cosine_similarity(flat[:, None], flat[None], dim=-1)
            rows, columns = np.triu_indices(len(of), 1)
            pairs = square.numpy()[rows, columns]
            alive = (flat.norm(dim=1) > 0).numpy()
            cosines[block].extend(pairs[alive[rows] & alive[columns]])
    alone.end()
    for block, values in cosines.items():
        found = told["blocks"][block]
        assert found["cosine"] == pytest.approx(np.mean(values), abs=1e-4), block
        assert found["conflicts"] == pytest.approx(np.mean(np.array(values) < 0), abs=1e-6), block
        assert found["depth"] == pytest.approx(np.mean(np.maximum(-np.array(values), 0)), abs=1e-4), block
        assert found["corrected"] == 0
        assert found["step"] == pytest.approx(1.0, abs=1e-5)
    assert told["blocks"]["model"]["conflicts"] > 0


@pytest.mark.parametrize("name", PAIRS)
def test_a_watch_goes_on_where_it_was(name, model, mixture, start):
    steps = list(mixture.epoch(8, seed=1))
    records = []
    for stop in (len(steps), 2):
        strategy = PAIRS[name][0]()
        strategy.begin(start)
        for place, batches in enumerate(steps):
            if place == stop:
                state = strategy.state_dict()
                strategy.end()
                strategy = PAIRS[name][0]()
                strategy.begin(start)
                strategy.load_state_dict(state)
            strategy.backward(model, batches, cross_entropy)
            strategy.end_step(place)
        records.append(strategy.record())
        strategy.end()
    model.zero_grad(set_to_none=True)
    assert records[0] == records[1]


def test_one_language_has_nothing_to_be_compared(model, mixture, start):
    strategy = Watched()
    strategy.begin(start)
    batches = next(iter(mixture.epoch(8, seed=0)))
    one = dict([next(iter(batches.items()))])
    strategy.backward(model, one, cross_entropy)
    own = gradient(model)
    cross_entropy(model, concatenate(list(one.values()))).backward()
    same(own, gradient(model))
    assert strategy.record()["blocks"]["model"]["cosine"] is None
    strategy.end()
