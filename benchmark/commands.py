"""Commands that read results folders: leaderboard, plot, compare."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.errors import UserError, did_you_mean
from benchmark.progress import say

if TYPE_CHECKING:
    from leaderboard.board import Board
    from leaderboard.differences import Choice, Number
    from leaderboard.merge import Merged
    from leaderboard.records import Record

Key = tuple[str, str]  # task and protocol: one table


class Format(StrEnum):
    """Of tables."""

    plain = "plain"
    markdown = "markdown"
    latex = "latex"
    csv = "csv"
    json = "json"


class Drawing(StrEnum):
    """What ``plot`` can draw."""

    heatmaps = "heatmaps"
    scatter = "scatter"
    dendrogram = "dendrogram"
    gains = "gains"
    views = "views"
    along = "along"
    cosines = "cosines"
    masks = "masks"
    agreement = "agreement"
    all = "all"


Output = Annotated[Path, typer.Option(help="Folder with records.")]
Task = Annotated[str | None, typer.Option("--task", "-t", help="Task, where the folder has several.")]
Protocol = Annotated[
    str | None,
    typer.Option(help="Protocol (its first letters will do), where the task has several.", metavar="ID"),
]


def leaderboard(
    output: Annotated[Path, typer.Option(help="Folder with records, where the tables are written.")] = Path(
        "results"
    ),
    others: Annotated[
        list[Path] | None,
        typer.Option("--from", help="Another results folder, to be counted too; may be repeated.", metavar="DIR"),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How to print the tables.")] = Format.plain,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Write nothing; exit code 1 where the tables do not follow from the records."
        ),
    ] = False,
) -> int:
    """Rebuild leaderboard.md, .csv and .json from the records alone, and print the tables.

    A record that several folders have is counted once. Where two of one measure and protocol differ, the one
    that knows more is kept (not skipped, more values), else that of the first folder; a line says so.

    \b
    Examples:
      python -m benchmark leaderboard
      python -m benchmark leaderboard --output board --from ours --from theirs
      python -m benchmark leaderboard --format latex > tables.tex
      python -m benchmark leaderboard --check
    """
    from leaderboard.board import NoRecordsError, collect, rebuild, stale

    folders = [_folder(path, "--from") for path in others or ()]
    try:
        board = collect(output, folders) if check else rebuild(output, folders)
    except NoRecordsError as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(
            f"--output takes a folder that can be written, found {output}: {error.strerror}"
        ) from error
    _warn(board.warnings)
    if check:
        lines = stale(output, board)
        for line in lines:
            say(line)
        if not lines:
            say(f"the tables in {output} follow from the records")
        return 1 if lines else 0
    print(_printed(board, form), end="")
    return 0


def _printed(board: Board, form: Format) -> str:
    if form in (Format.csv, Format.json):  # which hold no caption
        for table in board.tables:
            say(table.caption)
    forms = {
        Format.plain: board.plain,
        Format.markdown: board.markdown,
        Format.latex: board.latex,
        Format.csv: board.csv,
        Format.json: board.json,
    }
    return forms[form]()


def plot(
    measure: Annotated[str, typer.Argument(help="Measure, as gradsim or overlap[unit=chars].", metavar="MEASURE")],
    task: Task = None,
    protocol: Protocol = None,
    output: Output = Path("results"),
    to: Annotated[
        Path | None,
        typer.Option(
            help="A file .svg, .pdf or .png for one figure, or a folder, for SVG and PDF. "
            "Default: figures in the folder with records.",
            metavar="FILE|DIR",
        ),
    ] = None,
    figure: Annotated[
        Drawing,
        typer.Option(
            help="heatmaps: similarity and transfer. scatter: one against the other. dendrogram: with the groups. "
            "gains: of each language. views: similarity by layer and phase. Of joint, what the strategies saw: "
            "along the training, cosines of gradients, masks, agreement against gains."
        ),
    ] = Drawing.all,
) -> None:
    """Draw figures of a measure's record for a paper, languages in the same clustered order.

    The same record gives the same bytes.

    \b
    Examples:
      python -m benchmark plot gradsim --task cldr-names
      python -m benchmark plot gradsim -t cldr-names --figure heatmaps --to heatmaps.pdf
      python -m benchmark plot "overlap[unit=chars]" -t afrisenti --protocol 44c7 --to figures
      python -m benchmark plot joint -t cldr-names --figure along
    """
    from leaderboard.files import replace_bytes
    from leaderboard.plots import absent, draw, figures
    from leaderboard.records import JOINT
    from leaderboard.training_plots import together, trainings

    merged = _records(_folder(output, "--output"))
    key = _table(merged, task, protocol, output)
    records = merged.tables[key]
    record = records[_measure(measure, records)]
    trained = trainings(together(merged.tables, key)) if record.measure == JOINT else None
    wanted = figures(record) if figure is Drawing.all else [figure.value]
    target = output / "figures" if to is None else to
    single = _figure_file(target, figure)
    reasons = {one: absent(record, one, trained) for one in wanted}
    if all(reasons.values()):
        what = "figures" if figure is Drawing.all else f"figure {figure.value}"
        raise UserError(f"{measure} has no {what}: {reasons[wanted[0]]}")
    for one, reason in reasons.items():
        if reason is not None:
            say(f"no {one}: {reason}")
            continue
        stem = _safe(f"{record.task}-{record.protocol_id}-{measure}-{one}")
        for path in [target] if single else [target / f"{stem}.svg", target / f"{stem}.pdf"]:
            replace_bytes(path, draw(record, one, path.suffix[1:], trained))
            print(path)


def _figure_file(target: Path, figure: Drawing) -> bool:
    """Whether ``--to`` names one file."""
    from leaderboard.plots import FORMATS

    if target.is_dir() or not target.suffix:
        return False
    if target.suffix[1:] not in FORMATS:
        allowed = ", ".join(f".{form}" for form in FORMATS)
        raise UserError(f"--to takes a file {allowed}, or a folder, found {target}")
    if figure is Drawing.all:
        known = ", ".join(one.value for one in Drawing if one is not Drawing.all)
        raise UserError(f"--to takes a folder for all figures, or one of --figure {known}, found {target}")
    return True


def compare(
    first: Annotated[str, typer.Argument(help="A measure, or a results folder.", metavar="A")],
    second: Annotated[str, typer.Argument(help="Another.", metavar="B")],
    task: Task = None,
    protocol: Protocol = None,
    output: Annotated[Path, typer.Option(help="Folder with the records of two measures.")] = Path("results"),
) -> None:
    """Compare two measures of one table, or two results folders: what differs, by how much, how sure.

    Of measures: how well they foretold transfer, with the 95 % interval of the difference from resampling
    languages, and the targets for which they choose other sources. Of folders: tables and rows that only one
    has, and numbers that differ; cost and provenance aside.

    \b
    Examples:
      python -m benchmark compare gradsim "overlap[unit=subwords]" --task cldr-names
      python -m benchmark compare results their-results
    """
    both = [Path(first), Path(second)]
    if task is None and protocol is None and all(path.is_dir() for path in both):
        _compare_folders(*both)
        return
    if task is None and protocol is None and any(path.is_dir() for path in both):
        folder, other = both if both[0].is_dir() else reversed(both)
        raise UserError(
            f"compare takes two measures or two results folders, found the folder {folder} and {other}"
        )
    merged = _records(_folder(output, "--output"))
    key = _table(merged, task, protocol, output)
    records = merged.tables[key]
    names = [_measure(spec, records) for spec in (first, second)]
    for called in names:
        if records[called].skipped:
            raise UserError(f"{called} was skipped and cannot be compared: {records[called].skipped}")
    _compare_measures(names[0], names[1], records[names[0]], records[names[1]])


def _compare_measures(first: str, second: str, a: Record, b: Record) -> None:
    from leaderboard.differences import DRAWS, better, choices, numbers
    from leaderboard.tables import table

    print(f"{first} (A) and {second} (B): {table([a, b]).caption}\n")
    found = numbers(a, b)
    print(_tabulated(["", "A", "B", "A − B", "95 % interval", "p"], [_number_row(one) for one in found]))
    if a.data.source == "sample":
        print("\nA sample carries scores only, and no comparison of correlations.")
    elif a.correlation is None or b.correlation is None:
        print("\nOne model for all languages has no similarities: no correlations can be compared.")
    else:
        print(f"\nIntervals and p: of the difference, over {DRAWS} resamples of the languages, the same for both.")
    split = better(a, b)
    if split is not None:
        print(
            f"Scores of the groups: {split[0]} of {split[2]} languages are better off in the groups of A, "
            f"{split[1]} in those of B. Languages that share a model are no independent evidence."
        )
    if a.correlation is None or b.correlation is None:
        return
    other = choices(a, b)
    targets = sum(1 for column in zip(*a.transfer.test, strict=True) if any(cell is not None for cell in column))
    print(f"\nOther sources are chosen for {len(other)} of {targets} targets", end="")
    if not other:
        print(".")
        return
    print("; where transfer from them differs most (points):\n")
    headers = ["target", "A chooses", "B chooses", "transfer A", "transfer B", "A − B"]
    print(_tabulated(headers, [_choice_row(one) for one in other[:8]]))


def _number_row(one: Number) -> list[str]:
    scale, form = (100, "z.1f") if one.points else (1, "z.2f")

    def shown(value: float | None, sign: str = "") -> str:
        return "–" if value is None else f"{value * scale:{sign}{form}}"

    interval = "–" if one.interval is None else f"[{shown(one.interval[0], '+')}, {shown(one.interval[1], '+')}]"
    p = "–" if one.p is None else "< 0.001" if one.p < 0.001 else f"{one.p:.3f}"
    what = f"{one.what} (points)" if one.points else one.what
    return [what, shown(one.first), shown(one.second), shown(one.difference, "+"), interval, p]


def _choice_row(one: Choice) -> list[str]:
    def chosen(codes: tuple[str, ...]) -> str:
        return ", ".join(codes) if len(codes) <= 3 else f"{codes[0]} and {len(codes) - 1} others alike"

    a, b = 100 * one.transfer_first, 100 * one.transfer_second
    return [one.target, chosen(one.first), chosen(one.second), f"{a:.1f}", f"{b:.1f}", f"{a - b:+z.1f}"]


def _compare_folders(first: Path, second: Path) -> None:
    from leaderboard.differences import folders

    a, b = _records(first), _records(second)
    lines = folders(a, b)
    for line in lines:
        print(line)
    if not lines:
        rows = sum(map(len, a.tables.values()))
        print(f"equal: {rows} records in each, all but cost and provenance")


def _records(folder: Path) -> Merged:
    from leaderboard.merge import merge

    merged = merge([folder])
    _warn(merged.warnings)
    if not merged.tables:
        raise UserError(f"{folder}: expected records as <task>/<protocol>/*.json, found none")
    return merged


def _table(merged: Merged, task: str | None, protocol: str | None, folder: Path) -> Key:
    """The one table that is meant; where it is not clear, what there is."""
    tasks = sorted({key[0] for key in merged.tables})
    if task is None and len(tasks) > 1:
        raise UserError(f"--task says which of several tasks in {folder}: {', '.join(tasks)}; found none given")
    task = tasks[0] if task is None else task
    if task not in tasks:
        known = f"{did_you_mean(task, tasks)}; there are: {', '.join(tasks)}"
        raise UserError(f"no records of task {task!r} in {folder}{known}")
    keys = sorted(key for key in merged.tables if key[0] == task)
    meant = [key for key in keys if protocol in (None, key[1])]
    if protocol is not None and not meant:
        meant = [key for key in keys if key[1].startswith(protocol)]
    if len(meant) == 1:
        return meant[0]
    there = "; ".join(_described(merged, key) for key in keys)
    if protocol is None:
        raise UserError(f"--protocol says which of {len(keys)} protocols of {task}: {there}; found none given")
    raise UserError(f"--protocol takes one of {there}; found {protocol!r}, which fits {len(meant)}")


def _described(merged: Merged, key: Key) -> str:
    record = next(iter(merged.tables[key].values()))
    seeds = ", ".join(str(one.seed) for one in record.transfer.seeds)
    model = record.protocol.get("model", "–")
    return f"{key[1]} (model {model}, {len(record.languages)} languages, seeds {seeds or '–'})"


def _measure(spec: str, records: dict[str, Record]) -> str:
    """The name of the record that is meant, its parameters in any order."""
    from benchmark.registry import parse

    if spec in records:
        return spec
    wanted = parse(spec)
    for called, record in records.items():
        if (record.measure, {key: str(value) for key, value in record.measure_params.items()}) == wanted:
            return called
    known = sorted(records)
    raise UserError(f"no record of measure {spec!r}{did_you_mean(spec, known)}; there are: {', '.join(known)}")


def _folder(path: Path, option: str) -> Path:
    if not path.is_dir():
        raise UserError(f"{option} takes a folder with records, found {path}")
    return path


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        say(f"warning: {warning}")


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._=+-]+", "_", name).strip("_.")


def _tabulated(headers: list[str], rows: list[list[str]]) -> str:
    from tabulate import tabulate

    return str(tabulate(rows, headers, tablefmt="simple", disable_numparse=True))
