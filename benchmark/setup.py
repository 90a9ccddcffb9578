"""A run with everything resolved: its languages, data and model, and the jobs they make."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmark.config import RunConfig
from benchmark.jobs import EvalSet, Hyper, TrainJob
from benchmark.models import Model
from benchmark.provenance import numerics
from benchmark.readings import ReadingPlan, repeated
from benchmark.resolve import resolve
from benchmark.seeds import derive
from benchmark.store import Store
from benchmark.strategies import PLAIN, Chosen
from benchmark.unseen import Unseen
from measures.needs import Reading
from tasks.base import Example, Source, TaskSpec
from tasks.languages import Language

Examples = dict[str, tuple[Example, ...]]


@dataclass(frozen=True)
class SeedData:
    """What is fixed for one seed: its subsample, its model folder, its encoded examples."""

    seed: int
    model: Model
    hyper: Hyper
    train: Examples
    again: Examples  # another subsample, for the repeat of a training
    fingerprints: dict[tuple[str, str], str]  # (split, code) → of the examples
    keys: dict[tuple[str, str], str]  # the same → encoded examples
    pools: dict[str, Examples]  # split → what probes draw from


@dataclass(frozen=True)
class Setup:
    """A run with everything resolved that does not need a training."""

    config: RunConfig
    store: Store
    task: str  # with its parameters
    spec: TaskSpec
    languages: tuple[Language, ...]
    sources: tuple[str, ...]  # codes of the languages with training data
    source: Source
    data_fingerprint: str
    dev: Examples
    test: Examples
    k: int | None  # None: each measure's own, by ``auto_k``
    draws: int
    device: str
    precision: str
    seeds: tuple[SeedData, ...]
    notes: tuple[str, ...] = field(default=())
    strategies: tuple[Chosen, ...] = (PLAIN,)
    unseen: Unseen | None = None

    @property
    def others(self) -> tuple[Chosen, ...]:
        """The strategies that are not ``plain``."""
        return tuple(one for one in self.strategies if one != PLAIN)

    @property
    def starts(self) -> frozenset[Reading]:
        """The readings that strategies start from."""
        return frozenset(one.masks for one in self.strategies if one.masks is not None)

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(language.code for language in self.languages)

    def job(
        self,
        of: SeedData,
        group: Sequence[str],
        label: str = "",
        train: str = "train",
        strategy: Chosen = PLAIN,
        **products: Any,
    ) -> TrainJob:
        """The training of a group of languages under one seed, on the examples kept under ``train``."""
        label = label or "+".join(sorted(group))

        def data(split: str) -> tuple[tuple[str, str], ...]:
            return tuple((code, of.keys[split, code]) for code in sorted(group))

        return TrainJob(
            task=f"{self.task}@{self.spec.version}",
            labels=len(self.spec.labels),
            metric=self.spec.metric,
            data=data(train),
            dev=data("dev") if of.hyper.patience else (),
            model=of.model.name,
            model_digest=of.model.digest,
            hyper=of.hyper,
            seed=of.seed,
            numerics=f"{numerics()}/{self.device}",
            strategy=strategy.name,
            masks=self._masks(of, group, strategy),
            names=self.spec.labels,
            model_path=str(of.model.folder),
            device=self.device,
            label=label if strategy == PLAIN else f"{label} by {strategy.name}",
            **products,
        )

    def _masks(self, of: SeedData, group: Sequence[str], strategy: Chosen) -> tuple[tuple[str, str], ...]:
        """Keys of the readings that a strategy starts from, of each language's own training."""
        if strategy.masks is None:
            return ()
        jobs = {code: self.carrier(of, strategy.masks, code) for code in sorted(group)}
        return tuple((code, job.readings[0].key(job.key)) for code, job in jobs.items())

    def evaluation(self, of: SeedData, codes: Sequence[str], *splits: str) -> tuple[EvalSet, ...]:
        return tuple(EvalSet(code, split, of.keys[split, code]) for code in codes for split in splits)

    def each(self, of: SeedData, code: str, readings: Iterable[Reading] = ()) -> TrainJob:
        """Trained on one language, scored on every language's dev and test."""
        plans = self._plans(of, [one for one in readings if one.of == "each" and not repeated(one)], code)
        return self.job(of, [code], evaluate=self.evaluation(of, self.codes, "dev", "test"), readings=plans)

    def again(self, of: SeedData, code: str, readings: Iterable[Reading] = ()) -> TrainJob:
        """The language once more from the same start: another subsample, order and dropout."""
        plans = self._plans(of, [one for one in readings if one.of == "each" and repeated(one)], code)
        order = derive(of.seed, "again")
        return self.job(of, [code], f"{code} again", train="again", order=order, readings=plans)

    def joint(self, of: SeedData, readings: Iterable[Reading] = (), strategy: Chosen = PLAIN) -> TrainJob:
        """Trained on all languages; readings are taken before, along and after it, and only under ``plain``.

        It is tried on the languages that are kept out.
        """
        plans = self._plans(of, [one for one in readings if one.of != "each"])
        sets = self.evaluation(of, self.codes, "test")
        shots = self.unseen.plans[of.seed] if self.unseen else ()
        return self.job(of, self.sources, "joint", strategy=strategy, evaluate=sets, readings=plans, shots=shots)

    def carrier(self, of: SeedData, reading: Reading, code: str | None) -> TrainJob:
        """The job that takes a reading; its only reading is this one."""
        if reading.of != "each" or code is None:
            return self.joint(of, [reading])
        return (self.again if repeated(reading) else self.each)(of, code, [reading])

    def read_jobs(self, of: SeedData, readings: Collection[Reading]) -> list[TrainJob]:
        """The jobs that some readings need, with them. A reading of another encoder needs none."""
        joint = self.joint(of, readings)
        jobs = [joint] if joint.readings else []
        each = [one for one in readings if one.of == "each"]
        if any(not repeated(one) for one in each):
            jobs += [self.each(of, code, readings) for code in self.sources]
        if any(repeated(one) or one.kind == "weights" for one in each):
            jobs += [self.again(of, code, readings) for code in self.sources]
        return jobs

    def _plans(
        self, of: SeedData, readings: Iterable[Reading], code: str | None = None
    ) -> tuple[ReadingPlan, ...]:
        found = [resolve(self, of, one, code) for one in sorted(readings, key=repr)]
        return tuple(plan for plan in found if plan is not None)

    def group(self, of: SeedData, group: Sequence[str], strategy: Chosen = PLAIN) -> TrainJob:
        """Trained on a group, scored on its members' tests. One language knows no strategy but ``plain``."""
        if len(group) == 1:
            return self.each(of, group[0])
        if len(group) == len(self.sources):
            return self.joint(of, strategy=strategy)
        sets = self.evaluation(of, sorted(group), "test")
        return self.job(of, group, strategy=strategy, evaluate=sets)
