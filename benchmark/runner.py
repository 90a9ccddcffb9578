"""A run: measures without trainings, stage 1, the other measures, groupings, stage 2, records."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmark.config import RunConfig
from benchmark.errors import UserError
from benchmark.executors import Executor, InProcess, Pool
from benchmark.grouping import GROUPINGS, affinity, objective, random_partitions
from benchmark.jobs import TrainJob
from benchmark.plan import Stage, plan, stage_one, stage_two
from benchmark.prepare import Setup, cores, materialise, prepare
from benchmark.progress import Progress, clock, say, shown
from benchmark.results import RecordMaker
from benchmark.rows import Row, Skipped, ask, rows
from benchmark.seeds import derive
from benchmark.systems import Systems
from leaderboard.records import Record, path_for, read, write_if_changed
from measures import TransferMatrix


@dataclass
class RunResult:
    """Records of this run, where they lie, and what went wrong on the way (one line each)."""

    records: list[Record] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    measure_failures: list[str] = field(default_factory=list)


def run(config: RunConfig) -> RunResult:
    """Do a run; what the store holds already is not done again.

    Raises:
        UserError: what was asked cannot be done; nothing is written then.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    measures, setup, systems = _prepared(config)
    _writable(config.output)
    result = RunResult()
    _ask(measures, setup, systems, result, trained=False)
    materialise(setup)
    readings = frozenset().union(*(row.readings for row in measures))
    _train("transfer", plan(stage_one(setup, readings), setup.store), setup, result)
    if not any(
        systems.predicted(setup.each(of, c), "test", c) is not None for of in setup.seeds for c in setup.sources
    ):
        raise UserError(f"every training failed; the first: {result.failures[0]}")
    _ask(measures, setup, systems, result, trained=True)
    measures = [row for row in measures if row.matrix is not None]
    draws: dict[tuple[int, ...], list[list[tuple[str, ...]]]] = {}
    if config.grouping is not None:
        _group(measures, setup)
        draws = _draw(measures, setup)
        wanted = [group for row in measures for group in row.groups or []]
        wanted += [group for partitions in draws.values() for one in partitions for group in one]
        _train("groups", plan(stage_two(setup, wanted), setup.store), setup, result)
    maker = RecordMaker(setup, systems, draws, config.command, started)
    for row in measures:
        record = maker.record(row)
        path = config.output / path_for(record)
        if not write_if_changed(record, path):
            record = read(path)
        result.records.append(record)
        result.paths.append(path)
    return result


def dry_run(config: RunConfig) -> tuple[Setup, Stage, Stage | None]:
    """What a run would do: stage 1, and stage 2 as far as it is known (not before stage 1 is done)."""
    measures, setup, systems = _prepared(config)
    readings = frozenset().union(*(row.readings for row in measures))
    one = plan(stage_one(setup, readings), setup.store)
    if one.todo or config.grouping is None:
        return setup, one, None
    _ask(measures, setup, systems, RunResult(), trained=False)
    _ask(measures, setup, systems, RunResult(), trained=True)
    _group(measures, setup)
    groups = [group for row in measures for group in row.groups or []]
    groups += [g for partitions in _draw(measures, setup).values() for one_ in partitions for g in one_]
    return setup, one, plan(stage_two(setup, groups), setup.store)


def _prepared(config: RunConfig) -> tuple[list[Row], Setup, Systems]:
    measures = rows(config.measures)
    if config.grouping is not None and config.grouping not in GROUPINGS:
        raise UserError(f"--grouping takes {' or '.join(GROUPINGS)}, found {config.grouping!r}")
    setup = prepare(config)
    for note in setup.notes:
        say(note)
    return measures, setup, Systems(setup)


def _writable(output: Path) -> None:
    made = [folder for folder in (output, *output.parents) if not folder.exists()]
    try:
        output.mkdir(parents=True, exist_ok=True)
        probe = output / f".write-{uuid.uuid4().hex}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(f"--output takes a folder that can be written, found {output}: {reason}") from error
    for folder in made:  # made again when there is something to put there
        folder.rmdir()


def _ask(measures: list[Row], setup: Setup, systems: Systems, result: RunResult, trained: bool) -> None:
    """Ask the measures that do, or do not, wait for trainings; a measure that fails harms no other."""

    def transfer() -> TransferMatrix:
        return TransferMatrix(setup.languages, systems.mean_transfer[0])

    for row in measures:
        if row.trains != trained:
            continue
        try:
            matrix = ask(row, setup, transfer)
        except UserError as error:
            row.error = str(error)
            if isinstance(error, Skipped):
                say(row.error)
            else:
                result.measure_failures.append(row.error)
            continue
        for note in matrix.notes if row.asked else ():
            say(f"{row.name}: {note}")
    if all(row.error is not None for row in measures if row.asked):
        raise UserError(next(row.error for row in measures if row.asked and row.error))


def _group(measures: list[Row], setup: Setup) -> None:
    places = [setup.codes.index(code) for code in setup.sources]
    grouping = GROUPINGS[str(setup.config.grouping)]
    for row in measures:
        if row.matrix is None:
            continue
        values = row.matrix.values[np.ix_(places, places)]
        pairs = affinity(values)
        if not pairs.any():
            if row.asked:
                say(f"{row.name}: no pair of languages stands out, so no groups follow")
            continue
        found = grouping(values, setup.k)
        row.groups = [tuple(sorted(setup.sources[i] for i in group)) for group in found]
        row.objective = float(objective(pairs, found))


def _draw(measures: list[Row], setup: Setup) -> dict[tuple[int, ...], list[list[tuple[str, ...]]]]:
    """Random partitions for each size profile of the measures that were asked for."""
    profiles = {_profile(row.groups) for row in measures if row.groups and row.asked}
    seed = derive(setup.seeds[0].seed, "random partitions")
    return {
        profile: [
            [tuple(sorted(setup.sources[i] for i in group)) for group in one]
            for one in random_partitions(profile, setup.draws, seed)
        ]
        for profile in sorted(profiles)
    }


def _profile(groups: Iterable[tuple[str, ...]]) -> tuple[int, ...]:
    return tuple(sorted(map(len, groups), reverse=True))


def _train(name: str, stage: Stage, setup: Setup, result: RunResult) -> None:
    cached = len(stage.jobs) - len(stage.todo)
    languages = f"{len(setup.languages)} languages"
    say(f"{name}: {len(stage.todo)} trainings to do, {cached} cached ({languages}, {setup.device})")
    if not stage.todo:
        return
    for job in stage.todo:
        setup.store.unreport(job.key)  # what a killed run left behind
    workers = setup.config.jobs or (cores() if setup.device == "cpu" else 1)
    executor: Executor = Pool(workers) if workers > 1 else InProcess()
    progress = Progress(name, stage.todo, {job.key: work(job, setup) for job in stage.todo}, setup.store)
    with shown(progress):
        for outcome in executor.map(stage.todo, setup.store):
            progress.done(outcome)
            if outcome.error:
                failure = f"training {outcome.job.label} (seed {outcome.job.seed}) failed: {outcome.error}"
                result.failures.append(failure)
                say(failure)
    done = progress.count - len(progress.out)
    say(f"{name}: {done} trainings done in {clock(progress.seconds)}")


def work(job: TrainJob, setup: Setup) -> float:
    """Relative work of a job, in examples trained on: scoring one costs about a third."""
    of = next(of for of in setup.seeds if of.seed == job.seed)
    trained = job.hyper.epochs * sum(len(of.train[code]) for code in job.languages)
    probed = sum(2 * plan.probes * plan.half_batch * len(plan.pools) for plan in job.readings)
    scored = sum(len((setup.dev if one.split == "dev" else setup.test)[one.language]) for one in job.evaluate)
    return trained + probed + scored / 3
