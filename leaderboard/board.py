"""The leaderboard of a results folder: everything in it, one table per task and protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from leaderboard.across import Across, across
from leaderboard.files import alone, replace_if_changed, sweep
from leaderboard.formats import csv_text, json_text, markdown, markdown_across, plain, plain_across
from leaderboard.latex import latex, latex_across
from leaderboard.merge import merge
from leaderboard.records import Record
from leaderboard.tables import Table, table

PAGE = "index.html"


class NoRecordsError(Exception):
    """A results folder without a single usable record. The message is one line."""


@dataclass(frozen=True)
class Board:
    """What was found: tables, those across tasks, and a line for each file that was not taken as it is."""

    tables: list[Table]
    across: list[Across]
    records: list[list[Record]]  # of each table
    warnings: list[str]

    def plain(self) -> str:
        """For a terminal."""
        return "\n\n\n".join([*map(plain, self.tables), *map(plain_across, self.across)]) + "\n"

    def markdown(self) -> str:
        parts = [*map(markdown, self.tables), *map(markdown_across, self.across)]
        return "# Leaderboard\n\n" + "\n\n---\n\n".join(parts) + "\n"

    def latex(self) -> str:
        """For a paper: floats to be included with ``\\input``."""
        beyond = [latex_across(one, number) for number, one in enumerate(self.across, 1)]
        return "\n\n".join([*map(latex, self.tables), *beyond]) + "\n"

    def csv(self) -> str:
        return csv_text(self.tables, self.across)

    def json(self) -> str:
        return json_text(self.tables, self.across)

    def page(self) -> str:
        """One HTML file that needs nothing else."""
        from leaderboard.page import page_html

        return page_html(self.tables, self.records, self.across)

    def files(self, folder: Path) -> Iterator[tuple[Path, str]]:
        """The files in ``folder`` that follow from the records, and what is in them."""
        for suffix, text in (("md", self.markdown()), ("csv", self.csv()), ("json", self.json())):
            yield folder / f"leaderboard.{suffix}", text
        yield folder / PAGE, self.page()


def rebuild(folder: Path, others: Sequence[Path] = ()) -> Board:
    """Read ``<task>/<protocol_id>/*.json`` below ``folder`` and ``others``, and write leaderboard.md, .csv
    and .json and index.html in ``folder``.

    The same records give the same bytes, and unchanged files are left alone. Files that are no
    records are skipped with a warning. NoRecordsError if nothing is left.
    """
    with alone(folder):  # else tables of fewer records could be written last
        board = collect(folder, others)
        for path, text in board.files(folder):
            replace_if_changed(path, text)
    sweep(folder)
    return board


def collect(folder: Path, others: Sequence[Path] = ()) -> Board:
    """:func:`rebuild` without writing."""
    merged = merge([folder, *others])
    if not merged.tables:
        where = ", ".join(map(str, [folder, *others]))
        unusable = merged.warnings
        skipped = f", {len(unusable)} unusable: {unusable[0]}" if unusable else ""
        raise NoRecordsError(f"{where}: expected records as <task>/<protocol>/*.json, found none{skipped}")
    records = [list(merged.tables[key].values()) for key in sorted(merged.tables)]
    tables = [table(one) for one in records]
    return Board(tables, across(tables), records, merged.warnings)


def stale(folder: Path, board: Board) -> list[str]:
    """A line for each file of ``folder`` that is not what follows from the records of ``board``.

    The page, large as it is, need not be kept; if it is, it must follow too.
    """
    lines = []
    for path, text in board.files(folder):
        if path.name == PAGE and not path.exists():
            continue
        try:
            found = path.read_bytes().split(b"\n")
        except OSError as error:
            lines.append(f"{path}: expected the tables of the records, found {error.strerror or 'no file'}")
            continue
        expected = text.encode("utf-8").split(b"\n")
        if found != expected:
            places = (n for n, (a, b) in enumerate(zip(found, expected, strict=False), 1) if a != b)
            first = next(places, min(len(found), len(expected)) + 1)
            lines.append(f"{path}: does not follow from the records, first in line {first}")
    return lines
