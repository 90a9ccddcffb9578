"""Overlaps and conflicts of subnetworks against loops, simulations and single backward passes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from benchmark.training import model as models
from benchmark.training.batches import Encoded, Mixture
from benchmark.training.gates import Gates
from benchmark.training.model import blocks, cross_entropy
from benchmark.training.subnet_analysis import against_another_seed, conflict, gradient_cosines, removed
from benchmark.training.subnet_masks import KINDS, between, by_chance, described
from tasks.languages import language

CODES = ("deu", "nld", "rus")


def drawn(seed, layers=3, units=24):
    source = np.random.default_rng(seed)
    shapes = {"heads": (layers, 4), "units": (layers, units)}
    found = {code: {kind: (source.random(shape) < 0.6) * 1.0 for kind, shape in shapes.items()} for code in CODES}
    for mask in found.values():
        mask["heads"][0, 0] = 1
    return found


def jaccard(one, two):
    both = [(a, b) for a, b in zip(one.ravel(), two.ravel(), strict=True) if a or b]
    return sum(1 for a, b in both if a and b) / len(both)


def test_overlaps_against_loops():
    masks, again = drawn(0), drawn(1)
    del again["rus"]
    found = against_another_seed(masks, again)
    for kind in KINDS:
        pairs = list(itertools.combinations(CODES, 2))
        square = between(masks, kind)
        for s, t in itertools.product(range(3), repeat=2):
            assert square[s, t] == pytest.approx(jaccard(masks[CODES[s]][kind], masks[CODES[t]][kind]))
        each = [jaccard(masks[s][kind], masks[t][kind]) for s, t in pairs]
        assert found[kind]["between"] == pytest.approx(np.mean(each))
        itself = {code: jaccard(masks[code][kind], again[code][kind]) for code in ("deu", "nld")}
        assert found[kind]["by_language"] == pytest.approx(itself)
        assert found[kind]["itself"] == pytest.approx(np.mean(list(itself.values())))
    assert against_another_seed(masks, {})["units"]["itself"] is None


@pytest.mark.parametrize(("kind", "margin"), [("heads", 0.03), ("units", 0.01)])
def test_overlap_by_chance_is_that_of_random_masks(kind, margin):
    masks = drawn(2)
    drawings = [by_chance(masks, seed) for seed in range(300)]
    simulated = np.mean([against_another_seed(one, {})[kind]["between"] for one in drawings])
    assert against_another_seed(masks, {})[kind]["chance"] == pytest.approx(simulated, abs=margin)


def test_nothing_left_of_a_kind_is_no_overlap():
    masks = drawn(0)
    for mask in masks.values():
        mask["heads"][:] = 0
    told = described(masks)
    assert told["overlap"]["heads"] == [[None] * 3] * 3
    assert told["kept"]["heads"]["deu"] == [0.0] * 3


def test_conflict_counts_pairs_once():
    cosines = np.array([[[1, -0.5, np.nan], [-0.5, 1, 0.25], [np.nan, 0.25, 1]], np.full((3, 3), -0.1)])
    found = conflict(cosines)
    assert found["share"] == pytest.approx(4 / 5)
    assert found["depth"] == pytest.approx((0.5 + 0 + 0.3) / 5)
    assert all(np.isnan(value) for value in conflict(np.full((2, 2), np.nan)).values())
    calm = np.eye(3)
    assert removed(cosines, calm, cosines / 2) == {
        "whole": found,
        "masked": {"share": 0.0, "depth": 0.0},
        "random": {"share": found["share"], "depth": pytest.approx(found["depth"] / 2)},
        "removed": found,
        "beyond random": {"share": found["share"], "depth": pytest.approx(found["depth"] / 2)},
    }


@pytest.mark.parametrize("masked", [False, True])
def test_cosines_against_a_backward_pass_of_each_language(tiny, examples, masked):
    sets = {language(code): Encoded.open(tiny.store.path(tiny.encode(examples(code, 12)))) for code in CODES}
    step = next(one for one in Mixture(sets).epoch(12, 0) if len(one) == 3)
    model = models.load(tiny.folder, 2, 0)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    masks = drawn(4, layers=2) if masked else None
    if masks:
        for mask in masks.values():
            mask["heads"] = mask["heads"][:, :2]
    model.train()
    before = torch.get_rng_state()
    found = gradient_cosines(model, dict(reversed(step.items())), cross_entropy, masks)
    assert model.training
    assert torch.equal(before, torch.get_rng_state())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())
    model.eval()
    gradients = {}
    for one, batch in step.items():
        with Gates(model) as gates:
            if masks:
                for kind in KINDS:
                    setattr(gates, kind, torch.tensor(masks[one.code][kind], dtype=torch.float32))
            cross_entropy(model, batch).backward()
        gradients[one.code] = {name: p.grad.double().flatten() for name, p in model.named_parameters()}
        model.zero_grad()
    assert found.keys() == blocks(model).keys()
    for block, names in blocks(model).items():
        each = [torch.cat([gradients[code][name] for name in names]) for code in CODES]
        for s, t in itertools.product(range(3), repeat=2):
            expected = torch.cosine_similarity(each[s], each[t], dim=0).item()
            assert found[block][s, t] == pytest.approx(expected, abs=1e-4), block
