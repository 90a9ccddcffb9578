"""Meta-learning against copies of the model that really make the steps, and against closed forms."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel

from benchmark.training import model as models
from benchmark.training.batches import Batch, Encoded, Mixture, concatenate
from benchmark.training.evaluation import predict
from benchmark.training.gates import Gates
from benchmark.training.loop import autocast, train
from benchmark.training.meta import POINTS, Meta
from benchmark.training.model import Classifier, cross_entropy
from benchmark.training.strategy import Plain, Start
from benchmark.training.subnets import SubnetDynamic, SubnetStatic
from tasks.languages import language

CPU = torch.device("cpu")
CODES = ("deu", "nld", "rus", "swe")
LANGUAGES = tuple(map(language, CODES))
KINDS = [
    ("fomaml", None),
    ("fomaml", 2),
    ("fomaml", 3),
    ("reptile", None),
    ("reptile", 3),
]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)  # conftest restores it


@pytest.fixture
def sets(tiny, examples):
    rows = {code: examples(code, count) for code, count in zip(CODES[:3], (30, 22, 17), strict=True)}
    return {code: Encoded.open(tiny.store.path(tiny.encode(rows[code]))) for code in CODES[:3]}


@pytest.fixture
def mixture(sets):
    return Mixture({language(code): data for code, data in sets.items()})


@pytest.fixture
def fresh(tiny):
    return lambda seed=0: models.load(tiny.folder, 2, seed)


def state(of):
    return {name: value.detach().clone() for name, value in of.state_dict().items()}


def same_bits(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def started(strategy, model, steps=1000, masks=None):
    strategy.begin(Start(model, LANGUAGES, 0, steps, 1e-3, masks or {}))
    return strategy


def exact(model, batch):
    """The loss in the model's own precision."""
    return torch.nn.functional.cross_entropy(model(batch), batch.labels)


def gradient(model, strategy, batches, loss=exact):
    """``.grad`` of all parameters after one step's backward, and the loss."""
    model.zero_grad(set_to_none=True)
    value = strategy.backward(model, batches, loss)
    assert not value.requires_grad
    return {name: _grad(p).clone() for name, p in model.named_parameters()}, value


def _grad(parameter):
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


class Slow:
    """The same, language by language: a copy of the model makes the inner steps by SGD."""

    def __init__(self, algorithm, steps, lr, masks=None):
        self.algorithm, self.lr, self.masks, self.memory = algorithm, lr, masks or {}, {}
        default = 2 if algorithm == "reptile" else 1
        steps = default if steps is None else steps
        self.remembered = steps - 1 if algorithm == "reptile" else steps

    def backward(self, model, batches, loss):
        total = sum(len(batch.labels) for batch in batches.values())
        summed = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
        value = 0.0
        for one, batch in batches.items():
            kept = self.memory.get(one, [])
            share = len(batch.labels) / total
            own = copy.deepcopy(model)
            if one.code in self.masks:
                gates = Gates(own)
                for kind, mask in self.masks[one.code].items():
                    setattr(gates, kind, torch.tensor(mask))
            sgd = torch.optim.SGD(own.parameters(), lr=self.lr)
            for step in [*kept, batch] if self.algorithm == "reptile" else kept:
                sgd.zero_grad()
                last = loss(own, step)
                last.backward()
                sgd.step()
            if self.algorithm == "reptile":
                scale = 1 / (self.lr * (len(kept) + 1))
                found = {n: scale * (p - own.get_parameter(n)) for n, p in model.named_parameters()}
                value += share * last.item()
            else:
                sgd.zero_grad()
                last = loss(own, batch)
                last.backward()
                found = {name: _grad(p) for name, p in own.named_parameters()}
                value += share * last.item()
            for name, part in found.items():
                summed[name] += share * part.detach()
            self.memory[one] = [*kept, batch][-self.remembered :] if self.remembered else []
        return summed, value


# Closed forms


class Line(torch.nn.Module):
    """y = w·x, in float64; a batch's ids are its x."""

    def __init__(self, w):
        super().__init__()
        self.map = torch.nn.Linear(len(w), 1, bias=False).double()
        with torch.no_grad():
            self.map.weight.copy_(torch.tensor(w)[None])

    def forward(self, batch):
        return self.map(batch.ids.double())


def squares(model, batch):
    return (model(batch).squeeze(1) - batch.labels).square().mean()


def points(x, y):
    x = torch.tensor(x)
    return Batch(x, torch.ones_like(x), torch.tensor(y, dtype=torch.float64))


def test_maml_on_a_parabola():
    """L = (3w − 6)²: by hand, with another language that has nothing to adapt on yet."""
    model = Line([1.0])
    meta = started(Meta(inner_lr=0.01), model)
    deu, nld = LANGUAGES[:2]
    grads, value = gradient(model, meta, {deu: points([[3]], [6])}, squares)
    assert grads["map.weight"].item() == 2 * 3 * (3 - 6)
    assert value.item() == 9
    now = {deu: points([[1], [1]], [1, 1]), nld: points([[2]], [0])}
    grads, value = gradient(model, meta, now, squares)
    adapted = 1 + 0.01 * 18  # its query: 2(w − 1), a share of two thirds
    assert grads["map.weight"].item() == pytest.approx(2 / 3 * 2 * (adapted - 1) + 1 / 3 * 2 * 2 * 2, rel=1e-12)
    assert value.item() == pytest.approx(2 / 3 * (adapted - 1) ** 2 + 1 / 3 * 4, rel=1e-12)
    meta.end()


@pytest.mark.parametrize(("algorithm", "steps"), KINDS)
def test_against_the_closed_form_of_quadratics(algorithm, steps):
    """∇L(w) = H w − b: every inner step is an affine map of w."""
    source = np.random.default_rng(0)
    w, lr = source.normal(size=4), 0.02
    model = Line(w)
    meta = started(Meta(algorithm, steps, lr), model)
    depth = meta.remembered
    memory = {one: [] for one in LANGUAGES}
    for _ in range(6):
        present = [one for one in LANGUAGES if source.random() < 0.7] or [LANGUAGES[0]]
        data = {
            one: (source.integers(-3, 4, (count, 4)), source.normal(size=count))
            for one, count in zip(present, source.integers(1, 4, len(present)), strict=True)
        }
        found, _ = gradient(model, meta, {one: points(x.tolist(), y) for one, (x, y) in data.items()}, squares)
        rows = sum(len(y) for _, y in data.values())
        expected = np.zeros(4)
        for one, (x, y) in data.items():
            at, along = w, []
            for x_s, y_s in [*memory[one], (x, y)]:
                along.append(2 / len(y_s) * x_s.T @ (x_s @ at - y_s))
                at = at - lr * along[-1]
            expected += len(y) / rows * (np.mean(along, axis=0) if algorithm == "reptile" else along[-1])
            memory[one] = [*memory[one], (x, y)][-depth:]
        np.testing.assert_allclose(found["map.weight"].numpy()[0], expected, rtol=1e-10)
    meta.end()


# Encoders, against copies that make the steps

SMALL = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "vocab_size": 60, "max_position_embeddings": 40, "pad_token_id": 1, "hidden_act": "gelu_new",
}  # fmt: skip
FAMILIES = {
    "bert": SMALL,
    "xlm-roberta": SMALL,
    "distilbert": {"dim": 16, "hidden_dim": 24, "n_layers": 2, "n_heads": 2, "vocab_size": 60, "pad_token_id": 1},
    "modernbert": {**SMALL, "global_attn_every_n_layers": 1},
}


def made(family, frozen=False):
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **FAMILIES[family])
    encoder = AutoModel.from_config(config, attn_implementation="sdpa")
    encoder.pooler = None
    found = Classifier(encoder, 3).double().eval()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    if frozen:
        for parameter in found.encoder.get_input_embeddings().parameters():
            parameter.requires_grad_(False)
        found.head.bias.requires_grad_(False)
    return found


def drawn_steps(count, tagged=False, pad=1, seed=0, types=False):
    """Steps of some languages each, one to three rows of each language, widths from step to step."""
    source = np.random.default_rng(seed)
    steps = []
    for _ in range(count):
        width = int(source.integers(4, 11))
        present = [one for one in LANGUAGES if source.random() < 0.7] or [LANGUAGES[1]]
        step = {}
        for one in present:
            rows = int(source.integers(1, 4))
            ids = torch.from_numpy(source.integers(5, 60, (rows, width)))
            mask = torch.ones_like(ids)
            ids[0, 1] = pad  # a text may name the token: it is seen, and not trained
            for row in range(rows):
                short = int(source.integers(0, 3))
                if short:
                    ids[row, -short:], mask[row, -short:] = pad, 0
            places = None
            labels = torch.from_numpy(source.integers(0, 3, rows))
            if tagged:
                chosen = torch.from_numpy(source.random((rows, width)) < 0.6)
                chosen[:, 0] = True
                places = torch.nonzero((mask * chosen).reshape(-1))[:, 0]
                labels = torch.from_numpy(source.integers(0, 3, len(places)))
            step[one] = Batch(ids, mask, labels, ids % 2 if types else None, places)
        steps.append(step)
    return steps


def assert_close(found, expected, tolerance=1e-9):
    least = 1e-3 * max(part.abs().max().item() for part in expected.values())  # some gradients are zero in theory
    for name, part in expected.items():
        scale = max(part.abs().max().item(), least)
        assert (found[name] - part).abs().max().item() <= tolerance * scale, name


@pytest.mark.parametrize(("algorithm", "steps"), KINDS)
@pytest.mark.parametrize("tagged", [False, True])
def test_a_step_is_that_of_copies_that_adapt(algorithm, steps, tagged):
    model = made("bert")
    before = state(model)
    meta, slow = started(Meta(algorithm, steps, 0.05), model), Slow(algorithm, steps, 0.05)
    for batches in drawn_steps(6, tagged, types=True):
        found, value = gradient(model, meta, batches)
        expected, loss = slow.backward(model, batches, exact)
        assert_close(found, expected)
        assert value.item() == pytest.approx(loss, rel=1e-10)
    assert same_bits(before, state(model))
    meta.end()


@pytest.mark.parametrize("family", ["xlm-roberta", "distilbert", "modernbert"])
@pytest.mark.parametrize("algorithm", ["fomaml", "reptile"])
def test_other_encoders(family, algorithm):
    model = made(family)
    meta, slow = started(Meta(algorithm, inner_lr=0.05), model), Slow(algorithm, None, 0.05)
    for batches in drawn_steps(4):
        found, _ = gradient(model, meta, batches)
        assert_close(found, slow.backward(model, batches, exact)[0], 1e-6)  # rotations are float32
    meta.end()


@pytest.mark.parametrize("algorithm", ["fomaml", "reptile"])
def test_what_is_frozen_is_not_adapted(algorithm):
    model = made("bert", frozen=True)
    meta, slow = started(Meta(algorithm, inner_lr=0.05), model), Slow(algorithm, None, 0.05)
    for batches in drawn_steps(4):
        found, _ = gradient(model, meta, batches)
        assert_close(found, slow.backward(model, batches, exact)[0])
    assert model.head.bias.grad is None
    meta.end()


def test_an_inner_step_matters():
    """The gradients that are compared above are no plain ones."""
    model = made("bert")
    first, second = ({one: batch for one, batch in zip(LANGUAGES, step.values(), strict=False)}
                     for step in drawn_steps(2))  # fmt: skip
    meta = started(Meta(inner_lr=0.05), model)
    gradient(model, meta, first)
    found, _ = gradient(model, meta, second)
    plain, _ = gradient(model, Plain(), second)
    moved = (found["head.weight"] - plain["head.weight"]).norm() / plain["head.weight"].norm()
    assert moved > 0.02


# What becomes plain, and what changes nothing


@pytest.mark.parametrize("strategy", [Meta(inner_steps=0), Meta("reptile", inner_steps=1)])
def test_without_steps_before_the_present_batch_it_is_plain(mixture, fresh, hyper, strategy):
    one, two = fresh(), fresh()
    plain = train(one, mixture, hyper, Plain(), 3, CPU)
    meta = train(two, mixture, hyper, strategy, 3, CPU)
    assert same_bits(state(one), state(two))
    assert plain.losses == meta.losses
    assert not any(module._forward_hooks for module in two.modules())


@pytest.mark.parametrize("algorithm", ["fomaml", "reptile"])
def test_the_order_of_languages_changes_no_bit(algorithm):
    model = made("bert")
    one, two = (started(Meta(algorithm, inner_lr=0.05), model) for _ in range(2))
    for place, batches in enumerate(drawn_steps(4)):
        found, _ = gradient(model, one, batches)
        turned, _ = gradient(model, two, dict(reversed(batches.items())))
        if place:
            assert same_bits(found, turned)
    one.end()
    two.end()


def test_a_language_does_not_see_the_others():
    """What another language had before changes nothing where that language is not."""
    model = made("bert")
    deu, nld = LANGUAGES[:2]
    a, b, c, d = (next(iter(step.values())) for step in drawn_steps(4))
    found = []
    for other in (b, c):
        meta = started(Meta(inner_lr=0.05), model)
        gradient(model, meta, {nld: other})
        gradient(model, meta, {deu: a})
        found.append(gradient(model, meta, {deu: d})[0])
        meta.end()
    assert same_bits(*found)


@pytest.mark.parametrize(("algorithm", "steps"), [("fomaml", 2), ("reptile", 3)])
def test_resumed_inside_a_training(mixture, fresh, algorithm, steps):
    """With dropout: the same bits as if nothing had happened."""
    model = fresh().train()
    batches = list(mixture.epoch(8, 0))
    torch.manual_seed(0)
    whole = started(Meta(algorithm, steps), model, steps=len(batches))
    for one in batches[:4]:
        gradient(model, whole, one)
    saved, random = copy.deepcopy(whole.state_dict()), torch.get_rng_state()
    kept = copy.deepcopy(saved)
    expected = [gradient(model, whole, one)[0] for one in batches[4:]]
    record = whole.record()
    whole.end()
    resumed = started(Meta(algorithm, steps), model, steps=len(batches))
    resumed.load_state_dict(saved)
    torch.set_rng_state(random)
    found = [gradient(model, resumed, one)[0] for one in batches[4:]]
    assert all(same_bits(one, two) for one, two in zip(found, expected, strict=True))
    assert resumed.record() == record
    assert str(saved) == str(kept)
    resumed.end()


def test_it_trains(mixture, sets, fresh, hyper):
    for strategy in (Meta(), Meta("reptile"), Meta(masks="dynamic")):
        model = fresh()
        history = train(model, mixture, replace(hyper, epochs=12, lr=5e-3), strategy, 0, CPU)
        assert history.losses[-1] < 0.45
        masks = strategy.masks()
        found = predict(model, list(sets.values()), CPU, "fp32", [masks.get(code) for code in sets])
        right = [np.mean(said == data.labels) for said, data in zip(found, sets.values(), strict=True)]
        assert min(right) > 0.75


# Masks


def drawn_masks():
    source = np.random.default_rng(0)
    shapes = {"heads": (2, 2), "units": (2, 24)}
    found = {code: {kind: (source.random(shape) < 0.6) * 1.0 for kind, shape in shapes.items()} for code in CODES}
    for mask in found.values():
        mask["heads"][0, 0], mask["units"][1, 3] = 1, 0
    return found


@pytest.mark.parametrize(("algorithm", "steps"), KINDS)
def test_each_language_adapts_within_its_subnetwork(algorithm, steps):
    model, masks = made("bert"), drawn_masks()
    meta = started(Meta(algorithm, steps, 0.05, "static"), model, masks=masks)
    slow = Slow(algorithm, steps, 0.05, masks)
    for batches in drawn_steps(5):
        found, _ = gradient(model, meta, batches)
        assert_close(found, slow.backward(model, batches, exact)[0], 1e-6)  # gates are float32
    served = meta.masks()
    assert all((served[code][kind] == masks[code][kind]).all() for code in CODES for kind in ("heads", "units"))
    meta.end()
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(("masks", "other"), [("static", SubnetStatic), ("dynamic", SubnetDynamic)])
def test_with_masks_and_no_steps_it_is_the_subnetworks_strategy(mixture, fresh, hyper, masks, other):
    one, two, given = fresh(), fresh(), drawn_masks()
    long = replace(hyper, epochs=4)
    theirs = train(one, mixture, long, other(), 3, CPU, masks=given)
    mine = train(two, mixture, long, Meta(inner_steps=0, masks=masks), 3, CPU, masks=given)
    assert same_bits(state(one), state(two))
    assert {name: mine.strategy[name] for name in theirs.strategy} == theirs.strategy


def test_dynamic_masks_move_and_are_resumed(mixture, fresh):
    batches = [one for epoch in range(6) for one in mixture.epoch(8, epoch)]
    torch.manual_seed(0)
    model = fresh().train()
    whole = started(Meta(masks="dynamic"), model, steps=len(batches))
    other = started(Meta(masks="dynamic"), model, steps=len(batches))
    random = {}
    for place, one in enumerate(batches):
        random[place] = torch.get_rng_state()
        gradient(model, whole, one)
        whole.end_step(place)
        if place == 29:
            saved = copy.deepcopy(whole.state_dict())
    masks = whole.masks()
    assert min(masks[code]["units"].mean() for code in CODES[:3]) < 0.9
    other.load_state_dict(saved)
    torch.set_rng_state(random[30])
    for place, one in enumerate(batches[30:], 30):
        gradient(model, other, one)
        other.end_step(place)
    assert str(other.masks()) == str(masks)
    assert other.record() == whole.record()
    whole.end()
    other.end()


def test_masks_are_asked_for_as_the_subnetworks_strategies_do():
    assert Meta(masks="static").needs() == SubnetStatic().needs() != frozenset()
    assert Meta(masks="dynamic").needs() == Meta().needs() == frozenset()
    assert Meta(masks="static").skip({"model_type": "gpt2"}) == SubnetStatic().skip({"model_type": "gpt2"})
    assert Meta().skip({"model_type": "gpt2"}) is None


def test_a_start_that_fails_can_be_ended():
    model = made("bert")
    meta = Meta(masks="static")
    with pytest.raises(ValueError, match="every language needs a mask"):
        started(meta, model)
    meta.end()
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


# The record


def test_the_record_is_of_the_losses_before_and_after(mixture, fresh):
    """Of every step that is looked at, against copies; after the first, nothing has been seen before."""
    model = made("bert")
    steps = drawn_steps(5)
    meta = started(Meta(inner_lr=0.05), model.train(), steps=5)
    slow = Slow("fomaml", None, 0.05)
    expected = {}
    for place, batches in enumerate(steps):
        for one, batch in batches.items():
            if slow.memory.get(one):
                own = copy.deepcopy(model)
                before = exact(own.eval(), batch).item()
                # Dropout is off for what is noted; what is stepped on has it.
                expected[one.code, place] = before
        slow.backward(model, batches, exact)
        gradient(model, meta, batches)
    assert all(module.training for module in model.modules())
    told = json.loads(json.dumps(meta.record(), allow_nan=False))["adaptation"]
    meta.end()
    assert told["steps"] == [round((place * 4 + 0.5) / 4) for place in range(1, 5)]
    found = {
        (code, place): value
        for code, row in told["before"].items()
        for place, value in enumerate(row, 1)
        if value is not None
    }
    assert found == pytest.approx(expected, abs=2e-5)


def test_after_is_the_loss_of_the_adapted_model():
    model = made("bert")  # without dropout, so that the copies make the same steps
    steps = drawn_steps(5, seed=3)
    meta = started(Meta(inner_lr=0.05), model, steps=5)
    slow, expected = Slow("fomaml", None, 0.05), []
    for batches in steps:
        known = {one: batch for one, batch in batches.items() if slow.memory.get(one)}
        for one, batch in known.items():
            twin = copy.deepcopy(slow)
            expected.append((one.code, twin.backward(model, {one: batch}, exact)[1]))
        slow.backward(model, batches, exact)
        gradient(model, meta, batches)
    told = meta.record()["adaptation"]["after"]
    meta.end()
    found = [(code, value) for code, row in told.items() for value in row if value is not None]
    assert sorted(found) == [(code, pytest.approx(value, abs=2e-5)) for code, value in sorted(expected)]


def test_a_long_training_is_told_of_in_few_points(mixture, fresh, hyper):
    history = train(fresh(), mixture, replace(hyper, epochs=20), Meta(), 0, CPU)
    told = history.strategy["adaptation"]
    assert len(told["steps"]) == POINTS
    assert told["steps"] == sorted(told["steps"])
    assert told["steps"][0] < 20 * mixture.steps(8) / POINTS
    assert set(told["before"]) == set(told["after"]) == set(CODES[:3])
    assert all(len(row) == POINTS for row in (*told["before"].values(), *told["after"].values()))


def test_looking_changes_no_bit(mixture, fresh, hyper, monkeypatch):
    one, two = fresh(), fresh()
    train(one, mixture, hyper, Meta(), 0, CPU)
    monkeypatch.setattr(Meta, "_look", lambda *arguments: None)
    train(two, mixture, hyper, Meta(), 0, CPU)
    assert same_bits(state(one), state(two))


@pytest.mark.parametrize("algorithm", ["fomaml", "reptile"])
def test_in_bf16_nearly_the_same_gradient(algorithm, monkeypatch):
    """Looking, which is without gradients, loses none to the copies of weights that autocast keeps."""
    model = made("bert").float()
    half, full = (started(Meta(algorithm, inner_lr=0.05), model, steps=6) for _ in range(2))
    for batches in drawn_steps(6):
        expected, _ = gradient(model, full, batches, cross_entropy)
        with autocast(CPU, "bf16"):
            found, value = gradient(model, half, batches, cross_entropy)
        assert value.dtype == torch.float32
        flat, exact = (torch.cat([part.flatten() for part in one.values()]) for one in (found, expected))
        assert torch.nn.functional.cosine_similarity(flat, exact, dim=0) > 0.99
        for name, part in expected.items():
            assert found[name].norm() > 0.5 * part.norm(), name
    half.end()
    full.end()


# What is refused


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        (Meta(inner_steps=-1), "inner_steps of fomaml must be at least 0, found -1"),
        (Meta("reptile", inner_steps=0), "inner_steps of reptile must be at least 1, found 0"),
        (Meta(inner_lr=0.0), "inner_lr must be above 0 and finite, found 0"),
        (Meta(inner_lr=-0.1), "inner_lr must be above 0 and finite, found -0.1"),
        (Meta(inner_lr=math.nan), "inner_lr must be above 0 and finite, found nan"),
        (Meta(inner_lr=math.inf), "inner_lr must be above 0 and finite, found inf"),
    ],
)
def test_bad_values_are_one_line(strategy, said):
    with pytest.raises(ValueError, match=f"^{said}$"):
        strategy.needs()


def test_parameters_of_an_unknown_kind_of_module():
    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = torch.nn.Parameter(torch.zeros(3))

    meta = Meta()
    with pytest.raises(ValueError, match=r"can be adapted, found the model \(Odd\)$"):
        started(meta, Odd())
    meta.end()


def test_concatenation_is_not_padded_when_there_is_nothing_to_adapt_on():
    """The first step of all is the plain one, in the order it comes in."""
    model = made("bert")
    [batches] = drawn_steps(1)
    meta = started(Meta(), model)
    found, value = gradient(model, meta, batches)
    plain, expected = gradient(model, Plain(), batches)
    assert same_bits(found, plain)
    assert value == expected == exact(model, concatenate(list(batches.values())))
    meta.end()
