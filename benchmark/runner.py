"""A run: measures without trainings, stage 1, the other measures, groupings, stage 2, records."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from benchmark.config import RunConfig
from benchmark.devices import places
from benchmark.errors import UserError
from benchmark.executors import Executor, InProcess, Pool, side_by_side
from benchmark.groups import Draws, asked_groups, draw, every_group, group, recover
from benchmark.jobs import TrainJob
from benchmark.memory import estimate
from benchmark.plan import Stage, plan, stage_one, stage_two
from benchmark.prepare import materialise, prepare
from benchmark.progress import Progress, clock, say, shown
from benchmark.readings import TracePlan
from benchmark.results import RecordMaker
from benchmark.rows import Row, ask, check, rows, unknown
from benchmark.setup import Setup
from benchmark.systems import Systems
from leaderboard.records import JOINT, Record, path_for, read, write_if_changed
from measures import Reading, TransferMatrix
from tasks.languages import Language


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
    _writable(config.output)
    result = RunResult()
    measures, setup, systems = _prepared(config, result)
    _ask(measures, setup, systems, result, trained=False)
    materialise(setup)
    _train("transfer", plan(stage_one(setup, _readings(measures, setup)), setup.store), setup, result)
    if not any(
        systems.predicted(setup.each(of, c), "test", c) is not None for of in setup.seeds for c in setup.sources
    ):
        raise UserError(f"every training failed; the first: {result.failures[0]}")
    _ask(measures, setup, systems, result, trained=True)
    recover(measures, setup)
    draws: Draws = {}
    if config.grouping is not None:
        group(measures, setup)
        draws = draw(measures, setup)
    if config.grouping is not None or setup.others:
        _train(_second(setup), _stage_two(measures, draws, setup), setup, result)
    for record in _records(measures, setup, RecordMaker(setup, systems, measures, draws, config.command, started)):
        path = config.output / path_for(record)
        if not write_if_changed(record, path):
            record = read(path)
        result.records.append(record)
        result.paths.append(path)
    return result


def _readings(measures: list[Row], setup: Setup) -> frozenset[Reading]:
    return setup.starts.union(*(row.readings for row in measures))


def _stage_two(measures: list[Row], draws: Draws, setup: Setup) -> Stage:
    return plan(stage_two(setup, every_group(measures, draws), asked_groups(measures)), setup.store)


def _second(setup: Setup) -> str:
    """The name of stage 2."""
    return " and ".join(["groups"] * (setup.config.grouping is not None) + ["strategies"] * bool(setup.others))


def _records(measures: list[Row], setup: Setup, maker: RecordMaker) -> Iterator[Record]:
    """Each measure; the groups of those that were asked for under each strategy; each strategy by itself."""
    for row in measures:
        if row.matrix is not None or row.skipped:
            yield maker.record(row)
        if row.asked and row.grouping is not None:
            yield from (maker.record(row, strategy) for strategy in setup.others)
    if setup.others or setup.unseen:
        yield from map(maker.joint, setup.strategies)


def similarities(config: RunConfig, targets: Sequence[Language], result: RunResult) -> tuple[list[Row], Setup]:
    """The matrices and groups of the measures that are named, by no more trainings than these take.

    A measure that fails is a row without a matrix; ``result`` gets its error, and those of trainings.

    Raises:
        UserError: what was asked cannot be done, the data lacks a target, or no measure has an answer.
    """
    measures, setup, systems = _prepared(config, result, controls=False)
    missing = [one.code for one in targets if one not in setup.languages]
    if missing:
        raise UserError(
            f"{setup.task}: --target takes a language that the data ({setup.source}) has, "
            f"{', '.join(setup.codes)}, found {', '.join(missing)}"
        )
    _ask(measures, setup, systems, result, trained=False)
    if any(row.trains and row.error is None for row in measures):
        materialise(setup)
        jobs = _measured(measures, setup)
        if jobs:
            _train("similarities", plan(jobs, setup.store), setup, result)
        _ask(measures, setup, systems, result, trained=True)
    if config.grouping is not None:
        group(measures, setup)
    return measures, setup


def _measured(measures: list[Row], setup: Setup) -> list[TrainJob]:
    """The trainings that measures read, scored on nothing; those of transfer only if one looks at it."""
    readings = frozenset().union(*(row.readings for row in measures))
    jobs = [replace(job, evaluate=()) for of in setup.seeds for job in setup.read_jobs(of, readings)]
    if any(row.transfer and row.error is None for row in measures):
        jobs += [setup.each(of, code) for of in setup.seeds for code in setup.sources]
    return jobs


def dry_run(config: RunConfig) -> tuple[Setup, Stage, Stage | None]:
    """What a run would do: stage 1, and stage 2 as far as it is known (not before stage 1 is done)."""
    measures, setup, systems = _prepared(config, RunResult())
    one = plan(stage_one(setup, _readings(measures, setup)), setup.store)
    if config.grouping is None:
        return setup, one, _stage_two([], {}, setup) if setup.others else None
    if one.todo:
        return setup, one, None
    _ask(measures, setup, systems, RunResult(), trained=False)
    _ask(measures, setup, systems, RunResult(), trained=True)
    group(measures, setup)
    return setup, one, _stage_two(measures, draw(measures, setup), setup)


def _prepared(config: RunConfig, result: RunResult, controls: bool = True) -> tuple[list[Row], Setup, Systems]:
    measures, problems = rows(config.measures)
    if not controls:
        measures = [row for row in measures if row.asked]
    result.measure_failures += problems
    setup = prepare(config)
    for note in setup.notes:
        say(note)
    for row in measures:
        if row.called == JOINT:
            row.fail(UserError(f"the name {JOINT} is taken: it stands for one model of all languages"))
    check(measures, setup)
    _tell(measures, result, [])
    return measures, setup, Systems(setup)


def _tell(measures: list[Row], result: RunResult, before: list[Row]) -> None:
    """Say which measures have no answer, and go on as long as one that was asked for may have."""
    for row in measures:
        if row.error is None or row in before:
            continue
        if row.skipped:
            say(f"skipped: {row.error}{'' if row.asked else ' (a control)'}")
        else:
            result.measure_failures.append(row.error)
    if all(row.error is not None for row in measures if row.asked):
        raise UserError(next((row.error for row in measures if row.asked and row.error), "no measure is left"))


def _writable(output: Path) -> None:
    """See that the folder can be made, or written where it is there; nothing is left of that, even if killed."""
    try:
        there = next(folder for folder in (output, *output.absolute().parents) if folder.exists())
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(f"--output takes a folder that can be written, found {output}: {reason}") from error


def _ask(measures: list[Row], setup: Setup, systems: Systems, result: RunResult, trained: bool) -> None:
    """Ask the measures that do, or do not, wait for trainings; a measure that fails harms no other."""

    def transfer() -> TransferMatrix:
        return TransferMatrix(setup.languages, systems.mean_transfer[0])

    before = [row for row in measures if row.error is not None]
    for row in measures:
        if row.error is not None or row.trains != trained:
            continue
        try:
            matrix = ask(row, setup, transfer)
        except UserError:
            continue
        notes = [
            *matrix.notes,
            *([f"says nothing about {unknown(matrix):.0%} of the pairs"] * (unknown(matrix) > 0)),
        ]
        for note in notes if row.asked else ():
            say(f"{row.name}: {note}")
    _tell(measures, result, before)


def _train(name: str, stage: Stage, setup: Setup, result: RunResult) -> None:
    cached = len(stage.jobs) - len(stage.todo)
    languages = f"{len(setup.languages)} languages"
    say(f"{name}: {len(stage.todo)} trainings to do, {cached} cached ({languages}, {setup.device})")
    if not stage.todo:
        return
    for job in stage.todo:
        setup.store.unreport(job.key)  # what a killed run left behind
    workers = side_by_side(setup.config.jobs, setup.device)
    warning = estimate(setup, stage.todo, workers).warning
    if warning:
        say(warning)
    executor: Executor = Pool(workers, places(setup.device)) if workers > 1 else InProcess()
    progress = Progress(name, stage.todo, {job.key: work(job, setup) for job in stage.todo}, setup.store)
    with shown(progress):
        for outcome in executor.map(stage.todo, setup.store):
            progress.done(outcome)
            if outcome.error:
                failure = f"training {outcome.job.label} (seed {outcome.job.seed}) failed: {outcome.error}"
                result.failures.append(failure)
                say(failure)
            for reading in outcome.unread:
                result.failures.append(f"reading {reading}")
                say(result.failures[-1])
            for adaptation in outcome.unadapted:
                result.failures.append(f"adaptation to {adaptation}")
                say(result.failures[-1])
    done = progress.count - len(progress.out)
    say(f"{name}: {done} trainings done in {clock(progress.seconds)}")


def work(job: TrainJob, setup: Setup) -> float:
    """Relative work of a job, in examples that ``plain`` trains on: scoring one costs about a third."""
    of = next(of for of in setup.seeds if of.seed == job.seed)
    cost = next((one.cost for one in setup.strategies if one.name == job.strategy), 1.0)
    trained = cost * job.hyper.epochs * sum(len(of.train[code]) for code in job.languages)
    traces = (plan for plan in job.readings if isinstance(plan, TracePlan))
    probed = sum(2 * plan.probes * plan.half_batch * len(plan.pools) for plan in traces)
    scored = sum(len((setup.dev if one.split == "dev" else setup.test)[one.language]) for one in job.evaluate)
    tried = setup.unseen.test if setup.unseen else {}
    adapted = sum(job.hyper.epochs * one.k + len(tried[one.language]) / 3 for one in job.shots)
    return trained + probed + scored / 3 + adapted
