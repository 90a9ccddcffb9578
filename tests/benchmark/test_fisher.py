"""Fisher information against its definition: every example, every label, every weight."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.training import model
from benchmark.training.batches import Encoded, collate
from benchmark.training.fisher import factors, fisher

EXACT = {"seed": 0, "precision": "fp32", "device": torch.device("cpu")}


@pytest.fixture
def data(tiny, examples):
    return Encoded.open(tiny.store.path(tiny.encode(examples("deu", 12, labels=3))))


@pytest.fixture
def of(tiny):
    """Three labels, predictions far from even."""
    found = model.load(tiny.folder, 3, 0)
    with torch.no_grad():
        found.head.weight *= 30
        found.head.bias += torch.tensor([1.0, 0.0, -1.0])
    return found


def literal(of, data):
    """mean_x Σ_y p(y|x) (∂ log p(y|x)/∂θ)², weight by weight."""
    parameters = dict(of.named_parameters())
    sums = {name: np.zeros(tuple(parameter.shape)) for name, parameter in parameters.items()}
    of.eval()
    for row in range(len(data)):
        batch = collate(data, np.array([row]))
        for label in range(3):
            logs = of(batch)[0].log_softmax(-1)
            grads = torch.autograd.grad(logs[label], list(parameters.values()))
            for name, grad in zip(parameters, grads, strict=True):
                sums[name] += logs[label].exp().item() * grad.double().numpy() ** 2 / len(data)
    return sums


def test_fisher_is_its_definition_averaged_over_filters(of, data):
    arrays, meta = fisher(of, data, **EXACT)
    expected = literal(of, data)
    assert meta == {"blocks": ["embeddings", "positions", "layer.0", "layer.1", "head"], "examples": 12}
    for block, names in model.blocks(of).items():
        rows = [expected[name].reshape(len(expected[name]), -1).mean(1) for name in names]
        assert arrays[block].dtype == np.float64
        np.testing.assert_allclose(arrays[block], np.concatenate(rows), rtol=1e-3, atol=1e-9 * np.max(rows[0]))
    assert (arrays["embeddings"] == 0).any()  # tokens that never occur
    assert all((array >= 0).all() and array.any() for array in arrays.values())


@pytest.mark.parametrize("tokens", [1, 40, 10_000])
def test_several_examples_at_a_time_are_what_each_is_alone(of, data, tokens, monkeypatch):
    """By whichever number; alone is also how encoders are looked at that use a weight in a way of their own."""
    monkeypatch.setattr("benchmark.training.fisher.TOKENS", tokens)
    together, _ = fisher(of, data, **EXACT)

    def refused(*arguments):
        raise ValueError("another way")

    monkeypatch.setattr("benchmark.training.fisher.Contributions", refused)
    alone, _ = fisher(of, data, **EXACT)
    for block, expected in alone.items():
        np.testing.assert_allclose(together[block], expected, rtol=1e-3, atol=1e-6 * expected.max())


def test_head_bias_in_closed_form(of, data):
    """∂ log p(y)/∂b = e_y − p, so its Fisher information is the variance p(1 − p)."""
    of.eval()
    whole = collate(data, np.arange(12))
    with torch.no_grad():
        p = of(whole).softmax(-1).numpy()
    assert p.std(axis=0).max() > 0.01
    arrays, _ = fisher(of, data, **EXACT)
    np.testing.assert_allclose(arrays["head"][-3:], (p * (1 - p)).mean(0), rtol=1e-4)


def test_gold_labels_play_no_part(of, data):
    other = Encoded(data.ids, data.types, data.offsets, (data.labels + 1) % 3, data.halves, data.pad)
    one, two = (fisher(of, each, **EXACT)[0] for each in (data, other))
    assert all((one[block] == two[block]).all() for block in one)


def test_an_untrained_row_of_the_table_has_none(of, data):
    """The row of the padding token has no gradient, even where the token stands in a text."""
    ids = np.array(data.ids)
    ids[1] = of.encoder.get_input_embeddings().padding_idx
    changed = Encoded(ids, data.types, data.offsets, data.labels, data.halves, data.pad)
    arrays, _ = fisher(of, changed, **EXACT)
    assert arrays["embeddings"][ids[1]] == 0
    assert arrays["embeddings"][ids[2]] > 0


def test_a_frozen_table_is_left_out(of, data):
    whole, _ = fisher(of, data, **EXACT)
    of.encoder.get_input_embeddings().weight.requires_grad_(False)
    part, _ = fisher(of, data, **EXACT)
    assert "embeddings" not in part
    np.testing.assert_allclose(part["positions"], whole["positions"], rtol=1e-6)


@pytest.mark.parametrize("logits", [[0.0, 0.0], [3.0, -1.0, 0.5, 0.5], [200.0, 0.0, -200.0], [5.0] * 7])
def test_factors_of_the_covariance_of_the_label(logits):
    found = factors(torch.tensor(logits)).double().numpy()
    p = np.exp(np.array(logits) - max(logits))
    p /= p.sum()
    assert found.shape == (len(p) - 1, len(p))
    np.testing.assert_allclose(found.T @ found, np.diag(p) - np.outer(p, p), atol=1e-7)


def test_a_sample_of_the_examples(of, data):
    """Some examples: as if there were no others; which, is up to the seed alone."""
    some = [fisher(of, data, **{**EXACT, "seed": seed}, examples=3)[0] for seed in (0, 0, 1)]
    assert (some[0]["layer.0"] == some[1]["layer.0"]).all()
    assert (some[0]["layer.0"] != some[2]["layer.0"]).any()
    single = []
    for row in range(12):
        start, end = data.offsets[row : row + 2]
        alone = Encoded(
            data.ids[start:end],
            None if data.types is None else data.types[start:end],
            np.array([0, end - start]),
            data.labels[row : row + 1],
            data.halves[row : row + 1],
            data.pad,
        )
        single.append(fisher(of, alone, **EXACT)[0]["layer.1"])
    chosen = [fisher(of, data, **EXACT, examples=count)[0]["layer.1"] * count for count in (1, 2, 3)]
    added = [chosen[0], chosen[1] - chosen[0], chosen[2] - chosen[1]]
    places = [min(range(12), key=lambda row, a=a: np.abs(single[row] - a).sum()) for a in added]
    assert len(set(places)) == 3
    for place, one in zip(places, added, strict=True):
        np.testing.assert_allclose(one, single[place], rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_model_is_left_as_it_was(of, data, precision):
    of.train()
    for parameter in of.parameters():
        parameter.grad = torch.full_like(parameter, 3.0)
    before = {name: value.clone() for name, value in of.state_dict().items()}
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    arrays, _ = fisher(of, data, **{**EXACT, "precision": precision})
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert of.training
    assert all(torch.equal(before[name], value) for name, value in of.state_dict().items())
    assert all(parameter.grad.eq(3.0).all() for parameter in of.parameters())
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1] == np.random.get_state()[1]).all()
    assert not any(module._forward_hooks for module in of.modules())


def test_no_examples_are_refused(of, data):
    nothing = Encoded(data.ids[:0], None, np.zeros(1, dtype=np.int64), data.labels[:0], data.halves[:0], 0)
    with pytest.raises(ValueError, match="at least one example, found none"):
        fisher(of, nothing, **EXACT)
