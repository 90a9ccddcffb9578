"""``recommend``: which languages to train a language with, in order, and how far to trust that."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark import options
from benchmark.config import RunConfig
from benchmark.errors import UserError
from benchmark.progress import say

if TYPE_CHECKING:
    from benchmark.recommendation import Recommendation, Suggestion


def recommend(
    task: options.TaskName,
    target: Annotated[
        str, typer.Option(help="The language to find sources for, as swh; or several, as swh,hau.", metavar="CODE")
    ],
    measure: Annotated[
        list[str] | None,
        typer.Option(
            "--measure",
            "-m",
            help="Measure, as gradsim (default) or overlap[unit=chars]; may be repeated: the first one ranks.",
        ),
    ] = None,
    languages: options.Languages = None,
    data: options.Data = None,
    preset: options.PresetName = options.Preset["quick"],
    model: options.ModelName = None,
    groups: options.Groups = None,
    grouping: options.GroupingRule = options.Grouping["partition"],
    seed: options.Seed = None,
    seeds: options.Seeds = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    lr: options.LearningRate = None,
    max_length: options.MaxLength = None,
    max_train: options.MaxTrain = None,
    max_eval: options.MaxEval = None,
    patience: options.Patience = None,
    precision: options.PrecisionName = None,
    probe_share: options.ProbeShare = RunConfig.probe_share,
    device: options.Device = "auto",
    jobs: options.Jobs = None,
    offline: options.Offline = False,
    results: Annotated[
        Path, typer.Option(help="Folder with records, which say how well measures foretold transfer.")
    ] = Path("results"),
    cache: options.Cache = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON on stdout, the grouping too, nothing else.")
    ] = False,
    debug: options.Debug = False,
) -> int:
    """Say which languages to train a language with, in order, and what speaks for it.

    Computes the measure's similarities, by no more trainings than it needs itself, and orders the other languages
    by S[source, target]. Beside them: the groups that follow, how well the measure foretold transfer where that
    was measured, and the transfer that was measured, both from records. Writes no record.

    \b
    Examples:
      python -m benchmark recommend --task afrisenti --target swh
      python -m benchmark recommend -t cldr-names --target nld,por -m gradsim -m "overlap[unit=chars]"
      python -m benchmark recommend -t ./my-task --target swh --groups auto --json
    """
    from benchmark.recommendation import recommendation, with_targets

    targets = options.list_of(target)
    if not targets:
        raise UserError(f"--target takes a language code, or several separated by commas, found {target!r}")
    config = RunConfig(
        measures=tuple(measure or ("gradsim",)),
        task=task,
        languages=options.languages_of(languages),
        preset=str(preset.value),
        model=model,
        seeds=options.seeds_of(seed, seeds),
        groups=options.groups_of(groups),
        grouping=grouping.value,
        max_train=max_train,
        max_eval=max_eval,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        max_length=max_length,
        precision=precision.value if precision else None,
        patience=patience,
        probe_share=probe_share,
        device=device,
        jobs=jobs,
        data=options.data_of(data),
        offline=offline,
        output=results,
        cache=options.cache_of(cache),
        command=shlex.join(["python", "-m", "benchmark", *sys.argv[1:]]),
    )
    config, wanted = with_targets(config, targets)
    found = recommendation(config, wanted)
    for warning in found.warnings:
        say(f"warning: {warning}")
    if as_json:
        print(json.dumps(found.json(), ensure_ascii=False))
    else:
        print(printed(found), end="")
    if found.sample:
        say(_sampled(found))
    for line in (*found.result.measure_failures, *found.result.failures):
        say(f"error: {line}")
    return 2 if found.result.measure_failures else 1 if found.result.failures else 0


def printed(found: Recommendation) -> str:
    """For a person: a table for each target, the groups, and how far to trust it."""
    setup = found.setup
    seeds = ", ".join(str(of.seed) for of in setup.seeds)
    parts = [
        f"{setup.task}, data {setup.source}, {len(setup.codes)} languages, model {setup.seeds[0].model.name}, "
        f"seed{'s' * (len(setup.seeds) != 1)} {seeds}"
    ]
    if found.sample:
        parts.append(_sampled(found))
    parts += [_target(found, target) for target in found.targets]
    parts.append("\n".join(_groups(found)))
    if not found.sample:
        parts.append("\n".join(_trust(found)))
    return "\n\n".join(parts) + "\n"


def _sampled(found: Recommendation) -> str:
    return (
        "SAMPLE: this is no recommendation. A sample recommends nothing: its sentences are made from a "
        f"phrasebook, and likeness between them says nothing about {found.setup.task}."
    )


def _target(found: Recommendation, target: str) -> str:
    from tabulate import tabulate

    several = len(found.rows) > 1
    suggestions = found.suggestions(target)
    covered = [row for row in found.rows if {one.coverage[row.name] for one in suggestions} - {None, 1.0}]
    headers = ["rank", "code", "language", *([row.name for row in found.rows] if several else ["similarity"])]
    headers += [f"coverage{f' ({row.name})' if several else ''}" for row in covered] + ["examples"]
    group = found.group_of(target)
    headers += ["in its group"] * (group is not None) + ["transfer"] * (found.transfer is not None)
    lines = []
    for one in suggestions:
        line = ["–" if one.rank is None else str(one.rank), one.language.code, one.language.name]
        line += [_number(one.similarity[row.name]) for row in found.rows]
        line += [_percent(one.coverage[row.name]) for row in covered] + [str(one.examples)]
        line += ["yes" if one.language.code in (group or ()) else "no"] * (group is not None)
        line += [_points(one.transfer)] * (found.transfer is not None)
        lines.append(line)
    title = f"sources for {target} ({found.name(target)}), by {found.rows[0].name}"
    table = tabulate(lines, headers, tablefmt="simple", disable_numparse=True)
    notes = _notes(found, target, suggestions)
    return "\n".join([f"{title}\n", table, *([""] * bool(notes)), *notes])


def _notes(found: Recommendation, target: str, suggestions: Sequence[Suggestion]) -> list[str]:
    notes = []
    unknown = sum(one.rank is None for one in suggestions)
    if unknown:
        notes.append(f"{found.rows[0].name} says nothing about {unknown} of {len(suggestions)} sources: no rank.")
    if found.transfer is not None and not found.sample:
        own = found.transfer.transfer(target, target)
        trained = "" if own is None else f"; {target}'s own model scores {_points(own)}"
        notes.append(
            f"transfer: measured zero-shot {found.metric} × 100 on {target} of a model trained on the source alone"
            f"{trained} ({found.transfer.said}; {found.transfer.path})"
        )
    return notes


def _groups(found: Recommendation) -> list[str]:
    lines = []
    for row in found.rows:
        if row.grouping is None:
            lines.append(f"groups by {row.name}: none, as no pair of languages stands out")
            continue
        groups = " | ".join(" ".join(group) for group in row.grouping.groups)
        lines.append(f"groups by {row.name} (K = {len(row.grouping.groups)}): {groups}")
    first = found.rows[0]
    for target in found.targets:
        if target not in found.setup.sources:
            lines.append(f"{target} has no training data: groups are of languages that have some")
        elif first.grouping and first.grouping.overlaps:
            lines.append(f"{target} is served by {' '.join(found.group_of(target) or ())}")
    return lines


def _trust(found: Recommendation) -> list[str]:
    from benchmark.trust import to_be_run

    lines = ["how far to trust it:"]
    for row in found.rows:
        records = found.trust(row.name)
        for one in records:
            assert one.record.correlation is not None
            value = one.record.correlation.centred_per_target_spearman
            interval = one.record.correlation.centred_per_target_spearman_ci95
            if value is None or interval is None:
                lines.append(f"  {row.name}: a record without a correlation ({one.said}; {one.path})")
                continue
            low, high = interval
            vague = "; its interval includes 0, so it may foretell nothing" if low <= 0 <= high else ""
            lines.append(
                f"  {row.name}: foretold transfer with a centred rank correlation per target of {value:.2f} "
                f"[{low:.2f}, {high:.2f}]{vague} ({one.said}; {one.path})"
            )
        if not records:
            lines.append(
                f"  no record in {_folder(found.config.output)} says how well {row.name} foretells transfer on "
                f"{found.setup.task}: run {to_be_run(found.config, row.name)}"
            )
    return lines


def _folder(path: Path) -> str:
    return f"{path.as_posix().rstrip('/')}/"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
