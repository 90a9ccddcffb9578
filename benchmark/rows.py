"""The measures of a run: created, asked what they need, and asked for their matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.derived import check_model
from benchmark.errors import UserError
from benchmark.evidence import RunEvidence
from benchmark.registry import Params, create, entries, parse
from benchmark.setup import SeedData, Setup
from benchmark.systems import Grouping
from leaderboard.tables import CONTROLS
from measures import Measure, Needs, Reading, SimilarityMatrix, TransferMatrix
from tasks.sources import one_line


class Skipped(UserError):  # noqa: N818 - reads as a sentence where it is caught
    """A measure that says nothing about this task and these languages, with its reason: no mistake."""


@dataclass
class Row:
    """One measure of a run. ``asked``: named by the person, not only a control of the table.

    ``error``: why it has no answer; ``skipped``: that this is no mistake of its, nor of anybody's.
    """

    measure: Measure
    called: str  # the name it is registered by
    params: Params
    asked: bool
    needs: Needs
    others: dict[str, Row] = field(default_factory=dict)  # measures that it asks for
    matrix: SimilarityMatrix | None = None
    error: str | None = None
    skipped: bool = False
    grouping: Grouping | None = None
    objective: float | None = None
    recovery: float | None = None

    @property
    def name(self) -> str:
        inside = ",".join(f"{key}={value}" for key, value in sorted(self.params.items()))
        return f"{self.called}[{inside}]" if inside else self.called

    @property
    def readings(self) -> frozenset[Reading]:
        """What it reads, and what the measures read that it builds on; nothing if it will not be asked."""
        if self.error is not None:
            return frozenset()
        return self.needs.readings.union(*(other.readings for other in self.others.values()))

    @property
    def transfer(self) -> bool:
        return self.needs.transfer or any(other.transfer for other in self.others.values())

    @property
    def trains(self) -> bool:
        """Whether the measure has to wait for trainings."""
        return bool(self.readings) or self.transfer

    def fail(self, error: UserError) -> None:
        """Say why there is no answer, once."""
        self.error = f"{self.name}: {error}"
        self.skipped = isinstance(error, Skipped)


def rows(asked: Sequence[str]) -> tuple[list[Row], list[str]]:
    """The measures that were named (``all``: every one), then the controls that were not; and what is
    wrong with measures that nobody named but ``all``.

    Raises:
        UserError: a measure that was named cannot be created.
    """
    found: dict[str, Row] = {}
    problems = []
    for spec in asked:
        for name in entries("measures")[0] if spec == "all" else [spec]:
            try:
                row = _row(name, asked=True)
            except UserError as error:
                if spec != "all":
                    raise
                problems.append(str(error))
                continue
            found.setdefault(row.name, row)
    for control in CONTROLS:
        if control not in found:
            found[control] = _row(control, asked=False)
    return list(found.values()), problems


def _row(spec: str, asked: bool, above: tuple[str, ...] = ()) -> Row:
    name = parse(spec)[0]
    if name in above:
        raise UserError(f"measures may not ask for themselves, found {' → '.join((*above, name))}")
    measure, params = create("measures", spec)
    if not isinstance(measure, Measure):
        raise UserError(f"{name!r} must be a measures.Measure, found {type(measure).__name__}")
    try:
        return row_of(measure, name, params, asked, above)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a plugin's code
        raise UserError(f"{spec}: {one_line(error)}") from error


def row_of(
    measure: Measure, name: str, params: Params | None = None, asked: bool = True, above: tuple[str, ...] = ()
) -> Row:
    """A measure as a row, asked what it needs, with rows for the measures that it builds on.

    Raises:
        UserError: one of these cannot be created, or looks at transfer; and whatever ``needs()`` raises.
    """
    needs = measure.needs()
    others = {other: _row(other, asked=False, above=(*above, name)) for other in needs.measures}
    if seen := [other for other, row in others.items() if row.transfer]:
        raise UserError(f"{name}: measures that look at transfer cannot be built on, found {', '.join(seen)}")
    return Row(measure, name, params or {}, asked, needs, others)


def check(measures: Sequence[Row], setup: Setup) -> None:
    """Before anything is trained: which measures will have no answer, and why (``error``)."""
    for row in measures:
        check(list(row.others.values()), setup)
        try:
            _check(row, setup)
        except UserError as error:
            row.fail(error)


def _check(row: Row, setup: Setup) -> None:
    for package in row.needs.packages:
        try:
            metadata.distribution(package)
        except metadata.PackageNotFoundError:
            raise Skipped(f"needs the package {package}, which is not installed (pip install {package})") from None
    try:
        reason = row.measure.skip(setup.spec, setup.languages)
    except (Exception, SystemExit) as error:  # a plugin's code
        raise UserError(one_line(error)) from error
    if reason:
        raise Skipped(one_line(reason))
    for reading in sorted(row.needs.readings, key=repr):
        check_model(setup, reading)
        setup.read_jobs(setup.seeds[0], [reading])  # refuses what cannot be read


def ask(row: Row, setup: Setup, transfer: Callable[[], TransferMatrix]) -> SimilarityMatrix:
    """The measure's matrix, mean over seeds. Its error, whatever it is, becomes a ``UserError``."""
    if row.error is not None:
        raise UserError(row.error)
    if row.matrix is None:
        try:
            found = [_ask(row, setup, of, transfer) for of in setup.seeds]
        except UserError as error:
            row.fail(error)
            raise UserError(str(row.error)) from error
        except (Exception, SystemExit) as error:  # a plugin's code
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            row.fail(UserError(f"{kind}{one_line(error)}"))
            raise UserError(str(row.error)) from error
        mean = _mean(found)
        if not unknown(mean) < 1:
            row.fail(Skipped("it knows no pair of these languages (every cell is NaN)"))
            raise UserError(str(row.error))
        row.matrix = mean
    return row.matrix


def unknown(matrix: SimilarityMatrix) -> float:
    """The share of pairs of different languages that it says nothing about."""
    pairs = ~np.eye(len(matrix.languages), dtype=bool)
    return float(np.isnan(matrix.values[pairs]).mean())


def _mean(found: Sequence[SimilarityMatrix]) -> SimilarityMatrix:
    """Over seeds; a view, or a language's yardstick, only where every seed has it."""
    coverage = [one.coverage for one in found if one.coverage is not None]
    return SimilarityMatrix(
        found[0].languages,
        np.mean([one.values for one in found], axis=0),
        np.mean(coverage, axis=0) if coverage else None,
        found[0].notes,
        views=dict(_shared([one.views for one in found])),
        yardstick={
            name: float(value) for name, value in _shared([one.yardstick for one in found]) if np.isfinite(value)
        },
        contributions=_contributions([one.contributions for one in found]),
    )


def _contributions(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """A part that was left out under a seed contributed nothing there."""
    names = dict.fromkeys(name for one in found for name in one)
    return {name: sum(one.get(name, 0.0) for one in found) / len(found) for name in names}


def _shared(
    found: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    for name in found[0]:
        if all(name in one for one in found):
            yield name, np.mean([one[name] for one in found], axis=0)


def _ask(row: Row, setup: Setup, of: SeedData, transfer: Callable[[], TransferMatrix]) -> SimilarityMatrix:
    evidence = RunEvidence(setup, of, row.needs, transfer, lambda name: ask(row.others[name], setup, transfer))
    found = row.measure.similarity(evidence)
    if not isinstance(found, SimilarityMatrix):
        raise UserError(f"similarity() must return a SimilarityMatrix, found {type(found).__name__}")
    if found.languages != setup.languages:
        raise UserError(
            f"the matrix must be over the run's languages in their order, {', '.join(setup.codes)}, "
            f"found {', '.join(map(str, found.languages))}"
        )
    if row.measure.symmetric and not np.allclose(found.values, found.values.T, atol=1e-6, equal_nan=True):
        raise UserError("the measure is declared symmetric, found an asymmetric matrix (set symmetric = False)")
    return found
