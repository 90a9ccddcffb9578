"""What a measure may return, what its authors import, and what holds for every built-in measure."""

from __future__ import annotations

from collections import Counter
from importlib import metadata

import numpy as np
import pytest

import measures
from benchmark.registry import parse
from measures import Measure, MeasureError, Needs, Reading, ReadingResult, SimilarityMatrix, TransferMatrix
from measures.combined import LANGRANK, components
from tasks.base import Example, TaskSpec
from tasks.languages import Language, language

THREE = tuple(map(language, ("deu", "nld", "fra")))


def test_what_plugin_authors_import_is_frozen():
    assert measures.__all__ == [
        "Evidence",
        "Measure",
        "MeasureError",
        "Needs",
        "Reading",
        "ReadingResult",
        "SimilarityMatrix",
        "TransferMatrix",
    ]
    assert all(hasattr(measures, name) for name in measures.__all__)


@pytest.mark.parametrize("name", ["values", "coverage"])
@pytest.mark.parametrize("shape", [(2, 2), (3, 2), (3,), (3, 3, 1), ()])
def test_a_wrong_shape_is_refused(name, shape):
    given = {"values": np.zeros((3, 3)), name: np.zeros(shape)}
    with pytest.raises(MeasureError) as raised:
        SimilarityMatrix(THREE, **given)
    assert str(raised.value) == f"{name} must have shape (3, 3), [source, target], found {shape}"


@pytest.mark.parametrize(("bad", "said"), [(np.inf, "inf"), (-np.inf, "-inf")])
def test_an_infinite_value_is_refused_with_its_place(bad, said):
    values = np.zeros((3, 3))
    values[2, 1] = bad
    with pytest.raises(MeasureError, match=rf"must be finite, or NaN .* found {said} at \[fra, nld\]$"):
        SimilarityMatrix(THREE, values)


@pytest.mark.parametrize("bad", [[["a"] * 3] * 3, [[1, 2, 3], [1, 2], [1]], [[object()] * 3] * 3])
def test_what_is_no_matrix_of_numbers_is_refused(bad):
    with pytest.raises(MeasureError, match=r"^values must be numbers, found: "):
        SimilarityMatrix(THREE, bad)


def test_numbers_become_float64_and_nan_is_allowed():
    values = [[1, float("nan"), 3], [4, 5, 6], [7, 8, 9]]
    made = SimilarityMatrix(THREE, values, np.ones((3, 3), dtype=np.float32))
    assert made.values.dtype == made.coverage.dtype == np.float64
    assert np.isnan(made.values[0, 1])
    assert made.values[2, 0] == 7
    assert SimilarityMatrix(THREE, values).coverage is None


def test_the_matrix_is_its_own():
    given = np.zeros((3, 3))
    made = SimilarityMatrix(THREE, given)
    given[0, 0] = 5
    assert made.values[0, 0] == 0


def test_readings_and_needs_are_hashable_data():
    one, same = (Reading("joint", "gradients", (("split", "dev"),)) for _ in range(2))
    assert one == same
    assert len({one, same, Reading("each", "gradients")}) == 2
    assert hash(Needs(frozenset({one}))) == hash(Needs(frozenset({same})))
    assert Needs() == Needs(frozenset(), (), False, ())


# One suite for all built-in measures.

CODES = ("eng", "deu", "rus", "tir", "fin", "ukr")
TEXTS = {
    "eng": "water and wind and fire",
    "deu": "wasser und wind und feuer",
    "rus": "вода и ветер",
    "tir": "ማይን ንፋስን",
    "fin": "vesi ja tuuli ja tuli",
    "ukr": "вода і вітер і вогонь",
}
SPECS = [
    ("combined", {}),
    ("combined", {"measures": "overlap+same-script"}),
    *(("embedding", {"distance": one}) for one in ("centroid", "mmd", "frechet", "cka", "classifier")),
    ("embedding", {"encoder": "initial", "layer": 1}),
    ("family", {}),
    ("fisher", {}),
    ("fisher", {"blocks": "body"}),
    ("gradsim", {}),
    ("gradsim", {"estimator": "mean-cosine", "blocks": "body"}),
    ("gradsim", {"estimator": "pooled-cosine", "split": "train"}),
    ("magnitude", {}),
    ("oracle", {}),
    ("overlap", {}),
    ("overlap", {"unit": "subwords", "coefficient": "cosine"}),
    ("overlap", {"unit": "chars", "coefficient": "jaccard"}),
    ("overlap", {"unit": "subwords", "coefficient": "jensen-shannon"}),
    ("random", {}),
    ("same-script", {}),
    ("size", {}),
    ("size-ratio", {}),
    ("source-quality", {}),
    ("subnetwork", {}),
    ("subnetwork", {"overlap": "ratio", "of": "units"}),
    ("tag", {}),
    ("task-vector", {}),
    ("topic", {}),
    ("topic", {"by": "embeddings", "topics": 3}),
    ("topic", {"by": "labels"}),
    ("tracin", {}),
    ("ttr", {}),
    *(("typology", {"features": one}) for one in ("syntax", "geography", "family", "all")),
    ("typology", {"fill": "attested", "distance": "angular"}),
]
PARALLEL = TaskSpec(
    name="made-up",
    version=1,
    kind="text",
    labels=("no", "yes"),
    metric="accuracy",
    parallel=True,
    description="",
    homepage="",
    licence="",
    citation="",
)


def built_in():
    return {
        point.name: point
        for point in metadata.entry_points(group="benchmark.measures")
        if point.dist is not None and point.dist.name == "kinship-bench"
    }


def evidence(fake, codes):
    """``tir`` is a target only: it has dev texts, no gradient on train and no row of transfer."""
    rows, bags = {}, {}
    for place, code in enumerate(CODES):
        for split in ("train", "dev", "test"):
            if code == "tir" and split == "train":
                continue
            # Train differs in size and label shares between languages, dev has the same items in each.
            words = (TEXTS[code].split() * 10)[: 12 + place if split == "train" else 12]
            rows[split, code] = tuple(
                Example(f"{word} {i}", int(i % (2 + place) == 0), item=str(i)) for i, word in enumerate(words)
            )
            bags[split, code] = Counter({at: 1 + (at * place) % 3 for at in range(place, place + 4)})
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2, 3, 2 * 5, 8))
    gram = np.einsum("pbix,pbjx->pbij", vectors, vectors)
    meta = {
        "blocks": ["embeddings", "layer.0", "head"],
        "parallel": False,
        "half_batch": 8,
        "exactness": "exact",
    }
    with_gradients = [code for code in CODES if code != "tir"]
    arrays = {"gram": gram, "loss": rng.uniform(0.5, 2.0, (2, 10)), "lr": np.array([1e-3, 5e-4])}
    result = ReadingResult(arrays, {**meta, "languages": with_gradients})
    readings = {Reading("joint", "gradients", (("split", split),)): result for split in ("dev", "train")}
    clouds = {code: rng.normal(size=(12, 5)) + place for place, code in enumerate(CODES)}
    for reading in (Reading("joint", "embeddings"), Reading("initial", "embeddings", (("layer", 1),))):
        readings[reading] = ReadingResult(clouds, {"encoder": "made up", "width": 5})
    vectors = rng.normal(size=(3, 10, 8))
    named = {"blocks": meta["blocks"], "languages": with_gradients, "repeats": with_gradients}
    grams = np.einsum("bix,bjx->bij", vectors, vectors)
    readings[Reading("each", "weights")] = ReadingResult({"gram": grams}, named)
    for code in with_gradients:
        for again in ((), (("repeat", 1),)):
            information = {block: rng.random(7) for block in meta["blocks"]}
            readings[Reading("each", "fisher", again), code] = ReadingResult(
                information, {"blocks": meta["blocks"]}
            )
            kept = {"heads": rng.integers(2, size=(2, 4)), "units": rng.integers(2, size=(2, 9))}
            shares = {name: float(mask.mean()) for name, mask in kept.items()}
            masks = Reading("each", "masks", (("tolerance", 0.95), *again))
            readings[masks, code] = ReadingResult(kept, {"full": 0.9, "kept": 0.88, **shares})
    transfer = rng.random((6, 6))
    transfer[CODES.index("tir")] = np.nan
    whole = tuple(map(language, CODES))
    listed = tuple(map(language, codes))
    made = fake(listed, rows, bags, readings, TransferMatrix(whole, transfer), seed=3, task=PARALLEL)
    table = built_in()
    for name in components(LANGRANK):
        kind, given = parse(name)
        made.matrices[name] = table[kind].load()(**given).similarity(made)
    return made


def test_every_built_in_measure_is_in_the_suite():
    assert set(built_in()) == {name for name, _ in SPECS}


@pytest.mark.parametrize(("name", "params"), SPECS)
def test_every_measure(fake, name, params):
    cls = built_in()[name].load()
    assert issubclass(cls, Measure)
    assert cls.name == name
    assert cls(**params).access in ("none", "text", "labels", "transfer")
    assert cls.__doc__

    measure = cls(**params)
    assert {key: getattr(measure, key) for key in params} == params  # only stored
    needs = measure.needs()
    assert needs == cls(**params).needs()
    assert (measure.access == "transfer") == needs.transfer
    of = evidence(fake, CODES)
    assert measure.skip(of.task, of.languages) is None

    found = measure.similarity(of)
    assert found.languages == of.languages
    assert found.values.shape == (6, 6)
    assert found.values.dtype == np.float64
    said = np.isfinite(found.values)
    known = np.array([code != "tir" for code in CODES])
    assert said[np.ix_(known, known)][~np.eye(5, dtype=bool)].all()
    if found.coverage is not None:
        assert ((found.coverage >= 0) & (found.coverage <= 1)).all()
        np.testing.assert_array_equal(found.coverage == 0, ~said)
    if measure.symmetric:
        np.testing.assert_array_equal(found.values, found.values.T)
    else:
        assert not np.array_equal(found.values, found.values.T, equal_nan=True)

    again = cls(**params).similarity(evidence(fake, CODES))
    np.testing.assert_array_equal(again.values, found.values)
    assert again.notes == found.notes
    assert (again.yardstick, again.contributions) == (found.yardstick, found.contributions)

    order = [3, 5, 0, 2, 4, 1]
    permuted = cls(**params).similarity(evidence(fake, [CODES[at] for at in order]))
    np.testing.assert_allclose(permuted.values, found.values[np.ix_(order, order)], rtol=0, atol=1e-12)
    assert permuted.views.keys() == found.views.keys()
    for view, values in found.views.items():
        np.testing.assert_allclose(permuted.views[view], values[np.ix_(order, order)], rtol=0, atol=1e-12)
    assert permuted.yardstick == pytest.approx(found.yardstick)
    assert permuted.contributions == pytest.approx(found.contributions, abs=1e-9)


@pytest.mark.parametrize(("name", "params"), SPECS)
def test_no_measure_reads_what_it_did_not_declare(fake, name, params):
    """With nothing granted but texts, only those answer that declare nothing else."""
    measure = built_in()[name].load()(**params)
    of = evidence(fake, CODES)
    bare = fake(of.languages, of.rows, of.bags)
    if measure.needs().readings or measure.needs().transfer or measure.needs().measures:
        with pytest.raises(MeasureError, match=r"not declared|no .* knows"):
            measure.similarity(bare)
    else:
        measure.similarity(bare)


def test_a_measure_by_somebody_else():
    """The minimum that the documentation promises is enough."""

    class Constant(Measure):
        name = "constant"
        access = "none"

        def similarity(self, evidence):
            return SimilarityMatrix(evidence.languages, np.ones((len(evidence.languages),) * 2))

    assert Constant().needs() == Needs()
    assert Constant().symmetric
    with pytest.raises(TypeError, match="abstract"):
        type("Empty", (Measure,), {})()


def test_languages_of_two_scripts_are_not_one(fake):
    serbian = (language("srp", "Latn"), Language("srp", "Cyrl", "Serbian"), language("eng"))
    found = built_in()["same-script"].load()().similarity(fake(serbian))
    np.testing.assert_array_equal(found.values, [[1, 0, 1], [0, 1, 0], [1, 0, 1]])
