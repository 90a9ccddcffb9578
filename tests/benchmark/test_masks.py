"""Importance against loops over single examples; pruning against a model whose weights are zeroed."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from benchmark.training import masks, model
from benchmark.training.batches import Encoded, collate
from benchmark.training.gates import Gates
from benchmark.training.masks import importance, prune, subnetwork
from benchmark.training.model import cross_entropy
from tasks.metrics import score

CPU = torch.device("cpu")
EXACT = {"precision": "fp32", "device": CPU}
SETTINGS = {"metric": "macro_f1", "labels": ("no", "yes"), "seed": 0, **EXACT}


@pytest.fixture
def data(tiny, examples):
    """Training and dev examples of one language."""
    rows = examples("deu", 45), examples("deu", 33, seed=1)
    return tuple(Encoded.open(tiny.store.path(tiny.encode(one))) for one in rows)


@pytest.fixture
def fitted(tiny, data):
    """A model that has learnt something, with weights large enough that most heads and units matter."""
    found = model.load(tiny.folder, 2, 0)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for parameter in found.encoder.encoder.parameters():
            if parameter.ndim > 1:
                parameter += 0.25 * torch.randn(parameter.shape, generator=generator)
    adam = torch.optim.AdamW(found.parameters(), lr=3e-3)
    batch = collate(data[0], np.arange(45))
    for _ in range(12):
        adam.zero_grad()
        cross_entropy(found.eval(), batch).backward()
        adam.step()
    adam.zero_grad()
    return found


def one_by_one(data):
    return [collate(data, np.array([row])) for row in range(len(data))]


def by_activations(of, data):
    """E|Aᵀ ∂L/∂A| of every head and unit, from what the two projections of each layer are given."""
    layers = of.encoder.encoder.layer
    seen = {}
    hooks = [
        place.register_forward_pre_hook(lambda module, inputs, name=name: seen.__setitem__(name, inputs[0]))
        for at, layer in enumerate(layers)
        for name, place in ((("heads", at), layer.attention.output.dense), (("units", at), layer.output.dense))
    ]
    totals = {"heads": np.zeros((2, 2)), "units": np.zeros((2, 24))}
    for batch in one_by_one(data):
        loss = cross_entropy(of, batch)
        grads = torch.autograd.grad(loss, list(seen.values()))
        for (kind, at), hidden, grad in zip(seen, seen.values(), grads, strict=True):
            product = (hidden * grad).sum((0, 1)).detach().numpy()
            totals[kind][at] += np.abs(product.reshape(2, 8).sum(1) if kind == "heads" else product)
    for hook in hooks:
        hook.remove()
    return {kind: total / len(data) for kind, total in totals.items()}


def test_importance_is_the_mean_absolute_gradient_of_single_examples(fitted, data):
    fitted.eval()
    with Gates(fitted) as gates:
        gates.open(CPU)
        heads, units = importance(fitted, gates, data[0], **EXACT)
        expected = by_activations(fitted, data[0])
        np.testing.assert_allclose(heads, expected["heads"], rtol=1e-3)
        np.testing.assert_allclose(units, expected["units"], rtol=1e-3, atol=1e-7)
        # and by gates that are shared, one example at a time
        totals = [torch.zeros(gates.heads_shape), torch.zeros(gates.units_shape)]
        gates.heads[0, 1] = gates.units[1, 3] = gates.units[0, 5] = 0
        before = gates.heads, gates.units
        heads, units = importance(fitted, gates, data[0], **EXACT)
        assert (gates.heads, gates.units) == before
        for batch in one_by_one(data[0]):
            own = [one.clone().requires_grad_() for one in before]
            gates.heads, gates.units = own
            for total, grad in zip(totals, torch.autograd.grad(cross_entropy(fitted, batch), own), strict=True):
                total += grad.abs() / len(data[0])
    totals[0][0, 1] = totals[1][1, 3] = totals[1][0, 5] = 0
    torch.testing.assert_close(heads, totals[0], rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(units, totals[1], rtol=1e-3, atol=1e-7)


def literal_prune(mask, by):
    """The least important tenth of all places, in loops."""
    ranked = []
    for layer in range(mask.shape[0]):
        norm = sum(by[layer, i] ** 2 for i in range(mask.shape[1]) if mask[layer, i]) ** 0.5
        ranked += [
            (by[layer, i] / norm if norm else 0.0, layer, i) for i in range(mask.shape[1]) if mask[layer, i]
        ]
    pruned = mask.copy()
    for _, layer, i in sorted(ranked)[: min(max(1, round(mask.size / 10)), len(ranked) - 1)]:
        pruned[layer, i] = 0
    return pruned


@pytest.mark.parametrize("shape", [(2, 2), (3, 4), (2, 24), (6, 12)])
def test_prune_down_to_the_last_against_loops(shape):
    source = np.random.default_rng(0)
    mask, sizes = np.ones(shape), []
    while mask.sum() > 1:
        by = source.gamma(0.3, size=shape) * np.array([10.0**at for at in range(shape[0])])[:, None]
        pruned = prune(torch.tensor(mask), torch.tensor(by)).numpy()
        np.testing.assert_array_equal(pruned, literal_prune(mask, by))
        sizes.append(mask.sum() - pruned.sum())
        mask = pruned
    assert set(sizes[:-1]) == {max(1, round(mask.size / 10))}
    assert (prune(torch.tensor(mask), torch.tensor(by)).numpy() == mask).all()


def test_prune_of_a_layer_without_any_importance():
    by = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.1, 0.9]])
    assert prune(torch.ones(2, 3), by).tolist() == [[0, 1, 1], [1, 1, 1]]


def zeroed(of, heads, units):
    of = copy.deepcopy(of).eval()
    with torch.no_grad():
        for at, layer in enumerate(of.encoder.encoder.layer):
            layer.attention.output.dense.weight *= torch.tensor(heads[at]).repeat_interleave(8)
            layer.output.dense.weight *= torch.tensor(units[at])
    return of


def literal_score(of, dev):
    said = [int(of(batch).argmax()) for batch in one_by_one(dev)]
    return score("macro_f1", dev.labels, said, ("no", "yes"))


@pytest.mark.parametrize("tolerance", [0.95, 0.8])
def test_subnetwork_against_a_model_without_the_weights(fitted, data, tolerance):
    train, dev = data
    heads, units = np.ones((2, 2), np.float32), np.ones((2, 24), np.float32)
    kept = full = literal_score(fitted.eval(), dev)
    steps = 0
    while True:
        by = by_activations(zeroed(fitted, heads, units), train)
        fewer = literal_prune(heads, by["heads"]), literal_prune(units, by["units"])
        reached = literal_score(zeroed(fitted, *fewer), dev)
        if reached < tolerance * full or fewer[1].sum() == units.sum():
            break
        (heads, units), kept, steps = fewer, reached, steps + 1
    assert 0 < steps < 10  # or there would be nothing to see
    arrays, meta = subnetwork(fitted, train, dev, tolerance=tolerance, **SETTINGS)
    np.testing.assert_array_equal(arrays["heads"], heads)
    np.testing.assert_array_equal(arrays["units"], units)
    assert meta == pytest.approx(
        {"full": full, "kept": kept, "heads": heads.mean(), "units": units.mean()}, abs=1e-6
    )


def test_what_no_mask_can_reach_and_what_any_mask_can(fitted, data):
    arrays, meta = subnetwork(fitted, *data, tolerance=5.0, **SETTINGS)
    assert all((mask == 1).all() for mask in arrays.values())
    assert meta["kept"] == meta["full"] > 0
    arrays, meta = subnetwork(fitted, *data, tolerance=1e-9, **SETTINGS)
    assert arrays["heads"].sum() == arrays["units"].sum() == 1
    assert (meta["heads"], meta["units"]) == (1 / 4, 1 / 48)


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([0.8, 0.5 * 0.8, 0.9, 0.41, 0.39, 0.8], 0.41),  # measured by the full model, and equal is enough
        ([0.8, 0.39, 0.9], 0.8),
        ([0.8, 0.9, 0.0], 0.9),
    ],
)
def test_pruning_stops_at_the_first_score_that_is_too_low(fitted, data, monkeypatch, scores, kept):
    told = iter(scores)
    monkeypatch.setattr(masks, "score", lambda *_: next(told))
    arrays, meta = subnetwork(fitted, *data, tolerance=0.5, **SETTINGS)
    assert (meta["full"], meta["kept"]) == (0.8, kept)
    steps = next(at for at, one in enumerate(scores) if one < 0.4) - 1
    assert arrays["heads"].sum() == 4 - min(steps, 3)
    assert arrays["units"].sum() == 48 - 5 * steps


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_model_is_left_as_it_was(fitted, data, precision):
    fitted.train()
    for parameter in fitted.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    before = {name: value.clone() for name, value in fitted.state_dict().items()}
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    again = [subnetwork(fitted, *data, tolerance=0.9, **{**SETTINGS, "precision": precision})[0] for _ in range(2)]
    for kind in ("heads", "units"):
        np.testing.assert_array_equal(again[0][kind], again[1][kind])
    assert fitted.training
    assert all(torch.equal(before[name], value) for name, value in fitted.state_dict().items())
    assert all(parameter.grad.eq(3.0).all() for parameter in fitted.parameters())
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1] == np.random.get_state()[1]).all()
    assert not any(module._forward_pre_hooks for module in fitted.modules())


def test_no_more_examples_than_are_wanted(fitted, data, monkeypatch):
    """With a cap of 7 and 5, the reading is that of a sample, which the seed decides."""
    monkeypatch.setattr(masks, "TRAIN", 7)
    monkeypatch.setattr(masks, "DEV", 5)
    seen = []
    look = masks.importance

    def importance(model, gates, train, **settings):
        seen.append(train)
        return look(model, gates, train, **settings)

    monkeypatch.setattr(masks, "importance", importance)
    for seed in (0, 0, 1):
        subnetwork(fitted, *data, tolerance=5.0, **{**SETTINGS, "seed": seed})
    texts = [
        {(tuple(one.ids[start:end]), int(label)) for start, end, label in
         zip(one.offsets[:-1], one.offsets[1:], one.labels, strict=True)}
        for one in (data[0], *seen)
    ]  # fmt: skip
    assert [len(some) for some in texts[1:]] == [7, 7, 7]
    assert all(some <= texts[0] for some in texts[1:])
    assert texts[1] == texts[2] != texts[3]


def test_no_examples_are_refused(fitted, data):
    nothing = Encoded(
        data[0].ids[:0], None, np.zeros(1, dtype=np.int64), data[0].labels[:0], data[0].halves[:0], 0
    )
    with pytest.raises(ValueError, match="found 0 and 33"):
        subnetwork(fitted, nothing, data[1], tolerance=0.9, **SETTINGS)
    with pytest.raises(ValueError, match="found 45 and 0"):
        subnetwork(fitted, data[0], nothing, tolerance=0.9, **SETTINGS)
