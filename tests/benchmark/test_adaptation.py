"""Few-shot adaptation: which examples, how long, and that it is an ordinary training on a copy's weights."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.jobs import Hyper
from benchmark.training import model as models
from benchmark.training.adaptation import EPOCHS, LEAST, adapt, few, nested
from benchmark.training.batches import Encoded, Mixture
from benchmark.training.evaluation import predict
from benchmark.training.loop import TrainingFailed, train
from benchmark.training.strategy import Plain
from tasks.base import Example
from tasks.languages import language
from tasks.rows import Rows

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)  # conftest restores it


def labelled(counts, seed=0):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    return [Example(f"text {place}", int(label)) for place, label in enumerate(labels)]


class Lazy(Rows):
    """Examples that may only be taken, in ascending order."""

    def __init__(self, examples):
        self.kept = examples
        self.labels = np.array([one.label for one in examples])

    def take(self, places):
        assert list(places) == sorted(places)
        return [self.kept[place] for place in places]

    def __iter__(self):
        raise AssertionError("read as a whole")


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=5),
    st.lists(st.integers(0, 60), min_size=1, max_size=4),
    st.integers(0, 99),
)
def test_nested_sets(counts, sizes, seed):
    examples = labelled(counts, seed)
    sizes = [min(size, len(examples)) for size in sizes]
    found = nested(examples, sizes, seed)
    assert [len(one) for one in found] == sizes
    order = {one: place for place, one in enumerate(examples)}
    for one in found:
        assert one == sorted(set(one), key=order.__getitem__)
    for small, large in zip(sorted(found, key=len), sorted(found, key=len)[1:], strict=False):
        assert set(small) <= set(large)
    assert nested(examples, sizes, seed) == found
    assert nested(Lazy(examples), sizes, seed) == found


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.data())
def test_labels_are_in_their_natural_shares(counts, data):
    """Webster's apportionment: some divisor rounds every label's number to what is taken of it."""
    size = data.draw(st.integers(1, sum(counts)))
    [found] = nested(labelled(counts), [size], 0)
    taken = Counter(one.label for one in found)
    highest = min(Fraction(2 * count, 2 * taken[kind] - 1) for kind, count in enumerate(counts) if taken[kind])
    lowest = max(Fraction(2 * count, 2 * taken[kind] + 1) for kind, count in enumerate(counts))
    assert lowest <= highest
    if len(counts) == 2:
        assert abs(taken[0] - size * counts[0] / sum(counts)) <= 0.5


def test_examples_of_a_label_are_drawn_at_random():
    """Each as often as the others, over seeds; not the head of the file."""
    examples = labelled([20, 10])
    seen = Counter(one for seed in range(600) for one in nested(examples, [9], seed)[0])
    assert len(seen) == 30
    assert max(abs(times - 180) for times in seen.values()) < 5 * np.sqrt(600 * 0.3 * 0.7)
    smaller = Counter(one for seed in range(600) for one in nested(examples, [3, 9], seed)[0])
    assert max(abs(times - 60) for times in smaller.values()) < 5 * np.sqrt(600 * 0.1 * 0.9)


@pytest.mark.parametrize("sizes", [[4, 31], [-1, 4]])
def test_sizes_that_cannot_be(sizes):
    with pytest.raises(ValueError, match=r"^sizes must be from 0 to the 30 examples there are, found \[.*\]$"):
        nested(labelled([20, 10]), sizes, 0)
    assert nested([], [], 0) == []


@pytest.mark.parametrize(
    ("examples", "batch_size", "epochs", "steps"),
    [(16, 16, 20, 20), (64, 16, 5, 20), (256, 16, 5, 80), (17, 16, 10, 20), (1, 16, 20, 20), (100, 8, 5, 65)],
)
def test_a_few_examples_are_seen_often_enough(examples, batch_size, epochs, steps):
    hyper = Hyper(40, batch_size, 1e-3, 64, "fp32", patience=5, weight_decay=0.2, warmup=0.3, clip=0.7)
    found = few(hyper, examples)
    assert found == replace(hyper, epochs=epochs, patience=0)
    assert epochs * -(-examples // batch_size) == steps
    assert steps >= LEAST
    assert epochs >= EPOCHS
    assert few(replace(hyper, epochs=3), examples) == found  # the same for every preset


@pytest.fixture
def trained(tiny, examples, hyper):
    """A model of German and Dutch, and encoded Russian examples to adapt to and to be scored on."""

    def encoded(rows):
        return Encoded.open(tiny.store.path(tiny.encode(rows)))

    model = models.load(tiny.folder, 2, 0)
    mixture = Mixture({language(code): encoded(examples(code, 30)) for code in ("deu", "nld")})
    train(model, mixture, replace(hyper, epochs=4, lr=5e-3), Plain(), 0, CPU)
    return model, encoded(examples("rus", 24, seed=1)), encoded(examples("rus", 60, seed=2))


def test_adaptation_is_a_plain_training_on_the_examples(trained, hyper):
    model, support, test = trained
    mine, theirs = copy.deepcopy(model), copy.deepcopy(model)
    of = replace(hyper, lr=5e-3)
    said = adapt(mine, support, test, of, 7, CPU)
    history = train(theirs, Mixture({language("rus"): support}), few(of, 24), Plain(), 7, CPU)
    assert history.steps == 21
    assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))
    assert (said == predict(theirs, [test], CPU, "fp32")[0]).all()
    zero = predict(model, [test], CPU, "fp32")[0]
    assert np.mean(said == test.targets) > np.mean(zero == test.targets) + 0.1
    again = adapt(copy.deepcopy(model), support, test, of, 7, CPU)
    assert (again == said).all()


def test_adaptation_that_cannot_be(trained, hyper):
    model, support, test = trained
    nothing = replace(support, ids=support.ids[:0], offsets=support.offsets[:1], labels=support.labels[:0])
    with pytest.raises(ValueError, match=r"^adaptation needs at least one example, found none$"):
        adapt(model, nothing, test, hyper, 0, CPU)
    with torch.no_grad():
        model.head.bias[0] = float("nan")
    with pytest.raises(TrainingFailed):
        adapt(model, support, test, hyper, 0, CPU)
