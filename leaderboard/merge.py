"""Records of one or several results folders, each counted once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leaderboard.names import full_name
from leaderboard.records import Record, RecordError, read


@dataclass(frozen=True)
class Merged:
    """Records by task and protocol, then by measure and strategy; and a line for all that was not taken as it is.

    ``origins`` names the file each record was read from, under the same keys.
    """

    tables: dict[tuple[str, str], dict[str, Record]]
    origins: dict[tuple[str, str], dict[str, Path]]
    warnings: list[str]


def merge(folders: Sequence[Path]) -> Merged:
    """All records ``<task>/<protocol_id>/*.json`` below the folders.

    A second record of the same task, protocol, measure, parameters and strategy is no second result. Equal
    but for cost and provenance, it is counted once and nothing is said. Otherwise a line names both files,
    and the one that knows more is kept: one that was not skipped, then the one with more values that
    are not null, then that of the earlier folder. Files that are no records of a known schema are
    skipped with a line, and so is a record whose protocol is not the one its table has.
    """
    tables: dict[tuple[str, str], dict[str, Record]] = {}
    origins: dict[tuple[str, str], dict[str, Path]] = {}
    warnings: list[str] = []
    for path in _files(folders):
        try:
            record = read(path)
        except RecordError as error:
            warnings.append(f"skipped {error}")
            continue
        key, called = (record.task, record.protocol_id), full_name(record)
        records, paths = tables.setdefault(key, {}), origins.setdefault(key, {})
        first = next(iter(records), None)
        if first is not None and not _one_protocol(record, records[first]):
            warnings.append(f"skipped {path}: another protocol than {paths[first]} under one protocol_id")
        elif called not in records:
            records[called], paths[called] = record, path
        elif content(record) != content(records[called]):
            kept, other = paths[called], path
            if _knowledge(record) > _knowledge(records[called]):
                kept, other = other, kept
                records[called], paths[called] = record, path
            warnings.append(f"two records of {called} under one protocol differ: kept {kept}, left out {other}")
    for key, records in tables.items():
        warnings += _unlike_transfer(records, origins[key])
    return Merged(tables, origins, warnings)


def content(record: Record) -> dict[str, Any]:
    """What a record says: all but what it cost and where it was made."""
    return record.model_dump(mode="json", exclude={"cost", "provenance"})


def _files(folders: Sequence[Path]) -> Iterator[Path]:
    seen = set()
    for folder in folders:
        if folder.resolve() not in seen:
            seen.add(folder.resolve())
            yield from sorted(folder.glob("*/*/*.json"))


def _one_protocol(record: Record, other: Record) -> bool:
    return record.protocol == other.protocol and record.languages == other.languages


def _knowledge(record: Record) -> tuple[bool, int]:
    return record.skipped is None, _known(content(record))


def _known(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return sum(map(_known, value))
    return int(value is not None)


def _unlike_transfer(records: dict[str, Record], paths: dict[str, Path]) -> Iterator[str]:
    """Trainings are equal to the bit on one machine and version only."""
    (called, first), *others = records.items()
    unlike = [other for other, record in others if record.transfer != first.transfer]
    if unlike:
        yield (
            f"{len(unlike)} of {len(records)} records of {first.task}, protocol {first.protocol_id}, have another "
            f"transfer matrix than {paths[called]}, as {paths[unlike[0]]}: made on another machine or by other "
            "versions, and compared less exactly"
        )
