"""What a measure gets to see, and what it is refused."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from benchmark.config import RunConfig
from benchmark.evidence import RunEvidence
from benchmark.prepare import prepare
from benchmark.setup import Setup
from measures import MeasureError, Needs, Reading, TransferMatrix

GRADIENTS = Reading("joint", "gradients", (("split", "dev"),))


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    cache = tmp_path_factory.mktemp("cache")
    languages = ("deu", "nld", "swe")
    return prepare(
        RunConfig(("overlap",), "cldr-names", languages, max_train=40, max_eval=20, device="cpu", cache=cache)
    )


def evidence(setup: Setup, needs: Needs = Needs()) -> RunEvidence:  # noqa: B008 - frozen
    transfer = TransferMatrix(setup.languages, np.arange(9.0).reshape(3, 3))
    return RunEvidence(setup, setup.seeds[0], needs, lambda: transfer)


def test_examples_are_those_that_the_run_uses(setup: Setup) -> None:
    seen = evidence(setup)
    for language in seen.languages:
        rows = seen.examples(language)
        assert len(rows) == 40
        assert Counter(row.label for row in rows) == dict.fromkeys(range(4), 10)  # equal counts of each class
        assert seen.texts(language) == [row.text for row in rows]
        assert len(seen.examples(language, "test")) == 20


def test_subwords_are_counted_without_special_ones(setup: Setup) -> None:
    seen = evidence(setup)
    counts = seen.subwords(seen.languages[0])
    assert sum(counts.values()) >= 40
    assert not {0, 1, 2, 3, 4} & counts.keys()


def test_transfer_without_a_language_has_neither_its_row_nor_its_column(setup: Setup) -> None:
    seen = evidence(setup, Needs(transfer=True))
    nld = seen.languages[1]
    values = seen.transfer(without=nld).values
    assert np.isnan(values[1]).all()
    assert np.isnan(values[:, 1]).all()
    assert values[0, 2] == 2.0
    assert np.isfinite(seen.transfer().values).all()  # the matrix itself is left as it was


def test_what_was_not_declared_is_refused(setup: Setup) -> None:
    seen = evidence(setup)
    with pytest.raises(MeasureError, match="transfer must be declared"):
        seen.transfer()
    with pytest.raises(MeasureError, match="a reading must be declared"):
        seen.read(GRADIENTS)
    with pytest.raises(MeasureError, match="another measure must be declared"):
        seen.similarity("overlap")


def test_a_reading_of_a_training_that_failed_is_told(setup: Setup) -> None:
    with pytest.raises(MeasureError, match="the joint training, or the reading of its gradients, has failed"):
        evidence(setup, Needs(readings=frozenset({GRADIENTS}))).read(GRADIENTS)
