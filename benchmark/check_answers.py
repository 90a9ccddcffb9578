"""What is asked of a measure's answers: each check returns what it found, or raises what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmark.afresh import afresh
from benchmark.errors import UserError
from benchmark.findings import Broken, Idle, line
from benchmark.registry import parameters
from benchmark.trial import ACCESS, Answer, Trial
from measures import MeasureError, SimilarityMatrix
from tasks.languages import Language

TOLERANCE = 1e-8  # of values in another order of the languages: sums may round otherwise
SYMMETRY = 1e-6  # as in a run
SECONDS_A_PAIR = 1.0  # of two languages, the trainings not counted: beyond that something is wrong

Matrix = NDArray[np.float64]


def _flaw(error: Exception | None) -> str | None:
    """What is wrong with a matrix that ``SimilarityMatrix`` has refused."""
    said = str(error) if isinstance(error, MeasureError) else ""
    return "shape" if "must have shape" in said else "infinite" if "must be finite" in said else None


def _matrix(one: Answer) -> SimilarityMatrix:
    if not isinstance(one.found, SimilarityMatrix) or one.found.languages != one.evidence.languages:
        raise Idle("there is no matrix to look at")
    return one.found


def answer(one: Answer) -> str:
    languages = one.evidence.languages
    if _flaw(one.error):
        raise Idle("there is no matrix to look at")
    if one.error is not None:
        raise Broken(f"similarity() must answer where all evidence is there, found {line(one.error)}")
    if not isinstance(one.found, SimilarityMatrix):
        raise Broken(f"similarity() must return a SimilarityMatrix, found {type(one.found).__name__}")
    if one.found.languages != languages:
        raise Broken(
            f"the matrix must be over the run's languages in their order, {_listed(languages)}, "
            f"found {_listed(one.found.languages)}"
        )
    return f"a SimilarityMatrix over the run's {len(languages)} languages in their order"


def shape(one: Answer) -> str:
    if _flaw(one.error) == "shape":
        raise Broken(str(one.error))
    n = len(_matrix(one).values)
    return f"{n} × {n}, [source, target]"


def finite(one: Answer) -> str:
    if _flaw(one.error) == "infinite":
        raise Broken(str(one.error))
    values = _matrix(one).values
    if np.isinf(values).any():
        s, t = np.argwhere(np.isinf(values))[0]
        raise Broken(
            f"values must be finite, or NaN where the measure cannot say, found {_at(one, s, t)} infinite"
        )
    between = values[~np.eye(len(values), dtype=bool)]
    missing = int(np.isnan(between).sum())
    if missing == len(between):
        raise Broken("at least one pair of languages must have a value, found NaN for all")
    if not missing:
        return f"all {len(between)} pairs of languages have a finite value"
    return f"{missing} of {len(between)} pairs of languages are NaN (the measure cannot say), the others finite"


def beside(one: Answer) -> str:
    """Coverage, yardstick, contributions and notes: what would make no record."""
    matrix = _matrix(one)
    covered = matrix.coverage
    if covered is not None and not ((covered >= 0) & (covered <= 1)).all():
        s, t = np.argwhere(~((covered >= 0) & (covered <= 1)))[0]
        raise Broken(f"coverage must be from 0 to 1 in every cell, found {covered[s, t]} at {_at(one, s, t)[1:]}")
    codes = {language.code for language in matrix.languages}
    if unknown := sorted(matrix.yardstick.keys() - codes):
        raise Broken(f"the yardstick must be by language code, found {', '.join(map(repr, unknown))}")
    for what, numbers in {"yardstick": matrix.yardstick, "contributions": matrix.contributions}.items():
        for name, number in numbers.items():
            if not np.isfinite(number):
                raise Broken(
                    f"{what} must be finite numbers (leave out what is unknown), found {number} for {name}"
                )
    if wrong := [note for note in matrix.notes if not isinstance(note, str)]:
        raise Broken(f"notes must be sentences, found {wrong[0]!r}")
    has = {
        "coverage": matrix.coverage is not None,
        "notes": matrix.notes,
        "views": matrix.views,
        "a yardstick": matrix.yardstick,
        "contributions": matrix.contributions,
    }
    found = [name for name, there in has.items() if there]
    return f"beside the values: {', '.join(found) or 'nothing'}"


def symmetric(one: Answer, declared: bool) -> str:
    values = _matrix(one).values
    if not declared:
        return "declared not symmetric: nothing to keep"
    place = _differs(values, values.T, SYMMETRY)
    if place:
        s, t = place
        raise Broken(
            "the measure is declared symmetric (set symmetric = False if it is not): "
            f"{_at(one, s, t)} is {values[s, t]:.6g}, {_at(one, t, s)} is {values[t, s]:.6g}"
        )
    return "symmetric, as declared"


def determinism(one: Answer, again: Answer) -> str:
    _equal(one, _matrix(one).values, _values(again, "asked twice"), 0.0, "the same question asked twice")
    return "asked twice, the same bits"


def seed(one: Answer, trial: Trial) -> str:
    """A new run with the same seed: a new process if the class can be imported there, else a new object."""
    values = _matrix(one).values
    measure = trial.row.measure
    when = "another run with the same seed, in a new process"
    try:
        found = afresh(measure, trial.setup)
    except UserError as error:
        raise Broken(f"the matrix must not change: {when}, it fails: {error}") from error
    if found is None:
        when = "another run with the same seed, by a new object"
        fresh = type(measure)(**{name: getattr(measure, name) for name in parameters(type(measure))})
        found = _values(Trial(trial.setup, fresh, trial.called).ask(), when)
    _equal(one, values, found, 0.0, when)
    return f"{when}: the same bits"


def order(one: Answer, shuffled: Trial) -> str:
    values = _matrix(one).values
    found = _values(shuffled.ask(), "with the languages listed in another order")
    places = [shuffled.setup.languages.index(language) for language in one.evidence.languages]
    _equal(one, values, found[np.ix_(places, places)], TOLERANCE, "the languages listed in another order")
    return "the languages listed in another order: the same similarities"


def missing_data(one: Answer, alone: Trial, language: Language) -> str:
    _matrix(one)
    return _bears(
        alone.ask(), f"without training data for {language.code}", alone.setup.codes.index(language.code)
    )


def lost_readings(one: Answer, trial: Trial) -> str:
    _matrix(one)
    if not trial.row.readings:
        raise Idle("it reads nothing from trainings")
    return _bears(trial.ask(lost=True), "where every reading has failed")


def declared(one: Answer) -> str:
    if one.evidence.undeclared:
        asked = ", ".join(dict.fromkeys(one.evidence.undeclared))
        raise Broken(f"what is asked of the evidence must be declared in needs(), found {asked}")
    return "it asked for nothing that needs() does not declare"


def access(one: Answer, said: str) -> str:
    level, what = one.evidence.access
    if said not in ACCESS:
        raise Idle("the declared access is none of those there are")
    if ACCESS.index(level) > ACCESS.index(said):
        raise Broken(
            f"access must say the most that the measure sees: declared {said}, it looked at {what} ({level})"
        )
    return f"declared {said}, the most it looked at was {what}"


def untouched(one: Answer) -> str:
    changed = one.evidence.changed()
    if changed:
        raise Broken(
            "evidence is shared and may not be written into (take a copy), found changed: "
            f"{', '.join(changed[:3])}{' and others' if len(changed) > 3 else ''}"
        )
    return "what it was given is as it was"


def time_taken(one: Answer) -> str:
    n = len(_matrix(one).languages)
    pairs = n * (n - 1)
    said = f"{one.seconds:.2f} s for {pairs} pairs of languages, without trainings"
    if one.seconds > SECONDS_A_PAIR * pairs:
        raise Broken(f"a pair of languages may take {SECONDS_A_PAIR:g} s at most, found {said}")
    return said


def families(one: Answer, trial: Trial) -> str:
    """Told and not judged: a measure need not be about what was planted."""
    from benchmark.groups import recover

    matrix = _matrix(one)
    known = len(trial.setup.spec.families)
    if not known:
        raise Idle(f"the families of {trial.setup.spec.name} are not known")
    row = trial.row
    row.matrix = matrix
    recover([row], trial.setup)
    if row.recovery is None:
        raise Idle("no pair of languages stands out, so no families follow")
    raise Idle(
        f"grouped into {known} (K given), the {known} planted families are found with an adjusted Rand index of "
        f"{row.recovery:.2f} (1: exactly, 0: as by chance); told, not judged"
    )


def _bears(one: Answer, when: str, place: int | None = None) -> str:
    """Fine is a MeasureError of the measure's own, or a matrix; not a crash, and no matrix that is none."""
    if one.error is not None:
        if _flaw(one.error) or not isinstance(one.error, MeasureError):
            raise Broken(f"{when} a measure must answer, with NaN where it cannot say, found {line(one.error)}")
        return f"{when} it says why it cannot answer: {line(one.error)}"
    found = one.found
    if not isinstance(found, SimilarityMatrix) or np.isinf(found.values).any():
        raise Broken(
            f"{when} a measure must return a SimilarityMatrix, finite or NaN, found {type(found).__name__}"
        )
    if place is None:
        return f"{when} it answers with {int(np.isnan(found.values).sum())} NaN"
    own = np.concatenate([np.delete(found.values[place], place), np.delete(found.values[:, place], place)])
    return f"{when} it answers; {int(np.isnan(own).sum())} of that language's {len(own)} pairs are NaN"


def _values(one: Answer, when: str) -> Matrix:
    if one.error is not None:
        raise Broken(f"{when} it fails: {line(one.error)}")
    return _matrix(one).values


def _equal(one: Answer, a: Matrix, b: Matrix, tolerance: float, when: str) -> None:
    place = _differs(a, b, tolerance)
    if place:
        s, t = place
        raise Broken(
            f"the matrix must not change: with {when}, {_at(one, s, t)} was {a[s, t]:.6g}, is {b[s, t]:.6g}"
        )


def _differs(a: Matrix, b: Matrix, tolerance: float) -> tuple[int, int] | None:
    """The cell where two matrices differ most, NaN first."""
    wrong = ~np.isclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
    if not wrong.any():
        return None
    by = np.where(wrong, np.nan_to_num(np.abs(a - b), nan=np.inf), -1.0)
    s, t = np.unravel_index(int(by.argmax()), by.shape)
    return int(s), int(t)


def _at(one: Answer, s: int, t: int) -> str:
    codes = [language.code for language in one.evidence.languages]
    return f"S[{codes[s]}, {codes[t]}]"


def _listed(languages: Sequence[Language]) -> str:
    return ", ".join(map(str, languages))
