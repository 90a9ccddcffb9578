"""PCGrad and Gradient Vaccine as trainings: against a literal step, plain, and themselves."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from benchmark.jobs import EvalSet, Outcome, TrainJob, execute
from benchmark.registry import create
from benchmark.seeds import derive
from benchmark.store import Store
from benchmark.training import parts, surgery
from benchmark.training.batches import Batch, Encoded, Mixture, concatenate
from benchmark.training.evaluation import predict
from benchmark.training.loop import train
from benchmark.training.model import blocks, cross_entropy, load
from benchmark.training.probes import GradientTrace
from benchmark.training.strategy import Plain, Start
from benchmark.training.surgery import GradVac, PCGrad
from benchmark.training.vaccine import vaccinate
from tasks.languages import language

CPU = torch.device("cpu")
CODES = ("deu", "nld", "rus")
LANGUAGES = tuple(map(language, CODES))
SURGEONS = {
    "pcgrad": PCGrad,
    "gradvac": GradVac,
    "gradvac[beta=0.5]": lambda: GradVac(beta=0.5),
    "gradvac[granularity=model]": lambda: GradVac(0.5, "model"),
    "gradvac[granularity=matrix]": lambda: GradVac(0.5, "matrix"),
    "pcgrad[embeddings=false]": lambda: PCGrad(embeddings=False),
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def keys(tiny, examples):
    return {code: tiny.encode(examples(code, count)) for code, count in zip(CODES, (30, 22, 17), strict=True)}


@pytest.fixture
def sets(tiny, keys):
    return {code: Encoded.open(tiny.store.path(key)) for code, key in keys.items()}


@pytest.fixture
def mixture(sets):
    return Mixture({language(code): data for code, data in sets.items()})


@pytest.fixture
def fresh(tiny):
    """A model whose gradients conflict, as those of a trained one do."""

    def make():
        model = load(tiny.folder, 2, seed=0)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
        return model

    return make


def start(model, languages=LANGUAGES, steps=40, seed=7):
    return Start(model, languages, seed, steps, 1e-3)


def grads(model):
    found = {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    return found


def one_by_one(model, batches):
    """Each language's share of the mean loss, by code."""
    terms = sum(len(batch.labels) for batch in batches.values())
    found = {}
    for spoken, batch in batches.items():
        (cross_entropy(model, batch) * (len(batch.labels) / terms)).backward()
        found[spoken.code] = {name: g.clone() for name, g in grads(model).items() if g is not None}
    return found


def far(one, other):
    """Distance of two gradients, relative to the second's size."""
    size = sum(float((g**2).sum()) for g in other.values()) ** 0.5
    return sum(float(((one[name] - g) ** 2).sum()) for name, g in other.items()) ** 0.5 / size


def batches_of(mixture, seed=0, size=8):
    return list(mixture.epoch(size, seed))


# A step


@pytest.mark.parametrize("spec", SURGEONS)
@pytest.mark.parametrize("pairs", [0, 10**9])
def test_a_step_against_the_literal_algorithm(spec, pairs, mixture, fresh, monkeypatch):
    monkeypatch.setattr(parts, "PAIRS", pairs)
    model, strategy = fresh().eval(), SURGEONS[spec]()
    strategy.begin(start(model))
    by_block = blocks(model)
    names = [name for of in by_block.values() for name in of]
    if not strategy.embeddings:
        names.remove(by_block["embeddings"][0])
    groups = {
        "model": [names],
        "layer": [of for of in by_block.values() if of[0] in names],
        "matrix": [[name] for name in names],
    }[strategy.granularity]
    targets = {tuple(group): np.zeros((3, 3)) for group in groups}
    corrected = 0
    for step, batches in enumerate(batches_of(mixture)):
        expected = one_by_one(model, batches)
        whole = {name: sum(of[name] for of in expected.values()) for name in names}
        loss = strategy.backward(model, batches, cross_entropy)
        torch.testing.assert_close(loss, cross_entropy(model, concatenate(list(batches.values()))).detach())
        assert not loss.requires_grad
        found = grads(model)
        codes = sorted(expected)
        at = [CODES.index(code) for code in codes]
        drawn = np.random.default_rng(derive(7, "surgery", str(step))).random((3, 3))
        orders = [
            sorted(set(range(len(at))) - {i}, key=lambda j, i=i: drawn[at[i], at[j]]) for i in range(len(at))
        ]
        for group in groups if len(at) > 1 else []:
            flat = np.array([np.concatenate([expected[c][n].double().flatten() for n in group]) for c in codes])
            square = np.ix_(at, at)
            moved = targets[tuple(group)][square]
            combined = vaccinate((flat @ flat.T)[None], moved[None], strategy.beta, np.array(orders))[0]
            targets[tuple(group)][square] = moved
            corrected += int((combined != np.eye(len(at))).sum())
            for name in group:
                weights = combined.sum(0)
                whole[name] = sum(float(w) * expected[c][name] for w, c in zip(weights, codes, strict=True))
        assert far(found, whole) < 1e-3 if strategy.granularity == "matrix" else far(found, whole) < 1e-5
    assert corrected > 5
    if strategy.granularity != "matrix":  # of the key's bias, cosines are those of rounding
        for place, group in enumerate(targets.values()):
            np.testing.assert_allclose(strategy.targets[place], group, atol=1e-4)
    assert (strategy.targets != 0).any() == (strategy.beta > 0)
    strategy.end()


@pytest.mark.parametrize("spec", SURGEONS)
def test_without_conflict_it_is_plains_step(spec, mixture, fresh):
    """The same examples in three languages: nothing to correct."""
    model = fresh().eval()
    one = next(iter(batches_of(mixture)[0].values()))
    batches = dict.fromkeys(LANGUAGES, one)
    Plain().backward(model, batches, cross_entropy)
    expected, strategy = grads(model), SURGEONS[spec]()
    strategy.begin(start(model))
    for _ in range(3):
        strategy.backward(model, batches, cross_entropy)
        assert far(grads(model), expected) < 1e-5
    if strategy.granularity != "matrix":
        told = strategy.record()["blocks"]["model"]
        assert told["corrected"] == told["conflicts"] == 0
        assert told["cosine"] == pytest.approx(1, abs=1e-5)
        assert told["step"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("spec", SURGEONS)
def test_one_language_alone_is_plain_and_moves_no_target(spec, mixture, fresh):
    strategy, model = SURGEONS[spec](), fresh().train()
    strategy.begin(start(model))
    for batches in batches_of(mixture)[:2]:
        strategy.backward(model, batches, cross_entropy)
        model.zero_grad()
    before = copy.deepcopy(strategy.state_dict())
    spoken, batch = next(iter(batches_of(mixture)[0].items()))
    torch.manual_seed(3)
    strategy.backward(model, {spoken: batch}, cross_entropy)
    found = grads(model)
    torch.manual_seed(3)
    Plain().backward(model, {spoken: batch}, cross_entropy)
    assert all(torch.equal(g, found[name]) for name, g in grads(model).items())
    after = strategy.state_dict()
    assert after.pop("step") == before.pop("step") + 1
    assert all(torch.equal(value, before[name]) for name, value in after.items())


def test_the_order_of_the_languages_changes_nothing(mixture, fresh):
    steps = batches_of(mixture)
    found = []
    for languages in (LANGUAGES, LANGUAGES[::-1]):
        model, strategy = fresh().train(), GradVac(0.5)
        strategy.begin(start(model, languages))
        torch.manual_seed(0)
        for batches in steps:
            strategy.backward(model, {one: batches[one] for one in languages if one in batches}, cross_entropy)
        found.append((grads(model), strategy.record()))
    assert found[0][1] == found[1][1]
    assert all(torch.equal(g, found[1][0][name]) for name, g in found[0][0].items())


def test_who_else_takes_part_changes_no_order(mixture, fresh):
    """The others in a language's order keep their places when one of them is not there."""
    drawn = np.random.default_rng(0).random((6, 6))
    full = surgery._orders(drawn)
    present = np.array([0, 2, 3, 5])
    some = surgery._orders(drawn[np.ix_(present, present)])
    for place, at in enumerate(present):
        assert [j for j in full[at] if j in present] == [present[j] for j in some[place]]
    assert len({tuple(order) for order in full.tolist()}) > 1


def test_dropout_draws_are_those_of_plain(mixture, fresh):
    """Surgery draws nothing from torch's global generator."""
    model, states = fresh().train(), []
    for strategy in (Plain(), PCGrad()):
        strategy.begin(start(model))
        torch.manual_seed(0)
        for batches in batches_of(mixture):
            strategy.backward(model, batches, cross_entropy)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


@pytest.mark.parametrize("pairs", [0, 10**9])
def test_mixed_precision(pairs, mixture, fresh, monkeypatch):
    """Corrections are found and made in float32: what is bfloat16 are the passes through the model."""
    monkeypatch.setattr(parts, "PAIRS", pairs)
    asked = []
    monkeypatch.setattr(surgery, "vaccinate", lambda grams, *rest: asked.append(grams) or vaccinate(grams, *rest))
    model = fresh().eval()
    batches = max(batches_of(mixture), key=len)
    expected = one_by_one(model, batches)
    strategy = PCGrad()
    strategy.begin(start(model))
    strategy.backward(model, batches, cross_entropy)
    exact = grads(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = PCGrad()
        rough.begin(start(model))
        rough.backward(model, batches, cross_entropy)
    assert all(p.grad.dtype == torch.float32 for p in model.parameters())
    assert far(grads(model), exact) < 0.1
    half = len(asked) // 2
    for one, other in zip(asked[:half], asked[half:], strict=True):
        np.testing.assert_allclose(one, other, atol=0.1 * np.abs(one).max())
        # Squares of bfloat16 have 8 bits: these have more.
        assert (np.diagonal(other, axis1=1, axis2=2).astype(np.float32).view(np.uint32) & 0xFFFF).any()
    assert len(expected) == 3


def test_blocks_wait_for_each_other_within_their_room(mixture, fresh, monkeypatch):
    steps, found, calls = batches_of(mixture), [], []
    for held in (0.0, 0.25, 1e9):
        monkeypatch.setattr(surgery, "HELD", held)
        times = []
        monkeypatch.setattr(
            surgery,
            "vaccinate",
            lambda grams, *rest, times=times: times.append(len(grams)) or vaccinate(grams, *rest),
        )
        model, strategy = fresh().eval(), GradVac(0.5)
        strategy.begin(start(model))
        for batches in steps:
            strategy.backward(model, batches, cross_entropy)
        found.append((grads(model), strategy.record()))
        calls.append(times)
    several = sum(len(batches) > 1 for batches in steps)
    assert len(calls[0]) == 5 * several
    assert calls[2] == [5] * several
    for one, told in found[1:]:
        assert told == found[0][1]
        assert all(torch.equal(g, found[0][0][name]) for name, g in one.items())


# A training


def trained(fresh, mixture, hyper, strategy, **settings):
    model = fresh()
    return model, train(model, mixture, hyper, strategy, 0, CPU, **settings)


def test_a_training_is_deterministic_and_not_plain(fresh, mixture, hyper):
    runs = [trained(fresh, mixture, hyper, GradVac()) for _ in range(2)]
    plain, _ = trained(fresh, mixture, hyper, Plain())
    states = [model.state_dict() for model, _ in runs]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert not all(torch.equal(value, plain.state_dict()[name]) for name, value in states[0].items())
    assert np.isfinite(runs[0][1].losses).all()
    assert runs[0][1].strategy == runs[1][1].strategy
    for model, _ in runs:
        assert not any(module._forward_hooks for module in model.modules())
        assert all(p.requires_grad for p in model.parameters())


def test_pcgrad_is_gradvac_with_beta_zero(fresh, mixture, hyper):
    (one, first), (other, second) = (trained(fresh, mixture, hyper, made) for made in (PCGrad(), GradVac(beta=0)))
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    assert first.strategy == second.strategy


@pytest.mark.parametrize("spec", SURGEONS)
def test_resumed_in_the_middle_the_same_bits(spec, fresh, mixture, tmp_path):
    steps = batches_of(mixture)
    models = [fresh().train() for _ in range(2)]
    whole, first, second = (SURGEONS[spec]() for _ in range(3))
    half = len(steps) // 2

    def go(strategy, model, some):
        for batches in some:
            strategy.backward(model, batches, cross_entropy)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= 0.01 * parameter.grad
            model.zero_grad()

    torch.manual_seed(0)
    whole.begin(start(models[0], steps=len(steps)))
    go(whole, models[0], steps)
    torch.manual_seed(0)
    first.begin(start(models[1], steps=len(steps)))
    go(first, models[1], steps[:half])
    torch.save(first.state_dict(), tmp_path / "state.pt")
    saved = copy.deepcopy(first.state_dict())
    random = torch.get_rng_state()
    weights = copy.deepcopy(models[1].state_dict())
    go(first, models[1], steps[half:])  # moves nothing of what was saved
    models[1].load_state_dict(weights)
    first.end()
    second.begin(start(models[1], steps=len(steps)))
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    second.load_state_dict(loaded)
    torch.set_rng_state(random)
    go(second, models[1], steps[half:])
    assert all(torch.equal(v, models[1].state_dict()[name]) for name, v in models[0].state_dict().items())
    assert second.record() == whole.record()
    for name, value in whole.state_dict().items():
        assert np.array_equal(second.state_dict()[name], value)
        assert np.array_equal(saved[name], loaded[name])
    assert whole.state_dict()["step"] == len(steps)


def test_the_hooks_sleep_while_dev_is_scored(fresh, mixture, sets, hyper):
    """With patience, the model is used between steps, in evaluation mode and in training mode."""
    dev = list(sets.values())
    scores = []

    def dev_score(model):
        scores.append(predict(model, dev, CPU, "fp32"))
        return float(len(scores))

    model = fresh()
    with_dev = train(
        model, mixture, replace(hyper, patience=5), PCGrad(), 0, CPU, dev_score=lambda: dev_score(model)
    )
    without = trained(fresh, mixture, hyper, PCGrad())[1]
    assert len(scores) == 2
    assert with_dev.losses == without.losses
    assert with_dev.strategy == without.strategy


def test_the_hooks_sleep_while_probes_look(fresh, mixture, sets, hyper):
    def trace():
        return GradientTrace(sets, probes=3, half_batch=4, parallel=False, seed=0, precision="fp32", device=CPU)

    probes = [trace(), trace()]
    seen = trained(fresh, mixture, hyper, GradVac(0.5), probes=probes[:1])[1]
    unseen = trained(fresh, mixture, hyper, GradVac(0.5))[1]
    trained(fresh, mixture, hyper, Plain(), probes=probes[1:])
    assert seen.losses == unseen.losses
    assert seen.strategy == unseen.strategy
    assert not np.array_equal(probes[0].grams[2], probes[1].grams[2])


@pytest.mark.parametrize("spec", SURGEONS)
def test_a_job_with_surgery(spec, tiny, keys, hyper, tmp_path):
    for group in ("pcgrad", "gradvac"):
        create("strategies", group)
    found = []
    for place in ("one", "two"):
        store = Store.at(tmp_path / place)
        for key in keys.values():
            store.put(key, lambda folder, key=key: _copy(tiny.store.path(key), folder), {"kind": "tokens"})
        job = TrainJob(
            task="tiny@1",
            labels=2,
            metric="accuracy",
            data=tuple(sorted(keys.items())),
            model="scratch",
            model_digest="tiny",
            hyper=hyper,
            seed=0,
            numerics="1/test/cpu",
            strategy=spec,
            names=("no", "yes"),
            model_path=str(tiny.folder),
            evaluate=tuple(EvalSet(code, "test", key) for code, key in keys.items()),
        )
        assert execute(job, store) == Outcome(job, trained=True)
        folder = store.path(job.key)
        history = json.loads((folder / "history.json").read_text("utf8"))
        assert np.isfinite(history["losses"]).all()
        history.pop("seconds")
        found.append((folder.joinpath("model.safetensors").read_bytes(), history))
    assert found[0] == found[1]
    told = found[0][1]["strategy"]
    assert told["languages"] == list(CODES)
    blocks = ["embeddings", "positions", "layer.0", "layer.1", "head", "model"]
    assert list(told["blocks"]) == [one for one in blocks if one != "embeddings" or "false" not in spec]


def _copy(source, folder):
    for path in source.iterdir():
        if path.name != "manifest.json":
            (folder / path.name).write_bytes(path.read_bytes())


# What is refused


def test_a_model_that_is_refused_is_left_without_hooks(fresh, mixture, hyper):
    model = fresh()
    model.encoder.embeddings.word_embeddings.forward = lambda ids: (
        model.encoder.embeddings.word_embeddings.weight[ids] * 2
    )
    with pytest.raises(ValueError, match=r"known of plain linear maps, .*, found encoder\.embeddings\.word_embed"):
        train(model, mixture, hyper, PCGrad(), 0, CPU)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("beta", [-0.01, 1.01, float("nan"), float("inf")])
def test_a_beta_that_is_none(beta):
    with pytest.raises(ValueError, match=r"^gradvac\[beta=…\] takes a number from 0 to 1, found [-.\w]+$"):
        GradVac(beta=beta).needs()


def test_betas_that_are_some():
    for strategy in (PCGrad(), GradVac(), GradVac(beta=0), GradVac(beta=1)):
        assert strategy.needs() == frozenset()
    made, given = create("strategies", "gradvac[beta=.5,granularity=matrix,embeddings=false]")
    assert (made.beta, made.granularity, made.embeddings) == (0.5, "matrix", False)
    assert given == {"beta": 0.5, "granularity": "matrix", "embeddings": False}
    made, given = create("strategies", "gradvac")
    assert (made.name, made.beta, made.granularity, made.embeddings, given) == ("gradvac", 0.01, "layer", True, {})
    made, given = create("strategies", "pcgrad[granularity=model]")
    assert (made.name, made.beta, made.granularity, made.embeddings) == ("pcgrad", 0, "model", True)


def test_a_batch_is_left_alone(mixture, fresh):
    model, strategy = fresh().eval(), GradVac()
    strategy.begin(start(model))
    batches = batches_of(mixture)[0]
    before = {one: asdict(batch) for one, batch in copy.deepcopy(batches).items()}
    strategy.backward(model, batches, cross_entropy)
    for one, batch in batches.items():
        assert isinstance(batch, Batch)
        for name, value in asdict(batch).items():
            assert value is None or torch.equal(value, before[one][name])
