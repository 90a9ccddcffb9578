"""Sources for a target, in order of similarity, with what is known beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.config import RunConfig
from benchmark.errors import UserError
from benchmark.provenance import git_commit, versions
from benchmark.registry import create
from benchmark.results import cells
from benchmark.rows import Row
from benchmark.runner import RunResult, similarities
from benchmark.setup import Setup
from benchmark.trust import Evidence, evidence, of_measure, of_transfer
from leaderboard.names import metric
from leaderboard.ranking import merged
from tasks.base import Access, DataError, Task
from tasks.languages import Language, UnknownLanguage, find


@dataclass(frozen=True)
class Suggestion:
    """A source for a target. ``rank``: ``None`` where the first measure says nothing; equal ones share one.

    ``similarity`` and ``coverage``: by measure, ``None`` where it says nothing, or has none.
    """

    language: Language
    rank: int | None
    similarity: dict[str, float | None]
    coverage: dict[str, float | None]
    examples: int
    transfer: float | None


@dataclass
class Recommendation:
    """Everything that is known of the targets (codes) once the measures have been asked.

    ``rows``: the measures that have an answer, the one that ranks first; ``records``: of this task.
    """

    config: RunConfig
    setup: Setup
    targets: tuple[str, ...]
    rows: list[Row]
    result: RunResult
    records: list[Evidence] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def sample(self) -> bool:
        return self.setup.source == "sample"

    @property
    def metric(self) -> str:
        """Of transfer, in words."""
        assert self.transfer is not None
        return metric(self.transfer.record.transfer.metric)

    def name(self, code: str) -> str:
        return self._language(code).name

    def _language(self, code: str) -> Language:
        return next(one for one in self.setup.languages if one.code == code)

    @cached_property
    def transfer(self) -> Evidence | None:
        """The one record that transfer is read from."""
        pairs = [(source, target) for target in self.targets for source in self.setup.sources if source != target]
        return None if self.sample else of_transfer(self.records, pairs, self.rows[0].name)

    def trust(self, measure: str) -> list[Evidence]:
        return of_measure(self.records, measure)

    def group_of(self, target: str) -> tuple[str, ...] | None:
        """The group that the ranking measure gives the target; ``None``: it is in none."""
        grouping = self.rows[0].grouping
        if grouping is None or target not in grouping.served:
            return None
        return grouping.groups[grouping.served[target]]

    def suggestions(self, target: str) -> list[Suggestion]:
        """All languages with training data but the target, the most similar first, unknown ones last."""
        setup = self.setup
        sources = [code for code in setup.sources if code != target]
        places = [setup.codes.index(code) for code in sources]
        column = setup.codes.index(target)

        def known(matrix: NDArray[np.float64] | None) -> list[float | None]:
            values = [np.nan] * len(places) if matrix is None else [float(matrix[at, column]) for at in places]
            return [None if np.isnan(value) else value for value in values]

        matrices = {row.name: row.matrix for row in self.rows if row.matrix is not None}
        similarity = {called: known(matrix.values) for called, matrix in matrices.items()}
        coverage = {called: known(matrix.coverage) for called, matrix in matrices.items()}
        ranks = ranked(similarity[self.rows[0].name])
        found = [
            Suggestion(
                self._language(code),
                ranks[i],
                {name: values[i] for name, values in similarity.items()},
                {name: values[i] for name, values in coverage.items()},
                len(setup.seeds[0].train[code]),
                self.transfer.transfer(code, target) if self.transfer else None,
            )
            for i, code in enumerate(sources)
        ]
        return sorted(found, key=lambda one: (one.rank is None, one.rank or 0, one.language.code))

    def json(self) -> dict[str, Any]:
        setup, config = self.setup, self.config
        return {
            "task": setup.task,
            "source": setup.source,
            "sample": self.sample,
            "notices": list(setup.notes),
            "data_fingerprint": setup.data_fingerprint,
            "languages": {one.code: one.name for one in setup.languages},
            "sources": list(setup.sources),
            "model": setup.seeds[0].model.name,
            "model_digests": [of.model.digest[:16] for of in setup.seeds],
            "preset": config.preset,
            "seeds": [of.seed for of in setup.seeds],
            "device": setup.device,
            "precision": setup.precision,
            "measures": [self._measure(row) for row in self.rows],
            "targets": [self._target(target) for target in self.targets],
            "transfer_from": self.transfer.json() if self.transfer else None,
            "failures": [*self.result.measure_failures, *self.result.failures],
            "command": config.command,
            "versions": versions(),
            "git": git_commit(),
        }

    def _measure(self, row: Row) -> dict[str, Any]:
        assert row.matrix is not None
        grouping = row.grouping
        return {
            "measure": row.name,
            "access": row.measure.access,
            "similarity": cells(row.matrix.values),
            "coverage": None if row.matrix.coverage is None else cells(row.matrix.coverage),
            "notes": list(row.matrix.notes),
            "grouping": grouping
            and {
                "groups": [list(group) for group in grouping.groups],
                "served": dict(grouping.served),
                "k": len(grouping.groups),
            },
            "trust": [one.json() for one in self.trust(row.name)],
        }

    def _target(self, target: str) -> dict[str, Any]:
        group = self.group_of(target)
        return {
            "target": target,
            "name": self.name(target),
            "group": None if group is None else list(group),
            "own_transfer": self.transfer.transfer(target, target) if self.transfer else None,
            "ranking": [
                {
                    "rank": one.rank,
                    "source": one.language.code,
                    "name": one.language.name,
                    "similarity": one.similarity,
                    "coverage": one.coverage,
                    "examples": one.examples,
                    "in_group": None if group is None else one.language.code in group,
                    "transfer": one.transfer,
                }
                for one in self.suggestions(target)
            ],
        }


def ranked(values: Sequence[float | None]) -> list[int | None]:
    """Ranks from 1, the highest first; equal ones, but for rounding, share one; none for what is not known."""
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if not len(known):
        return [None] * len(values)
    level = iter(merged(known / (np.abs(known).max() or 1.0)))
    levels = [None if value is None else float(next(level)) for value in values]
    return [
        None if mine is None else 1 + sum(other is not None and other > mine for other in levels)
        for mine in levels
    ]


def with_targets(config: RunConfig, targets: Sequence[str]) -> tuple[RunConfig, tuple[Language, ...]]:
    """The targets that are meant, and what is asked with them among its languages.

    Raises:
        UserError: a target that the task does not have.
    """
    task: Task = create("tasks", config.task)[0]
    found = tuple(dict.fromkeys(_one(task, target) for target in targets))
    everything = task.languages()
    if config.languages == ("all",):
        return config, found
    if config.languages:
        here = {_one(task, code) for code in config.languages}
        asked = config.languages
    else:
        here = set(task.default_languages())
        if here.issuperset(found):
            return config, found
        asked = tuple(_spelt(one, everything) for one in _there(task, config))
    new = tuple(_spelt(one, everything) for one in found if one not in here)
    return replace(config, languages=(*asked, *new)), found


def _one(task: Task, code: str) -> Language:
    try:
        return find(code, task.languages(), task.codes())
    except UnknownLanguage as error:
        raise UserError(f"{task.name}: {error}") from error


def _spelt(one: Language, everything: Sequence[Language]) -> str:
    """What ``find`` understands it by."""
    return one.code if sum(each.code == one.code for each in everything) == 1 else f"{one.code}-{one.script}"


def _there(task: Task, config: RunConfig) -> tuple[Language, ...]:
    """The task's default languages, as far as its data has them: to be named, they must be there."""
    try:
        has = task.open(Access(config.data, config.cache / "downloads", config.offline)).languages()
    except DataError as error:
        raise UserError(str(error)) from error
    return tuple(one for one in task.default_languages() if has is None or one in has)


def recommendation(config: RunConfig, targets: Sequence[Language]) -> Recommendation:
    """Ask the measures, and look at the records.

    Raises:
        UserError: what was asked cannot be done, no measure has an answer, or the data lacks a target.
    """
    result = RunResult()
    measures, setup = similarities(config, targets, result)
    rows = [row for row in measures if row.matrix is not None]
    records, warnings = evidence(config.output, setup)
    codes = tuple(one.code for one in targets)
    return Recommendation(config, setup, codes, rows, result, records, warnings)
