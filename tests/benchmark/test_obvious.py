"""The controls of MRQAP."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cityblock

from benchmark.config import RunConfig
from benchmark.obvious import obvious
from benchmark.prepare import prepare
from benchmark.rows import rows
from measures import SimilarityMatrix


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    config = RunConfig(("overlap",), "cldr-names", ("deu", "nld", "rus"), max_train=40, max_eval=20, device="cpu")
    return prepare(replace(config, cache=tmp_path_factory.mktemp("cache")))


def test_sizes_and_label_shares_of_the_training_examples(setup):
    [of] = setup.seeds
    train = {**of.train, "nld": of.train["nld"][:10], "rus": ()}
    found = obvious([], replace(setup, seeds=(replace(of, train=train),)))
    assert sorted(found) == ["label shares", "sizes"]
    assert found["sizes"][0, 1] == pytest.approx(np.log(40 / 10))
    counts = [[sum(one.label == label for one in train[code]) for label in range(4)] for code in ("deu", "nld")]
    shares = [np.array(count) / sum(count) for count in counts]
    assert found["label shares"][0, 1] == pytest.approx(cityblock(*shares) / 2)
    assert np.isnan(found["sizes"][2, :2]).all()
    assert np.isnan(found["label shares"][2, :2]).all()


def test_script_and_family_are_those_of_the_table(setup):
    measures = rows(["overlap"])[0]
    for row in measures:
        if row.called in ("same-script", "overlap"):
            row.matrix = SimilarityMatrix(setup.languages, np.eye(3))
    found = obvious(measures, setup)
    assert sorted(found) == ["label shares", "script", "sizes"]  # a family that is skipped is no control
    assert np.array_equal(found["script"], np.eye(3))
