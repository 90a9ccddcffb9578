"""The measures of a run: created, asked what they need, and asked for their matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata

import numpy as np

from benchmark.errors import UserError
from benchmark.evidence import RunEvidence
from benchmark.prepare import SeedData, Setup
from benchmark.registry import Params, create, entries, parse
from leaderboard.tables import CONTROLS
from measures import Measure, Needs, Reading, SimilarityMatrix, TransferMatrix


class Skipped(UserError):  # noqa: N818 - reads as a sentence where it is caught
    """A measure that says nothing about this task and these languages, with its reason: no mistake."""


@dataclass
class Row:
    """One measure of a run. ``asked``: named by the person, not only a control of the table."""

    measure: Measure
    called: str  # the name it is registered by
    params: Params
    asked: bool
    needs: Needs
    others: dict[str, Row] = field(default_factory=dict)  # measures that it asks for
    matrix: SimilarityMatrix | None = None
    error: str | None = None
    groups: list[tuple[str, ...]] | None = None
    objective: float | None = None

    @property
    def name(self) -> str:
        inside = ",".join(f"{key}={value}" for key, value in sorted(self.params.items()))
        return f"{self.called}[{inside}]" if inside else self.called

    @property
    def readings(self) -> frozenset[Reading]:
        return self.needs.readings.union(*(other.readings for other in self.others.values()))

    @property
    def transfer(self) -> bool:
        return self.needs.transfer or any(other.transfer for other in self.others.values())

    @property
    def trains(self) -> bool:
        """Whether the measure has to wait for trainings."""
        return bool(self.readings) or self.transfer


def rows(asked: Sequence[str]) -> list[Row]:
    """The measures that were named (``all``: every one), then the controls that were not.

    Raises:
        UserError: a measure that cannot be created, or lacks a package.
    """
    specs = [name for spec in asked for name in (entries("measures")[0] if spec == "all" else [spec])]
    found: dict[str, Row] = {}
    for spec in specs:
        row = _row(spec, asked=True)
        found.setdefault(row.name, row)
    for control in CONTROLS:
        if control not in found:
            found[control] = _row(control, asked=False)
    return list(found.values())


def _row(spec: str, asked: bool, above: tuple[str, ...] = ()) -> Row:
    name = parse(spec)[0]
    if name in above:
        raise UserError(f"measures may not ask for themselves, found {' → '.join((*above, name))}")
    measure, params = create("measures", spec)
    if not isinstance(measure, Measure):
        raise UserError(f"{name!r} must be a measures.Measure, found {type(measure).__name__}")
    try:
        needs = measure.needs()
    except Exception as error:  # a plugin's code
        raise UserError(f"{spec}: {_line(error)}") from error
    for package in needs.packages:
        try:
            metadata.distribution(package)
        except metadata.PackageNotFoundError:
            raise UserError(
                f"{name!r} needs the package {package}, which is not installed (pip install {package})"
            ) from None
    others = {other: _row(other, asked=False, above=(*above, name)) for other in needs.measures}
    return Row(measure, name, params, asked, needs, others)


def ask(row: Row, setup: Setup, transfer: Callable[[], TransferMatrix]) -> SimilarityMatrix:
    """The measure's matrix, mean over seeds. Its error, whatever it is, becomes a ``UserError``."""
    if row.matrix is None:
        try:
            reason = row.measure.skip(setup.spec, setup.languages)
            if reason:
                raise Skipped(f"is skipped: {_line(reason)}")
            found = [_ask(row, setup, of, transfer) for of in setup.seeds]
        except UserError as error:
            raise type(error)(f"{row.name}: {error}") from error
        except Exception as error:  # a plugin's code
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            raise UserError(f"{row.name}: {kind}{_line(error)}") from error
        coverage = [one.coverage for one in found if one.coverage is not None]
        row.matrix = SimilarityMatrix(
            setup.languages,
            np.mean([one.values for one in found], axis=0),
            np.mean(coverage, axis=0) if coverage else None,
            found[0].notes,
        )
    return row.matrix


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


def _line(error: object) -> str:
    return " ".join(str(error).split()) or type(error).__name__
