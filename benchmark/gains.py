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
from leaderboard.records import GainIntervals, Intervals, ObjectiveGain, RandomScore, Scores
from leaderboard.statistics import item_interval, objective_gain, seed_interval

Draws = Mapping[str, Sequence[Grouping]]  # by structure


class Gains:
    """Of the groupings of one run."""

    def __init__(self, setup: Setup, systems: Systems, draws: Draws) -> None:
        self.setup, self.systems, self.draws = setup, systems, draws
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
        partitions = self.draws.get(grouping.structure, [])
        drawn = [one for one in map(systems.grouped, partitions) if one is not None] if row.asked else []
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
        scored = [(one, systems.grouped(one)) for one in self.draws.get(grouping.structure, [])]
        known = [(one, system) for one, system in scored if system is not None]
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
        systems, sources = self.systems, self.setup.sources
        gains = systems.by_seed(found).mean(axis=1) - np.mean(
            [systems.by_seed(one).mean(axis=1) for one in known], axis=0
        )
        items = [
            (
                systems.counts(code, found[code]),
                systems.counts(code, np.concatenate([one[code] for one in known])),
            )
            for code in sources
        ]
        seed = derive(self.setup.seeds[0].seed, "resampling") % 2**32
        return GainIntervals(
            seeds=seed_interval([float(gain) for gain in gains]),
            items=item_interval(items, self.setup.spec.metric, seed=seed),
        )
