"""Batches, the loop, predictions and the gradient trace, each against the slow way."""

from __future__ import annotations

import copy
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from benchmark.jobs import Hyper
from benchmark.seeds import derive
from benchmark.training import evaluation, model, probes
from benchmark.training.batches import POOL, Batch, Encoded, Mixture, collate, concatenate, pieces
from benchmark.training.evaluation import predict
from benchmark.training.loop import TrainingFailed, learning_rate, train
from benchmark.training.model import block_of, blocks, cross_entropy
from benchmark.training.probes import GradientTrace
from benchmark.training.strategy import Plain
from tasks.languages import language

CPU = torch.device("cpu")
CODES = ("deu", "nld", "rus")
LANGUAGES = tuple(map(language, CODES))


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made_up(lengths, first=10, types=False, labels=2, pad=0, halves=None):
    """Examples whose every token names the example: ``first + place``."""
    count = len(lengths)
    ids = np.repeat(np.arange(first, first + count, dtype=np.int32), lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Encoded(
        ids,
        (np.arange(len(ids)) % 2).astype(np.int8) if types else None,
        offsets,
        np.arange(count, dtype=np.int64) % labels,
        np.array(np.arange(count) % 2 if halves is None else halves, dtype=np.int8),
        pad,
    )


@pytest.fixture
def sets(tiny, examples):
    """Encoded examples of three languages: 30, 22 and 17 of them."""
    rows = {code: examples(code, count) for code, count in zip(CODES, (30, 22, 17), strict=True)}
    return {code: Encoded.open(tiny.store.path(tiny.encode(rows[code]))) for code in CODES}


@pytest.fixture
def mixture(sets):
    return Mixture({language(code): data for code, data in sets.items()})


@pytest.fixture
def fresh(tiny):
    return lambda seed=0: model.load(tiny.folder, 2, seed)


def state(of):
    return {name: value.detach().clone() for name, value in of.state_dict().items()}


def same_bits(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


# Batches


@pytest.mark.parametrize("typed", [(False, False), (True, True), (True, False)])
def test_a_step_against_a_loop(typed):
    source = np.random.default_rng(0)
    both = [
        made_up(source.integers(1, 9, 12), first, types=t, pad=3) for first, t in zip((10, 50), typed, strict=True)
    ]
    mixture = Mixture(dict(zip(LANGUAGES, both, strict=False)))
    chosen = source.permutation(24)[:9]
    step = mixture.step(chosen)
    width = max(int(both[place // 12].lengths[place % 12]) for place in chosen)
    assert sum(len(batch) for batch in step.values()) == 9
    for number, (data, batch) in enumerate(zip(both, step.values(), strict=True)):
        assert batch.ids.shape == (len(batch), width)
        rows = [place % 12 for place in chosen if place // 12 == number]
        for at, row in enumerate(rows):
            start, end = data.offsets[row], data.offsets[row + 1]
            padding = width - (end - start)
            assert batch.ids[at].tolist() == data.ids[start:end].tolist() + [3] * padding
            assert batch.mask[at].tolist() == [1] * (end - start) + [0] * padding
            assert batch.labels[at] == data.labels[row]
            if any(typed):
                types = data.types[start:end].tolist() if typed[number] else [0] * (end - start)
                assert batch.types[at].tolist() == types + [0] * padding
        assert (batch.types is None) == (not any(typed))
        assert batch.ids.dtype == batch.mask.dtype == batch.labels.dtype == torch.int64


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 6)), max_size=8))
def test_pieces_against_a_loop(spans):
    starts, lengths = np.array(spans, dtype=np.int64).reshape(-1, 2).T
    expected = [place for start, length in spans for place in range(start, start + length)]
    assert pieces(starts, lengths).tolist() == expected


def test_slices_and_concatenation_are_inverse():
    batch = collate(made_up([3, 1, 2, 5, 4], types=True), np.arange(5))
    whole = concatenate([batch[0:2], batch[2:3], batch[3:5]])
    for name in ("ids", "mask", "labels", "types"):
        assert torch.equal(getattr(whole, name), getattr(batch, name))
    assert len(batch[1:4]) == 3
    assert concatenate([batch]) is batch


def first_ids(step):
    return [int(i) for batch in step.values() for i in batch.ids[:, 0]]


@pytest.mark.parametrize("batch_size", [1, 7, 16, 200])
def test_an_epoch_is_every_example_once(batch_size):
    source = np.random.default_rng(1)
    data = {
        one: made_up(source.integers(1, 20, count), first)
        for one, count, first in zip(LANGUAGES, (40, 1, 22), (1000, 2000, 3000), strict=True)
    }
    mixture = Mixture(data)
    assert len(mixture) == 63
    for epoch in range(3):
        steps = list(mixture.epoch(batch_size, seed=epoch))
        assert len(steps) == mixture.steps(batch_size) == math.ceil(63 / batch_size)
        assert Counter(i for step in steps for i in first_ids(step)) == Counter(
            [*range(1000, 1040), 2000, *range(3000, 3022)]
        )
        assert sorted(len(first_ids(step)) for step in steps)[1:] == [batch_size] * (len(steps) - 1)
        for step in steps:
            assert len({batch.ids.shape[1] for batch in step.values()}) == 1
            longest = max(int(batch.mask.sum(1).max()) for batch in step.values())
            for one, batch in step.items():
                assert batch.ids.shape[1] == longest
                assert len(batch) > 0
                places = batch.ids[:, 0].numpy() - int(data[one].ids[0])
                assert batch.labels.tolist() == data[one].labels[places].tolist()
                assert batch.mask.sum(1).tolist() == data[one].lengths[places].tolist()
                assert torch.equal(batch.ids * batch.mask, batch.ids[:, :1] * batch.mask)


def order_of(mixture, seed, batch_size=4):
    return [sorted(first_ids(step)) for step in mixture.epoch(batch_size, seed)]


def test_order_follows_the_seed_alone():
    mixture = Mixture({one: made_up([4] * 30, 100 * at) for at, one in enumerate(LANGUAGES, 1)})
    before = np.random.get_state()[1].copy()
    assert order_of(mixture, 5) == order_of(mixture, 5)
    assert order_of(mixture, 5) != order_of(mixture, 6)
    assert order_of(mixture, 5) != sorted(order_of(mixture, 5))
    assert (np.random.get_state()[1] == before).all()


def test_batches_are_of_similar_lengths_and_in_random_order():
    """Inside pools of ``POOL`` batches: nearly no padding, and short batches do not come first."""
    lengths = np.random.default_rng(0).integers(1, 60, POOL * 8)
    steps = list(Mixture({LANGUAGES[0]: made_up(lengths)}).epoch(8, seed=0))
    cells = sum(batch.ids.numel() for step in steps for batch in step.values())
    assert lengths.sum() / cells > 0.95
    widths = np.array([batch.ids.shape[1] for step in steps for batch in step.values()])
    assert abs(np.corrcoef(widths, np.arange(len(widths)))[0, 1]) < 0.4


# The learning rate, the strategy, the loop


@pytest.mark.parametrize(
    ("total", "share", "expected"),
    [
        (100, 0.1, [((0, 9), (0.1, 1.0)), ((10, 99), (1.0, 1 / 90))]),
        (20, 0.25, [((0, 4), (0.2, 1.0)), ((5, 19), (1.0, 1 / 15))]),
        (10, 0.0, [((0, 0), (1.0, 1.0)), ((1, 9), (1.0, 1 / 9))]),
    ],
)
def test_learning_rate_goes_up_and_down_in_straight_lines(hyper, total, share, expected):
    of = replace(hyper, lr=2.0, warmup=share)
    for (first, last), (start, end) in expected:
        steps = range(first, last + 1)
        line = [2.0 * value for value in np.linspace(start, end, len(steps))]
        assert [learning_rate(step, total, of) for step in steps] == pytest.approx(line, abs=1e-12)


@pytest.mark.parametrize("total", [1, 2, 3])
def test_learning_rate_of_short_trainings(hyper, total):
    rates = [learning_rate(step, total, hyper) for step in range(total)]
    assert all(0 < rate <= hyper.lr for rate in rates)
    assert rates[0] == hyper.lr


def gradients(of, loss):
    parameters = dict(of.named_parameters())
    return dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))


def test_plain_is_the_gradient_of_all_examples_together(mixture, fresh):
    of = fresh().eval()
    chosen = np.array([0, 3, 31, 35, 40, 60, 68, 5])
    batches = mixture.step(chosen)
    assert [len(batch) for batch in batches.values()] == [3, 3, 2]
    value = Plain().backward(of, batches, cross_entropy)
    assert not value.requires_grad

    order = np.argsort(mixture.which[chosen], kind="stable")
    together = collate(evaluation._joined(mixture.sets), chosen[order])
    loss = functional.cross_entropy(of(together), together.labels)
    assert value.item() == loss.item()
    for name, expected in gradients(of, loss).items():
        assert torch.equal(of.get_parameter(name).grad, expected), name

    parts = [(len(batch), gradients(of, functional.cross_entropy(of(batch), batch.labels)))
             for batch in batches.values()]  # fmt: skip
    for name, parameter in of.named_parameters():
        weighted = sum(count * part[name] for count, part in parts) / 8
        torch.testing.assert_close(parameter.grad, weighted, rtol=1e-3, atol=1e-6)


def test_two_runs_give_the_same_bits(mixture, fresh, hyper):
    found = []
    for noise in (1, 2):
        of = fresh()
        torch.manual_seed(noise)  # whatever happened before
        np.random.seed(noise)
        history = train(of, mixture, hyper, Plain(), 3, CPU)
        found.append((state(of), history.losses))
    assert same_bits(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]
    assert history.steps == 2 * mixture.steps(hyper.batch_size)
    assert history.seconds > 0
    other = fresh()
    train(other, mixture, hyper, Plain(), 4, CPU)
    assert not same_bits(found[0][0], state(other))


def test_training_learns(mixture, sets, fresh, hyper):
    of = fresh()
    history = train(of, mixture, replace(hyper, epochs=12, lr=5e-3), Plain(), 0, CPU)
    assert history.losses[0] > 0.5
    assert history.losses[-1] < 0.3
    found = predict(of, list(sets.values()), CPU, "fp32")
    right = [np.mean(said == data.labels) for said, data in zip(found, sets.values(), strict=True)]
    assert min(right) > 0.8


class Schedule(Plain):
    """Notes what the loop tells a strategy."""

    def __init__(self):
        self.told = []

    def begin(self, start):
        self.told.append(("begin", tuple(start.languages), start.steps))

    def end(self):
        self.told.append(("over",))

    def backward(self, model, batches, loss):
        self.told.append(("backward", sum(map(len, batches.values())), model.training))
        return super().backward(model, batches, loss)

    def end_step(self, step):
        self.told.append(("end", step))


def test_the_loop_tells_the_strategy(mixture, fresh, hyper):
    strategy, said = Schedule(), []
    train(fresh(), mixture, hyper, strategy, 0, CPU, report=said.append)
    steps = 2 * mixture.steps(8)
    assert strategy.told[0] == ("begin", LANGUAGES, steps)
    assert strategy.told[-1] == ("over",)
    assert [one[1] for one in strategy.told if one[0] == "end"] == list(range(steps))
    seen = [one for one in strategy.told if one[0] == "backward"]
    assert sum(count for _, count, _ in seen) == 2 * 69
    assert all(training for *_, training in seen)
    assert said == [pytest.approx(10 / steps)]


def test_the_loop_is_adamw_with_clipping_and_the_schedule(mixture, fresh, hyper):
    """Against AdamW written out, without dropout, for the whole of one epoch."""
    of = replace(hyper, epochs=1, clip=0.5, weight_decay=0.1)
    mine, theirs = fresh(), fresh()
    for one in (mine, theirs):
        one.dropout.p = 0.0
        for module in one.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if hasattr(module, "dropout_prob"):
                module.dropout_prob = 0.0
    assert train(mine, mixture, of, Plain(), 9, CPU).steps == 9

    moments = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in theirs.named_parameters()}
    theirs.eval()
    for step, batches in enumerate(mixture.epoch(8, derive(9, "order", "0"))):
        grads = gradients(theirs, cross_entropy(theirs, concatenate(list(batches.values()))))
        norm = math.sqrt(sum(float((g.double() ** 2).sum()) for g in grads.values()))
        rate = learning_rate(step, 9, of)
        with torch.no_grad():
            for name, p in theirs.named_parameters():
                g = grads[name] * min(1.0, 0.5 / (norm + 1e-6))
                first, second = moments[name]
                first.mul_(0.9).add_(0.1 * g)
                second.mul_(0.999).add_(0.001 * g * g)
                p.mul_(1 - rate * (0.1 if p.ndim > 1 else 0.0))
                scaled = (second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
                p.sub_(rate * (first / (1 - 0.9 ** (step + 1))) / scaled)
    start = fresh()
    for name, p in theirs.named_parameters():
        moved = (p - start.get_parameter(name)).norm()
        assert (p - mine.get_parameter(name)).norm() < 0.02 * moved + 1e-6, name


@pytest.mark.parametrize(
    ("scores", "patience", "best", "epochs"),
    [
        ([0.5, 0.9, 0.6, 0.9, 0.95], 2, 1, 4),  # an equal score is no better
        ([0.1, 0.2, 0.3, 0.4, 0.5], 1, 4, 5),
        ([0.9, 0.1, 0.1, 0.1, 0.1], 9, 0, 5),  # never stopped, restored all the same
        ([0.9, 0.1, 0.95, 0.1, 0.1], 2, 2, 5),
    ],
)
def test_the_best_epoch_is_restored(mixture, fresh, hyper, scores, patience, best, epochs):
    of, states = fresh(), []

    def dev_score():
        states.append(state(of))
        return scores[len(states) - 1]

    history = train(of, mixture, replace(hyper, epochs=5, patience=patience), Plain(), 0, CPU, dev_score=dev_score)
    assert history.dev == scores[:epochs]
    assert len(history.losses) == epochs
    assert history.steps == epochs * mixture.steps(8)
    assert same_bits(state(of), states[best])
    assert all(same_bits(state(of), one) == (at == best) for at, one in enumerate(states))


def test_a_loss_that_is_not_finite_fails(mixture, fresh, hyper):
    of = fresh()
    with torch.no_grad():
        of.head.bias[0] = math.nan
    with pytest.raises(TrainingFailed, match=r"^the loss is nan at step 1 of 18 \(lr 0.001\)$"):
        train(of, mixture, hyper, Plain(), 0, CPU)


# Models and predictions


def test_a_loaded_model_follows_its_seed(fresh):
    one, same, other = fresh(0), fresh(0), fresh(1)
    assert same_bits(state(one), state(same))
    differing = [name for name, value in state(one).items() if not torch.equal(value, state(other)[name])]
    assert differing == ["head.weight"]
    assert not one.head.bias.any()
    assert all(p.dtype == torch.float32 for p in one.parameters())


def test_logits_are_the_head_on_the_mean_of_the_text_s_tokens(sets, fresh):
    of = fresh().eval()
    batch = collate(sets["deu"], np.arange(4))
    hidden = of.encoder(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state
    for place in range(4):
        mean = hidden[place, : int(batch.mask[place].sum())].mean(0)
        torch.testing.assert_close(of(batch)[place], of.head.weight @ mean + of.head.bias)


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("encoder.embeddings.LayerNorm.bias", "positions"),
        ("encoder.embeddings.token_type_embeddings.weight", "positions"),
        ("encoder.wpe.weight", "positions"),
        ("encoder.encoder.layer.0.attention.self.query.weight", "layer.0"),
        ("encoder.encoder.layer.11.output.dense.bias", "layer.11"),
        ("encoder.h.3.mlp.c_fc.weight", "layer.3"),
        ("encoder.layers.2.attn.Wqkv.weight", "layer.2"),
        ("head.weight", "head"),
    ],
)
def test_block_of(name, block):
    assert block_of(name, "encoder.embeddings.word_embeddings.weight") == block


def test_embeddings_are_the_table_of_tokens_alone(fresh):
    of = fresh()
    table = "encoder.embeddings.word_embeddings.weight"
    assert block_of(table, table) == "embeddings"
    assert blocks(of)["embeddings"] == [table]
    assert "encoder.embeddings.position_embeddings.weight" in blocks(of)["positions"]


def test_blocks_cover_the_trainable_parameters_once(fresh):
    of = fresh()
    of.head.bias.requires_grad_(False)
    found = blocks(of)
    assert list(found) == ["embeddings", "positions", "layer.0", "layer.1", "head"]
    names = [name for part in found.values() for name in part]
    assert sorted(names) == sorted(name for name, p in of.named_parameters() if p.requires_grad)


@pytest.mark.parametrize("tokens", [evaluation.TOKENS_OF_A_CPU, 60, 1])
@pytest.mark.parametrize("training", [True, False])
def test_predictions_do_not_depend_on_batching(sets, fresh, monkeypatch, tokens, training):
    monkeypatch.setattr(evaluation, "TOKENS_OF_A_CPU", tokens)
    of = fresh().train(training)
    with torch.no_grad():
        of.head.weight.mul_(50)
    before, random = state(of), torch.get_rng_state()
    data = [sets["rus"], made_up([]), sets["deu"], sets["nld"]]
    found = predict(of, data, CPU, "fp32")
    assert of.training == training
    assert torch.equal(torch.get_rng_state(), random)
    assert same_bits(before, state(of))
    assert [len(said) for said in found] == [17, 0, 30, 22]
    of.eval()
    for said, one in zip(found, data, strict=True):
        with torch.no_grad():
            alone = [int(of(collate(one, np.array([row]))).argmax()) for row in range(len(one))]
        assert said.tolist() == alone
    assert {0, 1} <= {int(label) for said in found for label in said}


def test_predictions_of_sets_with_and_without_token_types(fresh):
    of = fresh()
    with torch.no_grad():
        of.head.weight.mul_(50)
        of.encoder.embeddings.token_type_embeddings.weight[1].mul_(30)
    plain, typed = made_up([5, 3, 6, 4], first=20), made_up([4, 6, 3, 5], first=30, types=True)
    data = [plain, made_up([]), typed, replace(typed, types=None)]
    said = predict(of, data, CPU, "fp32")
    assert said[2].tolist() != said[3].tolist()
    of.eval()
    for found, one in zip(said, data, strict=True):
        assert found.tolist() == [int(of(collate(one, np.array([row]))).argmax()) for row in range(len(one))]


def test_a_text_of_several_sets_is_read_once(sets, fresh):
    """But under each mask that it passes through."""
    of = fresh()
    with torch.no_grad():
        for weight in of.encoder.encoder.layer.parameters():
            weight.mul_(20)  # else what is masked would hardly be missed
    read = []
    of.register_forward_pre_hook(lambda module, given: read.append(len(given[0])))
    data = [sets["deu"], sets["nld"], sets["deu"]]
    found = predict(of, data, CPU, "fp32")
    texts = {row.tobytes() for one in data for row in np.split(one.ids, one.offsets[1:-1])}
    assert sum(read) == len(texts) <= len(data[0]) + len(data[1])
    alone = [predict(of, [one], CPU, "fp32")[0] for one in data]
    assert all(np.array_equal(one, two) for one, two in zip(found, alone, strict=True))
    read.clear()
    closed = {"heads": np.zeros((2, 2)), "units": np.zeros((2, 24))}
    masked = predict(of, data, CPU, "fp32", [None, None, closed])
    assert sum(read) > len(texts)
    assert np.array_equal(masked[2], predict(of, [data[2]], CPU, "fp32", [closed])[0])
    assert not np.array_equal(masked[2], masked[0])


def test_texts_that_differ_in_their_types_alone_are_two(fresh):
    one = made_up([4, 3], types=True)
    other = replace(one, types=1 - one.types)
    read = []
    of = fresh()
    of.register_forward_pre_hook(lambda module, given: read.append(len(given[0])))
    predict(of, [one, other, one], CPU, "fp32")
    assert sum(read) == 4


# The gradient trace


def trace(sets, **changes):
    settings = {
        "probes": 2,
        "half_batch": 4,
        "parallel": False,
        "seed": 5,
        "precision": "fp32",
        "device": CPU,
    }
    return GradientTrace(sets, **{**settings, **changes})


BLOCKS = ["embeddings", "positions", "layer.0", "layer.1", "head"]


def slow_block(name):
    if ".layer." in name:
        return f"layer.{name.split('.layer.')[1].split('.')[0]}"
    if ".word_embeddings." in name:
        return "embeddings"
    return "positions" if ".embeddings." in name else "head"


def slow_rows(of, sets, drawn):
    """Per block, ``[2n, parameters]``: dense float64 gradients of each language's two halves."""
    exact = copy.deepcopy(of).double().eval()
    rows = [(data, drawn[code][half]) for half in (0, 1) for code, data in sets.items()]
    found = {}
    for data, chosen in rows:
        batch = collate(data, chosen)
        by_block = {}
        for name, grad in gradients(exact, functional.cross_entropy(exact(batch), batch.labels)).items():
            by_block.setdefault(slow_block(name), []).append(grad.reshape(-1))
        for block, parts in by_block.items():
            found.setdefault(block, []).append(torch.cat(parts))
    return {block: torch.stack(each).numpy() for block, each in found.items()}


def assert_grams_close(found, expected, tolerance):
    """Within ``tolerance`` of the product of the two norms."""
    norms = np.sqrt(np.diag(expected))
    assert norms.min() > 0
    assert (np.abs(found - expected) / np.outer(norms, norms)).max() < tolerance


def check_exact(sets, of, **changes):
    taken, twin = trace(sets, **changes), trace(sets, **changes)
    expected = []
    for step in (3, 8):
        drawn = {code: twin.draw(data) for code, data in sets.items()}
        expected.append(slow_rows(of, sets, drawn))
        taken.look(of, step, lr=0.1 * step)
        with torch.no_grad():
            for parameter in of.parameters():
                parameter.mul_(0.9)
    arrays, meta = taken.result()
    names = BLOCKS
    assert meta["blocks"] == names
    assert arrays["gram"].shape == (2, 5, 6, 6)
    assert arrays["gram"].dtype == np.float64
    for probe in range(2):
        for block, name in enumerate(names):
            rows = expected[probe][name]
            assert_grams_close(arrays["gram"][probe, block], rows @ rows.T, 1e-5)
    return taken, arrays, meta


@pytest.mark.parametrize("training", [True, False])
def test_exact_trace_against_dense_gradients(sets, fresh, training):
    taken, arrays, meta = check_exact(sets, fresh().train(training))
    assert taken.exact
    assert meta["exactness"] == "exact"
    assert meta["languages"] == list(CODES)
    assert meta["steps"] == [3, 8]
    assert (meta["half_batch"], meta["parallel"]) == (4, False)
    np.testing.assert_allclose(arrays["lr"], [0.3, 0.8])
    assert arrays["loss"].shape == (2, 6)
    assert taken.seconds > 0


@pytest.mark.parametrize(("name", "value"), [("CHUNK", 97), ("CHUNK", 5000), ("MICRO_BATCH", 3)])
def test_exact_trace_in_small_pieces(sets, fresh, monkeypatch, name, value):
    monkeypatch.setattr(probes, name, value)
    _, _, meta = check_exact(sets, fresh(), half_batch=8)
    assert meta["half_batch"] == 8


def test_exact_trace_of_frozen_parameters(sets, fresh):
    """What is not trained is in no block, and a frozen table of embeddings is not asked for."""
    of = fresh()
    of.encoder.embeddings.requires_grad_(False)
    taken = trace(sets, probes=1)
    taken.look(of, 0, 0.1)
    assert taken.result()[1]["blocks"] == ["layer.0", "layer.1", "head"]
    twin = trace(sets, probes=1)
    drawn = {code: twin.draw(data) for code, data in sets.items()}
    of.encoder.embeddings.requires_grad_(True)
    rows = slow_rows(of, sets, drawn)["layer.0"]
    assert_grams_close(taken.result()[0]["gram"][0, 0], rows @ rows.T, 1e-5)


def test_exact_trace_with_a_vocabulary_smaller_than_the_positions(sets):
    from transformers import BertConfig, BertModel

    small = {name: replace_ids(data, 40) for name, data in sets.items()}
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=64,
    )  # fmt: skip
    check_exact(small, model.Classifier(BertModel(config, add_pooling_layer=False), 2))


def replace_ids(data, vocabulary):
    return replace(data, ids=(data.ids % (vocabulary - 1) + 1).astype(np.int32))


def test_losses_are_those_of_the_halves(sets, fresh):
    of, taken, twin = fresh(), trace(sets), trace(sets)
    taken.look(of, 0, 0.1)
    of.eval()
    for half in (0, 1):
        twin = trace(sets)
        for place, data in enumerate(sets.values()):
            rows = twin.draw(data)[half]
            loss = cross_entropy(of, collate(data, rows))
            assert taken.losses[0][place + half * 3] == pytest.approx(loss.item(), rel=1e-6)


class Kept(probes._Ledger):
    made: list = []  # noqa: RUF012

    def __init__(self, *arguments):
        super().__init__(*arguments)
        Kept.made.append(self)

    def bytes(self):
        dense = sum(one.numel() * one.element_size() for one in self.dense.values())
        parts = [values for row in self.sparse for _, values in row]
        return dense + sum(values.numel() * values.element_size() for values in parts)


@pytest.fixture
def ledgers(monkeypatch):
    monkeypatch.setattr(Kept, "made", [])
    monkeypatch.setattr(probes, "_Ledger", Kept)
    return Kept.made


def needed(of, sets, half_batch=4):
    """Bytes of an exact trace: 2n rows of every parameter, embedding rows as far as they can be touched."""
    table = of.encoder.embeddings.word_embeddings.weight
    others = sum(p.numel() for p in of.parameters()) - table.numel()
    width = max(int(data.lengths.max()) for data in sets.values())
    touched = min(len(table), half_batch * width)
    return 2 * len(sets) * 4 * (others + touched * table.shape[1])


def test_exact_as_long_as_it_fits_and_never_more_than_the_budget(sets, fresh, ledgers):
    of = fresh()
    whole = needed(of, sets)
    for budget, exact in (
        (2 << 30, True),
        (whole, True),
        (whole - 1, False),
        (20_000, False),
        (2_000, False),
    ):
        taken = trace(sets, budget=budget)
        taken.look(of, 0, 0.1)
        assert taken.exact == exact
        assert taken.result()[1]["exactness"].startswith("exact" if exact else "CountSketch of at most")
        assert 0 < ledgers[-1].bytes() <= budget
        if budget < whole - 1:
            assert ledgers[-1].bytes() > 0.9 * budget  # and the budget is used


def test_micro_batches_stay_within_the_budget(sets, fresh, monkeypatch, ledgers):
    monkeypatch.setattr(probes, "MICRO_BATCH", 1)
    of = fresh()
    table = of.encoder.embeddings.word_embeddings.weight
    of.encoder.embeddings.word_embeddings.weight = torch.nn.Parameter(table[:70].detach().clone())
    source = np.random.default_rng(0)
    pools = {code: replace(made_up([24] * 40), ids=source.integers(1, 70, 960).astype(np.int32)) for code in CODES}
    once = needed(of, pools, half_batch=16)  # if every row were kept once: here some are kept several times
    for budget, exact in ((once, False), (5 * once, True)):
        taken = trace(pools, half_batch=16, budget=budget)
        taken.look(of, 0, 0.1)
        assert taken.exact == exact
        assert ledgers[-1].bytes() <= budget


@pytest.mark.parametrize(("chunk", "micro"), [(1 << 20, 32), (101, 3)])
def test_sketches_are_unbiased(sets, fresh, monkeypatch, chunk, micro):
    """Over random hashes: the mean within five standard errors, the spread what theory says."""
    monkeypatch.setattr(probes, "CHUNK", chunk)
    monkeypatch.setattr(probes, "MICRO_BATCH", micro)
    of, twin = fresh(), trace(sets)
    drawn = {code: twin.draw(data) for code, data in sets.items()}
    rows = slow_rows(of, sets, drawn)
    truth = np.stack([rows[block] @ rows[block].T for block in BLOCKS])
    repeats, buckets = (120, 64) if chunk > 1000 else (30, 64)
    found = []
    for repeat in range(repeats):
        monkeypatch.setattr(probes, "derive", lambda seed, *about, r=repeat: derive(r, *about))
        taken = trace(sets, budget=6 * 4 * 4 * buckets)
        taken.look(of, 0, 0.1)
        assert not taken.exact
        found.append(taken.grams[0])
    mean, spread = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
    squares = np.einsum("bii->bi", truth)
    theory = np.sqrt((squares[:, :, None] * squares[:, None, :] + truth**2) / buckets)
    assert (np.abs(mean - truth) <= 5 * theory / np.sqrt(repeats)).all()
    assert 0.5 < np.median(spread / theory) < 1.2
    assert len({one.tobytes() for one in found}) == repeats


def test_sketches_of_gradients_of_one_sign_are_unbiased(sets, fresh, monkeypatch):
    """Where collisions do not cancel by themselves: signs, and one hash for the whole of a parameter."""
    monkeypatch.setattr(probes, "CHUNK", 101)
    of = fresh()
    table = of.encoder.embeddings.word_embeddings.weight

    def coefficient(parameter, batch):
        torch.manual_seed(int(batch.ids.sum()))
        return torch.rand(parameter.shape) + 0.5

    def gradient(model, batch):
        """Gradients that are known: all positive, those of the table on the batch's tokens alone."""
        found = {name: coefficient(p, batch) for name, p in model.named_parameters()}
        touched = torch.zeros(len(table), 1)
        touched[batch.ids.unique()] = 1
        return {name: c * touched if c.shape == table.shape else c for name, c in found.items()}

    def loss(model, batch):
        parameters = dict(model.named_parameters())
        return sum((parameters[name] * c).sum() for name, c in gradient(model, batch).items())

    monkeypatch.setattr(probes, "cross_entropy", loss)
    exact = trace(sets)
    exact.look(of, 0, 0.1)
    twin, rows = trace(sets), []
    drawn = [twin.draw(data) for data in sets.values()]
    for half in (0, 1):
        for data, one in zip(sets.values(), drawn, strict=True):
            batch = collate(data, one[half])
            found = gradient(of, batch)
            rows.append(torch.cat([found[name].reshape(-1) for name in blocks(of)["embeddings"]]).double())
    embeddings = torch.stack(rows).numpy()
    assert_grams_close(exact.grams[0][0], embeddings @ embeddings.T, 1e-5)

    truth, found = exact.grams[0], []
    repeats, buckets = 40, 512
    for repeat in range(repeats):
        monkeypatch.setattr(probes, "derive", lambda seed, *about, r=repeat: derive(r, *about))
        taken = trace(sets, budget=6 * 4 * 4 * buckets)
        taken.look(of, 0, 0.1)
        found.append(taken.grams[0])
    squares = np.einsum("bii->bi", truth)
    theory = np.sqrt((squares[:, :, None] * squares[:, None, :] + truth**2) / buckets)
    assert (np.abs(np.mean(found, axis=0) - truth) <= 5 * theory / np.sqrt(repeats)).all()


def test_the_same_hashes_in_every_probe(sets, fresh):
    """Sketches of different rows can only be compared if they share their hash."""
    of = fresh()
    one, two = trace(sets, budget=20_000), trace(sets, budget=20_000)
    one.look(of, 0, 0.1)
    two.look(of, 7, 0.2)
    np.testing.assert_array_equal(one.grams[0], two.grams[0])


@pytest.mark.parametrize("budget", [2 << 30, 20_000])
@pytest.mark.parametrize("training", [True, False])
def test_a_look_leaves_everything_as_it_was(sets, fresh, training, budget):
    of = fresh().train(training)
    parameters = dict(of.named_parameters())
    for place, parameter in enumerate(parameters.values()):
        parameter.grad = torch.full_like(parameter, place) if place % 2 else None
    kept = {name: (p.grad, None if p.grad is None else p.grad.clone()) for name, p in parameters.items()}
    before, random = state(of), torch.get_rng_state()
    numpy_random = np.random.get_state()[1].copy()
    trace(sets, budget=budget).look(of, 0, 0.1)
    assert torch.equal(torch.get_rng_state(), random)
    assert (np.random.get_state()[1] == numpy_random).all()
    assert same_bits(before, state(of))
    assert all(module.training == training for module in of.modules())
    for name, parameter in parameters.items():
        grad, copied = kept[name]
        assert parameter.grad is grad
        assert grad is None or torch.equal(grad, copied)
        assert not parameter._post_accumulate_grad_hooks


def test_a_look_that_fails_leaves_everything_as_it_was(sets, fresh, monkeypatch):
    of = fresh().train()
    of.head.bias.grad = torch.ones(2)

    def fail(model, batch):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(probes, "cross_entropy", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        trace(sets).look(of, 0, 0.1)
    assert of.training
    assert torch.equal(of.head.bias.grad, torch.ones(2))
    assert not any(p._post_accumulate_grad_hooks for p in of.parameters())


@pytest.mark.parametrize("budget", [2 << 30, 20_000])
def test_probes_do_not_change_a_training(mixture, sets, fresh, hyper, budget):
    plain, probed = fresh(), fresh()
    without = train(plain, mixture, hyper, Plain(), 1, CPU)
    probe = trace(sets, probes=5, budget=budget)
    history = train(probed, mixture, hyper, Plain(), 1, CPU, probes=[probe, trace(sets, seed=9)])
    assert same_bits(state(plain), state(probed))
    assert history.losses == without.losses
    arrays, meta = probe.result()
    assert meta["steps"] == sorted(probe.steps(18)) == [1, 5, 9, 12, 16]
    assert arrays["gram"].shape[:2] == (5, 5)
    assert arrays["lr"].tolist() == [learning_rate(step, 18, hyper) for step in meta["steps"]]
    assert history.seconds > 0


@pytest.mark.parametrize(
    ("count", "total", "expected"),
    [(1, 10, {5}), (2, 10, {2, 7}), (4, 8, {1, 3, 5, 7}), (3, 3, {0, 1, 2}), (5, 2, {0, 1})],
)
def test_steps_are_the_middles_of_equal_parts(sets, count, total, expected):
    assert trace(sets, probes=count).steps(total) == expected


@pytest.mark.parametrize("parallel", [False, True])
def test_halves_are_disjoint_and_random(parallel):
    pool = made_up([3] * 60, halves=np.random.default_rng(0).permutation(np.arange(60) % 2))
    taken = trace({"deu": pool}, half_batch=10, parallel=parallel)
    draws = [taken.draw(pool) for _ in range(300)]
    seen = Counter()
    for a, b in draws:
        assert len(set(a)) == len(a) == len(set(b)) == len(b) == 10
        assert not set(a) & set(b)
        if parallel:
            assert set(pool.halves[a]) == {0}
            assert set(pool.halves[b]) == {1}
        seen.update([*a, *b])
    assert len(seen) == 60  # not the head of the file
    assert max(abs(seen[row] - 100) for row in range(60)) < 5 * np.sqrt(300 / 3 * 2 / 3)
    again = trace({"deu": pool}, half_batch=10, parallel=parallel)
    for (a, b), (c, d) in zip(draws, [again.draw(pool) for _ in range(300)], strict=True):
        assert a.tolist() == c.tolist()
        assert b.tolist() == d.tolist()


def with_labels(labels, halves=None):
    return replace(made_up([2] * len(labels), halves=halves), labels=np.array(labels, dtype=np.int64))


@pytest.mark.parametrize("parallel", [False, True])
def test_labels_are_drawn_as_evenly_as_the_pool_allows(parallel):
    halves = np.arange(120) % 2
    plenty = with_labels([0] * 84 + [1] * 24 + [2] * 12, halves)
    scarce = with_labels([0] * 100 + [1] * 16 + [2] * 4, halves)
    taken = trace({"deu": plenty}, half_batch=9, parallel=parallel)
    for _ in range(20):
        both = np.concatenate(taken.draw(plenty))
        assert Counter(plenty.labels[both].tolist()) == {0: 6, 1: 6, 2: 6}
        both = np.concatenate(taken.draw(scarce))
        assert Counter(scarce.labels[both].tolist())[2] == 4  # all there are
        rest = Counter(scarce.labels[both].tolist())
        assert abs(rest[0] - rest[1]) <= (2 if parallel else 0)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("labels", [2, 3, 4])
def test_each_half_has_every_label(parallel, labels):
    pool = with_labels([place // 2 % labels for place in range(96)], np.arange(96) % 2)
    taken = trace({"deu": pool}, half_batch=12, parallel=parallel)
    for _ in range(20):
        for half in taken.draw(pool):
            assert set(Counter(pool.labels[half].tolist()).values()) == {12 // labels}


def test_parallel_halves_are_the_same_items_in_every_language(tiny, examples, fresh):
    pools = {code: Encoded.open(tiny.store.path(tiny.encode(examples(code, 40, parallel=True)))) for code in CODES}
    halves = [data.halves.tolist() for data in pools.values()]
    assert halves[0] == halves[1] == halves[2]  # example i is item i
    taken = trace(pools, parallel=True, half_batch=6)
    items = [[set(half) for half in taken.draw(data)] for data in pools.values()]
    a, b = (set.union(*(one[half] for one in items)) for half in (0, 1))
    assert not a & b
    taken.look(fresh(), 0, 0.1)
    assert taken.result()[1]["parallel"] is True


def test_hyper_defaults_are_what_they_were():
    """Part of every key: another default is another training for everybody."""
    assert Hyper(1, 2, 0.1, 4, "fp32") == Hyper(1, 2, 0.1, 4, "fp32", 0, 0.01, 0.1, 1.0)


def test_batch_moves_with_its_types():
    batch = collate(made_up([2, 3], types=True), np.arange(2)).to(CPU)
    assert isinstance(batch, Batch)
    assert batch.types.shape == batch.ids.shape == (2, 3)
