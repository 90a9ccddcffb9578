"""The controls: exactly what they claim to know, and nothing else."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from measures import TransferMatrix, uriel
from measures.controls import Family, Oracle, Random, SameScript, Size, SourceQuality
from measures.uriel import vectors
from tasks.base import Example
from tasks.languages import Language, language


def languages(*codes):
    return tuple(map(language, codes))


def random_values(fake, codes, seed=0):
    return Random().similarity(fake(languages(*codes), seed=seed)).values


def test_random_depends_on_the_pair_and_the_seed_alone(fake):
    codes = ["deu", "nld", "fra", "rus", "hin"]
    values = random_values(fake, codes)
    np.testing.assert_array_equal(values, values.T)
    np.testing.assert_array_equal(np.diag(values), 1.0)
    order = [4, 2, 0, 3, 1]
    np.testing.assert_array_equal(random_values(fake, [codes[at] for at in order]), values[np.ix_(order, order)])
    assert random_values(fake, ["rus", "nld"])[0, 1] == values[1, 3]  # whoever else is there
    off = ~np.eye(5, dtype=bool)
    assert not np.isin(random_values(fake, codes, seed=1)[off], values[off]).any()


def test_random_is_what_it_was(fake):
    """Frozen: a change of the hash would change every row of the control."""
    np.testing.assert_allclose(
        random_values(fake, ["deu", "nld", "fra"], seed=0)[np.triu_indices(3, 1)],
        [0.5460452055428173, 0.5807456852454548, 0.0003338724685153917],
        rtol=0,
        atol=1e-12,
    )


def test_random_is_uniform(fake):
    codes = [a + b + c for a in "abcdefg" for b in "aeiou" for c in "xyz"]
    made = tuple(Language(code, "Latn", code) for code in codes)
    values = Random().similarity(fake(made, seed=5)).values[np.triu_indices(len(made), 1)]
    assert ((values >= 0) & (values < 1)).all()
    assert len(set(values)) == len(values)
    counts, _ = np.histogram(values, bins=10, range=(0, 1))
    expected = len(values) / 10
    assert ((counts - expected) ** 2 / expected).sum() < 27.9  # chi-squared, 9 degrees, p = .001


def test_size_is_the_log_of_the_source_s_examples(fake):
    rows = {
        ("train", "deu"): (Example("a", 0),) * 7,
        ("train", "nld"): (Example("a", 0),),
        ("dev", "tir"): (Example("a", 0),) * 3,
    }
    found = Size().similarity(fake(languages("deu", "tir", "nld"), rows)).values
    np.testing.assert_allclose(found[0], [math.log(7)] * 3)
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(found[2], 0.0)
    assert not Size.symmetric


def test_same_script(fake):
    found = SameScript().similarity(fake(languages("deu", "rus", "nld", "ukr", "hin")))
    scripts = ["Latn", "Cyrl", "Latn", "Cyrl", "Deva"]
    np.testing.assert_array_equal(found.values, [[float(a == b) for b in scripts] for a in scripts])


def transfer(fake, values):
    codes = ("deu", "nld", "fra", "rus", "hin", "tir")[: len(values)]
    return fake(languages(*codes), transfers=TransferMatrix(languages(*codes), np.array(values, dtype=float)))


def slow_quality(values):
    """Mean over targets that are neither the source nor the one asked about, of what is known."""
    n = len(values)
    found = np.full((n, n), np.nan)
    for s in range(n):
        for t in range(n):
            others = [values[s][u] for u in range(n) if u not in (s, t) and not math.isnan(values[s][u])]
            if others:
                found[s, t] = sum(others) / len(others)
    return found


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 6), missing=st.sampled_from([0.0, 0.3]))
def test_source_quality_against_the_slow_way(fake, seed, n, missing):
    rng = np.random.default_rng(seed)
    values = rng.random((n, n))
    values[rng.random((n, n)) < missing] = np.nan
    if n > 2:
        values[rng.integers(n)] = np.nan  # a target only
    found = SourceQuality().similarity(transfer(fake, values)).values
    np.testing.assert_allclose(found, slow_quality(values), rtol=0, atol=1e-12)


def test_source_quality_never_looks_at_the_cell_it_stands_for(fake):
    values = np.random.default_rng(1).random((4, 4))
    before = SourceQuality().similarity(transfer(fake, values)).values
    values[1, 2] = 9.0
    after = SourceQuality().similarity(transfer(fake, values)).values
    assert after[1, 2] == pytest.approx(before[1, 2], rel=1e-12)
    assert after[1, 0] == pytest.approx((9.0 + values[1, 3]) / 2)
    changed = np.zeros((4, 4), dtype=bool)
    changed[1, [0, 1, 3]] = True
    np.testing.assert_array_equal(~np.isclose(before, after, rtol=1e-12), changed)


def test_source_quality_ignores_the_monolingual_score_and_leaves_transfer_alone(fake):
    values = np.random.default_rng(2).random((4, 4))
    evidence = transfer(fake, values)
    before = SourceQuality().similarity(evidence).values
    np.testing.assert_array_equal(evidence.transfers.values, values)
    np.fill_diagonal(values, 50.0)
    np.testing.assert_array_equal(SourceQuality().similarity(transfer(fake, values)).values, before)


def test_oracle_is_transfer(fake):
    values = np.random.default_rng(3).random((4, 4))
    values[3] = np.nan
    np.testing.assert_array_equal(Oracle().similarity(transfer(fake, values)).values, values)
    for cls in (Oracle, SourceQuality):
        assert cls().needs().transfer
        assert cls.access == "transfer"
        assert not cls.symmetric


def test_family_knows_who_is_related(fake):
    found = Family().similarity(fake(languages("eng", "deu", "fin", "est", "rus")))
    values = found.values
    assert values[0, 1] > values[0, 4] > values[0, 2]  # German, Russian, Finnish
    assert values[2, 3] > 0.5 > values[2, 1]
    np.testing.assert_allclose(np.diag(values), 1.0, atol=1e-6)
    np.testing.assert_array_equal(found.coverage, np.ones((5, 5)))
    assert found.notes == ()
    assert Family().needs().packages == ("lang2vec",)


def test_family_is_the_cosine_of_lang2vec_s_vectors(fake):
    codes = ("eng", "deu", "fin")
    found = vectors(codes, "family")
    assert found.used == codes
    assert set(np.unique(found.values)) == {0.0, 1.0}
    cosine = [[a @ b / math.sqrt((a @ a) * (b @ b)) for b in found.values] for a in found.values]
    np.testing.assert_allclose(Family().similarity(fake(languages(*codes))).values, cosine, atol=1e-12)


def test_a_script_of_lang2vec_s_name_is_not_run(fake, tmp_path, monkeypatch):
    """The distribution puts one beside the environment's programs, first on their path."""
    (tmp_path / "lang2vec.py").write_text("raise ImportError('the script, not the package')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lang2vec", raising=False)
    uriel._file.cache_clear()
    assert np.isfinite(Family().similarity(fake(languages("eng", "deu", "fin"))).values).all()


def test_family_vectors_are_found_by_code_not_by_row():
    forward = vectors(["eng", "fin", "swa"], "family").values
    backward = vectors(["swa", "fin", "eng"], "family").values
    np.testing.assert_array_equal(forward, backward[::-1])


def test_twi_is_represented_by_akan_and_says_so(fake):
    found = Family().similarity(fake(languages("twi", "aka", "eng")))
    assert found.notes == ("twi has no vector of its own, aka was used",)
    assert found.values[0, 1] == pytest.approx(1.0)
    np.testing.assert_allclose(found.values[0], found.values[1])
    assert found.coverage[0, 1] == 1


@pytest.mark.parametrize(
    "code",
    [
        "tlh",  # in ISO 639-3, without a vector and without relatives
        "qaa",
    ],
)
def test_a_language_without_vector_is_nan_with_coverage_0(fake, code):
    unknown = Language(code, "Latn", "unknown")
    found = Family().similarity(fake((language("eng"), unknown, language("deu"))))
    missing = np.zeros((3, 3), dtype=bool)
    missing[1] = missing[:, 1] = True
    np.testing.assert_array_equal(np.isnan(found.values), missing)
    np.testing.assert_array_equal(found.coverage, np.where(missing, 0.0, 1.0))
    assert found.notes == (f"{code} has no vector of its own, none was used",)


def test_family_is_skipped_where_no_language_is_in_the_tree(fake):
    unknown = tuple(Language(code, "Latn", "unknown") for code in ("tlh", "qaa", "qab"))
    of = fake(unknown)
    assert Family().skip(of.task, unknown) == "URIEL has a family for none of the 3 languages"
    assert Family().skip(of.task, (*unknown, language("twi"))) is None
