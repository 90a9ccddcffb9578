"""``validate``: check a task's data files, those of a person's own task first of all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from benchmark.data_report import Report, check_folder, check_task
from benchmark.data_warnings import Checked, commonest
from benchmark.errors import UserError
from benchmark.progress import say
from tasks.base import SPLITS, TaskSpec
from tasks.sources import expanded, one_line


def validate(
    task: Annotated[
        str, typer.Argument(help="A folder with task.yaml, as ./my-task, or a task with --data.", metavar="TASK")
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder with DIR/<task>/<language>/{train,dev,test}.tsv; or $KINSHIP_DATA.", envvar="KINSHIP_DATA"
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON on stdout, nothing else there.")
    ] = False,
) -> int:
    """Check the files of a task: everything that is wrong with them, then what to know of the data.

    Errors name the file, the line and the rule. Warnings are of test examples that are also in train, texts with
    different labels, rare labels, languages too small to measure, long texts. Exit code 1 where there are errors.

    \b
    Examples:
      python -m benchmark validate ./my-task
      python -m benchmark validate ./my-task --json
      python -m benchmark validate wikiann --data ./data
    """
    from benchmark.registry import create, entries, is_folder

    if is_folder(task):
        folder = expanded(task)
        if not folder.is_dir():
            raise UserError(f"validate takes a folder with task.yaml, found none at {task}")
        report = check_folder(folder)
        if report.spec is not None and report.spec.name in entries("tasks")[0]:
            taken = f"{folder / 'task.yaml'}: name: a name of the task's own is needed; found {report.spec.name!r}"
            report = replace(report, errors=(f"{taken}, which is taken", *report.errors))
    else:
        if task not in entries("tasks")[0] and (Path(task) / "task.yaml").is_file():
            raise UserError(f"a folder is written as a path, ./{task}, found {task!r}")
        made, _ = create("tasks", task)
        if data is None or not data.is_dir():
            found = "none given" if data is None else data
            raise UserError(f"{task} is checked in a folder, --data DIR (or $KINSHIP_DATA), found {found}")
        report = check_task(made, data)
    if as_json:
        print(json.dumps(report.json(), ensure_ascii=False, indent=2))
    else:
        print(printed(report), end="")
    errors, warned = len(report.errors), len(report.warnings)
    say(f"{task}: {_count(errors, 'error')}, {_count(warned, 'warning')}")
    return 1 if errors else 0


def printed(report: Report) -> str:
    """For a person: the table of languages, errors, warnings."""
    parts = []
    if report.spec is not None and report.languages:
        parts += [f"{report.spec.name}: {report.spec.kind}, {len(report.spec.labels)} labels, in {report.folder}"]
        parts += ["", _table(report.spec, report.languages), ""]
    parts += [f"✗ {one_line(error)}" for error in report.errors]
    if not report.errors:
        parts.append("✓ nothing is wrong with the files")
    parts += [f"! {one_line(warning)}" for warning in report.warnings]
    return "\n".join([*parts, ""])


def _table(spec: TaskSpec, languages: Sequence[Checked]) -> str:
    from tabulate import tabulate

    headers = ["language", *SPLITS, "dev in train", "test in train", "repeated", "conflicts", "commonest label"]
    rows = [_row(spec, one) for one in languages]
    sides = ("left", *7 * ("right",), "left")
    return str(tabulate(rows, headers, tablefmt="simple", disable_numparse=True, colalign=sides))


def _row(spec: TaskSpec, one: Checked) -> list[str]:
    sizes = [f"{one.splits[split].examples}" if split in one.splits else "–" for split in SPLITS]
    sizes = [
        f"{size} (errors)" if split in one.broken else size for size, split in zip(sizes, SPLITS, strict=True)
    ]
    copies = [f"{one.splits[split].in_train}" if split in one.splits else "–" for split in SPLITS[1:]]
    known = one.splits.values()
    largest = max(known, key=lambda each: each.examples, default=None)
    return [
        f"{one.code} {one.name}",
        *sizes,
        *copies,
        str(sum(each.repeated for each in known)),
        str(sum(each.conflicting for each in known)),
        commonest(spec, largest) if largest and largest.examples else "–",
    ]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
