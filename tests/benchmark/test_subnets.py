"""Subnetworks against models whose weights are zeroed, open masks against plain, importance against loops."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel

from benchmark import registry
from benchmark.jobs import EvalSet, TrainJob, execute, predictions, scored
from benchmark.readings import ModelPlan, load
from benchmark.training import model as models
from benchmark.training.batches import Batch, Encoded, Mixture, collate, concatenate
from benchmark.training.evaluation import predict
from benchmark.training.gates import Gates
from benchmark.training.loop import train
from benchmark.training.model import Classifier, cross_entropy, losses_by_row
from benchmark.training.strategy import Plain, Start
from benchmark.training.subnet_masks import KINDS, most_important
from benchmark.training.subnets import POINTS, SubnetDynamic, SubnetRandom, SubnetStatic
from measures.subnetwork import Subnetwork
from tasks.languages import language

CPU = torch.device("cpu")
CODES = ("deu", "nld", "rus")
LANGUAGES = tuple(map(language, CODES))
SHAPES = {"heads": (2, 2), "units": (2, 24)}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)  # conftest restores it


@pytest.fixture
def sets(tiny, examples):
    """Encoded examples of three languages: 30, 22 and 17 of them."""
    rows = {code: examples(code, count) for code, count in zip(CODES, (30, 22, 17), strict=True)}
    return {code: Encoded.open(tiny.store.path(tiny.encode(rows[code]))) for code in CODES}


@pytest.fixture
def mixture(sets):
    return Mixture({language(code): data for code, data in sets.items()})


@pytest.fixture
def step(mixture):
    """A step's batches of all three languages."""
    return next(one for one in mixture.epoch(12, 0) if len(one) == 3)


@pytest.fixture
def fresh(tiny):
    """A model in which heads and units matter, without dropout."""

    def make(seed=0):
        found = models.load(tiny.folder, 2, seed).eval()
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in found.parameters():
                if parameter.ndim > 1:
                    parameter += 0.25 * torch.randn(parameter.shape, generator=generator)
        return found

    return make


def drawn(seed=0, share=0.6, codes=CODES):
    """A mask for each language; something is left in all, and something closed."""
    source = np.random.default_rng(seed)
    found = {code: {kind: (source.random(SHAPES[kind]) < share) * 1.0 for kind in KINDS} for code in codes}
    for mask in found.values():
        mask["heads"][0, 0], mask["units"][1, 3] = 1, 0
    return found


def ones(codes=CODES):
    return {code: {kind: np.ones(SHAPES[kind]) for kind in KINDS} for code in codes}


def begun(strategy, model, masks=None, languages=LANGUAGES, seed=0, steps=100):
    strategy.begin(Start(model, languages, seed, steps, 1e-3, masks or {}))
    return strategy


def grads(model):
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    return found


def state(of):
    return {name: value.detach().clone() for name, value in of.state_dict().items()}


def same_bits(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def zeroed(model, mask):
    """A copy whose weights that read closed heads and units are 0, and what of each parameter is left alone."""
    model = copy.deepcopy(model)
    left = {name: torch.ones_like(p) for name, p in model.named_parameters()}
    for module in model.modules():
        module._forward_pre_hooks.clear()
    with torch.no_grad():
        for at in range(2):
            for name, gate in (
                (f"encoder.encoder.layer.{at}.attention.output.dense.weight", np.repeat(mask["heads"][at], 8)),
                (f"encoder.encoder.layer.{at}.output.dense.weight", mask["units"][at]),
            ):
                left[name] *= torch.tensor(gate, dtype=torch.float32)
        for name, parameter in model.named_parameters():
            parameter *= left[name]
    return model, left


# The step


@pytest.mark.parametrize("make", [SubnetStatic, SubnetRandom])
def test_a_step_against_each_language_by_itself_with_its_weights_zeroed(fresh, step, make):
    model = fresh()
    strategy = begun(make(), model, drawn())
    value = strategy.backward(model, step, cross_entropy)
    found = grads(model)
    assert not value.requires_grad
    rows = sum(map(len, step.values()))
    expected, total = {name: torch.zeros_like(g) for name, g in found.items()}, 0.0
    for one, batch in step.items():
        own, left = zeroed(model, strategy.masks()[one.code])
        loss = cross_entropy(own, batch) * len(batch) / rows
        loss.backward()
        total += loss.item()
        for name, parameter in own.named_parameters():
            expected[name] += parameter.grad * left[name]
    assert value.item() == pytest.approx(total, rel=1e-5)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-6)


def test_what_is_closed_everywhere_has_no_gradient_and_no_effect(fresh, step):
    masks = drawn()
    for mask in masks.values():
        mask["heads"][1, 1] = mask["units"][0, 7] = mask["units"][1, 3] = 0
        mask["heads"][1, 0] = mask["units"][0, 8] = 1
    model = fresh()
    strategy = begun(SubnetStatic(), model, masks)
    before = strategy.backward(model, step, cross_entropy)
    found = grads(model)
    layers = "encoder.encoder.layer"
    attention = [f"{layers}.1.attention.self.{name}" for name in ("query", "key", "value")]
    closed = [(f"{name}.weight", slice(8, 16), slice(None)) for name in attention]
    closed += [(f"{layers}.1.attention.output.dense.weight", slice(None), slice(8, 16))]
    for layer, unit in ((0, 7), (1, 3)):
        closed += [(f"{layers}.{layer}.intermediate.dense.weight", unit, slice(None))]
        closed += [(f"{layers}.{layer}.output.dense.weight", slice(None), unit)]
    parameters = dict(model.named_parameters())
    for name, rows, columns in closed:
        assert (found[name][rows, columns] == 0).all(), name
        assert (found[name] != 0).any(), name
        with torch.no_grad():
            parameters[name][rows, columns] += torch.randn(found[name][rows, columns].shape)
    for name in attention:
        assert (found[f"{name}.bias"][8:] == 0).all()
    assert torch.equal(strategy.backward(model, step, cross_entropy), before)
    with torch.no_grad():  # the open neighbours of what was closed
        parameters[f"{layers}.1.attention.output.dense.weight"][:, :8] += torch.randn(16, 8)
    assert not torch.equal(strategy.backward(model, step, cross_entropy), before)


def test_the_model_is_whole_between_steps_and_free_in_the_end(fresh, step):
    model, batch = fresh(), concatenate(list(step.values()))
    whole = cross_entropy(model, batch)
    strategy = begun(SubnetStatic(), model, drawn())
    assert not torch.equal(strategy.backward(model, step, cross_entropy), whole)
    assert torch.equal(cross_entropy(model, batch), whole)

    def fails(model, batch):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        strategy.backward(model, step, fails)
    assert torch.equal(cross_entropy(model, batch), whole)
    strategy.end()
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("make", [SubnetStatic, SubnetRandom, lambda: SubnetDynamic(every=1)])
def test_the_order_of_languages_changes_only_rounding(fresh, step, make):
    results = []
    for order in (LANGUAGES, LANGUAGES[::-1]):
        model, masks = fresh(), drawn()
        strategy = begun(make(), model, {one.code: masks[one.code] for one in order}, order)
        for at in range(3):
            strategy.backward(model, {one: step[one] for one in order}, cross_entropy)
            strategy.end_step(at)
            found = grads(model)
        results.append((found, strategy.masks(), strategy.record()))
    for name, gradient in results[0][0].items():
        torch.testing.assert_close(gradient, results[1][0][name], rtol=1e-4, atol=1e-6)
    for code in CODES:
        for kind in KINDS:
            np.testing.assert_array_equal(results[0][1][code][kind], results[1][1][code][kind])
    assert results[0][2] == results[1][2]


# Whole trainings

CASES = {
    "static": (SubnetStatic, ones()),
    "random": (SubnetRandom, ones()),
    "dynamic": (lambda: SubnetDynamic(keep=1.0, every=2), {}),
}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("case", CASES)
def test_fully_open_masks_are_plain_bit_for_bit(mixture, tiny, hyper, case, precision):
    """With dropout, which neither may draw from."""
    make, masks = CASES[case]
    of = replace(hyper, precision=precision)
    results = []
    for strategy in (Plain(), make()):
        model = models.load(tiny.folder, 2, 0)
        history = train(model, mixture, of, strategy, 5, CPU, masks=masks)
        results.append((state(model), history.losses))
    assert same_bits(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]
    assert history.strategy["whole"] == list(CODES)
    assert history.strategy["overlap"]["units"] == [[1.0] * 3] * 3


@pytest.mark.parametrize("case", CASES)
def test_a_training_through_subnetworks(mixture, tiny, hyper, case):
    make = {"static": SubnetStatic, "random": SubnetRandom, "dynamic": lambda: SubnetDynamic(0.5, 2)}[case]
    masks = {} if case == "dynamic" else drawn()
    results = []
    for _ in range(2):
        model, strategy = models.load(tiny.folder, 2, 0), make()
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        history = train(model, mixture, hyper, strategy, 5, CPU, masks=masks)
        assert (before[1] == np.random.get_state()[1]).all()
        assert not any(module._forward_pre_hooks for module in model.modules())
        results.append((state(model), strategy.masks(), history))
    assert same_bits(results[0][0], results[1][0])
    plain = models.load(tiny.folder, 2, 0)
    train(plain, mixture, hyper, Plain(), 5, CPU)
    assert not same_bits(results[0][0], state(plain))
    record = json.loads(json.dumps(history.strategy, allow_nan=False))
    assert record == history.strategy
    found = results[0][1]
    for code in CODES:
        for kind in KINDS:
            np.testing.assert_array_equal(found[code][kind], results[1][1][code][kind])
            assert record["kept"][kind][code] == [round(float(share), 4) for share in found[code][kind].mean(1)]
    for at, s in enumerate(CODES):
        for other, t in enumerate(CODES):
            one, two = found[s]["units"], found[t]["units"]
            jaccard = (one * two).sum() / np.maximum(one, two).sum()
            assert record["overlap"]["units"][at][other] == pytest.approx(jaccard, abs=1e-4)
    if case == "dynamic":
        assert record["cuts"] == len(record["along"]) == 8  # 18 steps by 2, none after the last
        assert [point["step"] for point in record["along"]] == list(range(2, 18, 2))
        shares = [1 - 0.5 * min(1, step / 9) for step in range(2, 18, 2)]
        assert [point["kept"]["units"] for point in record["along"]] == [
            round(round(share * 48) / 48, 4) for share in shares
        ]
        assert found["deu"]["heads"].sum() == 2


def test_random_masks_are_as_sparse_layer_by_layer(fresh):
    static = drawn(3)

    def found(seed=0, codes=CODES):
        languages = [language(code) for code in codes]
        return begun(SubnetRandom(), fresh(), static, languages, seed).masks()

    one = found()
    for code in CODES:
        for kind in KINDS:
            assert set(np.unique(one[code][kind])) <= {0.0, 1.0}
            np.testing.assert_array_equal(one[code][kind].sum(1), static[code][kind].sum(1))
        assert (one[code]["units"] != static[code]["units"]).any()
    for other in (found(seed=1), {"deu": found()["nld"]}):
        assert (other["deu"]["units"] != one["deu"]["units"]).any()
    alike = found(codes=("deu", "rus"))  # who else takes part changes nothing
    assert alike.keys() == {"deu", "rus"}
    assert all((alike[code][kind] == one[code][kind]).all() for code in alike for kind in KINDS)
    same = {code: static["deu"] for code in CODES}
    masks = begun(SubnetRandom(), fresh(), same).masks()
    assert (masks["deu"]["units"] != masks["nld"]["units"]).any()


# Dynamic masks


def by_loops(model, masks, batch):
    """E|∂L/∂ξ| over examples under a mask, one at a time."""
    totals = {kind: np.zeros(SHAPES[kind]) for kind in KINDS}
    with Gates(model) as gates:
        for row in range(len(batch)):
            own = {kind: torch.tensor(masks[kind], dtype=torch.float32).requires_grad_() for kind in KINDS}
            gates.heads, gates.units = own["heads"], own["units"]
            loss = losses_by_row(model, batch[row : row + 1])
            if not len(batch[row : row + 1].labels):
                continue
            for kind, grad in zip(KINDS, torch.autograd.grad(loss.sum(), list(own.values())), strict=True):
                totals[kind] += grad.abs().numpy()
    return {kind: total / len(batch) for kind, total in totals.items()}


def literal_choice(by, count):
    ranked = []
    for layer in range(by.shape[0]):
        norm = sum(float(value) ** 2 for value in by[layer]) ** 0.5
        ranked += [(-by[layer, i] / norm if norm else 0.0, layer, i) for i in range(by.shape[1])]
    mask = np.zeros(by.shape)
    for _, layer, i in sorted(ranked)[:count]:
        mask[layer, i] = 1
    return mask


@pytest.mark.parametrize(("share", "count"), [(1.0, 12), (0.7, 8), (0.3, 4), (0.001, 1)])
def test_the_most_important_are_kept(share, count):
    source = np.random.default_rng(0)
    for _ in range(20):
        by = source.gamma(0.3, size=(3, 4)) * np.array([[1.0], [100.0], [source.integers(0, 2)]])
        np.testing.assert_array_equal(most_important(by, share), literal_choice(by, count))


def test_masks_follow_importance_and_closed_ones_come_back(fresh, mixture):
    """Three cuts, written out; one language does not occur between the second and the third."""
    model = fresh()
    strategy = begun(SubnetDynamic(keep=0.25, every=2), model, steps=8)
    running, reopened = {}, 0
    batches = [one for one in mixture.epoch(12, 3) if len(one) == 3][:4]
    for cut in range(3):
        before = strategy.masks()
        fresh_means = {}
        pair = batches[cut : cut + 2]
        if cut == 2:
            pair = [{one: batch for one, batch in step.items() if one.code != "rus"} for step in pair]
        for at, step in enumerate(pair):
            strategy.backward(model, step, cross_entropy)
            strategy.end_step(2 * cut + at)
            model.zero_grad()
        for one in pair[0]:
            both = [(by_loops(model, before[one.code], step[one]), len(step[one])) for step in pair]
            rows = sum(count for _, count in both)
            fresh_means[one.code] = {kind: sum(by[kind] * n for by, n in both) / rows for kind in KINDS}
        after = strategy.masks()
        share = {0: 1 - 0.75 / 2, 1: 0.25, 2: 0.25}[cut]
        for code, means in fresh_means.items():
            old = running.get(code, means)
            running[code] = {kind: (old[kind] + means[kind]) / 2 for kind in KINDS}
            for kind in KINDS:
                expected = literal_choice(running[code][kind], max(1, round(share * np.prod(SHAPES[kind]))))
                np.testing.assert_array_equal(after[code][kind], expected)
                reopened += (after[code][kind] * (1 - before[code][kind])).sum()
        if cut == 2:
            assert all((after["rus"][kind] == before["rus"][kind]).all() for kind in KINDS)
    assert reopened > 0
    assert (before["deu"]["units"] != before["nld"]["units"]).any()
    strategy.backward(model, batches[0], cross_entropy)
    strategy.end_step(6)
    strategy.end_step(7)  # the last step of the training: what is served is what was trained
    assert len(strategy.record()["along"]) == 3
    assert sum(point["opened"]["units"] for point in strategy.record()["along"]) > 0


def test_importance_of_tagged_tokens(fresh):
    """A row's loss is the mean over its labelled tokens; a row without any has none."""
    model = fresh()
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 200, (4, 6), generator=generator)
    places = torch.tensor([1, 2, 3, 4, 7, 8, 19])  # four, two, none and one of a row
    batch = Batch(ids, torch.ones_like(ids), torch.tensor([0, 1, 0, 0, 1, 1, 0]), places=places)
    strategy = begun(SubnetDynamic(every=1), model, languages=LANGUAGES[:2])
    strategy.backward(model, {LANGUAGES[0]: batch[0:3], LANGUAGES[1]: batch[3:4]}, cross_entropy)
    strategy.end_step(0)
    for code, part in (("deu", batch[0:3]), ("nld", batch[3:4])):
        expected = by_loops(model, ones()[code], part)
        for kind in KINDS:
            np.testing.assert_allclose(strategy.importance[code][kind], expected[kind], rtol=1e-3, atol=1e-7)


def test_the_record_has_no_more_points_than_it_should(fresh, step):
    model = fresh()
    strategy = begun(SubnetDynamic(every=1), model, steps=70)
    for at in range(70):
        if at % 10 == 0:
            strategy.backward(model, step, cross_entropy)
        strategy.end_step(at)
    record = strategy.record()
    assert record["cuts"] == 69
    assert len(record["along"]) == POINTS
    assert (record["along"][0]["step"], record["along"][-1]["step"]) == (1, 69)
    assert begun(SubnetDynamic(), model).record()["along"] == []


@pytest.mark.parametrize("cut_at", [1, 2, 5])
def test_resumed_inside_a_training(fresh, mixture, cut_at):
    """The state of a strategy, taken between cuts too, goes on with the same bits; it shares nothing."""
    model, steps = fresh(), list(mixture.epoch(8, 1))[:8]
    first = begun(SubnetDynamic(keep=0.3, every=2), model, steps=10)

    def go(strategy, chosen, first_step):
        found = []
        for at, step in enumerate(chosen, first_step):
            strategy.backward(model, step, cross_entropy)
            strategy.end_step(at)
            found.append(grads(model))
        return found

    go(first, steps[:cut_at], 0)
    kept, then = first.state_dict(), first.masks()
    expected = go(first, steps[cut_at:], cut_at)
    first.end()
    for _ in range(2):  # what was kept is as it was
        second = begun(SubnetDynamic(keep=0.3, every=2), model, steps=10)
        second.load_state_dict(kept)
        for code in CODES:
            assert all((second.masks()[code][kind] == then[code][kind]).all() for kind in KINDS)
        found = go(second, steps[cut_at:], cut_at)
        assert all(same_bits(one, two) for one, two in zip(found, expected, strict=True))
        assert second.record() == first.record()
        second.end()


# What is refused


def test_static_masks_are_the_reading_of_the_measure():
    for tolerance in (0.95, 0.9, 1):
        (reading,) = SubnetStatic(tolerance).needs()
        assert reading in Subnetwork(tolerance=tolerance).needs().readings
        assert SubnetRandom(tolerance).needs() == {reading}
    assert SubnetDynamic().needs() == frozenset()


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (SubnetStatic(0.0), "tolerance must be above 0 and at most 1, found 0"),
        (SubnetRandom(1.2), "tolerance must be above 0 and at most 1, found 1.2"),
        (SubnetDynamic(keep=0.0), "keep must be above 0 and at most 1, found 0"),
        (SubnetDynamic(keep=1.01), "keep must be above 0 and at most 1, found 1.01"),
        (SubnetDynamic(every=0), "every must be at least 1, found 0"),
    ],
)
def test_values_that_are_not_allowed(strategy, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        strategy.needs()


def test_masks_that_do_not_fit(fresh):
    wrong = drawn()
    wrong["nld"]["units"] = np.ones((2, 5))
    for masks, message in (
        (drawn(codes=("nld",)), "found none of deu, rus"),
        (wrong, r"units of nld: .*\(2, 24\) is needed, found \(2, 5\)"),
    ):
        for make in (SubnetStatic, SubnetRandom):
            model = fresh()
            with pytest.raises(ValueError, match=message):
                begun(make(), model, masks)
            assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_model_without_heads_that_are_known():
    config = AutoConfig.for_model("mpnet", vocab_size=40, hidden_size=16, num_hidden_layers=1,
                                  num_attention_heads=2, intermediate_size=24)  # fmt: skip
    model = Classifier(AutoModel.from_config(config), 2)
    for strategy in (SubnetStatic(), SubnetRandom(), SubnetDynamic()):
        assert "found mpnet" in strategy.skip(config.to_dict())
        assert strategy.skip({"model_type": "bert"}) is None
        with pytest.raises(ValueError, match="found mpnet"):
            begun(strategy, model, drawn())


# Through the store


def test_from_readings_in_the_store_to_predictions(tiny, examples, hyper, monkeypatch):
    """Masks read from each language's own training, kept with the joint one, used where it is scored."""
    create = registry.create
    monkeypatch.setattr(
        registry,
        "create",
        lambda kind, spec: (SubnetStatic(), {}) if spec == "subnet-static" else create(kind, spec),
    )
    store = tiny.store
    keys = {
        split: {code: tiny.encode(examples(code, count, seed=seed)) for code in CODES}
        for seed, (split, count) in enumerate({"train": 24, "dev": 16, "test": 12}.items())
    }
    whole = TrainJob(
        task="tiny@1",
        labels=2,
        metric="accuracy",
        data=tuple(keys["train"].items()),
        model="scratch",
        model_digest="tiny",
        hyper=replace(hyper, epochs=4, lr=5e-3),
        seed=0,
        numerics="1/test/cpu",
        names=("no", "yes"),
        model_path=str(tiny.folder),
    )
    masks = []
    for code in CODES:
        plan = ModelPlan(
            "masks", (("tolerance", 0.95),), "trained", tuple((s, keys[s][code]) for s in ("train", "dev"))
        )
        own = replace(whole, data=((code, keys["train"][code]),), readings=(plan,))
        assert execute(own, store).error is None
        masks.append((code, plan.key(own.key)))
    evaluate = tuple(EvalSet(code, "test", keys["test"][code]) for code in CODES)
    dev = tuple(keys["dev"].items())
    job = replace(
        whole,
        strategy="subnet-static",
        masks=tuple(masks),
        evaluate=evaluate,
        dev=dev,
        hyper=replace(whole.hyper, patience=9),
    )
    assert execute(job, store).error is None
    model = models.load(tiny.folder, 2, 0)
    from safetensors.torch import load_file

    model.load_state_dict(load_file(store.path(job.key) / "model.safetensors"))
    have = scored(store, job.key)
    closed = 0
    for (code, key), one in zip(masks, evaluate, strict=True):
        mask = load(store.path(key)).arrays
        for kind in KINDS:
            np.testing.assert_array_equal(np.load(store.path(job.key) / f"{code}.{kind}.npy"), mask[kind])
        closed += (mask["units"] == 0).sum()
        said = predictions(store, have["test", one.examples])["test", one.examples]
        (expected,) = predict(zeroed(model, mask)[0], [Encoded.open(store.path(one.examples))], CPU, "fp32")
        np.testing.assert_array_equal(said, expected)
    assert closed > 0
    history = json.loads((store.path(job.key) / "history.json").read_text())
    assert history["strategy"]["overlap"]["languages"] == list(CODES)
    best = max(history["dev"])
    right = [
        np.mean(predict(zeroed(model, load(store.path(key)).arrays)[0], [data], CPU, "fp32")[0] == data.labels)
        for (_, key), data in zip(masks, (Encoded.open(store.path(key)) for _, key in dev), strict=True)
    ]
    assert np.mean(right) == pytest.approx(best)


def test_collated_rows_keep_their_masks(fresh, sets):
    """The passage gives rows to languages in the order of the batches, whatever that is."""
    model = fresh()
    strategy = begun(SubnetStatic(), model, drawn())
    order = (LANGUAGES[2], LANGUAGES[0])
    parts = {one: collate(sets[one.code], np.arange(count)) for one, count in zip(order, (1, 3), strict=True)}
    width = max(part.ids.shape[1] for part in parts.values())

    def wide(tensor):
        return torch.nn.functional.pad(tensor, (0, width - tensor.shape[1]))

    parts = {one: Batch(wide(part.ids), wide(part.mask), part.labels) for one, part in parts.items()}
    with torch.no_grad(), strategy.through(parts) as whole:
        found = model(whole)
    for one, (start, end) in zip(order, ((0, 1), (1, 4)), strict=True):
        own = zeroed(model, strategy.masks()[one.code])[0]
        torch.testing.assert_close(found[start:end], own(parts[one]), rtol=1e-4, atol=1e-5)
