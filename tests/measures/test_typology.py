"""Typology against scipy's distances over lang2vec's files, read here by another way."""

from __future__ import annotations

import math
import subprocess
import sys
from functools import cache
from importlib import metadata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial import distance as scipy_distance
from zlib_ng import zlib_ng

from measures.controls import Family
from measures.typology import Typology
from measures.uriel import _bits, _file, cosines, relatives, stand_in, vectors
from tasks.languages import Language, language

# Each with something attested of every kind, but por and kin (no phonology) and lat (no inventory either).
CODES = ("eng", "deu", "por", "hin", "zho", "amh", "kin", "lat")
OWN = ("eng", "deu", "hin", "zho", "amh")
KINDS = ("syntax", "phonology", "inventory", "geography", "family")


def languages(*codes):
    return tuple(map(language, codes))


@cache
def table(name):
    path = metadata.distribution("lang2vec").locate_file(f"lang2vec/data/{name}.npz")
    with np.load(str(path)) as file:
        return file["langs"].tolist(), file["feats"].tolist(), file["data"][:, :, 0]


def row(code, kind, fill):
    """The features of a language by name."""
    prefix = {"syntax": "S_", "phonology": "P_", "inventory": "INV_"}.get(kind, "")
    file = {"geography": "geocoord_features", "family": "family_features"}.get(
        kind, "feature_predictions" if fill == "knn" else "feature_averages"
    )
    codes, features, data = table(file)
    pairs = zip(features, data[codes.index(code)].tolist(), strict=True)
    return {name: value for name, value in pairs if name.startswith(prefix) and value != -1}


def slow_cosine(a, b):
    shared = sorted(a.keys() & b.keys())
    left, right = [a[name] for name in shared], [b[name] for name in shared]
    return 1 - scipy_distance.cosine(left, right) if any(left) and any(right) else math.nan


@pytest.mark.parametrize("fill", ["knn", "attested"])
@pytest.mark.parametrize("kind", KINDS)
def test_against_scipy_over_the_files(fake, kind, fill):
    codes = OWN if kind in ("phonology", "inventory") else CODES
    found = Typology(features=kind, fill=fill).similarity(fake(languages(*codes)))
    rows = [row(code, kind, fill) for code in codes]
    expected = np.array([[slow_cosine(a, b) for b in rows] for a in rows])
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(np.diag(found.values), 1.0)
    known = [set(row(code, kind, "attested")) for code in codes]
    width = {"syntax": 103, "phonology": 28, "inventory": 158, "geography": 299, "family": 3718}[kind]
    np.testing.assert_allclose(found.coverage, [[len(a & b) / width for b in known] for a in known])
    assert found.notes == ()


def test_the_fills_differ_and_syntax_predicted_is_the_default(fake):
    of = fake(languages(*CODES))
    default = Typology().similarity(of)
    np.testing.assert_array_equal(
        default.values, Typology(features="syntax", fill="knn", distance="cosine").similarity(of).values
    )
    attested = Typology(fill="attested").similarity(of)
    assert np.abs(attested.values - default.values).max() > 0.01
    np.testing.assert_array_equal(attested.coverage, default.coverage)


@pytest.mark.parametrize("kind", [*KINDS, "all"])
def test_angular_distance(fake, kind):
    of = fake(languages(*OWN))
    cosine = Typology(features=kind).similarity(of).values
    angular = Typology(features=kind, distance="angular").similarity(of).values
    expected = [[1 - 2 * math.acos(min(1.0, value)) / math.pi for value in line] for line in cosine]
    np.testing.assert_allclose(angular, expected, rtol=0, atol=1e-12)
    assert ((angular >= 0) & (angular <= 1)).all()
    assert (angular < cosine + 1e-12).all()


@pytest.mark.parametrize("fill", ["knn", "attested"])
def test_all_is_everything_in_one_vector(fake, fill):
    found = Typology(features="all", fill=fill).similarity(fake(languages(*OWN)))
    rows = [{(kind, k): v for kind in KINDS for k, v in row(code, kind, fill).items()} for code in OWN]
    np.testing.assert_allclose(found.values, [[slow_cosine(a, b) for b in rows] for a in rows], atol=1e-9)
    parts = [Typology(features=kind, fill=fill).similarity(fake(languages(*OWN))).coverage for kind in KINDS]
    np.testing.assert_allclose(found.coverage, np.mean(parts, axis=0))


def test_family_is_the_measure_family(fake):
    of = fake((*languages("twi", "eng", "deu", "que", "pcm", "ekk"), Language("tlh", "Latn", "Klingon")))
    family, found = Family().similarity(of), Typology(features="family").similarity(of)
    np.testing.assert_array_equal(found.values, family.values)
    np.testing.assert_array_equal(found.coverage, family.coverage)
    assert found.notes == (
        "nothing is attested of twi (family), aka was used",
        f"nothing is attested of que (family), {stand_in('que', 'family')} was used",
        "nothing is attested of ekk (family), est was used",
        "nothing is attested of tlh (family), nothing was used",
    )


def test_geography_falls_with_distance(fake):
    """Seen from English: German, Hindi, Japanese, Māori, the last almost at the antipodes."""
    values = Typology(features="geography").similarity(fake(languages("eng", "deu", "hin", "jpn", "mri"))).values
    assert (np.diff(values[0]) < -0.001).all()
    assert values[0, 4] == pytest.approx(0.68, abs=0.02)


@pytest.mark.parametrize("fill", ["knn", "attested"])
def test_arq_is_represented_by_its_macro_language(fake, fill):
    found = Typology(fill=fill).similarity(fake(languages("arq", "eng", "twi")))
    assert found.notes == ("nothing is attested of arq (syntax), ara was used",)
    assert found.values[0, 1] == pytest.approx(slow_cosine(row("ara", "syntax", fill), row("eng", "syntax", fill)))
    both = row("ara", "syntax", "attested").keys() & row("eng", "syntax", "attested").keys()
    assert found.coverage[0, 1] == pytest.approx(len(both) / 103)


def test_each_kind_falls_back_by_itself(fake):
    """Of twi 33 features of syntax are attested, no sounds and no family: those are Akan's."""
    of = vectors(["twi"], "syntax"), vectors(["twi"], "phonology"), vectors(["twi"], "family")
    assert [one.used for one in of] == [("twi",), ("aka",), ("aka",)]
    assert [one.attested.sum() for one in of] == [33, 23, 3718]
    found = Typology(features="all").similarity(fake(languages("twi", "eng", "deu")))
    assert found.notes == ("nothing is attested of twi (phonology, inventory, family), aka was used",)


@pytest.mark.parametrize(
    ("code", "kind"), [("que", "family"), ("kln", "syntax"), ("zap", "phonology"), ("aym", "syntax")]
)
def test_the_relative_with_most_attested_features_stands_in(code, kind):
    def count(one):
        try:
            features = row(one, kind, "attested")
        except ValueError:
            return 0
        return sum(features.values()) if kind == "family" else len(features)

    counts = {one: count(one) for one in relatives(code)}
    if count(code):
        assert stand_in(code, kind) == code
    else:
        most = [one for one, number in counts.items() if number == max(counts.values())]
        assert max(counts.values()) > 0
        assert stand_in(code, kind) == min(most)


def test_what_is_only_predicted_has_coverage_0_and_is_nan_where_it_must_be_attested(fake):
    of = fake(languages("pcm", "eng", "deu"))
    predicted = Typology().similarity(of)
    assert predicted.values[0, 1] == pytest.approx(
        slow_cosine(row("pcm", "syntax", "knn"), row("eng", "syntax", "knn"))
    )
    np.testing.assert_array_equal(predicted.coverage[0], 0.0)
    assert predicted.coverage[1, 2] > 0.5
    assert predicted.notes == ("nothing is attested of pcm (syntax), what is predicted was used",)
    attested = Typology(fill="attested").similarity(of)
    np.testing.assert_array_equal(np.isnan(attested.values[0]), True)
    assert np.isfinite(attested.values[1:, 1:]).all()
    np.testing.assert_array_equal(attested.coverage[0], 0.0)
    assert attested.notes == ("nothing is attested of pcm (syntax), nothing was used",)


def test_a_vector_without_any_of_the_shared_features_has_no_cosine(fake):
    """Of Esperanto's phonology only what it lacks is attested."""
    found = Typology(features="phonology", fill="attested").similarity(fake(languages("epo", "eng", "deu")))
    assert not any(row("epo", "phonology", "attested").values())
    np.testing.assert_array_equal(np.isnan(found.values[0]), True)
    np.testing.assert_array_equal(found.coverage[0], 0.0)
    assert np.isfinite(found.values[1:, 1:]).all()


@pytest.mark.parametrize("kind", [*KINDS, "all"])
def test_a_code_that_uriel_lacks_is_nan(fake, kind):
    unknown = Language("qaa", "Latn", "unknown")
    found = Typology(features=kind).similarity(fake((language("eng"), unknown, language("deu"))))
    missing = np.zeros((3, 3), dtype=bool)
    missing[1] = missing[:, 1] = True
    np.testing.assert_array_equal(np.isnan(found.values), missing)
    np.testing.assert_array_equal(found.coverage == 0, missing)
    assert any("qaa" in note and "nothing was used" in note for note in found.notes)


def test_skip(fake):
    task = fake(()).task
    unknown = tuple(Language(code, "Latn", "unknown") for code in ("qaa", "qab"))
    assert Typology().skip(task, languages("eng", "deu", "pcm")) is None
    assert Typology().skip(task, languages("eng", "deu")) is None
    assert Typology(features="all").skip(task, (*unknown, *languages("eng", "deu", "pcm"))) is None
    reason = "URIEL has features of syntax for 2 of 4 languages, at least 3 needed"
    assert Typology().skip(task, (*unknown, *languages("eng", "deu"))) == reason
    assert Typology(fill="attested").skip(task, (unknown[0], *languages("eng", "deu", "pcm"))) == reason
    reason = "URIEL has features of any kind for 0 of 2 languages, at least 3 needed"
    assert Typology(features="all").skip(task, unknown) == reason
    assert Typology().needs().packages == ("lang2vec",)


def test_lang2vec_is_never_imported():
    code = (
        "import sys; from measures.uriel import vectors; vectors(['eng'], 'syntax'); "
        "sys.exit(any(name.split('.')[0] == 'lang2vec' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


POOL = ("eng", "pcm", "twi", "aka", "arq", "fin", "tso", "que", "zho", "nob")


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(POOL), min_size=1, max_size=6, unique=True),
    st.sampled_from([*KINDS, "all"]),
    st.sampled_from(["knn", "attested"]),
    st.sampled_from(["cosine", "angular"]),
)
def test_properties(fake, codes, kind, fill, distance):
    """A pair's value follows from the two languages alone."""
    found = Typology(kind, fill, distance).similarity(fake(languages(*codes)))
    whole = Typology(kind, fill, distance).similarity(fake(languages(*POOL)))
    places = [POOL.index(code) for code in codes]
    np.testing.assert_array_equal(found.values, found.values.T)
    np.testing.assert_array_equal(found.coverage, found.coverage.T)
    np.testing.assert_allclose(found.values, whole.values[np.ix_(places, places)], rtol=0, atol=1e-7)
    np.testing.assert_allclose(found.coverage, whole.coverage[np.ix_(places, places)], rtol=0, atol=1e-12)
    said = found.values[np.isfinite(found.values)]
    assert ((said >= 0) & (said <= 1)).all()
    assert (found.coverage[np.isnan(found.values)] == 0).all()
    assert ((found.coverage >= 0) & (found.coverage <= 1)).all()


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float64, st.tuples(st.integers(1, 5), st.integers(1, 6)),
        elements=st.sampled_from([0.0, 0.0, 0.25, 0.5, 1.0, math.nan]),
    )
)  # fmt: skip
def test_cosines_over_what_both_have(values):
    found = cosines(values)
    for i, a in enumerate(values):
        for j, b in enumerate(values):
            rows = [{k: v for k, v in enumerate(one) if not math.isnan(v)} for one in (a, b)]
            np.testing.assert_allclose(found[i, j], slow_cosine(*rows), rtol=0, atol=1e-12)


def test_codes_of_local_use_are_unknown():
    """URIEL has a language of its own under one of them."""
    assert stand_in("qbb", "syntax") is None
    assert "qbb" in _file("feature_predictions")[0]


def test_the_whole_tree_is_what_numpy_reads():
    codes, features, data = table("family_features")
    rows, names, bits = _file("family_features")
    assert (list(rows), names) == (codes, features)
    np.testing.assert_array_equal(bits, data)


def test_a_damaged_tree_is_noticed(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "tree.npz"
    np.savez_compressed(path, data=rng.integers(0, 2, (300, 7, 1)).astype(np.float32))
    with np.load(path) as archive:
        np.testing.assert_array_equal(_bits(archive), archive["data"][:, :, 0])
        archive.zip.getinfo("data.npy").CRC ^= 1
        with pytest.raises(OSError, match="CRC"):
            _bits(archive)
        at = archive.zip.getinfo("data.npy").header_offset + 200
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with np.load(path) as archive, pytest.raises((OSError, zlib_ng.error)):
        _bits(archive)
