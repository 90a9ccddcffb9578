"""GradSim against the same numbers computed from explicit gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from measures import MeasureError, Reading, ReadingResult
from measures.gradsim import FLOOR, GradSim, block_patterns, estimate, select_blocks, signal_fraction
from tasks.languages import language

ESTIMATORS = ("pooled-split", "pooled-cosine", "mean-cosine")
NAMES = ("embeddings", "layer.0", "layer.1", "layer.2", "head")
SEEDS = st.integers(0, 2**32 - 1)


def halves(seed, probes=3, n=4, size=7, noise=0.7):
    """Gradients ``[probes, n, size]`` of halves a and b: a common part per language, and noise."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(probes, n, size))
    return signal + noise * rng.normal(size=signal.shape), signal + noise * rng.normal(size=signal.shape)


def gram_of(a, b):
    rows = np.concatenate([a, b], axis=1)
    return np.einsum("pix,pjx->pij", rows, rows)


def direct(a, b, estimator, parallel):
    """The formulas of the docstring, in loops over explicit vectors."""
    probes, n, _ = a.shape
    g = (a + b) / 2
    values = np.empty((n, n))
    weight = [1 / np.mean([g[p, i] @ g[p, i] for i in range(n)]) for p in range(probes)]
    for i in range(n):
        for j in range(n):
            if estimator == "mean-cosine":
                length = np.linalg.norm(g, axis=2)
                each = [g[p, i] @ g[p, j] / (length[p, i] * length[p, j]) for p in range(probes)]
                values[i, j] = np.mean(each)
                continue
            raw = [sum(weight[p] * (g[p, k] @ g[p, k]) for p in range(probes)) for k in (i, j)]
            if estimator == "pooled-cosine":
                product = sum(weight[p] * (g[p, i] @ g[p, j]) for p in range(probes))
                values[i, j] = product / np.sqrt(raw[0] * raw[1])
                continue
            crossed = [(a[p, i] @ b[p, j] + b[p, i] @ a[p, j]) / 2 for p in range(probes)]
            same = [(a[p, i] @ a[p, j] + b[p, i] @ b[p, j]) / 2 for p in range(probes)]
            product = sum(
                w * (c if parallel else (c + s) / 2) for w, c, s in zip(weight, crossed, same, strict=True)
            )
            split = [sum(weight[p] * (a[p, k] @ b[p, k]) for p in range(probes)) for k in (i, j)]
            norms = [max(v, 0.1 * r) for v, r in zip(split, raw, strict=True)]
            values[i, j] = product / np.sqrt(norms[0] * norms[1])
    values = np.clip(values, -1, 1)
    np.fill_diagonal(values, 1.0)
    return values


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("noise", [0.3, 3.0])  # with 3 the floor under the split norm is reached
def test_estimate_is_the_formula(estimator, parallel, noise):
    floored = 0
    for seed in range(20):
        a, b = halves(seed, noise=noise)
        found = estimate(gram_of(a, b), estimator, parallel=parallel)
        np.testing.assert_allclose(found, direct(a, b, estimator, parallel), rtol=0, atol=1e-12)
        floored += int((signal_fraction(gram_of(a, b)) < FLOOR).sum())
    assert (floored > 0) == (noise == 3.0)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("parallel", [False, True])
def test_closed_forms(estimator, parallel):
    e, f = np.eye(6)[:2]
    a = np.tile(np.array([e, e, -e, f]), (3, 1, 1)) * np.array([1.0, 2.0, 0.3])[:, None, None]
    found = estimate(gram_of(a, a), estimator, parallel=parallel)
    expected = np.array([[1, 1, -1, 0], [1, 1, -1, 0], [-1, -1, 1, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_pooling_weighs_each_probe_by_its_mean_energy():
    """Two probes, of energies 1 and 10⁶, count alike: cosines 1 and 0 pool to one half."""
    e, f = np.eye(2)
    a = np.array([[e, e], [1e3 * e, 1e3 * f]])
    for estimator in ("pooled-split", "pooled-cosine"):
        assert estimate(gram_of(a, a), estimator, parallel=False)[0, 1] == pytest.approx(0.5, abs=1e-12)


def test_split_norms_are_closer_to_the_true_cosine():
    """With noise the plain cosine shrinks towards 0 and pooling does not help; split norms undo it."""
    rng = np.random.default_rng(7)
    n, probes, size, truth = 2, 8, 400, 0.6
    found = {name: [] for name in ESTIMATORS}
    for _ in range(60):
        common = rng.normal(size=(probes, 1, size))
        own = rng.normal(size=(probes, n, size))
        signal = np.sqrt(truth) * common + np.sqrt(1 - truth) * own
        a, b = (signal + 1.5 * rng.normal(size=signal.shape) for _ in range(2))
        for name in ESTIMATORS:
            found[name].append(estimate(gram_of(a, b), name, parallel=False)[0, 1])
    mean = {name: np.mean(values) for name, values in found.items()}
    error = np.std(found["pooled-split"]) / np.sqrt(60)
    assert abs(mean["pooled-split"] - truth) < 4 * error + 0.01
    shrunken = truth / (1 + 1.5**2 / 2)
    assert mean["pooled-cosine"] == pytest.approx(shrunken, abs=0.02)
    assert mean["mean-cosine"] == pytest.approx(shrunken, abs=0.02)


def test_signal_fraction_is_the_noise_free_share():
    a, b = halves(3, probes=400, n=3, size=50, noise=1.0)
    np.testing.assert_allclose(signal_fraction(gram_of(a, b)), 1 / 1.5, atol=0.03)
    np.testing.assert_allclose(signal_fraction(gram_of(a, a)), 1.0, atol=1e-12)


def test_parallel_uses_the_crossed_halves_alone():
    """Noise shared by items of one half (a with a, b with b) moves the plain form, not the parallel one."""
    a, b = halves(1, n=3)
    gram = gram_of(a, b)
    before = {p: estimate(gram, "pooled-split", parallel=p) for p in (False, True)}
    shared = gram.copy()
    for one in (slice(0, 3), slice(3, 6)):
        shared[:, one, one] += 0.5 * (1 - np.eye(3))
    after = {p: estimate(shared, "pooled-split", parallel=p) for p in (False, True)}
    np.testing.assert_allclose(after[True], before[True], rtol=0, atol=1e-12)
    off = ~np.eye(3, dtype=bool)
    assert (after[False] - before[False])[off].min() > 0.01


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_language_without_gradient_is_nan_and_moves_nobody(estimator):
    a, b = halves(5)
    a[:, 1] = b[:, 1] = 0.0
    found = estimate(gram_of(a, b), estimator, parallel=False)
    assert np.isnan(found[1]).all()
    assert np.isnan(found[:, 1]).all()
    rest = np.delete(np.arange(4), 1)
    alone = estimate(gram_of(a[:, rest], b[:, rest]), estimator, parallel=False)
    np.testing.assert_allclose(found[np.ix_(rest, rest)], alone, atol=1e-12)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_probe_without_gradients_is_as_if_it_were_not_there(estimator):
    a, b = halves(6)
    with_empty = [np.concatenate([x, np.zeros_like(x[:1])]) for x in (a, b)]
    np.testing.assert_allclose(
        estimate(gram_of(*with_empty), estimator, parallel=False),
        estimate(gram_of(a, b), estimator, parallel=False),
        atol=1e-12,
    )


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_zero_everywhere_is_nan_without_warnings(estimator, recwarn):
    found = estimate(np.zeros((2, 6, 6)), estimator, parallel=False)
    assert np.isnan(found).all()
    assert np.isnan(signal_fraction(np.zeros((2, 6, 6)))).all()
    assert not recwarn.list


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    probes=st.integers(1, 4),
    n=st.integers(1, 5),
    noise=st.sampled_from([0.0, 0.5, 5.0]),
    estimator=st.sampled_from(ESTIMATORS),
    parallel=st.booleans(),
)
def test_properties(seed, probes, n, noise, estimator, parallel):
    a, b = halves(seed, probes=probes, n=n, noise=noise)
    values = estimate(gram_of(a, b), estimator, parallel=parallel)
    assert values.shape == (n, n)
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, values.T)
    assert (np.abs(values) <= 1).all()
    np.testing.assert_array_equal(np.diag(values), 1.0)
    order = np.random.default_rng(seed).permutation(n)
    permuted = estimate(gram_of(a[:, order], b[:, order]), estimator, parallel=parallel)
    np.testing.assert_allclose(permuted, values[np.ix_(order, order)], atol=1e-9)
    swapped = estimate(gram_of(b, a), estimator, parallel=parallel)  # the halves' names mean nothing
    np.testing.assert_allclose(swapped, values, atol=1e-9)
    scale = np.random.default_rng(seed + 1).uniform(0.01, 100, size=(probes, 1, 1))  # of a whole probe
    scaled = estimate(gram_of(scale * a, scale * b), estimator, parallel=parallel)
    np.testing.assert_allclose(scaled, values, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, estimator=st.sampled_from(ESTIMATORS), parallel=st.booleans())
def test_a_language_s_scale_does_not_matter(seed, estimator, parallel):
    """Exactly so within one probe; pooled over probes, a language's scale also shifts the probes' weights."""
    a, b = halves(seed, probes=3 if estimator == "mean-cosine" else 1)
    scale = np.random.default_rng(seed).uniform(0.01, 100, size=(1, 4, 1))
    np.testing.assert_allclose(
        estimate(gram_of(scale * a, scale * b), estimator, parallel=parallel),
        estimate(gram_of(a, b), estimator, parallel=parallel),
        atol=1e-9,
    )


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


def trace(codes, seed=0, blocks=NAMES, parallel=False):
    """A reading over some languages, and its gradients per block."""
    parts = [halves(seed + at, n=len(codes)) for at in range(len(blocks))]
    gram = np.stack([gram_of(a, b) for a, b in parts], axis=1)  # [probes, blocks, 2n, 2n]
    meta = {
        "languages": list(codes),
        "blocks": list(blocks),
        "parallel": parallel,
        "half_batch": 16,
        "exactness": "exact",
    }
    return ReadingResult({"gram": gram}, meta), parts


def reading(split="dev"):
    return Reading("joint", "gradients", (("split", split),))


@pytest.mark.parametrize("split", ["dev", "train"])
def test_needs_one_reading_of_the_joint_training(split):
    assert GradSim(split=split).needs().readings == {reading(split)}
    assert not GradSim(split=split).needs().transfer


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("parallel", [False, True])
def test_blocks_add_up_to_the_gradient_of_all(fake, estimator, parallel):
    codes = ("deu", "nld", "fra")
    result, parts = trace(codes, parallel=parallel)
    evidence = fake(tuple(map(language, codes)), readings={reading(): result})
    for blocks, chosen in (("all", range(5)), ("body", (1, 2, 3)), ("head+layer.1", (4, 2))):
        a, b = (np.concatenate([parts[block][half] for block in chosen], axis=2) for half in (0, 1))
        found = GradSim(blocks=blocks, estimator=estimator).similarity(evidence)
        np.testing.assert_allclose(found.values, direct(a, b, estimator, parallel), atol=1e-12)
        np.testing.assert_array_equal(found.coverage, np.ones((3, 3)))


def test_languages_are_found_by_code_and_missing_ones_are_nan(fake):
    result, parts = trace(("fra", "deu", "nld"))
    wanted = tuple(map(language, ("nld", "tir", "fra", "deu", "orm")))
    found = GradSim().similarity(fake(wanted, readings={reading(): result}))
    assert found.languages == wanted
    a, b = (np.concatenate([part[half] for part in parts], axis=2) for half in (0, 1))
    known, of = [0, 2, 3], [2, 0, 1]  # nld, fra, deu: here, and in the trace
    expected = np.full((5, 5), np.nan)
    expected[np.ix_(known, known)] = direct(a, b, "pooled-split", False)[np.ix_(of, of)]
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    np.testing.assert_array_equal(found.coverage, np.where(np.isnan(expected), 0.0, 1.0))


def test_a_trace_with_more_languages_than_the_run(fake):
    result, _ = trace(("fra", "deu", "nld"))
    whole = GradSim().similarity(fake(tuple(map(language, ("fra", "deu", "nld"))), readings={reading(): result}))
    part = GradSim().similarity(fake(tuple(map(language, ("nld", "fra"))), readings={reading(): result}))
    np.testing.assert_array_equal(part.values, whole.values[np.ix_([2, 0], [2, 0])])


def test_the_note_tells_signal_probes_and_sizes(fake):
    result, parts = trace(("fra", "deu", "nld"))
    (note,) = (
        GradSim().similarity(fake(tuple(map(language, ("fra", "deu", "nld"))), readings={reading(): result})).notes
    )
    a, b = (np.concatenate([part[half] for part in parts], axis=2) for half in (0, 1))
    signal = signal_fraction(gram_of(a, b))
    assert f"median {np.median(signal):.2f}, lowest {signal.min():.2f}" in note
    assert "3 probes of 2×16 examples a language, exact" in note


def test_a_trace_of_zeros_says_so(fake, recwarn):
    result, _ = trace(("fra", "deu", "nld"))
    result.arrays["gram"][:] = 0
    found = GradSim().similarity(fake(tuple(map(language, ("fra", "deu", "nld"))), readings={reading(): result}))
    assert np.isnan(found.values).all()
    assert not found.coverage.any()
    assert found.notes == ("no language has a gradient: every probe was zero",)
    assert not recwarn.list
