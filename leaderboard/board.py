"""The leaderboard of a results folder: everything in it, one table per task and protocol."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from leaderboard.files import replace_if_changed
from leaderboard.formats import csv_text, json_text, markdown, plain
from leaderboard.records import Record, RecordError, read
from leaderboard.tables import Table, name, table


class NoRecordsError(Exception):
    """A results folder without a single usable record. The message is one line."""


@dataclass(frozen=True)
class Board:
    """What was found: tables, and a line for each file that was skipped."""

    tables: list[Table]
    warnings: list[str]

    def plain(self) -> str:
        """For a terminal."""
        return "\n\n\n".join(map(plain, self.tables)) + "\n"

    def markdown(self) -> str:
        return "# Leaderboard\n\n" + "\n\n---\n\n".join(map(markdown, self.tables)) + "\n"

    def csv(self) -> str:
        return csv_text(self.tables)

    def json(self) -> str:
        return json_text(self.tables)


def rebuild(folder: Path) -> Board:
    """Read ``<task>/<protocol_id>/*.json`` below ``folder`` and write leaderboard.md, .csv and .json there.

    The same records give the same bytes, and unchanged files are left alone. Files that are no
    records are skipped with a warning. NoRecordsError if nothing is left.
    """
    board = collect(folder)
    for suffix, text in (("md", board.markdown()), ("csv", board.csv()), ("json", board.json())):
        replace_if_changed(folder / f"leaderboard.{suffix}", text)
    return board


def collect(folder: Path) -> Board:
    """:func:`rebuild` without writing."""
    protocols: dict[tuple[str, str], dict[str, Record]] = {}
    warnings = []
    for path in sorted(folder.glob("*/*/*.json")):
        try:
            record = read(path)
            measures = protocols.setdefault((record.task, record.protocol_id), {})
            if name(record) in measures:
                raise RecordError(f"{path}: a second record of {name(record)} under one protocol")
            measures[name(record)] = record
        except RecordError as error:
            warnings.append(f"skipped {error}")
    if not protocols:
        skipped = f", {len(warnings)} unusable: {warnings[0]}" if warnings else ""
        raise NoRecordsError(f"{folder}: expected records as <task>/<protocol>/*.json, found none{skipped}")
    return Board([table(list(protocols[key].values())) for key in sorted(protocols)], warnings)
