"""What a run still has to do: a pure function of what is asked and what the store holds.

Two stages and no more. Stage 1 is known at once: one training per language and the joint one, all ``plain``.
Stage 2 is known when the similarities are: one training per distinct group that a grouping or
a random partition asks for, and under each other strategy the joint one and the groups asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from benchmark.jobs import TrainJob, missing, unadapted
from benchmark.setup import Setup
from benchmark.store import Store
from measures.needs import Reading


@dataclass(frozen=True)
class Stage:
    """Distinct jobs, the largest first; ``todo`` are those of which something is missing."""

    jobs: tuple[TrainJob, ...]
    todo: tuple[TrainJob, ...]


def stage_one(setup: Setup, readings: Iterable[Reading]) -> list[TrainJob]:
    """Per seed: the joint training, one per language, a second one where readings ask for it; with readings."""
    wanted = frozenset(readings)
    jobs = []
    for of in setup.seeds:
        jobs.append(setup.joint(of, wanted))
        jobs += [setup.each(of, code, wanted) for code in setup.sources]
        jobs += setup.read_jobs(of, wanted)
    return jobs


def stage_two(
    setup: Setup, groups: Iterable[Sequence[str]], asked: Iterable[Sequence[str]] = ()
) -> list[TrainJob]:
    """Per seed: one training per group; under each other strategy the joint one and the groups asked for."""
    plain = sorted({tuple(sorted(group)) for group in groups})
    others = sorted({tuple(sorted(group)) for group in [*asked, setup.sources]})
    jobs = [setup.group(of, group) for of in setup.seeds for group in plain]
    return jobs + [
        setup.group(of, group, strategy) for of in setup.seeds for strategy in setup.others for group in others
    ]


def plan(jobs: Iterable[TrainJob], store: Store) -> Stage:
    """Merge jobs of one key, and see what the store lacks."""
    merged: dict[str, TrainJob] = {}
    for job in jobs:
        known = merged.setdefault(job.key, job)
        if known is not job:
            merged[job.key] = replace(
                known,
                readings=tuple(dict.fromkeys(known.readings + job.readings)),
                evaluate=tuple(dict.fromkeys(known.evaluate + job.evaluate)),
                shots=tuple(dict.fromkeys(known.shots + job.shots)),
            )
    ordered = sorted(merged.values(), key=lambda job: (-len(job.data), job.label, job.seed))
    todo = tuple(job for job in ordered if any(missing(job, store)) or unadapted(job, store))
    return Stage(tuple(ordered), todo)
