"""TracIn, TAG and magnitude against the same numbers computed from explicit gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from measures.gradients import TAG, Magnitude, TracIn
from measures.gradsim import GradSim
from measures.trace import Trace

MEASURES = (TracIn, TAG, Magnitude)
SEEDS = st.integers(0, 2**32 - 1)


def sample(seed, probes=3, n=4, size=7, noise=0.7):
    """Gradients ``[probes, n, size]`` of halves a and b, losses ``[probes, 2n]``, rates ``[probes]``."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(probes, n, size)) * rng.uniform(0.2, 5.0, size=(1, n, 1))
    a, b = (signal + noise * rng.normal(size=signal.shape) for _ in range(2))
    return a, b, rng.uniform(0.1, 3.0, size=(probes, 2 * n)), rng.uniform(0.01, 1.0, size=probes)


def trace_of(a, b, loss, lr, parallel=False):
    rows = np.concatenate([a, b], axis=1)
    return Trace(np.einsum("pix,pjx->pij", rows, rows), loss, lr, parallel)


def direct(cls, a, b, loss, lr, parallel):
    """The formulas of the docstrings, in loops over explicit vectors."""
    probes, n, _ = a.shape
    g = (a + b) / 2
    values = np.empty((n, n))
    for s in range(n):
        for t in range(n):
            each = []
            for p in range(probes):
                crossed = (a[p, s] @ b[p, t] + b[p, s] @ a[p, t]) / 2
                product = crossed if parallel and s != t else g[p, s] @ g[p, t]
                if cls is TracIn:
                    each.append(lr[p] * product)
                elif cls is TAG:
                    each.append(lr[p] * product / np.mean([loss[p, t], loss[p, t + n]]))
                else:
                    x, y = np.linalg.norm(g[p, s]), np.linalg.norm(g[p, t])
                    each.append(2 * x * y / (x**2 + y**2))
            values[s, t] = np.sum(each) if cls is TracIn else np.mean(each)
    return values


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("cls", MEASURES)
def test_the_measure_is_the_formula(cls, parallel):
    for seed in range(20):
        given_ = sample(seed)
        found = cls().compare(trace_of(*given_, parallel))
        np.testing.assert_allclose(found, direct(cls, *given_, parallel), rtol=0, atol=1e-12)


def test_closed_forms():
    """One probe of rate ½: gradients e, 2e, −e and f, losses 1, 2, 4 and 8."""
    e, f = np.eye(2)
    a = np.array([[e, 2 * e, -e, f]])
    trace = trace_of(a, a, np.array([[1.0, 2, 4, 8] * 2]), np.array([0.5]))
    inner = np.array([[1, 2, -1, 0], [2, 4, -2, 0], [-1, -2, 1, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(TracIn().compare(trace), inner / 2, atol=1e-15)
    np.testing.assert_allclose(TAG().compare(trace), inner / 2 / [1, 2, 4, 8], atol=1e-15)
    expected = np.ones((4, 4))
    expected[1, [0, 2, 3]] = expected[[0, 2, 3], 1] = 2 * 2 / (1 + 4)
    np.testing.assert_allclose(Magnitude().compare(trace), expected, atol=1e-15)


def test_tag_is_what_a_small_step_takes_off_the_loss():
    """Quadratic losses L_t = 1 + ½‖θ − c_t‖²: 1 − L_t(θ − η g_s)/L_t(θ), to first order in η."""
    rng = np.random.default_rng(2)
    theta, centres, rate = rng.normal(size=5), rng.normal(size=(4, 5)), 1e-6

    def losses(at):
        return 1 + ((at - centres) ** 2).sum(axis=1) / 2

    g = theta - centres
    stepped = np.array([1 - losses(theta - rate * g[s]) / losses(theta) for s in range(4)])
    trace = trace_of(g[None], g[None], np.tile(losses(theta), 2)[None], np.array([rate]))
    np.testing.assert_allclose(TAG().compare(trace) / rate, stepped / rate, rtol=1e-4, atol=1e-4)


def test_tracin_adds_up_over_probes_and_blocks():
    a, b, loss, lr = sample(4, probes=5, size=8)
    whole = TracIn().compare(trace_of(a, b, loss, lr))
    probes = [TracIn().compare(trace_of(a[[p]], b[[p]], loss[[p]], lr[[p]])) for p in range(5)]
    blocks = [TracIn().compare(trace_of(a[..., at], b[..., at], loss, lr)) for at in (slice(3), slice(3, 8))]
    np.testing.assert_allclose(sum(probes), whole, atol=1e-12)
    np.testing.assert_allclose(sum(blocks), whole, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    probes=st.integers(1, 4),
    n=st.integers(1, 5),
    noise=st.sampled_from([0.0, 0.5, 5.0]),
    cls=st.sampled_from(MEASURES),
    parallel=st.booleans(),
)
def test_properties(seed, probes, n, noise, cls, parallel):
    a, b, loss, lr = sample(seed, probes=probes, n=n, noise=noise)
    values = cls().compare(trace_of(a, b, loss, lr, parallel))
    assert values.shape == (n, n)
    assert values.dtype == np.float64
    assert np.isfinite(values).all()
    assert (np.diag(values) > 0).all()
    if cls().symmetric:
        np.testing.assert_array_equal(values, values.T)
    elif n > 1:
        assert not np.allclose(values, values.T)
    if cls is Magnitude:
        assert ((values > 0) & (values <= 1)).all()
        np.testing.assert_array_equal(np.diag(values), 1.0)
    order = np.random.default_rng(seed).permutation(n)
    permuted = cls().compare(trace_of(a[:, order], b[:, order], loss[:, [*order, *(order + n)]], lr, parallel))
    np.testing.assert_allclose(permuted, values[np.ix_(order, order)], rtol=1e-9, atol=1e-9)
    swapped = cls().compare(trace_of(b, a, loss[:, [*range(n, 2 * n), *range(n)]], lr, parallel))
    np.testing.assert_allclose(swapped, values, rtol=1e-9, atol=1e-9)  # the halves' names mean nothing


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, scale=st.floats(1e-3, 1e3), parallel=st.booleans())
def test_scale_of_gradients_losses_and_rates(seed, scale, parallel):
    a, b, loss, lr = sample(seed)

    def of(cls, *changed):
        return cls().compare(trace_of(*changed, parallel))

    before = {cls: of(cls, a, b, loss, lr) for cls in (GradSim, *MEASURES)}
    powers = {  # of the gradients' scale, the losses' and the rates'
        GradSim: (0, 0, 0),
        TracIn: (2, 0, 1),
        TAG: (2, -1, 1),
        Magnitude: (0, 0, 0),
    }
    for cls, (gradients, losses, rates) in powers.items():
        for found, power in (
            (of(cls, scale * a, scale * b, loss, lr), gradients),
            (of(cls, a, b, scale * loss, lr), losses),
            (of(cls, a, b, loss, scale * lr), rates),
        ):
            np.testing.assert_allclose(found / scale**power, before[cls], rtol=1e-9, atol=1e-9)


def test_tracin_is_symmetric_where_the_products_are_but_for_rounding():
    trace = trace_of(*sample(13))
    trace.gram[:] *= 1 + 1e-9 * np.random.default_rng(0).normal(size=trace.gram.shape)
    values = TracIn().compare(trace)
    np.testing.assert_array_equal(values, values.T)


def test_magnitude_does_not_round_above_one():
    lengths = 1 + 1e-8 * np.random.default_rng(0).normal(size=(1, 100, 1))
    values = Magnitude().compare(trace_of(lengths, lengths, np.ones((1, 200)), np.ones(1)))
    assert values.max() == 1.0
    assert values.min() > 1 - 1e-12


def test_magnitude_knows_nothing_of_directions():
    a, _, loss, lr = sample(8, noise=0.0)
    turned = np.random.default_rng(0).normal(size=a.shape)
    turned *= np.linalg.norm(a, axis=2, keepdims=True) / np.linalg.norm(turned, axis=2, keepdims=True)
    before, after = (Magnitude().compare(trace_of(x, x, loss, lr)) for x in (a, turned))
    np.testing.assert_allclose(after, before, atol=1e-12)
    assert not np.allclose(*(GradSim().compare(trace_of(x, x, loss, lr)) for x in (a, turned)))


@pytest.mark.parametrize("cls", [TracIn, TAG])
def test_a_language_s_scale_shows_in_the_others(cls):
    """What sets them apart from GradSim: twice the gradient, twice the similarity."""
    a, b, loss, lr = sample(9)
    scale = np.array([1.0, 2.0, 1.0, 1.0])[None, :, None]
    found = cls().compare(trace_of(scale * a, scale * b, loss, lr))
    factor = scale[0] * scale[0].T
    np.testing.assert_allclose(found, factor * cls().compare(trace_of(a, b, loss, lr)), atol=1e-12)


# What cannot be said is NaN: never inf, never a warning.


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("cls", MEASURES)
def test_a_language_without_gradient_is_nan_and_moves_nobody(cls, parallel, recwarn):
    a, b, loss, lr = sample(5)
    a[:, 1] = b[:, 1] = 0.0
    found = cls().compare(trace_of(a, b, loss, lr, parallel))
    assert np.isnan(found[1]).all()
    assert np.isnan(found[:, 1]).all()
    rest = np.array([0, 2, 3])
    alone = cls().compare(trace_of(a[:, rest], b[:, rest], loss[:, [*rest, *(rest + 4)]], lr, parallel))
    np.testing.assert_allclose(found[np.ix_(rest, rest)], alone, atol=1e-12)
    assert not recwarn.list


@pytest.mark.parametrize("cls", MEASURES)
def test_zero_everywhere_is_nan_without_warnings(cls, recwarn):
    zero = np.zeros((2, 3, 5))
    assert np.isnan(cls().compare(trace_of(zero, zero, np.ones((2, 6)), np.ones(2)))).all()
    assert np.isnan(cls().compare(trace_of(zero, zero, np.zeros((2, 6)), np.zeros(2)))).all()
    assert not recwarn.list


def test_a_zero_gradient_at_one_probe(recwarn):
    """It adds nothing to a sum, takes nothing off a loss, and has no magnitude to compare."""
    a, b, loss, lr = sample(6)
    a[1, 2] = b[1, 2] = 0.0
    trace = trace_of(a, b, loss, lr)
    for cls in (TracIn, TAG):
        np.testing.assert_allclose(cls().compare(trace), direct(cls, a, b, loss, lr, False), atol=1e-12)
    kept = [0, 2]
    found = Magnitude().compare(trace)
    without = Magnitude().compare(trace_of(a[kept], b[kept], loss[kept], lr[kept]))
    np.testing.assert_allclose(found[2], without[2], atol=1e-12)
    others = direct(Magnitude, a[:, :2], b[:, :2], loss, lr, False)
    np.testing.assert_allclose(found[:2, :2], others, atol=1e-12)
    assert not recwarn.list


@pytest.mark.parametrize("cls", [TracIn, TAG])
def test_a_rate_of_zero_says_nothing(cls, recwarn):
    a, b, loss, lr = sample(7)
    assert np.isnan(cls().compare(trace_of(a, b, loss, 0 * lr))).all()
    lr[1] = 0.0
    found = cls().compare(trace_of(a, b, loss, lr))
    np.testing.assert_allclose(found, direct(cls, a, b, loss, lr, False), atol=1e-12)
    a[[0, 2], 3] = b[[0, 2], 3] = 0.0  # a gradient at the probe without a rate alone
    found = cls().compare(trace_of(a, b, loss, lr))
    assert np.isnan(found[3]).all()
    assert np.isnan(found[:, 3]).all()
    assert np.isfinite(found[:3, :3]).all()
    assert not recwarn.list


def test_a_rate_of_zero_does_not_matter_to_magnitude():
    a, b, loss, lr = sample(7)
    before, after = (Magnitude().compare(trace_of(a, b, loss, rate)) for rate in (lr, 0 * lr))
    np.testing.assert_array_equal(after, before)


def test_tag_leaves_out_the_probes_at_which_the_target_has_no_loss(recwarn):
    a, b, loss, lr = sample(10)
    loss[0, [1, 5]] = 0.0
    found = TAG().compare(trace_of(a, b, loss, lr))
    known = direct(TAG, a[1:], b[1:], loss[1:], lr[1:], False)
    np.testing.assert_allclose(found[:, 1], known[:, 1], atol=1e-12)
    others = [0, 2, 3]
    expected = direct(TAG, a, b, np.where(loss > 0, loss, 1.0), lr, False)
    np.testing.assert_allclose(found[:, others], expected[:, others], atol=1e-12)
    loss[:, [1, 5]] = 0.0
    found = TAG().compare(trace_of(a, b, loss, lr))
    assert np.isnan(found[:, 1]).all()
    assert np.isfinite(found[:, others]).all()
    assert not recwarn.list


def test_one_half_without_loss_is_a_loss(recwarn):
    a, b, loss, lr = sample(11)
    loss[:, 2] = 0.0
    found = TAG().compare(trace_of(a, b, loss, lr))
    np.testing.assert_allclose(found, direct(TAG, a, b, loss, lr, False), atol=1e-12)
    assert not recwarn.list


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("cls", MEASURES)
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_an_overflow_is_nan(cls, value):
    a, b, loss, lr = sample(12)
    trace = trace_of(a, b, loss, lr)
    trace.gram[1, 2], trace.gram[1, :, 2] = value, value
    found = cls().compare(trace)
    assert not np.isinf(found).any()
    assert np.isfinite(found[np.ix_([0, 1, 3], [0, 1, 3])]).all()
