"""The conformance suite: good measures keep it; bad ones fail the check they should, in the right words."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmark import check as suite
from benchmark import check_answers, trial
from benchmark.check import Finding
from benchmark.cli import command
from benchmark.testing import check_measure
from measures import Measure, MeasureError, Needs, Reading, SimilarityMatrix
from measures.controls import Random, SameScript
from measures.gradsim import GradSim
from measures.overlap import Overlap

GRADIENTS = Reading("joint", "gradients", (("split", "dev"),))
CHECKS = [
    "created", "metadata", "needs", "evidence", "answer", "shape", "finite", "beside it", "symmetric",
    "determinism", "seed", "order", "missing data", "lost readings", "declared", "access", "untouched", "time",
    "families",
]  # fmt: skip


@pytest.fixture(autouse=True)
def here_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes of this file cannot be imported in a new process: do not start one to find that out."""
    monkeypatch.setattr(check_answers, "afresh", lambda measure, setup: None)


def findings(measure: Measure | type[Measure]) -> dict[str, Finding]:
    return {one.name: one for one in suite.check(measure)}


def failed(measure: Measure | type[Measure]) -> dict[str, str]:
    return {one.name: one.said for one in suite.check(measure) if one.passed is False}


class Good(Measure):
    """Nearness of the lengths of all texts."""

    name = "good"
    access = "text"

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def similarity(self, evidence):
        size = np.array([len("".join(evidence.texts(one))) for one in evidence.languages], float)
        return SimilarityMatrix(evidence.languages, -self.scale * abs(size[:, None] - size[None, :]))


class Reader(Measure):
    """The inner products of gradients, whatever they say."""

    name = "reader"
    access = "labels"

    def needs(self):
        return Needs(readings=frozenset({GRADIENTS}))

    def similarity(self, evidence):
        result = self.read(evidence)
        places = [result.meta["languages"].index(one.code) for one in evidence.languages]
        n = len(places)
        gram = result.arrays["gram"].sum(axis=(0, 1))[:n, :n]
        return SimilarityMatrix(evidence.languages, gram[np.ix_(places, places)])

    def read(self, evidence):
        return evidence.read(GRADIENTS)


@pytest.mark.parametrize(
    "measure",
    [Good, Good(2.0), Random, SameScript, Overlap, Overlap(unit="chars", coefficient="cosine")],
    ids=lambda one: one.name + ("" if isinstance(one, type) else "[…]"),
)
def test_a_good_measure_keeps_everything(measure: Measure | type[Measure]) -> None:
    found = findings(measure)
    assert list(found) == CHECKS
    assert {name for name, one in found.items() if one.passed is not True} == {"lost readings", "families"}
    assert found["shape"].said == "12 × 12, [source, target]"
    assert found["finite"].said == "all 132 pairs of languages have a finite value"
    assert found["symmetric"].said == "symmetric, as declared"


@pytest.mark.parametrize("measure", [GradSim, Reader], ids=["gradsim", "reader"])
def test_a_good_measure_of_readings_keeps_everything(measure: type[Measure]) -> None:
    found = findings(measure)
    assert {name for name, one in found.items() if one.passed is not True} == {"families"}
    assert "small trainings: 1" in found["evidence"].said


# Bad measures for each check: they fail that one in these words, and no other that does not follow.


class Wide(Good):
    def similarity(self, evidence):
        return SimilarityMatrix(evidence.languages, np.zeros((2, 7)))


class Endless(Good):
    def similarity(self, evidence):
        return SimilarityMatrix(evidence.languages, np.full((len(evidence.languages),) * 2, np.inf))


class LaterEndless(Good):
    def similarity(self, evidence):
        found = super().similarity(evidence)
        found.values[1, 2] = found.values[2, 1] = np.inf
        return found


class Silent(Good):
    def similarity(self, evidence):
        return SimilarityMatrix(evidence.languages, np.where(np.eye(len(evidence.languages)), 1.0, np.nan))


class Array(Good):
    def similarity(self, evidence):
        return super().similarity(evidence).values


class Sorted(Good):
    def similarity(self, evidence):
        return SimilarityMatrix(evidence.languages[::-1], super().similarity(evidence).values)


class Crashing(Good):
    def similarity(self, evidence):
        return evidence.nothing


class Lopsided(Good):
    def similarity(self, evidence):
        size = [len("".join(evidence.texts(one))) for one in evidence.languages]
        return SimilarityMatrix(evidence.languages, np.tile(np.array(size, float)[:, None], len(size)))


class Positional(Good):
    def similarity(self, evidence):
        places = np.arange(len(evidence.languages))
        return SimilarityMatrix(evidence.languages, -abs(places[:, None] - places[None, :]).astype(float))


class FirstOnly(Good):
    def similarity(self, evidence):
        if evidence.languages[0].code != "qaa":
            raise LookupError("where is qaa?")
        return super().similarity(evidence)


class Unseeded(Good):
    def similarity(self, evidence):
        return SimilarityMatrix(evidence.languages, np.full((len(evidence.languages),) * 2, np.random.random()))


class Remembering(Good):
    def __init__(self, scale: float = 1.0) -> None:
        super().__init__(scale)
        self.hidden = np.random.random()

    def similarity(self, evidence):
        return SimilarityMatrix(evidence.languages, super().similarity(evidence).values * self.hidden)


class NeedsData(Good):
    def similarity(self, evidence):
        longest = np.array([max(map(len, evidence.texts(one))) for one in evidence.languages], float)
        return SimilarityMatrix(evidence.languages, -abs(longest[:, None] - longest[None, :]))


class DividesByNothing(Good):
    def similarity(self, evidence):
        with np.errstate(divide="ignore"):
            shares = 1 / np.array([len(evidence.texts(one)) for one in evidence.languages], float)
        return SimilarityMatrix(evidence.languages, shares[:, None] + shares[None, :])


class ReadsUndeclared(Good):
    def similarity(self, evidence):
        try:
            evidence.read(GRADIENTS)
        except MeasureError:
            return super().similarity(evidence)


class LooksUndeclared(Good):
    def similarity(self, evidence):
        for look in (evidence.transfer, lambda: evidence.similarity("overlap")):
            with contextlib.suppress(MeasureError):
                look()
        return super().similarity(evidence)


class Modest(Good):
    access = "none"


class Sorting(Good):
    def similarity(self, evidence):
        for language in evidence.languages:
            evidence.texts(language).sort()
        return super().similarity(evidence)


class Relabelling(Good):
    def similarity(self, evidence):
        row = evidence.examples(evidence.languages[3], "dev")[0]
        object.__setattr__(row, "label", (row.label + 1) % 2)
        return super().similarity(evidence)


class Overcovered(Good):
    def similarity(self, evidence):
        values = super().similarity(evidence).values
        return SimilarityMatrix(evidence.languages, values, coverage=np.full(values.shape, 2.0))


class Misnamed(Good):
    def similarity(self, evidence):
        values = super().similarity(evidence).values
        return SimilarityMatrix(evidence.languages, values, yardstick={"qaa": 1.0, "German": 1.0})


class UnknownYardstick(Good):
    def similarity(self, evidence):
        values = super().similarity(evidence).values
        return SimilarityMatrix(evidence.languages, values, yardstick={"qaa": np.nan})


class NumberedNotes(Good):
    def similarity(self, evidence):
        return SimilarityMatrix(evidence.languages, super().similarity(evidence).values, notes=(17,))


class Doubling(Good):
    def __init__(self, scale: float = 1.0) -> None:
        self.scale = 2 * scale


class Renaming(Good):
    def __init__(self, scale: float = 1.0, power: int = 1) -> None:
        self.scale = scale
        self.exponent = power


class Demanding(Good):
    def __init__(self, scale: float) -> None:
        self.scale = scale


class Failing(Good):
    def __init__(self, scale: float = 1.0) -> None:
        raise OSError("no such file")


class Unfinished(Measure):
    """Lacks what it is for."""

    name = "unfinished"
    access = "text"


class Unnamed(Good):
    name = "two words"
    access = "everything"
    symmetric = None


class Wordless(Measure):
    name = "wordless"
    access = "text"
    similarity = Good.similarity
    scale = 1.0


class Listing(Good):
    def needs(self):
        return Needs(measures=["overlap"])


class Wavering(Good):
    def needs(self):
        self.asked = not getattr(self, "asked", False)
        return Needs(packages=("numpy",) if self.asked else ())


class Refusing(Good):
    def needs(self):
        raise MeasureError("scale must be positive, found -1")


class Dictionary(Good):
    def needs(self):
        return {"readings": []}


class Dreaming(Good):
    def needs(self):
        return Needs(readings=frozenset({Reading("joint", "dreams")}))


class Building(Good):
    def needs(self):
        return Needs(measures=("overlapp",))


ALSO: dict[object, tuple[str, ...]] = {LaterEndless: ("order", "missing data"), Unseeded: ("seed", "order")}


@pytest.mark.parametrize(
    ("bad", "check", "said"),
    [
        (Wide, "shape", "values must have shape (12, 12), [source, target], found (2, 7)"),
        (Endless, "finite", "values must be finite, or NaN where the measure cannot say, found inf at"),
        (LaterEndless, "finite", "found S[qab, qac] infinite"),
        (Silent, "finite", "at least one pair of languages must have a value, found NaN for all"),
        (Array, "answer", "must return a SimilarityMatrix, found ndarray"),
        (Sorted, "answer", "must be over the run's languages in their order, qaa"),
        (Crashing, "answer", "found AttributeError: 'Watched' object has no attribute 'nothing'"),
        (Lopsided, "symmetric", "the measure is declared symmetric (set symmetric = False if it is not): S[q"),
        (Positional, "order", "must not change: with the languages listed in another order, S[q"),
        (FirstOnly, "order", "with the languages listed in another order it fails: LookupError: where is qaa?"),
        (Unseeded, "determinism", "must not change: with the same question asked twice, S[qaa, qaa] was 0."),
        (Remembering, "seed", "must not change: with another run with the same seed, by a new object, S[q"),
        (NeedsData, "missing data", "without training data for qab a measure must answer, with NaN"),
        (NeedsData, "missing data", "found ValueError: max() "),
        (DividesByNothing, "missing data", "found values must be finite"),
        (ReadsUndeclared, "declared", "must be declared in needs(), found gradients of joint (split=dev)"),
        (LooksUndeclared, "declared", "must be declared in needs(), found transfer, the matrix of overlap"),
        (Modest, "access", "declared none, it looked at the train examples (text)"),
        (Sorting, "untouched", "found changed: the train texts of qaa"),
        (Relabelling, "untouched", "found changed: the dev examples of qba"),
        (Overcovered, "beside it", "coverage must be from 0 to 1 in every cell, found 2.0 at [qaa, qaa]"),
        (Misnamed, "beside it", "yardstick must be by language code, found 'German'"),
        (UnknownYardstick, "beside it", "yardstick must be finite numbers (leave out what is unknown), found nan"),
        (NumberedNotes, "beside it", "notes must be sentences, found 17"),
        (Doubling, "created", "must only store parameters: scale=1.0 was stored as 2.0"),
        (Doubling(1.0), "created", "must only store parameters: scale=2.0 was stored as 4.0"),
        (Renaming, "created", "store its parameters under their names, found no attribute 'power'"),
        (Demanding, "created", "every parameter of __init__ must have a default, found none for scale"),
        (Failing, "created", "created from its parameters alone, found OSError: no such file"),
        (Unfinished, "created", "a measure must have similarity, found none"),
        (Path, "created", "a class derived from measures.Measure, found Path"),
        (Unnamed, "metadata", "name must be a word without blanks and [ ] , = +, found 'two words'"),
        (Unnamed, "metadata", "access must be one of none, text, labels, transfer, found 'everything'"),
        (Unnamed, "metadata", "symmetric must be True or False, found None"),
        (Wordless, "metadata", "must have a docstring, whose first line is its summary, found none"),
        (Listing, "needs", "needs() must be hashable"),
        (Wavering, "needs", "needs() must say the same every time"),
        (Refusing, "needs", "must be answered before anything runs, found scale must be positive, found -1"),
        (Dictionary, "needs", "needs() must return a Needs, found dict"),
        (Dreaming, "evidence", "found dreams of joint"),
        (Building, "evidence", "unknown measure 'overlapp' (did you mean 'overlap'?)"),
    ],
    ids=lambda one: one.__name__ if isinstance(one, type) else None,
)  # fmt: skip
def test_a_bad_measure_is_told_in_words(bad: Measure | type[Measure], check: str, said: str) -> None:
    before = [row for rows in trial.setup_of("planted[setting=easy]").dev.values() for row in rows]
    labels = [row.label for row in before]
    try:
        wrong = failed(bad)
    finally:
        for row, label in zip(before, labels, strict=True):  # Relabelling writes into what all tests share
            object.__setattr__(row, "label", label)
    assert list(wrong) == [check, *ALSO.get(bad, ())]
    assert said in wrong[check]


class Directed(Lopsided):
    symmetric = False


class Partial(Good):
    def similarity(self, evidence):
        values = super().similarity(evidence).values
        place = [one.code for one in evidence.languages].index("qcb")
        values[place] = values[:, place] = np.nan
        return SimilarityMatrix(evidence.languages, values, coverage=np.where(np.isnan(values), 0.0, 1.0))


def test_what_is_declared_and_what_is_missing_is_told() -> None:
    assert not failed(Directed)
    assert findings(Directed)["symmetric"].said == "declared not symmetric: nothing to keep"
    found = findings(Partial)
    assert not [one for one in found.values() if one.passed is False]
    assert found["finite"].said.startswith("22 of 132 pairs of languages are NaN")
    assert found["beside it"].said == "beside the values: coverage"
    assert found["missing data"].said.endswith("it answers; 2 of that language's 22 pairs are NaN")


def test_what_cannot_be_looked_at_is_no_failure() -> None:
    found = findings(Crashing)
    for name in ("shape", "finite", "symmetric", "order", "missing data", "time"):
        assert found[name] == Finding(name, None, "there is no matrix to look at")


class WritingReader(Reader):
    def read(self, evidence):
        result = evidence.read(GRADIENTS)
        result.arrays["loss"][:] += 1
        return result


class HardReader(Reader):
    def read(self, evidence):
        try:
            return evidence.read(GRADIENTS)
        except MeasureError:
            raise RuntimeError("no gradients") from None


class TolerantReader(Reader):
    def similarity(self, evidence):
        try:
            return super().similarity(evidence)
        except MeasureError:
            n = len(evidence.languages)
            return SimilarityMatrix(evidence.languages, np.where(np.eye(n), 1.0, np.nan))


class SecretReader(Reader):
    access = "text"


@pytest.mark.parametrize(
    ("bad", "check", "said"),
    [
        (WritingReader, "untouched", "found changed: the array 'loss' of the gradients of joint (split=dev)"),
        (HardReader, "lost readings", "where every reading has failed a measure must answer, with NaN"),
        (HardReader, "lost readings", "found RuntimeError: no gradients"),
        (SecretReader, "access", "declared text, it looked at gradients of joint (split=dev) (labels)"),
    ],
)
def test_a_bad_measure_of_readings_is_told_in_words(bad: type[Measure], check: str, said: str) -> None:
    wrong = failed(bad)
    assert list(wrong) == [check]
    assert said in wrong[check]


def test_a_measure_that_bears_lost_readings_has_not_failed() -> None:
    found = findings(TolerantReader)
    assert found["lost readings"] == Finding(
        "lost readings", True, "where every reading has failed it answers with 132 NaN"
    )
    assert not [one for one in found.values() if one.passed is False]


class Both(Good):
    access = "labels"

    def needs(self):
        return Needs(measures=("overlap", "gradsim"))

    def similarity(self, evidence):
        parts = [evidence.similarity(name).values for name in self.needs().measures]
        return SimilarityMatrix(evidence.languages, sum(parts))


def test_a_measure_that_builds_on_others_loses_those_that_read() -> None:
    found = findings(Both)
    assert not [one for one in found.values() if one.passed is False]
    assert found["lost readings"].said.endswith("gradsim has no answer: its readings have failed")
    assert found["access"].said == "declared labels, the most it looked at was the matrix of gradsim"


def test_a_training_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "train", lambda trials: ["training joint: ValueError: too small"])
    assert failed(Reader)["evidence"] == "training joint: ValueError: too small"


def test_a_slow_measure_fails_by_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_answers, "SECONDS_A_PAIR", -1.0)
    assert "a pair of languages may take -1 s at most, found " in failed(Good)["time"]
    assert "s for 132 pairs of languages" in failed(Good)["time"]


class Particular(Good):
    def skip(self, task, languages):
        return f"{task.name} is none of mine" if task.name == "planted" else None


class Idle(Good):
    def skip(self, task, languages):
        return "not today"


class Unpacked(Good):
    def needs(self):
        return Needs(packages=("kinship-of-nobody",))


def test_a_measure_that_skips_is_tried_on_the_next_task() -> None:
    found = findings(Particular)
    assert not [one for one in found.values() if one.passed is False]
    assert "planted is none of mine); tried on 6 languages of cldr-names" in found["evidence"].said
    assert found["families"].said == "the families of cldr-names are not known"


@pytest.mark.parametrize(
    ("measure", "said"), [(Idle, "not today"), (Unpacked, "needs the package kinship-of-nobody")]
)
def test_a_measure_that_says_nothing_here_has_not_failed(measure: type[Measure], said: str) -> None:
    found = findings(measure)
    assert list(found) == CHECKS[:4]
    assert found["evidence"].passed is None
    assert said in found["evidence"].said


def test_the_recovery_of_the_families_is_told_and_not_judged() -> None:
    found = findings(Overlap)["families"]
    assert found.passed is None
    assert "grouped into 4 (K given)" in found.said
    assert "adjusted Rand index of 1.00" in found.said
    assert findings(Random)["families"].passed is None


def test_another_order_is_no_reversal() -> None:
    setup = trial.setup_of("planted[setting=easy]")
    other = trial.reordered(setup)
    assert set(other.languages) == set(setup.languages)
    assert other.languages not in (setup.languages, setup.languages[::-1])
    assert other.sources == other.codes


def test_a_language_without_training_data_is_a_target_only_and_trains_no_other_anew() -> None:
    setup = trial.setup_of("planted[setting=easy]")
    code = setup.codes[1]
    alone = trial.without(setup, code)
    assert alone.codes == setup.codes
    assert code not in alone.sources
    assert not alone.seeds[0].train[code]
    assert setup.seeds[0].train[code]
    each = Needs(
        readings=frozenset({Reading("each", "weights"), Reading("each", "fisher", (("repeat", 1),))})
    ).readings
    keys = {job.key for job in setup.read_jobs(setup.seeds[0], each)}
    assert len(keys) == 24
    assert {job.key for job in alone.read_jobs(alone.seeds[0], each)} < keys


def test_check_measure_lists_all_that_failed(capsys: pytest.CaptureFixture[str]) -> None:
    class Twice(Lopsided):
        access = "none"

    with pytest.raises(AssertionError) as raised:
        check_measure(Twice())
    first, *rest = str(raised.value).splitlines()
    assert first == "Twice does not keep what a measure must:"
    assert [line.split(":")[0] for line in rest] == ["symmetric", "access"]
    check_measure(Good)
    assert capsys.readouterr().out == ""


# Registered ones, by name.

MODULE = '''
import numpy as np
from measures import Measure, SimilarityMatrix


class Hashing(Measure):
    """Depends on how strings hash in this process."""

    name = "hashing"
    access = "none"

    def __init__(self, own: bool = True) -> None:
        self.own = own

    def similarity(self, evidence):
        print("asked")
        first = np.array([hash(one.code) % 1000 if self.own else ord(one.code[1]) for one in evidence.languages])
        return SimilarityMatrix(evidence.languages, -abs(first[:, None] - first[None, :]).astype(float))


class There(Hashing):
    """Cannot be asked in another process."""

    name = "elsewhere"

    def similarity(self, evidence):
        import os, sys
        if os.getpid() != int(os.environ["KINSHIP_TEST_PID"]):
            raise OSError("not here")
        return super().similarity(evidence)
'''


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.undo()  # these can be imported in a new process
    site = tmp_path / "site"
    about = site / "hashing_measures-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: hashing-measures\nVersion: 1\n")
    names = "hashing = hashing_measures:Hashing\nthere = hashing_measures:There\n"
    (about / "entry_points.txt").write_text(f"[benchmark.measures]\n{names}")
    (site / "hashing_measures.py").write_text(MODULE)
    (tmp_path / "work").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "work")
        patch.syspath_prepend(site)
        yield tmp_path / "work"
        sys.modules.pop("hashing_measures", None)


def lines(printed: str) -> dict[str, str]:
    """By check: the mark and the sentence."""
    found = {}
    for line in printed.splitlines():
        if line[:1] in "✓✗–" and line[1:2] == " ":
            found[line[2:15].strip()] = f"{line[0]} {line[17:]}"
    return found


def test_another_process_hashes_otherwise(
    registered: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KINSHIP_TEST_PID", str(os.getpid()))
    assert command(["check", "hashing"]) == 1
    told = lines(capsys.readouterr().out)
    assert [name for name, said in told.items() if said.startswith("✗")] == ["seed"]
    assert "another run with the same seed, in a new process, S[q" in told["seed"]
    assert command(["check", "hashing[own=false]"]) == 0
    told = lines(capsys.readouterr().out)
    assert told["seed"] == "✓ another run with the same seed, in a new process: the same bits"
    assert command(["check", "there"]) == 1
    told = lines(capsys.readouterr().out)
    assert told["seed"].endswith("in a new process, it fails: OSError: not here")
    assert "must be the name it is registered by, 'there', found 'elsewhere'" in told["metadata"]
    assert list(registered.iterdir()) == []  # nothing is left behind


def test_check_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(["check", "overlap[unit=subwords]"]) == 0
    told = capsys.readouterr()
    assert list(lines(told.out)) == CHECKS
    assert "nothing failed" in told.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("overlp", "unknown measure or strategy 'overlp' (did you mean 'overlap'"),
        ("overlap[unit=bytes]", "takes words|subwords|chars, found 'bytes'"),
        ("overlap[", "a name is written"),
    ],
)
def test_a_name_that_is_none_is_a_mistake_of_the_caller(
    name: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["check", name]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in told.err


def test_a_value_that_only_similarity_can_refuse_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["check", "overlap[n=0]"]) == 1
    assert "n must be at least 1, found 0" in lines(capsys.readouterr().out)["answer"]


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    command(["check", "--help"])
    assert "python -m benchmark check gradsim" in capsys.readouterr().out
