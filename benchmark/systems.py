"""Scores of trained systems, from the predictions in the store: transfer, baselines, groupings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.jobs import TrainJob, predictions, scored
from benchmark.setup import SeedData, Setup
from benchmark.strategies import PLAIN, Chosen
from leaderboard.records import Score
from tasks.base import Example
from tasks.metrics import item_counts, majority, score

Predictions = NDArray[Any]
Truth = tuple[
    NDArray[np.int64], NDArray[np.int64] | None
]  # labels; words of each sentence, where these are tagged
System = Mapping[str, Predictions]  # code → predicted labels [seeds, texts or words], of one system


@dataclass(frozen=True)
class Grouping:
    """Groups of languages, one model each; ``served``: which group's model serves each language."""

    groups: tuple[tuple[str, ...], ...]
    served: Mapping[str, int]

    @classmethod
    def partition(cls, groups: Sequence[Sequence[str]]) -> Grouping:
        """Of groups that do not overlap: each language is served by its own."""
        served = {code: place for place, group in enumerate(groups) for code in group}
        return cls(tuple(map(tuple, groups)), served)

    @property
    def overlaps(self) -> bool:
        return sum(map(len, self.groups)) > len(self.served)

    @property
    def structure(self) -> str:
        """What is left when names are taken away: the sizes of a partition, or who is where in a cover."""
        if not self.overlaps:
            return "+".join(map(str, sorted(map(len, self.groups), reverse=True)))
        places = {code: place for place, code in enumerate(sorted(self.served))}
        inside = [" ".join(str(places[code]) for code in group) for group in self.groups]
        return f"{' | '.join(inside)} serving {' '.join(str(self.served[code]) for code in sorted(self.served))}"


class Systems:
    """Everything that can be scored once the trainings of a run are done.

    A system that lacks a training (because it failed) is ``None`` as a whole: a mean over
    other languages could not be compared.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._predicted: dict[str, dict[tuple[str, str], Predictions]] = {}  # by training; split and examples key
        self._truth: dict[tuple[str, str], Truth] = {}

    def predicted(self, job: TrainJob, split: str, code: str) -> Predictions | None:
        """Predicted labels of a training, ``None`` if it failed."""
        if job.key not in self._predicted:
            store = self.setup.store
            found: dict[tuple[str, str], Predictions] = {}
            for key in {*scored(store, job.key).values()}:
                found |= predictions(store, key)
            self._predicted[job.key] = found
        examples = next(e.examples for e in job.evaluate if (e.split, e.language) == (split, code))
        return self._predicted[job.key].get((split, examples))

    def truth(self, split: str, code: str) -> Truth:
        """All labels of a language and split, of texts or of words; and how many words each sentence has."""
        if (split, code) not in self._truth:
            targets = [row.targets for row in self._rows(split, code)]
            gold = np.array([one for row in targets for one in row], dtype=np.int64)
            tagged = self.setup.spec.kind == "tagged"
            self._truth[split, code] = gold, np.array(list(map(len, targets)), dtype=np.int64) if tagged else None
        return self._truth[split, code]

    def _rows(self, split: str, code: str) -> tuple[Example, ...]:
        if self.setup.unseen and code in self.setup.unseen.test:
            return self.setup.unseen.test[code]
        return (self.setup.dev if split == "dev" else self.setup.test)[code]

    def value(self, metric: str, split: str, code: str, said: Predictions) -> float:
        """The score of some predictions for one language and split."""
        gold, words = self.truth(split, code)
        return score(metric, gold, said, self.setup.spec.labels, words)

    def transfer(self, of: SeedData, split: str) -> NDArray[np.float64]:
        """T[source, target] of one seed in the transfer metric; NaN rows for languages without a training."""
        codes, metric = self.setup.codes, self.setup.spec.transfer_metric
        values = np.full((len(codes), len(codes)), np.nan)
        for s, source in enumerate(codes):
            if source not in self.setup.sources:
                continue
            job = self.setup.each(of, source)
            for t, target in enumerate(codes):
                said = self.predicted(job, split, target)
                if said is not None:
                    values[s, t] = self.value(metric, split, target, said)
        return values

    def counts(self, code: str, runs: Predictions) -> NDArray[np.int64]:
        """What the official metric is made of, item by item: ``[runs, items, 3, classes]`` (test)."""
        spec, (gold, words) = self.setup.spec, self.truth("test", code)
        return np.array([item_counts(spec.metric, gold, run, spec.labels, words) for run in runs])

    @cached_property
    def per_seed(self) -> list[tuple[int, NDArray[np.float64], NDArray[np.float64]]]:
        """(seed, T on dev, T on test) of every seed."""
        return [(of.seed, self.transfer(of, "dev"), self.transfer(of, "test")) for of in self.setup.seeds]

    @cached_property
    def mean_transfer(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """T on dev and on test, mean over seeds."""
        return (
            np.mean([dev for _, dev, _ in self.per_seed], axis=0),
            np.mean([test for _, _, test in self.per_seed], axis=0),
        )

    def grouped(self, grouping: Grouping, strategy: Chosen = PLAIN) -> System | None:
        """The system that serves each language by the model of its group."""
        jobs = {
            code: [self.setup.group(of, grouping.groups[place], strategy) for of in self.setup.seeds]
            for code, place in grouping.served.items()
        }
        return self._collect(jobs)

    @cached_property
    def monolingual(self) -> System | None:
        return self._collect({c: [self.setup.each(of, c) for of in self.setup.seeds] for c in self.setup.sources})

    @cached_property
    def multilingual(self) -> System | None:
        return self.joint(PLAIN)

    def joint(self, strategy: Chosen) -> System | None:
        """The system that serves every language by the one model of all."""
        joint = [self.setup.joint(of, strategy=strategy) for of in self.setup.seeds]
        return self._collect(dict.fromkeys(self.setup.sources, joint))

    def adapted(self, strategy: Chosen) -> dict[tuple[str, int], list[float]]:
        """Official scores of the joint model, by seed, after so many examples of a language that is kept out.

        What lacks a seed (because that failed) is left out.
        """
        found: dict[tuple[str, int], list[float]] = {}
        for of in self.setup.seeds:
            job = self.setup.joint(of, strategy=strategy)
            for one in job.shots:
                if self.setup.store.has(one.key(job.key)):
                    said = np.load(self.setup.store.path(one.key(job.key)) / "test.npy")
                    value = self.value(self.setup.spec.metric, "test", one.language, said)
                    found.setdefault((one.language, one.k), []).append(value)
        return {place: scores for place, scores in found.items() if len(scores) == len(self.setup.seeds)}

    @cached_property
    def majority(self) -> System:
        """The most frequent label of the training examples, whatever the text."""

        def says(of: SeedData, code: str) -> list[int]:
            commonest = majority([one for row in of.train[code] for one in row.targets])
            return [commonest] * len(self.truth("test", code)[0])

        return {c: np.array([says(of, c) for of in self.setup.seeds]) for c in self.setup.sources}

    def _collect(self, jobs: Mapping[str, Sequence[TrainJob]]) -> System | None:
        found: dict[str, Predictions] = {}
        for code in self.setup.sources:
            runs = [self.predicted(job, "test", code) for job in jobs[code]]
            if any(run is None for run in runs):
                return None
            found[code] = np.array(runs)
        return found

    def by_seed(self, system: System, metric: str | None = None) -> NDArray[np.float64]:
        """Scores in the official metric, or another one, shape ``[seeds, sources]``."""
        used = metric or self.setup.spec.metric
        return np.array(
            [[self.value(used, "test", code, run) for run in system[code]] for code in self.setup.sources]
        ).T

    def score(self, system: System | None) -> Score | None:
        """The official score by language, mean over seeds, and the mean over languages."""
        if system is None:
            return None
        by_seed = self.by_seed(system)
        values = by_seed.mean(axis=0)
        per_language = {code: float(value) for code, value in zip(self.setup.sources, values, strict=True)}
        official = self.setup.spec.metric
        other = self.setup.spec.transfer_metric
        macro = None if official == other else float(self.by_seed(system, other).mean())
        return Score(
            metric=official,
            mean=float(values.mean()),
            per_language=per_language,
            macro_f1=macro,
            by_seed=dict(zip(self.setup.sources, by_seed.T.tolist(), strict=True)),
        )
