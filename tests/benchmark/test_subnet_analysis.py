"""Overlaps of subnetworks against loops and simulations, and what records tell of them."""

from __future__ import annotations

import itertools
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from benchmark.config import RunConfig
from benchmark.results import RecordMaker
from benchmark.runner import run
from benchmark.training.subnet_analysis import against_another_seed
from benchmark.training.subnet_masks import KINDS, between, by_chance, described, stored
from leaderboard.resampling import seed_interval

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


def test_what_is_kept_with_a_training_comes_back(tmp_path):
    masks = drawn(3)
    for code, mask in masks.items():
        for kind, values in mask.items():
            np.save(tmp_path / f"{code}.{kind}.npy", values)
    np.save(tmp_path / "other.npy", np.zeros(2))
    (tmp_path / "history.json").write_text("{}")
    found = stored(tmp_path)
    assert sorted(found) == list(CODES)
    for code, kind in itertools.product(CODES, KINDS):
        assert np.array_equal(found[code][kind], masks[code][kind])
    (tmp_path / "none").mkdir()
    assert stored(tmp_path / "none") == {}


def test_masks_are_compared_without_torch():
    code = "import sys, benchmark.results, benchmark.training.subnet_analysis; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr


class Kept:
    """A store that keeps the masks of some trainings, ``{key: masks}``."""

    def __init__(self, folder, kept):
        for key, masks in kept.items():
            (folder / key).mkdir()
            for code, mask in masks.items():
                for kind, values in mask.items():
                    np.save(folder / key / f"{code}.{kind}.npy", values)
        self.path, self.has = folder.joinpath, lambda key: (folder / key).exists()


def test_masks_of_each_seed_are_held_against_the_next_and_the_last_s_against_the_first(tmp_path):
    kept = {"a": drawn(0), "b": {}, "d": drawn(1), "e": drawn(2)}  # b keeps no masks, c has failed
    maker = SimpleNamespace(setup=SimpleNamespace(store=Kept(tmp_path, kept)))

    def again(**keys):
        return RecordMaker._again(maker, {int(seed[1:]): SimpleNamespace(key=key) for seed, key in keys.items()})

    found = again(s9="a", s1="b", s2="c", s4="d", s3="e")
    assert found == {
        9: {"again": against_another_seed(kept["a"], kept["d"])},
        4: {"again": against_another_seed(kept["d"], kept["e"])},
        3: {"again": against_another_seed(kept["e"], kept["a"])},
    }
    assert again(s9="a", s1="b", s2="c") == {}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Of a small run, by measure and strategy."""
    config = RunConfig(
        ("overlap",), "cldr-names", ("deu", "nld", "rus", "ukr"), seeds=(4, 2), epochs=1, max_train=12, max_eval=9,
        groups=2, draws=1, strategies=("subnet-dynamic[every=1]",), device="cpu", jobs=1,
        cache=tmp_path_factory.mktemp("cache"), output=tmp_path_factory.mktemp("results"),
    )  # fmt: skip
    result = run(config)
    assert result.failures == []
    return {(record.measure, record.strategy): record for record in result.records}


def test_a_record_tells_of_it(records):
    told = records["joint", "subnet-dynamic[every=1]"].training
    assert list(told) == ["4", "2"]
    for kind in KINDS:
        assert told["4"]["again"][kind]["by_language"] == told["2"]["again"][kind]["by_language"]
        square = np.array(told["4"]["overlap"][kind])
        assert told["4"]["again"][kind]["between"] == pytest.approx(square[np.triu_indices(4, 1)].mean(), abs=1e-4)
    assert 0 < told["4"]["again"]["units"]["itself"] < 1
    assert records["joint", "plain"].training is None


def test_scores_by_seed_have_the_means_that_are_told(records):
    for record in records.values():
        for kind in ("grouped", "multilingual", "monolingual", "majority", "plain"):
            if (score := getattr(record.scores, kind)) is not None:
                means = {code: np.mean(values) for code, values in score.by_seed.items()}
                assert means == pytest.approx(score.per_language)
    joint, overlap = records["joint", "subnet-dynamic[every=1]"], records["overlap", "plain"]
    own = np.mean([*joint.scores.grouped.by_seed.values()], axis=0)
    plain = np.mean([*joint.scores.plain.by_seed.values()], axis=0)
    assert seed_interval(own - plain) == pytest.approx(joint.intervals.over_plain.seeds)
    own, random = np.mean([*overlap.scores.grouped.by_seed.values()], axis=0), overlap.scores.random.by_seed
    assert seed_interval(own - random) == pytest.approx(overlap.intervals.over_random.seeds)
