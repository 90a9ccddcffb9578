"""Task vectors, Fisher information and subnetworks against the same numbers from explicit vectors and sets."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from measures import MeasureError, Reading, ReadingResult
from measures.fisher import Fisher
from measures.subnetwork import Subnetwork, chance
from measures.task_vector import TaskVector
from tasks.base import Example
from tasks.languages import language

CODES = ("deu", "orm", "nld", "rus", "swe")  # of orm there is no training data
TRAINED = tuple(code for code in CODES if code != "orm")
LANGUAGES = tuple(map(language, CODES))
BLOCKS = {"embeddings": 9, "layer.0": 6, "layer.1": 6, "head": 3}
SEEDS = st.integers(0, 2**32 - 1)
REPEAT = ("repeat", 1)
ROWS = {("train", code): (Example("text", 0),) for code in TRAINED}


def world(fake, seed=0, languages=LANGUAGES, rows=ROWS):
    """Evidence with every reading of these measures, and the vectors and masks behind it.

    A repeat is its language's own with noise; all is drawn by code, whatever the order of the languages.
    """
    task, info, masks = {}, {}, {}
    shared = np.random.default_rng(seed)
    common = {block: shared.normal(size=size) for block, size in BLOCKS.items()}
    for place, code in enumerate(sorted(TRAINED)):
        rng = np.random.default_rng([seed, place])
        for block, size in BLOCKS.items():
            vector, fisher = common[block] + rng.normal(size=size), rng.gamma(0.5, size=size)
            fisher[rng.random(size) < 0.3] = 0
            fisher[0] = 0.1
            for again in (0, 1):
                task[code, again, block] = vector + again * 0.3 * rng.normal(size=size)
                info[code, again, block] = fisher * (1 + again * 0.3 * rng.random(size))
        for kind, shape in (("heads", (2, 4)), ("units", (2, 12))):
            mask = (rng.random(shape) < 0.6).astype(float)
            mask[0, 0] = 1
            flipped = np.where(rng.random(shape) < 0.1, 1 - mask, mask)
            flipped[0, 0] = 1
            masks[code, 0, kind], masks[code, 1, kind] = mask, flipped
    order = [*sorted(TRAINED, reverse=True)]  # a reading's order is its own
    stacked = [(code, again) for again in (0, 1) for code in order]
    gram = np.array([[[task[*a, block] @ task[*b, block] for b in stacked] for a in stacked] for block in BLOCKS])
    readings = {
        Reading("each", "weights"): ReadingResult(
            {"gram": gram}, {"blocks": list(BLOCKS), "languages": order, "repeats": order}
        )
    }
    for code in TRAINED:
        for again in (0, 1):
            extra = (REPEAT,) * again
            arrays = {block: info[code, again, block] for block in BLOCKS}
            readings[Reading("each", "fisher", extra), code] = ReadingResult(arrays, {"blocks": list(BLOCKS)})
            for tolerance in (0.95, 0.5):
                both = {kind: masks[code, again, kind] for kind in ("heads", "units")}
                if tolerance == 0.5:
                    both = {kind: 1 - mask for kind, mask in both.items()}
                params = (("tolerance", tolerance), *extra)
                readings[Reading("each", "masks", params), code] = ReadingResult(both, {})
    return fake(languages, rows=rows, readings=readings), task, info, masks


def off(matrix):
    """The cells between two different trained languages."""
    return matrix[~np.eye(len(matrix), dtype=bool) & np.isfinite(matrix)]


def cos(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5


def of_vectors(vectors, blocks, s, t, again=0):
    a, b = (np.concatenate([vectors[code, k, block] for block in blocks]) for code, k in ((s, 0), (t, again)))
    return cos(a, b)


def of_fisher(vectors, blocks, s, t, again=0):
    x, y = [], []
    for block in blocks:
        for f, g in zip(vectors[s, 0, block], vectors[t, again, block], strict=True):
            if f + g > 0:
                x.append(f / (f + g))
                y.append(g / (f + g))
    return cos(x, y)


def chosen_set(masks, kinds, code, again=0, layer=None):
    return {
        (kind, *place)
        for kind in kinds
        for place in zip(*np.nonzero(masks[code, again, kind]), strict=True)
        if layer is None or place[0] == layer
    }


def of_sets(s, t, overlap="jaccard"):
    whole = s | t if overlap == "jaccard" else s
    return len(s & t) / len(whole) if whole else np.nan


def expected(pair):
    """A matrix from a function of two codes, NaN for a language without training data."""
    return np.array([[np.nan if "orm" in (s, t) else pair(s, t) for t in CODES] for s in CODES])


CHOICES = [
    ("all", list(BLOCKS)),
    ("body", ["layer.0", "layer.1"]),
    ("embeddings+head", ["embeddings", "head"]),
    ("layer.1", ["layer.1"]),
]


@pytest.mark.parametrize(("blocks", "names"), CHOICES)
@pytest.mark.parametrize(("measure", "pair"), [(TaskVector, of_vectors), (Fisher, of_fisher)])
def test_vectors_are_compared_as_the_formula_says(fake, measure, pair, blocks, names):
    evidence, task, info, _ = world(fake)
    vectors = task if measure is TaskVector else info
    found = measure(blocks=blocks).similarity(evidence)
    np.testing.assert_allclose(found.values, expected(lambda s, t: pair(vectors, names, s, t)), atol=1e-12)
    assert found.yardstick == pytest.approx({code: pair(vectors, names, code, code, again=1) for code in TRAINED})
    assert set(found.views) == (set(names) if len(names) > 1 else set())
    for name, view in found.views.items():
        np.testing.assert_allclose(view, expected(lambda s, t, n=name: pair(vectors, [n], s, t)), atol=1e-12)


@pytest.mark.parametrize("overlap", ["jaccard", "ratio"])
@pytest.mark.parametrize(
    ("of", "kinds"), [("all", ["heads", "units"]), ("heads", ["heads"]), ("units", ["units"])]
)
def test_masks_are_compared_as_sets(fake, overlap, of, kinds):
    evidence, _, _, masks = world(fake)

    def pair(kinds, layer=None):
        return expected(
            lambda s, t: of_sets(
                chosen_set(masks, kinds, s, 0, layer), chosen_set(masks, kinds, t, 0, layer), overlap
            )
        )

    measure = Subnetwork(overlap=overlap, of=of)
    found = measure.similarity(evidence)
    np.testing.assert_allclose(found.values, pair(kinds), atol=1e-12)
    assert measure.symmetric == (overlap == "jaccard")
    assert (np.abs(found.values - found.values.T)[~np.isnan(found.values)].max() < 1e-12) == measure.symmetric
    assert list(found.views) == ["heads", "units", "layer.0", "layer.1"]
    for kind in ("heads", "units"):
        np.testing.assert_allclose(found.views[kind], pair([kind]), atol=1e-12)
    for layer in (0, 1):
        np.testing.assert_allclose(found.views[f"layer.{layer}"], pair(kinds, layer), atol=1e-12)
    assert found.yardstick == pytest.approx(
        {code: of_sets(*(chosen_set(masks, kinds, code, again) for again in (0, 1)), overlap) for code in TRAINED}
    )


def test_ratio_is_the_share_of_the_source(fake):
    """Where the target's subnetwork contains the source's, the source's row says 1."""
    evidence, *_ = world(fake)
    reading = Reading("each", "masks", (("tolerance", 0.95),))
    small, large = np.zeros((2, 4)), np.zeros((2, 4))
    small[0, :2] = large[0, :] = 1
    for code, heads in (("deu", small), ("nld", large)):
        evidence.readings[reading, code] = ReadingResult({"heads": heads, "units": np.ones((2, 12))}, {})
    found = Subnetwork(overlap="ratio", of="heads").similarity(evidence).values
    assert found[0, 2] == 1.0
    assert found[2, 0] == 0.5


def test_tolerance_chooses_the_reading(fake):
    evidence, *_ = world(fake)
    assert (off(Subnetwork(tolerance=0.5).similarity(evidence).values)
            != off(Subnetwork().similarity(evidence).values)).any()  # fmt: skip
    for bad in (0, 0.0, -1, 1.01, float("nan")):
        with pytest.raises(MeasureError, match="tolerance must be above 0 and at most 1, found"):
            Subnetwork(tolerance=bad).needs()
    assert Subnetwork(tolerance=1).needs() == Subnetwork(tolerance=1.0).needs()


def test_what_they_need_is_what_they_read(fake):
    tolerance = ("tolerance", 0.95)
    assert TaskVector().needs().readings == {Reading("each", "weights")}
    assert Fisher().needs().readings == {Reading("each", "fisher"), Reading("each", "fisher", (REPEAT,))}
    assert Subnetwork().needs().readings == {
        Reading("each", "masks", (tolerance,)),
        Reading("each", "masks", (tolerance, REPEAT)),
    }
    evidence, *_ = world(fake)
    asked = set()
    read = evidence.read
    evidence.read = lambda reading, language=None: (asked.add(reading), read(reading, language))[1]
    for measure in (TaskVector(), Fisher(), Subnetwork()):
        asked.clear()
        measure.similarity(evidence)
        assert asked == measure.needs().readings
        assert measure.access == "labels"


@pytest.mark.parametrize("measure", [TaskVector, Fisher])
def test_blocks_that_are_none_are_refused(fake, measure):
    with pytest.raises(MeasureError, match="found 'layers'"):
        measure(blocks="layers").needs()
    with pytest.raises(MeasureError, match=r"found no layer\.2"):
        measure(blocks="layer.0-2").similarity(world(fake)[0])


MEASURES = [TaskVector(), TaskVector("body"), Fisher(), Fisher("head"), Subnetwork(), Subnetwork("ratio", "heads")]


@pytest.mark.parametrize("measure", MEASURES)
@settings(max_examples=15)
@given(SEEDS, st.permutations(range(len(CODES))))
def test_properties(fake, measure, seed, order):
    found = measure.similarity(world(fake, seed)[0])
    trained = np.array([code != "orm" for code in CODES])
    known = np.outer(trained, trained)
    assert (np.isfinite(found.values) == known).all()
    assert (found.coverage == known).all()
    np.testing.assert_allclose(np.diag(found.values)[trained], 1.0, atol=1e-12)
    low = -1 if measure.name == "task-vector" else 0
    for matrix in (found.values, *found.views.values()):
        assert ((matrix >= low) & (matrix <= 1) | np.isnan(matrix)).all()
        if measure.symmetric:
            np.testing.assert_array_equal(matrix, matrix.T)
    assert set(found.yardstick) == set(TRAINED)
    other = measure.similarity(world(fake, seed, tuple(LANGUAGES[place] for place in order))[0])
    at = np.ix_(order, order)
    np.testing.assert_allclose(other.values, found.values[at], atol=1e-12)
    np.testing.assert_array_equal(other.coverage, found.coverage[at])
    for name, view in other.views.items():
        np.testing.assert_allclose(view, found.views[name][at], atol=1e-12)
    assert other.yardstick == pytest.approx(found.yardstick, abs=1e-12)
    assert other.notes == found.notes


@pytest.mark.parametrize("measure", MEASURES)
def test_no_language_trained(fake, measure):
    found = measure.similarity(fake(LANGUAGES))  # which refuses every reading
    assert np.isnan(found.values).all()
    assert (found.coverage == 0).all()
    assert found.yardstick == {}
    assert found.notes == ("similarity of a language to itself trained again: mean unknown; "
                           "of two languages: mean unknown",)  # fmt: skip


@pytest.mark.parametrize("measure", MEASURES)
def test_the_note_sets_the_yardstick_beside_the_similarities(fake, measure):
    found = measure.similarity(world(fake)[0])
    own, others = np.mean(list(found.yardstick.values())), off(found.values).mean()
    assert found.notes[0] == (
        f"similarity of a language to itself trained again: mean {own:.2f}; of two languages: mean {others:.2f}"
    )
    assert own > others


@settings(max_examples=30)
@given(SEEDS)
def test_lengths_of_task_vectors_do_not_matter(fake, seed):
    evidence, *_ = world(fake, seed)
    before = TaskVector().similarity(evidence)
    result = evidence.readings[Reading("each", "weights")]
    scale = np.random.default_rng(seed).gamma(1.0, size=2 * len(TRAINED)) + 0.1
    gram = result.arrays["gram"] * scale[:, None] * scale[None, :]
    evidence.readings[Reading("each", "weights")] = ReadingResult({"gram": gram}, result.meta)
    after = TaskVector().similarity(evidence)
    np.testing.assert_allclose(after.values, before.values, atol=1e-12)
    assert after.yardstick == pytest.approx(before.yardstick, abs=1e-12)


def test_a_model_that_has_not_moved_has_no_direction(fake):
    evidence, *_ = world(fake)
    result = evidence.readings[Reading("each", "weights")]
    gram = result.arrays["gram"].copy()
    still = result.meta["languages"].index("nld")
    gram[0, still] = gram[0, :, still] = 0  # its embeddings were frozen
    evidence.readings[Reading("each", "weights")] = ReadingResult({"gram": gram}, result.meta)
    found = TaskVector().similarity(evidence)
    place = CODES.index("nld")
    assert np.isnan(found.views["embeddings"][place]).all()
    assert np.isnan(found.views["embeddings"][:, place]).all()
    assert np.isfinite(off(found.views["embeddings"])).sum() == 6
    assert np.isfinite(found.values[place]).sum() == 4
    frozen = TaskVector("embeddings").similarity(evidence)
    assert (frozen.coverage[place] == 0).all()
    assert set(frozen.yardstick) == set(TRAINED) - {"nld"}


def test_a_repeat_or_a_training_that_failed(fake):
    evidence, task, *_ = world(fake)
    result = evidence.readings[Reading("each", "weights")]
    languages = result.meta["languages"]
    keep = [row for row in range(8) if row not in (languages.index("deu"), 4 + languages.index("rus"))]
    meta = {
        "blocks": list(BLOCKS),
        "languages": [code for code in languages if code != "deu"],
        "repeats": [code for code in languages if code != "rus"],
    }
    gram = result.arrays["gram"][:, keep][:, :, keep]
    evidence.readings[Reading("each", "weights")] = ReadingResult({"gram": gram}, meta)
    found = TaskVector().similarity(evidence)
    assert np.isnan(found.values[0]).all()
    assert found.values[2, 3] == pytest.approx(of_vectors(task, BLOCKS, "nld", "rus"))
    assert found.yardstick == pytest.approx(
        {code: of_vectors(task, BLOCKS, code, code, again=1) for code in ("nld", "swe")}
    )


@settings(max_examples=30)
@given(SEEDS)
def test_scales_of_filters_do_not_matter_to_fisher(fake, seed):
    """Each filter is normalised by itself; a common factor of one filter in all languages cancels."""
    evidence, *_ = world(fake, seed)
    before = Fisher().similarity(evidence)
    rng = np.random.default_rng(seed)
    scale = {block: 10 ** rng.uniform(-6, 6, size) for block, size in BLOCKS.items()}
    for place, result in list(evidence.readings.items()):
        if isinstance(place, tuple) and place[0].kind == "fisher":
            arrays = {block: array * scale[block] for block, array in result.arrays.items()}
            evidence.readings[place] = ReadingResult(arrays, result.meta)
    after = Fisher().similarity(evidence)
    np.testing.assert_allclose(after.values, before.values, atol=1e-12)


def test_fisher_in_closed_form(fake):
    evidence, *_ = world(fake)
    vectors = {"deu": [1, 1, 0, 0], "nld": [3, 0, 2, 0], "rus": [2, 2, 0, 0], "swe": [0, 0, 0, 0]}
    for code, vector in vectors.items():
        for extra in ((), (REPEAT,)):
            result = ReadingResult({"head": np.array(vector, dtype=float)}, {"blocks": ["head"]})
            evidence.readings[Reading("each", "fisher", extra), code] = result
    found = Fisher().similarity(evidence)
    # (1/4, 1, 0) and (3/4, 0, 1), the last filter left out
    assert found.values[0, 2] == pytest.approx((3 / 16) / np.sqrt((17 / 16) * (25 / 16)))
    assert found.values[0, 3] == pytest.approx(1.0)  # (1/3, 1/3) and (2/3, 2/3)
    assert np.isnan(found.values[4]).all()  # no information, no answer
    assert np.isnan(found.values[:, 4]).all()
    assert found.coverage[4, 4] == 0
    assert "swe" not in found.yardstick


def test_nothing_left_of_a_layer(fake):
    evidence, *_ = world(fake)
    for code in TRAINED:
        for extra in ((), (REPEAT,)):
            heads, units = np.zeros((2, 4)), np.zeros((2, 12))
            heads[0, 1] = units[0, 3] = 1
            place = (Reading("each", "masks", (("tolerance", 0.95), *extra)), code)
            evidence.readings[place] = ReadingResult({"heads": heads, "units": units}, {})
    for overlap in ("jaccard", "ratio"):
        found = Subnetwork(overlap=overlap).similarity(evidence)
        assert np.isnan(found.views["layer.1"]).all()
        assert (off(found.views["layer.0"]) == 1).all()
        assert (off(found.values) == 1).all()


@pytest.mark.parametrize("which", ["jaccard", "ratio"])
def test_chance_against_all_masks_there_are(which):
    for (a, b, n), (c, d, m) in [((2, 3, 5), (1, 2, 3)), ((1, 1, 4), (3, 3, 4)), ((4, 2, 4), (2, 2, 3))]:
        values = []
        for s in combinations(range(n), a):
            for t in combinations(range(n), b):
                for u in combinations(range(m), c):
                    for v in combinations(range(m), d):
                        two = [{(0, i) for i in x} | {(1, i) for i in y} for x, y in ((s, u), (t, v))]
                        values.append(of_sets(*two, which))
        assert chance(((a, b, n), (c, d, m)), which) == pytest.approx(np.mean(values))
    assert chance(((5, 5, 5),), which) == 1
    assert chance(((7373, 7373, 36864),), which) == pytest.approx(1 / 9 if which == "jaccard" else 0.2, abs=1e-3)


def test_the_note_tells_what_is_kept_and_what_chance_gives(fake):
    evidence, _, _, masks = world(fake)
    found = Subnetwork(of="heads").similarity(evidence)
    shares = [np.mean([masks[code, 0, kind].mean() for code in TRAINED]) for kind in ("heads", "units")]
    sizes = {code: int(masks[code, 0, "heads"].sum()) for code in TRAINED}
    assert len(set(sizes.values())) > 1
    pairs = [chance(((sizes[s], sizes[t], 8),), "jaccard") for s in TRAINED for t in TRAINED if s != t]
    assert found.notes[1] == (
        f"kept, mean over languages: {shares[0]:.0%} of the heads, {shares[1]:.0%} of the units; "
        f"random masks as sparse would overlap by {np.mean(pairs):.2f}"
    )
    alone = Subnetwork().similarity(world(fake, rows={("train", "deu"): ROWS["train", "deu"]})[0])
    assert alone.notes[1].endswith("of the units")


@pytest.mark.parametrize("failed", ["first", "again"])
def test_a_language_whose_training_failed_is_left_out(fake, failed):
    codes = ("deu", "nld", "swe", "fra")
    rng = np.random.default_rng(0)
    rows = {("train", code): (Example("a", 0),) for code in codes}
    readings = {}
    for code in codes:
        for again in ((), (("repeat", 1),)):
            if code == "swe" and (failed == "again") == bool(again):
                continue
            readings[Reading("each", "fisher", again), code] = ReadingResult(
                {"head": rng.random(5)}, {"blocks": ["head"]}
            )
    evidence = fake(tuple(map(language, codes)), rows, readings=readings)
    found = Fisher().similarity(evidence)
    missing = np.isnan(found.values)
    assert missing[2].all() == missing[:, 2].all() == (failed == "first")
    assert not missing[np.ix_([0, 1, 3], [0, 1, 3])].any()
    assert sorted(found.yardstick) == ["deu", "fra", "nld"]
