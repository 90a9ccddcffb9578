"""``prepare``: fetch all that a run needs, then open it as a run without network will."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark import options
from benchmark.config import PRESETS, SCRATCH
from benchmark.errors import UserError
from benchmark.progress import say

if TYPE_CHECKING:
    from benchmark.ready_checks import Readiness
    from benchmark.rows import Row


def prepare(
    task: options.TaskName,
    model: options.ModelName = None,
    measure: Annotated[
        list[str] | None,
        typer.Option("--measure", "-m", help="Measure whose own models are fetched too; may be repeated."),
    ] = None,
    languages: options.Languages = None,
    data: options.Data = None,
    preset: options.PresetName = options.Preset["quick"],
    cache: options.Cache = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON on stdout, nothing else.")
    ] = False,
    debug: options.Debug = False,
) -> int:
    """Fetch and verify all that a run needs, so that it goes without network by --offline.

    The task's data, the model, and models that measures ask for. Then everything is opened once more without
    network, every example is read, and what lies where is printed. Exit code 1 where something is missing or
    broken, or the data would be a sample.

    \b
    Examples:
      python -m benchmark prepare --task afrisenti
      python -m benchmark prepare -t wikiann --languages all --model FacebookAI/xlm-roberta-base
      python -m benchmark prepare -t xnli -m "embedding[model=sentence-transformers/LaBSE]" --preset paper
    """
    from benchmark.ready_checks import Readiness, check_data, check_model
    from benchmark.registry import create
    from benchmark.store import Store

    root = options.cache_of(cache)
    chosen, _ = create("tasks", task)
    name = model or PRESETS[str(preset.value)].model or chosen.spec.paper_model
    measures = _measures(measure or ())
    found = Readiness(chosen.spec.name, str(Store.at(root).root))
    check_data(found, chosen, options.languages_of(languages), options.data_of(data), root)
    if name != SCRATCH:
        check_model(found, "model", name, words=chosen.spec.kind == "tagged")
    for row in measures:
        _check_measure(found, row)
    if as_json:
        print(json.dumps(found.json(), ensure_ascii=False))
    else:
        print(printed(found, name), end="")
    for note in found.notes:
        say(note)
    for problem in found.problems:
        say(f"error: {problem}")
    if found.problems:
        say(f"not ready: {len(found.problems)} problem{'s' * (len(found.problems) != 1)}")
        return 1
    say(f"ready: a run with --offline needs no network (the same --cache: {found.cache})")
    return 0


def _measures(asked: Sequence[str]) -> list[Row]:
    from benchmark.rows import rows

    found, problems = rows(asked)
    if problems:
        raise UserError(problems[0])
    return [row for row in found if row.asked]


def _check_measure(found: Readiness, row: Row) -> None:
    """Packages and models of a measure, and of those that it builds on."""
    from importlib import metadata

    from benchmark.ready_checks import check_model

    for package in row.needs.packages:
        try:
            metadata.distribution(package)
        except metadata.PackageNotFoundError:
            found.problem(
                f"{row.name}: needs the package {package}, which is not installed (pip install {package})"
            )
    for reading in sorted(row.needs.readings, key=repr):
        if "model" in dict(reading.params):
            check_model(found, row.name, str(dict(reading.params)["model"]), sentence=True)
    for other in row.others.values():
        _check_measure(found, other)


def printed(found: Readiness, model: str) -> str:
    """For a person: how many examples there are, and what lies where."""
    from tabulate import tabulate

    lines = [f"{found.task}: {found.said}"]
    if found.counts:
        rows = [[code, found.names[code], *counts.values()] for code, counts in found.counts.items()]
        lines += ["", tabulate(rows, ["code", "language", "train", "dev", "test"], tablefmt="simple"), ""]
    for place in found.places:
        revision = f" at {place.revision}" if place.revision else ""
        lines.append(f"{place.what}: {place.name}{revision}")
        lines.append(f"  {place.files} files, {size(place.bytes)}, in {place.where}")
    if model == SCRATCH:
        lines.append("model: scratch, which is made from the run's own texts")
    return "\n".join(lines) + "\n"


def size(number: int) -> str:
    """``3.2 MB``."""
    value = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
