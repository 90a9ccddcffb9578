"""Records: one per measure, put together from systems, statistics and the store's manifests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.config import AUTO
from benchmark.derived import derived_keys
from benchmark.jobs import TrainJob
from benchmark.obvious import obvious
from benchmark.provenance import git_commit, versions
from benchmark.rows import Row
from benchmark.seeds import derive, digest
from benchmark.setup import Setup
from benchmark.systems import Grouping, System, Systems
from leaderboard.records import (
    Correlation,
    Cost,
    Data,
    GainIntervals,
    Intervals,
    Provenance,
    RandomScore,
    Record,
    Recovery,
    Rows,
    Scores,
    SeedTransfer,
    Similarity,
    Transfer,
)
from leaderboard.statistics import correlations, item_interval, reliability, seed_interval
from measures import SimilarityMatrix
from measures.trace import HALVES

Draws = Mapping[str, Sequence[Grouping]]  # by structure


class RecordMaker:
    """Makes the records of one run; what all of them share is computed once."""

    def __init__(
        self, setup: Setup, systems: Systems, measures: Sequence[Row], draws: Draws, command: str, started: str
    ) -> None:
        self.setup, self.systems, self.draws = setup, systems, draws
        self.controls = obvious(measures, setup)
        self.provenance = Provenance(
            command=command,
            versions=versions(),
            device=setup.device,
            threads=1,
            precision=setup.precision,
            git=git_commit(),
            started=started,
        )
        self.protocol = self._protocol()
        dev, test = systems.mean_transfer
        self.transfer = Transfer(
            metric=setup.spec.transfer_metric,
            dev=cells(dev),
            test=cells(test),
            seeds=[SeedTransfer(seed=s, dev=cells(d), test=cells(t)) for s, d, t in systems.per_seed],
        )

    def _protocol(self) -> dict[str, Any]:
        setup, config = self.setup, self.setup.config
        grouped = config.grouping is not None
        return {
            "task": setup.task,
            "task_version": setup.spec.version,
            "data": setup.data_fingerprint,
            "languages": list(setup.codes),
            "targets_only": [code for code in setup.codes if code not in setup.sources],
            "model": setup.seeds[0].model.name,
            "model_digests": [of.model.digest[:16] for of in setup.seeds],
            "preset": config.preset,
            "hyper": asdict(setup.seeds[0].hyper),
            "budget": "examples",
            "strategy": config.strategy,
            "grouping": {"name": config.grouping, "k": setup.k or AUTO, "draws": setup.draws} if grouped else None,
            "seeds": [of.seed for of in setup.seeds],
            "train_size": {code: len(setup.seeds[0].train[code]) for code in setup.sources},
            "test_size": {code: len(rows) for code, rows in setup.test.items()},
            "probe_share": config.probe_share,
        }

    def record(self, row: Row) -> Record:
        """The record of a measure that has its matrix (and its groups, unless there are none), or was skipped."""
        setup = self.setup
        scores, intervals = self._scores(row)
        grouping = row.grouping
        families = setup.spec.families
        return Record(
            task=setup.task,
            measure=row.called,
            measure_params=row.params,
            access=row.measure.access,
            strategy=setup.config.strategy,
            languages=list(setup.codes),
            groups=None if grouping is None else [list(group) for group in grouping.groups],
            served=dict(grouping.served) if grouping and grouping.overlaps else None,
            objective=row.objective,
            recovery=Recovery(adjusted_rand=row.recovery) if families and row.matrix is not None else None,
            skipped=row.error if row.skipped else None,
            similarity=self._similarity(row),
            transfer=self.transfer,
            scores=scores,
            intervals=intervals,
            correlation=None if row.matrix is None else self._correlation(row.matrix),
            data=Data(
                source=setup.source,
                fingerprint=setup.data_fingerprint,
                train_size={code: len(rows) for code, rows in setup.seeds[0].train.items()},
                test_size={code: len(rows) for code, rows in setup.test.items()},
            ),
            protocol_id=digest(self.protocol)[:12],
            protocol=self.protocol,
            cost=self._cost(row),
            provenance=self.provenance,
        )

    def _similarity(self, row: Row) -> Similarity:
        n = len(self.setup.codes)
        matrix = row.matrix
        if matrix is None:
            return Similarity(matrix=cells(np.full((n, n), np.nan)), symmetric=row.measure.symmetric)
        return Similarity(
            matrix=cells(matrix.values),
            coverage=None if matrix.coverage is None else cells(matrix.coverage),
            symmetric=row.measure.symmetric,
            views={n: cells(view, digits=6) for n, view in matrix.views.items() if n not in HALVES} or None,
            yardstick=dict(matrix.yardstick) or None,
            contributions=dict(matrix.contributions) or None,
        )

    def _correlation(self, matrix: SimilarityMatrix) -> Correlation | None:
        if self.setup.source == "sample":
            return None
        halves = [matrix.views[half] for half in HALVES if half in matrix.views]
        dev, test = self.systems.mean_transfer
        per_seed = [matrix for _, _, matrix in self.systems.per_seed]
        seed = derive(self.setup.seeds[0].seed, "resampling") % 2**32
        found = correlations(matrix.values, dev, test, per_seed, seed=seed, controls=self.controls)
        return found.model_copy(update={"reliability": reliability(*halves) if len(halves) == 2 else None})

    def _scores(self, row: Row) -> tuple[Scores, Intervals]:
        systems = self.systems
        scores = Scores(
            multilingual=systems.score(systems.multilingual),
            monolingual=systems.score(systems.monolingual),
            majority=systems.score(systems.majority),
        )
        grouped = systems.grouped(row.grouping) if row.grouping else None
        if grouped is None or row.grouping is None:
            return scores, Intervals()
        mean = systems.by_seed(grouped).mean()
        partitions = self.draws.get(row.grouping.structure, [])
        drawn = [one for one in map(systems.grouped, partitions) if one is not None] if row.asked else []
        random = None
        if drawn:
            means = np.array([systems.by_seed(one).mean() for one in drawn])
            random = RandomScore(
                mean=float(means.mean()),
                sd=float(means.std(ddof=1)) if len(means) > 1 else 0.0,
                draws=len(means),
                percentile=float(np.mean((means < mean) + 0.5 * (means == mean))),
            )
        scores = scores.model_copy(update={"grouped": systems.score(grouped), "random": random})
        return scores, Intervals(
            over_random=self._interval(grouped, drawn),
            over_multilingual=self._interval(grouped, [systems.multilingual]),
            over_monolingual=self._interval(grouped, [systems.monolingual]),
        )

    def _interval(self, grouped: System, others: Sequence[System | None]) -> GainIntervals:
        """Of the gain over the mean of other systems. A sample carries none."""
        known = [one for one in others if one is not None]
        if not known or self.setup.source == "sample":
            return GainIntervals()
        systems, sources = self.systems, self.setup.sources
        gains = systems.by_seed(grouped).mean(axis=1) - np.mean(
            [systems.by_seed(one).mean(axis=1) for one in known], axis=0
        )
        items = [
            (
                systems.counts(code, grouped[code]),
                systems.counts(code, np.concatenate([one[code] for one in known])),
            )
            for code in sources
        ]
        seed = derive(self.setup.seeds[0].seed, "resampling") % 2**32
        return GainIntervals(
            seeds=seed_interval([float(gain) for gain in gains]),
            items=item_interval(items, self.setup.spec.metric, seed=seed),
        )

    def _cost(self, row: Row) -> Cost:
        """What the measure's similarities and its groups' models took; scoring transfer is not in it."""
        setup, store = self.setup, self.setup.store
        jobs: dict[str, TrainJob] = {}
        readings: set[str] = set()
        for of in setup.seeds:
            for job in setup.read_jobs(of, row.readings):
                jobs[job.key] = job
                readings |= {reading.key(job.key) for reading in job.readings}
            readings |= {key for reading in row.readings for key in derived_keys(setup, of, reading)}
            wanted = [(code,) for code in setup.sources] if row.transfer else []
            for group in [*wanted, *(row.grouping.groups if row.grouping else [])]:
                job = setup.group(of, group)
                jobs[job.key] = job
        costs = [store.manifest(key)["cost"] for key in {*jobs, *readings} if store.has(key)]
        return Cost(
            trainings=sum(store.has(key) for key in jobs),
            seconds=float(round(sum(sorted(cost["seconds"] for cost in costs)), 3)),
            peak_memory_mb=float(round(max((cost["peak_memory_mb"] for cost in costs), default=0.0), 1)),
        )


def cells(matrix: NDArray[np.float64], digits: int = 17) -> Rows:
    """A matrix as JSON: nested lists, null for what is missing, so many significant digits (17: all)."""
    return [[None if np.isnan(value) else float(f"{value:.{digits}g}") for value in line] for line in matrix]
