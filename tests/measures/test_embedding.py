"""The measure: what it reads, which rows it compares, and what it says where there are too few."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from measures import MeasureError, Reading, ReadingResult, clouds, embedding
from measures.embedding import Embedding, classify, fold_numbers, shuffled
from tasks.base import Example
from tasks.languages import language

JOINT = Reading("joint", "embeddings")
CODES = ("deu", "nld", "rus", "eng")
DISTANCES = ("centroid", "mmd", "frechet", "cka", "classifier")


def vectors(code, count, width=6):
    """A language's cloud, float32 as it is kept."""
    source = np.random.default_rng([*code.encode()])
    return (source.normal(size=(count, width)) + source.normal(size=width)).astype(np.float32)


def examples(code, count):
    """Items in an order of each language's own."""
    places = np.random.default_rng([*code.encode(), 1]).permutation(count)
    return tuple(Example(f"{code} {place}", 0, item=f"item {place}") for place in places)


@pytest.fixture
def evidence(fake):
    def make(codes=CODES, counts=(30, 24, 40, 30), seed=0, arrays=None, rows=None):
        arrays = arrays or {code: vectors(code, count) for code, count in zip(codes, counts, strict=True)}
        rows = rows or {code: examples(code, len(arrays[code])) for code in codes}
        result = ReadingResult(arrays, {"encoder": "bert", "width": 6})
        dev = {("dev", code): rows[code] for code in codes}
        return fake(tuple(map(language, codes)), dev, readings={JOINT: result}, seed=seed)

    return make


@pytest.mark.parametrize(("params", "reading", "access", "packages"), [
    ({}, JOINT, "labels", ()),
    ({"layer": 0}, Reading("joint", "embeddings", (("layer", 0),)), "labels", ()),
    ({"layer": -1, "encoder": "initial"}, Reading("initial", "embeddings"), "text", ()),
    ({"layer": 3, "encoder": "initial"}, Reading("initial", "embeddings", (("layer", 3),)), "text", ()),
    ({"model": "a/b"}, Reading("initial", "embeddings", (("model", "a/b"),)), "text", ("sentence-transformers",)),
    ({"model": "a/b", "distance": "mmd", "encoder": "initial"},
     Reading("initial", "embeddings", (("model", "a/b"),)), "text", ("sentence-transformers",)),
])  # fmt: skip
def test_what_is_read(fake, params, reading, access, packages):
    measure = Embedding(**params)
    assert measure.access == access
    assert measure.needs().readings == {reading}
    assert measure.needs().packages == packages
    result = ReadingResult({code: vectors(code, 12) for code in CODES}, {"encoder": "x", "width": 6})
    dev = {("dev", code): examples(code, 12) for code in CODES}
    found = measure.similarity(fake(tuple(map(language, CODES)), dev, readings={reading: result}))
    assert np.isfinite(found.values).all()


@pytest.mark.parametrize(("params", "message"), [
    ({"layer": -2}, "layer must be -1 (the last), 0 (the embeddings) or a layer's number from 1, found -2"),
    ({"layer": 0, "model": "a/b"}, "layer is for the run's encoder: with model it must be left at -1, found 0"),
])  # fmt: skip
def test_bad_parameters_are_said_before_anything_runs(params, message):
    with pytest.raises(MeasureError) as raised:
        Embedding(**params).needs()
    assert str(raised.value) == message


def test_only_cka_needs_a_parallel_task(fake):
    task = fake(()).task
    for distance in DISTANCES:
        reason = Embedding(distance=distance).skip(task, ())
        assert (reason is not None) == (distance == "cka")
        assert Embedding(distance=distance).skip(task.model_copy(update={"parallel": True}), ()) is None
    assert Embedding(distance="cka").skip(task, ()) == (
        "cka compares the same items in two languages, and those of made-up are not parallel"
    )


# Values


def test_distances_of_whole_clouds(evidence):
    """Where no language has more rows than are drawn, the mathematics is that of all rows."""
    some = [vectors(code, count).astype(float) for code, count in zip(CODES, (30, 24, 40, 30), strict=True)]
    expected = {
        "centroid": clouds.centred_cosines(some),
        "frechet": -clouds.frechet(some),
        "mmd": -clouds.mmd(some, clouds.median_distance(np.concatenate(some))),
    }
    for distance, values in expected.items():
        found = Embedding(distance=distance).similarity(evidence())
        np.testing.assert_allclose(found.values, values, rtol=1e-10, atol=1e-12)
        np.testing.assert_array_equal(found.coverage, np.ones((4, 4)))
        assert found.notes == ("vectors of bert, width 6",)
    assert expected["frechet"].min() < -0.5
    assert expected["mmd"].min() < -0.05


def test_cka_compares_the_same_items(evidence):
    """Rows in any order; items of one language alone are left out, and told in the coverage."""
    given_ = evidence()
    found = Embedding(distance="cka").similarity(given_)
    rows = {code: {row.item: place for place, row in enumerate(given_.rows["dev", code])} for code in CODES}
    for i, a in enumerate(CODES):
        for j, b in enumerate(CODES):
            shared = list(rows[a].keys() & rows[b].keys())
            x, y = (vectors(c, len(rows[c])).astype(float)[[rows[c][item] for item in shared]] for c in (a, b))
            x, y = x - x.mean(axis=0), y - y.mean(axis=0)
            expected = np.linalg.norm(y.T @ x) ** 2 / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y)
            assert found.values[i, j] == pytest.approx(expected, rel=1e-9)
            assert found.coverage[i, j] == len(shared) / len(rows[a].keys() | rows[b].keys())
    np.testing.assert_array_equal(found.coverage[0], [1, 24 / 30, 30 / 40, 1])


def test_a_translation_is_known_by_its_items(evidence):
    """The same vectors in another order: alike only if rows are matched by item."""
    order = np.random.default_rng(0).permutation(30)
    rows = {"deu": examples("deu", 30)}
    rows["nld"] = tuple(rows["deu"][place] for place in order)
    arrays = {"deu": vectors("deu", 30), "nld": 3 * vectors("deu", 30)[order] + 1}
    found = Embedding(distance="cka").similarity(evidence(("deu", "nld"), arrays=arrays, rows=rows)).values
    np.testing.assert_allclose(found, 1, atol=1e-9)


@pytest.mark.parametrize(("shared", "said"), [(10, True), (9, False)])
def test_cka_of_too_few_shared_items(evidence, shared, said):
    rows = {"deu": examples("deu", 12)}
    own = tuple(replace(row, item=f"own {row.item}") for row in rows["deu"][shared:])
    rows["nld"] = (*rows["deu"][:shared], *own)
    rows["rus"] = tuple(replace(row, item=None) for row in rows["deu"])
    arrays = {code: vectors(code, 12) for code in rows}
    found = Embedding(distance="cka").similarity(evidence(tuple(rows), arrays=arrays, rows=rows))
    assert np.isfinite(found.values[0, 1]) == said
    assert found.coverage[0, 1] == shared / (24 - shared)
    assert np.isnan(found.values[2]).all()
    assert (found.coverage[2] == 0).all()


def test_classifier_against_scikit_learn(evidence):
    """Half of the items have one vector in both languages, as borrowed names have."""
    source = np.random.default_rng(0)
    rows = {code: examples(code, 80) for code in ("deu", "nld")}
    borrowed = source.normal(size=(80, 6))
    arrays = {}
    for code, shift in (("deu", 1.0), ("nld", -1.0)):
        items = [int(row.item.split()[1]) for row in rows[code]]
        own = source.normal(size=(80, 6)) + shift
        arrays[code] = np.where((np.array(items) < 40)[:, None], borrowed[items], own)
    found = Embedding(distance="classifier").similarity(evidence(("deu", "nld"), arrays=arrays, rows=rows))
    x = np.concatenate([arrays["deu"], arrays["nld"]])
    y = np.repeat([1, -1], 80)
    folds = np.concatenate([fold_numbers(rows[code], 0) for code in ("deu", "nld")])
    wrong = 0
    for fold in range(5):
        seen = folds != fold
        fitted = make_pipeline(StandardScaler(), RidgeClassifier(alpha=int(seen.sum()))).fit(x[seen], y[seen])
        wrong += (fitted.predict(x[~seen]) != y[~seen]).sum()
    assert found.values[0, 1] == pytest.approx(-2 * (1 - 2 * wrong / 160))
    assert -1.6 < found.values[0, 1] < -0.5
    np.testing.assert_array_equal(np.diag(found.values), [0, 0])


def test_the_same_cloud_in_two_languages_cannot_be_told_apart(evidence):
    rows = {code: examples("deu", 50) for code in ("deu", "nld")}
    arrays = {code: vectors("deu", 50) for code in rows}
    given_ = evidence(("deu", "nld"), arrays=arrays, rows=rows)
    for distance, expected in (("classifier", 0), ("frechet", 0), ("cka", 1)):
        found = Embedding(distance=distance).similarity(given_).values
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert not np.signbit(found).any() or distance == "frechet"


def test_clouds_far_apart(evidence):
    arrays = {"deu": vectors("deu", 50), "nld": vectors("nld", 50) + 100}
    given_ = evidence(("deu", "nld"), arrays=arrays)
    assert Embedding(distance="classifier").similarity(given_).values[0, 1] == -2
    assert Embedding(distance="frechet").similarity(given_).values[0, 1] < -5e4
    assert Embedding(distance="mmd").similarity(given_).values[0, 1] < -0.5


# What is drawn


def test_the_order_of_rows_follows_from_seed_and_code():
    orders = [shuffled(50, *about).tolist() for about in ((0, "deu"), (0, "nld"), (1, "deu"), (0, "deu"))]
    assert orders[0] == orders[3]
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_at_most_so_many_rows_of_a_language(evidence, monkeypatch):
    monkeypatch.setattr(embedding, "KERNEL_ROWS", 15)
    monkeypatch.setattr(embedding, "BANDWIDTH_ROWS", 40)  # ten of each language
    monkeypatch.setattr(embedding, "CLASSIFIER_ROWS", 20)
    given_ = evidence(seed=3)
    some = {code: vectors(code, count) for code, count in zip(CODES, (30, 24, 40, 30), strict=True)}
    order = {code: shuffled(len(cloud), 3, code) for code, cloud in some.items()}
    drawn = [some[code][order[code][:15]].astype(float) for code in CODES]
    bandwidth = clouds.median_distance(np.concatenate([cloud[:10] for cloud in drawn]))
    found = Embedding(distance="mmd").similarity(given_).values
    np.testing.assert_allclose(found, -clouds.mmd(drawn, bandwidth), atol=1e-12)
    chosen = {code: some[code][order[code][:20]].astype(float) for code in CODES}
    folds = {
        code: fold_numbers([given_.rows["dev", code][place] for place in order[code][:20]], 3) for code in CODES
    }
    found = Embedding(distance="classifier").similarity(given_).values
    np.testing.assert_array_equal(found, classify(chosen, folds))


def test_as_many_rows_of_one_language_as_of_the_other(monkeypatch):
    sizes = []
    monkeypatch.setattr(clouds, "classifier_error", lambda *parts: sizes.append([*map(len, parts)]) or 0.4)
    some = {code: np.zeros((count, 2)) for code, count in (("deu", 30), ("nld", 12), ("rus", 20))}
    found = classify(some, {code: np.zeros(len(cloud), dtype=int) for code, cloud in some.items()})
    assert sorted(sizes) == [[12] * 4, [12] * 4, [20] * 4]
    np.testing.assert_allclose(found, np.where(np.eye(3), 0, -0.4))


def test_an_item_is_in_one_fold_in_every_language():
    rows = [Example(f"text {place}", 0, item=f"item {place}") for place in range(200)]
    folds = fold_numbers(rows, 0)
    np.testing.assert_array_equal(folds, fold_numbers([replace(row, text="other") for row in rows], 0))
    without = [replace(row, item=None) for row in rows]
    np.testing.assert_array_equal(
        fold_numbers(without, 0), fold_numbers([replace(r, label=1) for r in without], 0)
    )
    pairs = [replace(row, pair="b") for row in without]
    for others in (fold_numbers(rows, 1), fold_numbers(without, 0), fold_numbers(pairs, 0)):
        assert (folds != others).any()
    assert (fold_numbers(pairs, 0) != fold_numbers(without, 0)).any()
    assert 20 < np.bincount(folds, minlength=5).min() <= np.bincount(folds).max() < 60


@pytest.mark.parametrize("distance", ["mmd", "classifier"])
def test_another_seed_draws_other_rows(evidence, monkeypatch, distance):
    monkeypatch.setattr(embedding, "KERNEL_ROWS", 12)
    found = [Embedding(distance=distance).similarity(evidence(seed=seed)).values for seed in (0, 0, 1)]
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


# Too little


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_language_without_a_cloud_is_nan(evidence, distance):
    counts = {"deu": 30, "tir": 9, "nld": 10, "rus": 20, "orm": 0, "eng": 30}
    arrays = {code: vectors(code, count) for code, count in counts.items()}
    arrays["rus"][3, 2] = np.nan
    rows = {code: examples(code, count) for code, count in counts.items()}
    del arrays["orm"]
    found = Embedding(distance=distance).similarity(evidence(tuple(counts), arrays=arrays, rows=rows))
    said = np.array([1, 0, 1, 0, 0, 1], dtype=bool)
    np.testing.assert_array_equal(np.isfinite(found.values), np.outer(said, said))
    np.testing.assert_array_equal(found.coverage > 0, np.outer(said, said))
    assert found.notes == (
        "vectors of bert, width 6",
        "no cloud of at least 10 vectors, all finite, on dev: orm, rus, tir",
    )
    kept = tuple(code for code, one in zip(counts, said, strict=True) if one)
    alone = Embedding(distance=distance).similarity(
        evidence(kept, arrays={code: arrays[code] for code in kept}, rows={code: rows[code] for code in kept})
    )
    np.testing.assert_array_equal(found.values[np.ix_(said, said)], alone.values)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("count", [5, 12])
def test_no_cloud_and_one_cloud(evidence, distance, count):
    found = Embedding(distance=distance).similarity(evidence(("deu",), (count,)))
    assert found.values.shape == (1, 1)
    assert np.isfinite(found.values[0, 0]) == (count == 12 and distance != "centroid")


@pytest.mark.parametrize("distance", DISTANCES)
def test_vectors_that_are_all_the_same(evidence, distance):
    """An encoder that has collapsed: no infinity, no number made of rounding."""
    arrays = {code: np.full((12, 6), 0.1, dtype=np.float32) for code in CODES}
    found = Embedding(distance=distance).similarity(evidence(arrays=arrays)).values
    expected = np.nan if distance in ("centroid", "cka") else 0.0
    np.testing.assert_allclose(found, np.full((4, 4), expected), atol=1e-12)


def test_vectors_must_be_those_of_the_examples(evidence):
    rows = {code: examples(code, 12) for code in CODES}
    arrays = {code: vectors(code, 12 + (code == "rus")) for code in CODES}
    with pytest.raises(MeasureError) as raised:
        Embedding().similarity(evidence(arrays=arrays, rows=rows))
    assert str(raised.value) == "embeddings must have a row for each of rus's 12 dev examples, found 13"


# All of them


@settings(max_examples=25)
@given(st.data())
@pytest.mark.parametrize("distance", DISTANCES)
def test_symmetric_finite_and_the_same_in_any_order(fake, distance, data):
    counts = data.draw(st.lists(st.integers(8, 25), min_size=3, max_size=4))
    seed = data.draw(st.integers(0, 50))
    width = data.draw(st.integers(2, 12))
    order = data.draw(st.permutations(range(len(counts))))

    def found(places):
        codes = [CODES[place] for place in places]
        sizes = {CODES[place]: counts[place] for place in places}
        arrays = {code: vectors(code, sizes[code], width) for code in codes}
        dev = {("dev", code): examples(code, sizes[code]) for code in codes}
        result = ReadingResult(arrays, {"encoder": "bert", "width": width})
        of = fake(tuple(map(language, codes)), dev, readings={JOINT: result}, seed=seed)
        return Embedding(distance=distance).similarity(of)

    first, moved = found(range(len(counts))), found(order)
    said = np.array(counts) >= 10
    np.testing.assert_array_equal(first.values, first.values.T)
    np.testing.assert_array_equal(np.isnan(first.values[~np.eye(len(counts), dtype=bool)]),
                                  ~np.outer(said, said)[~np.eye(len(counts), dtype=bool)])  # fmt: skip
    np.testing.assert_array_equal(moved.values, first.values[np.ix_(order, order)])  # to the bit
    np.testing.assert_array_equal(moved.coverage, first.coverage[np.ix_(order, order)])
    kept = first.values[np.ix_(said, said)]
    low, high = {"centroid": (-1, 1), "cka": (0, 1), "classifier": (-2, 0), "frechet": (-np.inf, 0)}.get(
        distance, (-2, 1)
    )
    kept = kept[np.isfinite(kept)]
    assert ((kept >= low) & (kept <= high)).all()


@pytest.mark.parametrize("distance", ["classifier", "frechet", "cka"])
def test_a_pair_does_not_depend_on_the_other_languages(evidence, distance):
    whole = Embedding(distance=distance).similarity(evidence()).values
    part = Embedding(distance=distance).similarity(evidence(("rus", "deu"), (40, 30))).values
    assert part[0, 1] == whole[2, 0]
