"""GradSim against the same numbers computed from explicit gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from measures import Reading, ReadingResult
from measures.gradsim import FLOOR, GradSim, estimate
from measures.trace import signal_fraction
from tasks.languages import language

ESTIMATORS = ("pooled-split", "pooled-cosine", "mean-cosine")
NAMES = ("embeddings", "layer.0", "layer.1", "layer.2", "head")
READING = Reading("joint", "gradients", (("split", "dev"),))
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
    probes, _, rows, _ = gram.shape
    return ReadingResult({"gram": gram, "loss": np.ones((probes, rows)), "lr": np.ones(probes)}, meta), parts


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("parallel", [False, True])
def test_blocks_add_up_to_the_gradient_of_all(fake, estimator, parallel):
    codes = ("deu", "nld", "fra")
    result, parts = trace(codes, parallel=parallel)
    evidence = fake(tuple(map(language, codes)), readings={READING: result})
    for blocks, chosen in (("all", range(5)), ("body", (1, 2, 3)), ("head+layer.1", (4, 2))):
        a, b = (np.concatenate([parts[block][half] for block in chosen], axis=2) for half in (0, 1))
        found = GradSim(blocks=blocks, estimator=estimator).similarity(evidence)
        np.testing.assert_allclose(found.values, direct(a, b, estimator, parallel), atol=1e-12)
        np.testing.assert_array_equal(found.coverage, np.ones((3, 3)))
