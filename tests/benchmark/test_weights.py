"""Inner products of task vectors against numpy on the whole files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

from benchmark.training import model, weights
from benchmark.training.weights import task_vectors


@pytest.fixture
def initial(tiny):
    return model.load(tiny.folder, 2, 0)


@pytest.fixture
def files(initial, tmp_path):
    """Five models that have moved from the initial one, some of them alike."""
    torch.manual_seed(1)
    common = {name: torch.randn_like(value) for name, value in initial.state_dict().items()}
    paths = []
    for place in range(5):
        state = {
            name: value + 0.01 * (torch.randn_like(value) + place * common[name])
            for name, value in initial.state_dict().items()
        }
        paths.append(tmp_path / f"{place}.safetensors")
        save_file(state, paths[-1])
    return paths


def literal(initial, files, names):
    start = {name: value.detach().double().numpy() for name, value in initial.named_parameters()}
    loaded = [load_file(path) for path in files]
    vectors = [np.concatenate([(one[name] - start[name]).ravel() for name in names]) for one in loaded]
    return np.array([[a @ b for b in vectors] for a in vectors])


@pytest.mark.parametrize("chunk", [1 << 24, 4000, 1])
def test_gram_against_whole_models(initial, files, monkeypatch, chunk):
    monkeypatch.setattr(weights, "CHUNK", chunk)
    blocks = model.blocks(initial)
    found = task_vectors(dict(initial.named_parameters()), files, blocks)
    assert found.shape == (5, 5, 5)
    assert found.dtype == np.float64
    for gram, names in zip(found, blocks.values(), strict=True):
        np.testing.assert_allclose(gram, literal(initial, files, names), rtol=1e-4)


def test_order_and_selection_of_models_and_blocks(initial, files):
    blocks = model.blocks(initial)
    start = dict(initial.named_parameters())
    whole = task_vectors(start, files, blocks)
    order = [3, 0, 2]
    part = task_vectors(start, [files[place] for place in order], {"head": blocks["head"]})
    np.testing.assert_allclose(part[0], whole[-1][np.ix_(order, order)], rtol=1e-5)


def test_what_has_not_moved_is_zero(initial, files, tmp_path):
    save_file({name: value.contiguous() for name, value in initial.state_dict().items()}, tmp_path / "same")
    found = task_vectors(dict(initial.named_parameters()), [files[0], tmp_path / "same"], model.blocks(initial))
    assert (found[:, 1] == 0).all()
    assert (found[:, 0, 0] > 0).all()


def test_no_models(initial):
    assert task_vectors(dict(initial.named_parameters()), [], model.blocks(initial)).shape == (5, 0, 0)
