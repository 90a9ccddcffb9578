"""What groupings and strategies are worth: scores of systems, and intervals of the gain of one over others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmark.groups import objectives
from benchmark.rows import Row
from benchmark.seeds import derive
from benchmark.setup import Setup
from benchmark.strategies import PLAIN, Chosen
from benchmark.systems import Grouping, System, Systems
from leaderboard.items import ItemBootstrap, item_interval
from leaderboard.ranking import Vector
from leaderboard.records import GainIntervals, Intervals, ObjectiveGain, RandomScore, Scores
from leaderboard.statistics import objective_gain, seed_interval

Draws = Mapping[str, Sequence[Grouping]]  # by structure


class Gains:
    """Of the groupings of one run."""

    def __init__(self, setup: Setup, systems: Systems, draws: Draws) -> None:
        self.setup, self.systems = setup, systems
        self.partitions = {
            structure: [(one, system) for one in drawn if (system := systems.grouped(one)) is not None]
            for structure, drawn in draws.items()
        }
        self._items = ItemBootstrap(seed=derive(setup.seeds[0].seed, "resampling") % 2**32)
        self._resampled: dict[int, tuple[System, Vector]] = {}  # by identity, which holds as long as they are kept
        self.baselines = Scores(
            multilingual=systems.score(systems.multilingual),
            monolingual=systems.score(systems.monolingual),
            majority=systems.score(systems.majority),
        )

    def of(self, row: Row, strategy: Chosen) -> tuple[Scores, Intervals]:
        """Of a measure's groups. Random ones are trained by ``plain`` only: others compare with that."""
        systems, grouping = self.systems, row.grouping
        grouped = systems.grouped(grouping, strategy) if grouping else None
        if grouped is None or grouping is None:
            return self.baselines, Intervals()
        if strategy != PLAIN:
            return self._over_plain(grouped, systems.grouped(grouping))
        mean = systems.by_seed(grouped).mean()
        drawn = [system for _, system in self.partitions.get(grouping.structure, [])] if row.asked else []
        random = None
        if drawn:
            each = [systems.by_seed(one) for one in drawn]
            means = np.array([one.mean() for one in each])
            random = RandomScore(
                mean=float(means.mean()),
                sd=float(means.std(ddof=1)) if len(means) > 1 else 0.0,
                draws=len(means),
                percentile=float(np.mean((means < mean) + 0.5 * (means == mean))),
                by_seed=np.mean([one.mean(axis=1) for one in each], axis=0).tolist(),
            )
        scores = self.baselines.model_copy(update={"grouped": systems.score(grouped), "random": random})
        return scores, Intervals(
            over_random=self._interval(grouped, drawn),
            over_multilingual=self._interval(grouped, [systems.multilingual]),
            over_monolingual=self._interval(grouped, [systems.monolingual]),
        )

    def foreseen(self, row: Row) -> ObjectiveGain | None:
        """Whether random partitions that the measure likes better turned out better. A sample carries none."""
        systems, grouping = self.systems, row.grouping
        if grouping is None or not row.asked or grouping.overlaps or self.setup.source == "sample":
            return None
        known = self.partitions.get(grouping.structure, [])
        means = [float(systems.by_seed(system).mean()) for _, system in known]
        return objective_gain(objectives(row, self.setup, [one for one, _ in known]), means)

    def of_joint(self, strategy: Chosen) -> tuple[Scores, Intervals]:
        """Of the one model of all languages, as if these were a group."""
        joint, plain = self.systems.joint(strategy), self.systems.multilingual
        if joint is None:
            return self.baselines, Intervals()
        if strategy != PLAIN:
            return self._over_plain(joint, plain)
        scores = self.baselines.model_copy(update={"grouped": self.systems.score(joint)})
        return scores, Intervals(over_monolingual=self._interval(joint, [self.systems.monolingual]))

    def _over_plain(self, found: System, plain: System | None) -> tuple[Scores, Intervals]:
        systems = self.systems
        scores = {"grouped": systems.score(found), "plain": systems.score(plain)}
        return self.baselines.model_copy(update=scores), Intervals(
            over_multilingual=self._interval(found, [systems.multilingual]),
            over_monolingual=self._interval(found, [systems.monolingual]),
            over_plain=self._interval(found, [plain]),
        )

    def _interval(self, found: System, others: Sequence[System | None]) -> GainIntervals:
        """Of the gain over the mean of other systems, seed by seed and item by item. A sample carries none."""
        known = [one for one in others if one is not None]
        if not known or self.setup.source == "sample":
            return GainIntervals()
        systems = self.systems
        gains = systems.by_seed(found).mean(axis=1) - np.mean(
            [systems.by_seed(one).mean(axis=1) for one in known], axis=0
        )
        others_scores = np.mean([self._on_resamples(one) for one in known], axis=0)
        return GainIntervals(
            seeds=seed_interval([float(gain) for gain in gains]),
            items=item_interval(self._on_resamples(found), others_scores),
        )

    def _on_resamples(self, system: System) -> Vector:
        """The official score on each resample of the test items, once for each system."""
        if id(system) not in self._resampled:
            counts = {code: self.systems.counts(code, system[code]) for code in self.setup.sources}
            self._resampled[id(system)] = system, self._items.scores(counts, self.setup.spec.metric)
        return self._resampled[id(system)][1]
