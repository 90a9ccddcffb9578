"""The records of the experiments in docs/claims.md, as docs/claims.py needs them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaderboard.merge import merge
from leaderboard.ranking import Matrix, Vector, square
from leaderboard.records import Record, Score

TASKS = {"N": ("cldr-names", 20), "T": ("udpos", 8), "A": ("afrisenti", 8)}  # and how many languages
UNSEEN = "{} with languages kept out"
SEEDS = 5


class Missing(Exception):  # noqa: N818 - reads as a sentence where it is caught
    """What a claim needs and the records do not have."""


@dataclass(frozen=True)
class Task:
    """The records of one task of the experiments, by name, whatever groups they were run for."""

    letter: str
    records: Mapping[str, Record]

    def __getitem__(self, name: str) -> Record:
        record = self.records.get(name)
        if record is None:
            raise Missing(f"{name} on {self.letter}")
        if record.skipped:
            raise Missing(f"{name} on {self.letter}, which was skipped ({record.skipped})")
        return record

    def similarity(self, name: str) -> Matrix:
        return square(np.array(self[name].similarity.matrix, dtype=np.float64))

    def layer(self, number: int) -> Matrix:
        views = self["gradsim"].similarity.views or {}
        if f"layer.{number}" not in views:
            raise Missing(f"gradsim by layer on {self.letter}")
        return square(np.array(views[f"layer.{number}"], dtype=np.float64))

    def score(self, name: str, kind: str = "grouped") -> Vector:
        """Mean over languages, in points, by seed."""
        return np.asarray(np.mean([*self.scores(name, kind).values()], axis=0))

    def scores(self, name: str, kind: str) -> dict[str, Vector]:
        """By language, in points, by seed."""
        score: Score | None = getattr(self[name].scores, kind)
        if score is None or score.by_seed is None:
            raise Missing(f"{kind} scores by seed of {name} on {self.letter}")
        return {code: 100 * np.array(values) for code, values in score.by_seed.items()}

    def less(self, one: str, other: str) -> Vector:
        return self.score(one) - self.score(other)

    def over_plain(self, name: str) -> Vector:
        return self.score(name) - self.score(name, "plain")

    def joint_gains(self) -> dict[str, Vector]:
        """Of each language: multilingual less monolingual score, by seed."""
        both = [self.scores("joint@watched", kind) for kind in ("multilingual", "monolingual")]
        return {code: both[0][code] - both[1][code] for code in both[0]}

    def random(self, name: str) -> Vector:
        """Of random partitions like the groups of a measure, in points, by seed."""
        random = self[name].scores.random
        if random is None or random.by_seed is None:
            raise Missing(f"scores by seed of random partitions for {name} on {self.letter}")
        return 100 * np.array(random.by_seed)

    def adapted(self, name: str, sizes: Sequence[str]) -> Vector:
        """Mean over languages kept out and numbers of examples, in points, by seed."""
        shots = self[name].shots or {}
        known = [shots[code].get(size) for code in sorted(shots) for size in sizes]
        scores = [one.scores for one in known if one is not None and len(one.scores) == SEEDS]
        if not scores or len(scores) < len(known):
            raise Missing(f"scores after {', '.join(sizes)} examples of {name} on {self.letter}")
        return np.asarray(100 * np.mean(scores, axis=0))

    def told(self, strategy: str, *path: str) -> list[Any]:
        """What the training of the one model of all languages told, by seed."""
        name = f"joint@{strategy}"
        training = self[name].training or {}
        found = []
        for seed in self[name].protocol["seeds"]:
            value: Any = training.get(str(seed))
            for key in path:
                value = value.get(key) if isinstance(value, dict) else None
            if value is None:
                raise Missing(f"{' '.join(path)} of {name} on {self.letter}, seed {seed}")
            found.append(value)
        return found

    def numbers(self, strategy: str, what: str) -> Vector:
        return np.array(self.told(strategy, "blocks", "model", what), dtype=np.float64)

    def cosines(self, strategy: str) -> NDArray[np.float64]:
        """Of the whole model, ``[seeds, languages, languages]``, in the order of the record's languages."""
        codes = self.told(strategy, "languages")
        found = self.told(strategy, "blocks", "model", "cosines")
        order = [[one.index(code) for code in self[f"joint@{strategy}"].languages] for one in codes]
        return np.array(
            [np.array(rows, dtype=np.float64)[np.ix_(at, at)] for rows, at in zip(found, order, strict=True)]
        )

    def mean_cosines(self) -> Matrix:
        return square(np.mean(self.cosines("watched"), axis=0))


class Tasks(dict[str, Task]):
    """By letter, and ``few`` for that with languages kept out of training."""

    def __missing__(self, letter: str) -> Task:
        raise Missing(f"any record of {letter}")


def load(folder: Path) -> Tasks:
    """Of one task and number of languages all protocols with five seeds that differ in nothing but the groups.

    Raises:
        ValueError: there are others.
    """
    merged = merge([folder])
    for warning in merged.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    records: dict[str, dict[str, Record]] = {}
    protocols: dict[str, dict[str, Any]] = {}
    with_groups_first = sorted(merged.tables, key=lambda key: (_any(merged.tables[key])["grouping"] is None, key))
    for key in with_groups_first:
        table = merged.tables[key]
        protocol = {name: value for name, value in _any(table).items() if name != "grouping"}
        of = key[0], len(next(iter(table.values())).languages)
        letter = next((letter for letter, task in TASKS.items() if task == of), None)
        if letter is None or len(protocol["seeds"]) != SEEDS:
            continue
        if "unseen" in protocol:
            letter = UNSEEN.format(letter)
        if protocols.setdefault(letter, protocol) != protocol:
            raise ValueError(
                f"{folder}: {key[0]} with {of[1]} languages has protocols that differ in more than groups"
            )
        records[letter] = table | records.get(letter, {})
    return Tasks({letter: Task(letter, found) for letter, found in records.items()})


def _any(table: Mapping[str, Record]) -> dict[str, Any]:
    return next(iter(table.values())).protocol
