"""What a person reads: tables and records on stdout, everything else on stderr."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
from pathlib import Path
from typing import Any, cast, get_args

from benchmark.config import RunConfig
from benchmark.errors import UserError, did_you_mean
from benchmark.foreign import foreign, said
from benchmark.jobs import missing, unadapted
from benchmark.progress import say
from benchmark.readings import ReadingPlan, TracePlan, repeated
from benchmark.registry import Entry, Kind, create, describe, entries, find, is_folder, one_of, parameters, parse
from benchmark.setup import Setup
from measures import Reading


def print_result(config: RunConfig, as_json: bool) -> int:
    """Do a run, rebuild the leaderboard, print the run's table (or records); the exit code."""
    from benchmark.runner import run
    from leaderboard.board import rebuild
    from leaderboard.formats import plain

    result = run(config)
    board = rebuild(config.output)
    for warning in board.warnings:
        say(warning)
    if as_json:
        print(json.dumps([record.model_dump(mode="json") for record in result.records], ensure_ascii=False))
    else:
        mine = {(record.task, record.protocol_id) for record in result.records}
        for table in board.tables:
            if (table.task, table.protocol_id) in mine:
                print(plain(table))
    for line in (*result.measure_failures, *result.failures):
        say(f"error: {line}")
    say(
        f"{len(result.records)} records under {result.paths[0].parent}, "
        f"the leaderboard in {config.output / 'leaderboard.md'} and index.html"
    )
    return 2 if result.measure_failures else 1 if result.failures else 0


def print_plan(config: RunConfig) -> None:
    """What a run would train, and what is cached."""
    from benchmark.config import SCRATCH
    from benchmark.executors import side_by_side
    from benchmark.memory import estimate
    from benchmark.runner import dry_run

    setup, one, two = dry_run(config)
    store = setup.store
    print(
        f"{setup.task} from {setup.source}: {len(setup.sources)} languages to train on "
        f"({', '.join(setup.sources)}), {len(setup.languages) - len(setup.sources)} as targets only; "
        f"model {setup.seeds[0].model.name}, {setup.device}, {setup.precision}"
    )
    stages = [("transfer", one)] + ([("groups and strategies", two)] if two else [])
    for name, stage in stages:
        print(f"\n{name}: {len(stage.todo)} of {len(stage.jobs)} trainings to do")
        for job in stage.todo:
            train, readings, sets = missing(job, store)
            parts = ["train"] * train + [f"read {r.kind}{_probes(r)}" for r in readings]
            parts += [f"score on {len(sets)} sets"] * bool(sets)
            few = len(unadapted(job, store))
            parts += [f"adapt {few} times"] * bool(few)
            print(f"  {job.label} (seed {job.seed}): {', '.join(parts)}")
    todo = [job for _, stage in stages for job in stage.todo]
    if todo:
        needed = estimate(setup, todo, side_by_side(config.jobs, setup.device))
        print(f"\n{needed.line()}")
        if needed.warning:
            say(needed.warning)
    if two is None and config.grouping is not None:
        print(f"\ngroups: known when the similarities are; {_expected(setup)}")
    if setup.seeds[0].model.name == SCRATCH:
        print(
            "\nA scratch model is built from the run's own texts: another set of languages trains everything anew."
        )


def _probes(reading: ReadingPlan) -> str:
    return f" at {reading.probes} probes" if isinstance(reading, TracePlan) else ""


def _expected(setup: Setup) -> str:
    if setup.k is None:
        return f"as many as each measure speaks for, and {setup.draws} random partitions of the same sizes"
    seeds, others = len(setup.seeds), len(setup.strategies) - 1
    told = (
        f"{setup.k} groups a measure, and at most {seeds * setup.k * (1 + setup.draws)} trainings for one measure "
        f"with its {setup.draws} random partitions"
    )
    more = f"; for each other strategy one for all languages and {setup.k} a measure, {seeds} times"
    return told + more * bool(others)


def print_list(kinds: list[str]) -> None:
    """Names with one line each; plugins say where they come from."""
    for place, kind in enumerate(kinds):
        if len(kinds) > 1:
            print(("\n" if place else "") + kind)
        known, claimed = entries(cast(Kind, kind))
        problems = list(claimed.values())
        width = max(map(len, known))
        for entry in known.values():
            origin = "" if entry.distribution == "kinship-bench" else f" ({entry.distribution})"
            try:
                print(f"  {entry.name:<{width}}  {_summary(entry, cast(Kind, kind))}{origin}")
            except UserError as error:
                problems.append(str(error))
        for problem in problems:
            say(f"warning: {problem}")


def _summary(entry: Entry, kind: Kind) -> str:
    with foreign(lambda error: f"{entry.name!r} from {entry.distribution} cannot be shown: {said(error)}"):
        if kind == "strategies":
            return _documented(entry)
        return (inspect.getdoc(entry.load()) or "").split("\n")[0]


def _documented(entry: Entry) -> str:
    """The first line of a class's docstring, read from its file: importing a strategy imports torch."""
    found = importlib.util.find_spec(entry.point.module)
    tree = ast.parse(Path(found.origin).read_bytes()) if found and found.origin else ast.Module([], [])
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if entry.point.attr not in classes:
        return (inspect.getdoc(entry.load()) or "").split("\n")[0]
    return (ast.get_docstring(classes[entry.point.attr]) or "").split("\n")[0]


def print_one(spec: str) -> None:
    """All there is to know of one measure or task."""
    if is_folder(spec):
        task, _ = create("tasks", spec)
        print(f"{task.spec.name} (task, {spec})\n")
        return _print_task(task)
    name, _ = parse(spec)
    known: dict[Kind, dict[str, Entry]] = {kind: entries(kind)[0] for kind in get_args(Kind)}
    kinds = [kind for kind, names in known.items() if name in names]
    if not kinds:
        names = [each for of in known.values() for each in of]
        raise UserError(
            f"unknown measure, task or strategy {name!r}{did_you_mean(name, names)}; known: {', '.join(names)}"
        )
    for kind in kinds:
        found, _ = create(kind, spec)
        entry = known[kind][name]
        print(f"{name} ({one_of(kind)}, {entry.distribution})\n\n{inspect.getdoc(type(found)) or ''}\n")
        if kind == "measures":
            needs = _needs(found, name)
            print(f"access: {found.access}    symmetric: {'yes' if found.symmetric else 'no'}")
            wants = [_wanted(reading) for reading in sorted(needs.readings, key=repr)]
            wants += [f"the matrix of {other}" for other in needs.measures]
            wants += ["transfer on dev"] * needs.transfer + list(needs.packages)
            print(f"needs: {', '.join(wants) or 'the texts alone'}")
        elif kind == "tasks":
            _print_task(found)
        else:
            wants = [_wanted(reading) for reading in sorted(_needs(found, name), key=repr)]
            print(f"needs: {', '.join(wants) or 'nothing but the training itself'}")
        accepted = parameters(type(found))
        if accepted:
            print("\nparameters:")
        for one in accepted.values():
            default = "none" if one.default in (None, "", inspect.Parameter.empty) else one.default
            print(f"  {one.name}={describe(one.annotation)} (default {default})")


def _needs(found: Any, name: str) -> Any:
    with foreign(lambda error: f"{name}: {said(error) or type(error).__name__}"):
        return found.needs()


def _wanted(reading: Reading) -> str:
    if "model" in dict(reading.params):
        return f"{reading.kind} by {dict(reading.params)['model']}"
    of = {"initial": "the untrained model", "joint": "the joint training", "each": "each language's own training"}
    return f"{reading.kind} of {of[reading.of]}{', repeated under another seed' * repeated(reading)}"


def _print_task(task: Any) -> None:
    spec = task.spec
    print(f"{spec.description}\n")
    print(
        f"kind: {spec.kind}    labels: {', '.join(spec.labels)}    "
        f"metric: {spec.metric}    version: {spec.version}"
    )
    print(f"licence: {spec.licence}\nhomepage: {spec.homepage}\ncite: {spec.citation}\n")
    default = task.default_languages()
    print(f"default languages ({len(default)}): {', '.join(map(str, default))}")
    everything = task.languages()
    only = task.targets_only()
    print(f"all languages ({len(everything)}): " + ", ".join(f"{one} {one.name}" for one in everything))
    if only:
        print(f"targets only (no training data): {', '.join(sorted(map(str, only)))}")


def print_check(spec: str) -> int:
    """Put a measure or a strategy through its conformance suite, a line for each check; 1 if any failed.

    Where both have the name, both are checked, but for what lacks a parameter that is given.
    """
    from benchmark.check import check
    from benchmark.check_strategy import check_strategy

    suites: dict[Kind, Any] = {"measures": check, "strategies": check_strategy}
    name, given = parse(spec)
    known = {kind: entries(kind)[0] for kind in suites}
    kinds = [kind for kind, names in known.items() if name in names]
    if not kinds:
        names = [each for of in known.values() for each in of]
        raise UserError(
            f"unknown measure or strategy {name!r}{did_you_mean(name, names)}; known: {', '.join(names)}"
        )
    made, refused = {}, []
    for kind in kinds:
        try:
            made[kind] = create(kind, spec)[0] if given else find(kind, name).load()
        except UserError as error:
            refused.append(error)
    if refused and not (given and made):
        raise refused[0]
    failed = 0
    for kind, one in made.items():
        if len(kinds) > 1:
            print(f"{name} ({one_of(kind)}, {known[kind][name].distribution})")
        for finding in suites[kind](one, name):
            mark = {True: "✓", False: "✗", None: "–"}[finding.passed]
            print(f"{mark} {finding.name:<13}  {finding.said}", flush=True)
            failed += finding.passed is False
    say(f"{spec}: {failed} failed" if failed else f"{spec}: nothing failed")
    return 1 if failed else 0
