"""What all measures from the gradient trace share: blocks, places of languages, views, the note."""

from __future__ import annotations

import numpy as np
import pytest

from measures import MeasureError, Reading, ReadingResult
from measures.gradients import TAG, Magnitude, TracIn
from measures.gradsim import GradSim
from measures.trace import (
    Trace,
    block_patterns,
    mean_over_probes,
    probe_weights,
    products,
    quarters,
    select_blocks,
    signal_fraction,
)
from tasks.languages import language

MEASURES = (GradSim, TracIn, TAG, Magnitude)
NAMES = ("embeddings", "layer.0", "layer.1", "layer.2", "head")
PHASES = ["first third", "middle third", "last third"]
THREE = ("fra", "deu", "nld")


def halves(seed, probes=3, n=4, size=7, noise=0.7):
    """Gradients ``[probes, n, size]`` of halves a and b: a common part per language, and noise."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(probes, n, size))
    return signal + noise * rng.normal(size=signal.shape), signal + noise * rng.normal(size=signal.shape)


def gram_of(a, b):
    rows = np.concatenate([a, b], axis=1)
    return np.einsum("pix,pjx->pij", rows, rows)


def reading(split="dev"):
    return Reading("joint", "gradients", (("split", split),))


def trace(codes, seed=0, blocks=NAMES, probes=3, parallel=False):
    """A reading over some languages, as the runner keeps it, and its gradients per block."""
    rng = np.random.default_rng(seed + 1000)
    parts = [halves(seed + at, probes=probes, n=len(codes)) for at in range(len(blocks))]
    arrays = {
        "gram": np.stack([gram_of(a, b) for a, b in parts], axis=1),  # [probes, blocks, 2n, 2n]
        "loss": rng.uniform(0.5, 2.0, size=(probes, 2 * len(codes))),
        "lr": rng.uniform(0.1, 1.0, size=probes),
    }
    meta = {
        "languages": list(codes),
        "blocks": list(blocks),
        "steps": list(range(probes)),
        "half_batch": 16,
        "parallel": parallel,
        "exactness": "exact",
    }
    return ReadingResult(arrays, meta), parts


def measured(fake, measure, codes, result):
    return measure.similarity(fake(tuple(map(language, codes)), readings={reading(): result}))


def probes_of(result, at):
    return ReadingResult({name: array[at] for name, array in result.arrays.items()}, result.meta)


def test_signal_fraction_is_the_noise_free_share():
    a, b = halves(3, probes=400, n=3, size=50, noise=1.0)
    np.testing.assert_allclose(signal_fraction(gram_of(a, b)), 1 / 1.5, atol=0.03)
    np.testing.assert_allclose(signal_fraction(gram_of(a, a)), 1.0, atol=1e-12)
    assert np.isnan(signal_fraction(np.zeros((2, 6, 6)))).all()


def test_products_are_those_of_the_mean_gradients_or_of_the_crossed_halves():
    a, b = halves(1)
    g = (a + b) / 2
    plain = np.einsum("pix,pjx->pij", g, g)
    np.testing.assert_allclose(products(gram_of(a, b), parallel=False), plain, atol=1e-12)
    crossed = (np.einsum("pix,pjx->pij", a, b) + np.einsum("pix,pjx->pij", b, a)) / 2
    for i in range(4):
        crossed[:, i, i] = plain[:, i, i]
    np.testing.assert_allclose(products(gram_of(a, b), parallel=True), crossed, atol=1e-12)


@pytest.mark.parametrize("parallel", [False, True])
def test_products_of_different_languages_are_free_of_noise_in_the_mean(parallel):
    """Two orthogonal languages; in parallel tasks the noise of a half's items is common to both."""
    rng = np.random.default_rng(5)
    signal = np.zeros((4000, 2, 6))
    signal[:, 0, 0] = signal[:, 1, 1] = 1.0
    common = (4000, 1, 6) if parallel else (4000, 2, 6)
    a, b = (signal + rng.normal(size=common) for _ in range(2))
    found = products(gram_of(a, b), parallel=parallel).mean(axis=0)
    np.testing.assert_allclose(found[0, 1], 0.0, atol=0.15)
    np.testing.assert_allclose(np.diag(found), 1 + 6 / 2, atol=0.3)  # ‖signal‖² and the noise's 6/2
    if parallel:
        assert products(gram_of(a, b), parallel=False).mean(axis=0)[0, 1] > 2.5


def test_quarters_and_probe_weights():
    gram = np.arange(2 * 4 * 4, dtype=float).reshape(2, 4, 4)
    for found, (rows, columns) in zip(
        quarters(gram), [((0, 1), (0, 1)), ((0, 1), (2, 3)), ((2, 3), (0, 1)), ((2, 3), (2, 3))], strict=True
    ):
        np.testing.assert_array_equal(found, gram[np.ix_((0, 1), rows, columns)])
    np.testing.assert_allclose(probe_weights(np.array([np.diag([1.0, 3.0]), np.zeros((2, 2))])), [0.5, 0.0])


def test_the_mean_over_probes_leaves_out_what_is_unknown():
    each = np.array([[[1.0, np.nan]], [[4.0, np.nan]], [[np.nan, np.nan]]])
    np.testing.assert_array_equal(mean_over_probes(each), [[2.5, np.nan]])


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ("all", [0, 1, 2, 3, 4]),
        ("embeddings", [0]),
        ("body", [1, 2, 3]),
        ("head", [4]),
        ("layer.0", [1]),
        ("layer.1-2", [2, 3]),
        ("layer.2-2", [3]),
        ("head+embeddings", [0, 4]),
        ("layer.0 + layer.0-1+body", [1, 2, 3]),
        ("all+head", [0, 1, 2, 3, 4]),
    ],
)
def test_blocks(blocks, expected):
    assert select_blocks(blocks, NAMES) == expected


@pytest.mark.parametrize(
    "blocks",
    ["layer.3-1", "layer.x", "", "layer", "layer.-1", "layer.1-", "Body", "all+", "+", "layer.0,head"],
)
def test_a_misspelt_block_is_said_before_anything_is_trained(blocks):
    with pytest.raises(MeasureError, match=r"blocks must be all, .* found '") as raised:
        block_patterns(blocks)
    bad = next(part.strip() for part in blocks.split("+") if part.strip() not in ("all", "head"))
    assert str(raised.value).endswith(f"found {bad!r}")
    assert "\n" not in str(raised.value)
    with pytest.raises(MeasureError):
        GradSim(blocks=blocks).needs()


@pytest.mark.parametrize(
    ("blocks", "names", "lacking"),
    [
        ("layer.3", NAMES, "layer.3"),
        ("layer.1-4", NAMES, "layer.3, layer.4"),
        ("body", ("embeddings", "head"), "body"),
        ("embeddings", ("layer.0", "head"), "embeddings"),
    ],
)
def test_a_block_the_model_lacks(blocks, names, lacking):
    with pytest.raises(MeasureError) as raised:
        select_blocks(blocks, names)
    text = str(raised.value)
    assert text.startswith(f"blocks={blocks!r}")
    assert ", ".join(names) in text
    assert text.endswith(f"found no {lacking}")


@pytest.mark.parametrize("cls", MEASURES)
@pytest.mark.parametrize("split", ["dev", "train"])
def test_all_need_the_same_one_reading_of_the_joint_training(cls, split):
    needs = cls(split=split).needs()
    assert needs.readings == {reading(split)}
    assert not needs.transfer
    with pytest.raises(MeasureError, match=r"found 'layer\.3-1'"):
        cls(blocks="head+layer.3-1").needs()
    assert cls.access == "labels"
    assert cls.symmetric == (cls is not TAG)


@pytest.mark.parametrize("cls", MEASURES)
@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize(("blocks", "chosen"), [("all", range(5)), ("body", (1, 2, 3)), ("head+layer.1", (4, 2))])
def test_blocks_are_taken_as_one_vector(fake, cls, parallel, blocks, chosen):
    result, parts = trace(THREE, parallel=parallel)
    a, b = (np.concatenate([parts[block][half] for block in chosen], axis=2) for half in (0, 1))
    whole = Trace(gram_of(a, b), result.arrays["loss"], result.arrays["lr"], parallel)
    found = measured(fake, cls(blocks=blocks), THREE, result)
    np.testing.assert_allclose(found.values, cls().compare(whole), atol=1e-12)
    np.testing.assert_array_equal(found.coverage, np.ones((3, 3)))


@pytest.mark.parametrize("cls", MEASURES)
def test_languages_are_found_by_code_and_missing_ones_are_nan(fake, cls):
    result, _ = trace(THREE)
    wanted = ("nld", "tir", "fra", "deu", "orm")
    found = measured(fake, cls(), wanted, result)
    assert [one.code for one in found.languages] == list(wanted)
    known, of = np.ix_([0, 2, 3], [0, 2, 3]), np.ix_([2, 0, 1], [2, 0, 1])  # here, and in the trace
    own = measured(fake, cls(), THREE, result)
    assert found.views.keys() == own.views.keys() == {*NAMES, *PHASES}
    for name in ("", *own.views):
        expected = np.full((5, 5), np.nan)
        expected[known] = (own.views[name] if name else own.values)[of]
        np.testing.assert_array_equal(found.views[name] if name else found.values, expected)
    assert np.isfinite(own.values).all()
    np.testing.assert_array_equal(found.coverage, np.where(np.isnan(found.values), 0.0, 1.0))


@pytest.mark.parametrize("cls", MEASURES)
def test_a_trace_with_more_languages_than_the_run(fake, cls):
    result, _ = trace(THREE)
    whole = measured(fake, cls(), THREE, result)
    part = measured(fake, cls(), ("nld", "fra"), result)
    np.testing.assert_array_equal(part.values, whole.values[np.ix_([2, 0], [2, 0])])


@pytest.mark.parametrize("cls", MEASURES)
@pytest.mark.parametrize("parallel", [False, True])
def test_the_view_of_a_block_is_the_measure_with_that_block(fake, cls, parallel):
    result, _ = trace(THREE, parallel=parallel)
    for blocks, names in (("all", NAMES), ("head+layer.0-1", ("layer.0", "layer.1", "head"))):
        found = measured(fake, cls(blocks=blocks), THREE, result)
        assert list(found.views) == [*names, *PHASES]
        for name in names:
            alone = measured(fake, cls(blocks=name), THREE, result)
            np.testing.assert_array_equal(found.views[name], alone.values)
            assert list(alone.views) == PHASES  # one block has no blocks to look into
    assert len({view.tobytes() for view in found.views.values()} | {found.values.tobytes()}) == 3 + 3 + 1


@pytest.mark.parametrize("cls", MEASURES)
@pytest.mark.parametrize(
    ("probes", "cuts"),
    [(3, (1, 2)), (4, (2, 3)), (5, (2, 4)), (6, (2, 4)), (12, (4, 8))],
)
def test_the_view_of_a_phase_is_the_measure_on_its_probes(fake, cls, probes, cuts):
    result, _ = trace(THREE, probes=probes)
    found = measured(fake, cls(blocks="body"), THREE, result)
    for name, at in zip(PHASES, (slice(cuts[0]), slice(*cuts), slice(cuts[1], None)), strict=True):
        alone = measured(fake, cls(blocks="body"), THREE, probes_of(result, at))
        np.testing.assert_array_equal(found.views[name], alone.values)


@pytest.mark.parametrize("cls", MEASURES)
@pytest.mark.parametrize("probes", [4, 5, 8])
def test_every_other_probe_is_a_half(fake, cls, probes):
    result, _ = trace(THREE, probes=probes)
    found = measured(fake, cls(blocks="body"), THREE, result)
    for start, name in enumerate(("odd probes", "even probes")):
        alone = measured(fake, cls(blocks="body"), THREE, probes_of(result, slice(start, None, 2)))
        np.testing.assert_array_equal(found.views[name], alone.values)


@pytest.mark.parametrize("cls", MEASURES)
@pytest.mark.parametrize("probes", [1, 2])
def test_fewer_than_three_probes_have_no_phases(fake, cls, probes):
    result, _ = trace(THREE, probes=probes)
    assert list(measured(fake, cls(), THREE, result).views) == list(NAMES)
    assert measured(fake, cls(blocks="head"), THREE, result).views == {}


@pytest.mark.parametrize("cls", MEASURES)
def test_a_frozen_block_is_an_unknown_view_and_moves_nothing(fake, cls, recwarn):
    result, _ = trace(THREE)
    result.arrays["gram"][:, 0] = 0
    found = measured(fake, cls(), THREE, result)
    assert np.isnan(found.views["embeddings"]).all()
    assert all(np.isfinite(view).all() for name, view in found.views.items() if name != "embeddings")
    rest = measured(fake, cls(blocks="body+head"), THREE, result)
    np.testing.assert_allclose(found.values, rest.values, atol=1e-12)
    assert not recwarn.list


@pytest.mark.parametrize("cls", MEASURES)
def test_the_note_tells_signal_probes_and_sizes(fake, cls):
    result, parts = trace(THREE)
    (note,) = measured(fake, cls(), THREE, result).notes
    a, b = (np.concatenate([part[half] for part in parts], axis=2) for half in (0, 1))
    signal = signal_fraction(gram_of(a, b))
    assert f"median {np.median(signal):.2f}, lowest {signal.min():.2f}" in note
    assert "3 probes of 2×16 examples a language, exact" in note


@pytest.mark.parametrize("cls", MEASURES)
def test_a_trace_of_zeros_says_so(fake, cls, recwarn):
    result, _ = trace(THREE)
    result.arrays["gram"][:] = 0
    found = measured(fake, cls(), THREE, result)
    assert np.isnan(found.values).all()
    assert not found.coverage.any()
    assert all(np.isnan(view).all() for view in found.views.values())
    assert found.notes == ("no language has a gradient: every probe was zero",)
    assert not recwarn.list
