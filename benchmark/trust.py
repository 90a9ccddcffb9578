"""How far a recommendation can be trusted: what records say of the measure, and transfer that was measured."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.config import RunConfig
from benchmark.options import cache_of
from benchmark.setup import Setup
from benchmark.strategies import PLAIN
from leaderboard.merge import merge
from leaderboard.names import name
from leaderboard.records import Record


@dataclass(frozen=True)
class Evidence:
    """A record, and where it was read from; ``same``: of the very data and model of this recommendation."""

    path: Path
    record: Record
    same: bool

    @property
    def model(self) -> str:
        return str(self.record.protocol.get("model", "–"))

    def transfer(self, source: str, target: str) -> float | None:
        """Zero-shot score on the target's test set of a model trained on the source; ``None`` if not known."""
        codes = self.record.languages
        if source not in codes or target not in codes:
            return None
        return self.record.transfer.test[codes.index(source)][codes.index(target)]

    @property
    def said(self) -> str:
        """Of which languages, model and seeds it is, in words."""
        seeds = [one.seed for one in self.record.transfer.seeds]
        parts = [f"{len(self.record.languages)} languages", f"model {self.model}"]
        parts += [f"preset {preset}"] if (preset := self.record.protocol.get("preset")) else []
        parts.append(f"seed{'s' * (len(seeds) != 1)} {', '.join(map(str, seeds)) or '–'}")
        return ", ".join(parts) + ", the very data and model of this recommendation" * self.same

    def json(self) -> dict[str, Any]:
        found = self.record.correlation
        return {
            "record": str(self.path),
            "centred_per_target_spearman": found and found.centred_per_target_spearman,
            "centred_per_target_spearman_ci95": found and found.centred_per_target_spearman_ci95,
            "per_target_spearman": found and found.per_target_spearman,
            "languages": self.record.languages,
            "model": self.model,
            "seeds": [one.seed for one in self.record.transfer.seeds],
            "source": self.record.data.source,
            "same_data_and_model": self.same,
        }


def evidence(results: Path, setup: Setup) -> tuple[list[Evidence], list[str]]:
    """The records of this task that stand for its corpus (a sample's do not), and what was left out.

    Those of the same data and model first, then those of the same model, then those of more languages.
    """
    merged = merge([results])
    found = []
    for key, records in merged.tables.items():
        for called, record in records.items():
            if record.task == setup.task and record.data.source != "sample" and record.strategy == PLAIN.name:
                found.append(Evidence(merged.origins[key][called], record, _same(record, setup)))
    model = setup.seeds[0].model.name
    found.sort(key=lambda one: (not one.same, one.model != model, -len(one.record.languages), str(one.path)))
    return found, merged.warnings


def _same(record: Record, setup: Setup) -> bool:
    digests = [of.model.digest[:16] for of in setup.seeds]
    return (
        record.data.fingerprint == setup.data_fingerprint
        and record.languages == list(setup.codes)
        and record.protocol.get("model_digests") == digests
    )


def of_measure(found: Sequence[Evidence], called: str) -> list[Evidence]:
    """Those that say how well a measure foretold transfer."""
    return [one for one in found if name(one.record) == called and one.record.correlation is not None]


def of_transfer(found: Sequence[Evidence], pairs: Sequence[tuple[str, str]], called: str) -> Evidence | None:
    """The record to read transfer from: the first of those that know most of these (source, target) pairs.

    Transfer does not depend on the measure; that of the measure that is asked goes first among equals.
    """

    def known(one: Evidence) -> int:
        return sum(one.transfer(source, target) is not None for source, target in pairs)

    ordered = sorted(found, key=lambda one: (-known(one), name(one.record) != called))
    return ordered[0] if ordered and known(ordered[0]) else None


def to_be_run(config: RunConfig, measure: str) -> str:
    """The command that would tell how well the measure foretells transfer, on the data and model of ``config``."""
    return shlex.join(["python", "-m", "benchmark", "run", *_given(config, measure), "--no-groups"])


def _given(config: RunConfig, measure: str) -> Iterator[str]:
    default = RunConfig((), "")
    given = {
        "measure": measure,
        "task": config.task,
        "languages": ",".join(config.languages),
        "data": config.data,
        "preset": config.preset if config.preset != default.preset else None,
        "model": config.model,
        "seeds": ",".join(map(str, config.seeds or ())),
        "max-train": config.max_train,
        "max-eval": config.max_eval,
        "epochs": config.epochs,
        "batch-size": config.batch_size,
        "lr": config.lr,
        "max-length": config.max_length,
        "patience": config.patience,
        "precision": config.precision,
        "probe-share": config.probe_share if config.probe_share != default.probe_share else None,
        "device": config.device if config.device != default.device else None,
        "jobs": config.jobs,
        "output": config.output if config.output != default.output else None,
        "cache": config.cache if config.cache != cache_of(None) else None,
    }
    for option, value in given.items():
        if value not in (None, ""):
            yield from (f"--{option}", str(value))
    if config.offline:
        yield "--offline"
