"""Records: one per measure, put together from systems, statistics and the store's manifests."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.config import AUTO
from benchmark.derived import derived_keys
from benchmark.gains import Draws, Gains
from benchmark.jobs import TrainJob
from benchmark.obvious import obvious
from benchmark.progress import say
from benchmark.provenance import git_commit, versions
from benchmark.rows import Row
from benchmark.seeds import canonical, derive, digest
from benchmark.setup import Setup
from benchmark.shots import VERSION
from benchmark.strategies import PLAIN, Chosen
from benchmark.systems import Systems
from leaderboard.records import (
    JOINT,
    Correlation,
    Cost,
    Data,
    Provenance,
    Record,
    Recovery,
    Rows,
    SeedTransfer,
    Shot,
    Similarity,
    Transfer,
)
from leaderboard.statistics import correlations, reliability
from measures import SimilarityMatrix
from measures.trace import HALVES

RECORDED = 100_000  # characters that a record keeps of what a strategy tells of one training


class RecordMaker:
    """Makes the records of one run; what all of them share is computed once."""

    def __init__(
        self, setup: Setup, systems: Systems, measures: Sequence[Row], draws: Draws, command: str, started: str
    ) -> None:
        self.setup, self.systems = setup, systems
        self.gains = Gains(setup, systems, draws)
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
        unseen: dict[str, Any] = {}
        if setup.unseen:
            unseen["unseen"] = {
                "languages": [language.code for language in setup.unseen.languages],
                "shots": list(setup.unseen.sizes),
                "data": setup.unseen.fingerprint,
                "version": VERSION,  # of the adaptation
                "test_size": {code: len(rows) for code, rows in setup.unseen.test.items()},
            }
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
            "grouping": {"name": config.grouping, "k": setup.k or AUTO, "draws": setup.draws} if grouped else None,
            "seeds": [of.seed for of in setup.seeds],
            "train_size": {code: len(setup.seeds[0].train[code]) for code in setup.sources},
            "test_size": {code: len(rows) for code, rows in setup.test.items()},
            "probe_share": config.probe_share,
            **unseen,
        }

    def record(self, row: Row, strategy: Chosen = PLAIN) -> Record:
        """The record of a measure that has its matrix (and its groups, unless there are none), or was skipped."""
        scores, intervals = self.gains.of(row, strategy)
        grouping = row.grouping
        families = self.setup.spec.families
        return self._record(
            measure=row.called,
            measure_params=row.params,
            access=row.measure.access,
            strategy=strategy.name,
            groups=None if grouping is None else [list(group) for group in grouping.groups],
            served=dict(grouping.served) if grouping and grouping.overlaps else None,
            objective=row.objective,
            objective_gain=self.gains.foreseen(row) if strategy == PLAIN else None,
            recovery=Recovery(adjusted_rand=row.recovery) if families and row.matrix is not None else None,
            skipped=row.error if row.skipped else None,
            similarity=self._similarity(row),
            scores=scores,
            intervals=intervals,
            correlation=None if row.matrix is None else self._correlation(row.matrix),
            cost=self._cost(row, strategy),
        )

    def joint(self, strategy: Chosen) -> Record:
        """The record of a strategy by itself: one model of all languages, without a measure. What scoring and
        adapting it cost is not in it."""
        setup = self.setup
        scores, intervals = self.gains.of_joint(strategy)
        jobs = {of.seed: setup.joint(of, strategy=strategy) for of in setup.seeds}
        shots: dict[str, dict[str, Shot]] = {}
        for (code, k), values in self.systems.adapted(strategy).items():
            shots.setdefault(code, {})[str(k)] = Shot(scores=values, mean=float(np.mean(values)))
        masks = {key for job in jobs.values() for _, key in job.masks}
        return self._record(
            measure=JOINT,
            measure_params={},
            access="none",
            strategy=strategy.name,
            groups=[sorted(setup.sources)],
            objective=None,
            similarity=Similarity(matrix=_nothing(len(setup.codes)), symmetric=True),
            scores=scores,
            intervals=intervals,
            correlation=None,
            cost=self._cost_of(self._trainings(setup.sources, strategy), masks),
            training=self._told(jobs) or None,
            shots=shots or None,
        )

    def _record(self, **own: Any) -> Record:
        """A record with what is the same in all of a run."""
        setup = self.setup
        return Record(
            **own,
            task=setup.task,
            languages=list(setup.codes),
            transfer=self.transfer,
            data=Data(
                source=setup.source,
                fingerprint=setup.data_fingerprint,
                train_size={code: len(rows) for code, rows in setup.seeds[0].train.items()},
                test_size={code: len(rows) for code, rows in setup.test.items()},
            ),
            protocol_id=digest(self.protocol)[:12],
            protocol=self.protocol,
            provenance=self.provenance,
        )

    def _similarity(self, row: Row) -> Similarity:
        matrix = row.matrix
        if matrix is None:
            return Similarity(matrix=_nothing(len(self.setup.codes)), symmetric=row.measure.symmetric)
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

    def _told(self, jobs: Mapping[int, TrainJob]) -> dict[str, Any]:
        """What a strategy told of its trainings, by seed; and how far its masks come out the same again."""
        found = {}
        again = self._again(jobs)
        for seed, job in jobs.items():
            if not self.setup.store.has(job.key):
                continue
            history = json.loads((self.setup.store.path(job.key) / "history.json").read_text("utf8"))
            told = plain_json((history.get("strategy") or {}) | again.get(seed, {}))
            size = len(canonical(told))
            if size > RECORDED:
                say(f"{job.label}: what it tells is left out of the record, {size} characters, at most {RECORDED}")
            elif told:
                found[str(seed)] = told
        return found

    def _again(self, jobs: Mapping[int, TrainJob]) -> dict[int, dict[str, Any]]:
        """Of trainings that keep masks, by seed: these against those under the next seed, the last's the first."""
        from benchmark.training.subnet_analysis import against_another_seed
        from benchmark.training.subnet_masks import stored

        store = self.setup.store
        each = {seed: stored(store.path(job.key)) for seed, job in jobs.items() if store.has(job.key)}
        kept = {seed: masks for seed, masks in each.items() if len(masks) > 1}
        following = [*kept][1:] + [*kept][:1]
        if len(kept) < 2:
            return {}
        return {
            seed: {"again": against_another_seed(masks, kept[other])}
            for (seed, masks), other in zip(kept.items(), following, strict=True)
        }

    def _cost(self, row: Row, strategy: Chosen) -> Cost:
        """What the measure's similarities and its groups' models took; scoring transfer is not in it."""
        setup = self.setup
        jobs: dict[str, TrainJob] = {}
        readings: set[str] = set()
        for of in setup.seeds:
            for job in setup.read_jobs(of, row.readings):
                jobs[job.key] = job
                readings |= {reading.key(job.key) for reading in job.readings}
            readings |= {key for reading in row.readings for key in derived_keys(setup, of, reading)}
        wanted = [(code,) for code in setup.sources] if row.transfer else []
        for group in [*wanted, *(row.grouping.groups if row.grouping else [])]:
            jobs |= self._trainings(group, strategy)
        readings |= {key for job in jobs.values() for _, key in job.masks}
        return self._cost_of(jobs, readings)

    def _trainings(self, group: Sequence[str], strategy: Chosen) -> dict[str, TrainJob]:
        """By key, of all seeds: the training of a group, and those whose masks it starts from."""
        jobs = [self.setup.group(of, group, strategy) for of in self.setup.seeds]
        if strategy.masks is not None and len(group) > 1:
            jobs += [self.setup.carrier(of, strategy.masks, code) for of in self.setup.seeds for code in group]
        return {job.key: job for job in jobs}

    def _cost_of(self, jobs: Collection[str], readings: Collection[str]) -> Cost:
        """Of trainings and readings, by key."""
        store = self.setup.store
        costs = [store.manifest(key)["cost"] for key in {*jobs, *readings} if store.has(key)]
        return Cost(
            trainings=sum(store.has(key) for key in jobs),
            seconds=float(round(sum(sorted(cost["seconds"] for cost in costs)), 3)),
            peak_memory_mb=float(round(max((cost["peak_memory_mb"] for cost in costs), default=0.0), 1)),
            micro_batch=min((cost["micro_batch"] for cost in costs if cost.get("micro_batch")), default=None),
        )


def plain_json(value: Any) -> Any:
    """JSON as a record can hold it: six digits, null for what is not finite."""
    if isinstance(value, dict):
        return {name: plain_json(one) for name, one in value.items()}
    if isinstance(value, list):
        return [plain_json(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value


def _nothing(languages: int) -> Rows:
    return cells(np.full((languages, languages), np.nan))


def cells(matrix: NDArray[np.float64], digits: int = 17) -> Rows:
    """A matrix as JSON: nested lists, null for what is missing, so many significant digits (17: all)."""
    return [[None if np.isnan(value) else float(f"{value:.{digits}g}") for value in line] for line in matrix]
