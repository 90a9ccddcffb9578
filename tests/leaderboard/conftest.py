from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from leaderboard.ranking import per_target_spearman
from leaderboard.records import Record

LANGUAGES = ["amh", "hau", "swa", "tso", "orm"]  # orm is a target only


def _matrix(offset: float = 0.0, target_only: int = 1) -> list[list[float | None]]:
    n = len(LANGUAGES)
    rows: list[list[float | None]] = [
        [0.1 + 0.07 * s - 0.013 * t * s + offset for t in range(n)] for s in range(n)
    ]
    for row in range(n - target_only, n):
        rows[row] = [None] * n
    return rows


def _score(mean: float, *values: float) -> dict[str, Any]:
    return {"metric": "weighted_f1", "mean": mean, "per_language": dict(zip(LANGUAGES, values, strict=False))}


def build(measure: str = "gradsim", score: float = 0.6, **changes: Any) -> Record:
    data: dict[str, Any] = {
        "task": "afrisenti",
        "measure": measure,
        "measure_params": {},
        "access": "text",
        "strategy": "plain",
        "languages": LANGUAGES,
        "groups": [["amh", "tso"], ["hau", "swa"]],
        "objective": 0.25,
        "similarity": {"matrix": _matrix(0.1, 0), "coverage": None, "symmetric": True},
        "transfer": {
            "metric": "macro_f1",
            "dev": _matrix(),
            "test": _matrix(0.01),
            "seeds": [{"seed": 3, "dev": _matrix(), "test": _matrix(0.01)}],
        },
        "scores": {
            "grouped": _score(score, 0.7, 0.6, 0.3, 0.2),
            "multilingual": _score(0.5, 0.5, 0.5, 0.5, 0.2),
            "monolingual": _score(0.55, 0.6, 0.5, 0.5, 0.6),
            "majority": _score(0.3, 0.3, 0.3, 0.3, 0.3),
            "random": {"mean": 0.52, "sd": 0.01, "draws": 20, "percentile": 0.875},
        },
        "intervals": {"over_multilingual": {"seeds": None, "items": (0.012, 0.188)}},
        "correlation": {
            "per_target_spearman": 0.41,
            "per_target_spearman_ci95": (0.1, 1 / 3),
            "centred_per_target_spearman": -0.001,
            "centred_per_target_spearman_ci95": (-0.2, 0.3),
            "spearman": 0.5,
            "pearson": 0.45,
            "qap_p": 0.0005,
            "ndcg_at_3": 0.61,
            "regret_at_1": 0.034,
            "noise_ceiling": None,
        },
        "data": {
            "source": "folder",
            "fingerprint": "0123456789abcdef0123456789abcdef",
            "train_size": dict.fromkeys(LANGUAGES, 100),
            "test_size": dict.fromkeys(LANGUAGES, 50),
        },
        "protocol_id": "p1",
        "protocol": {
            "task": "afrisenti",
            "model": "scratch",
            "preset": "quick",
            "seeds": [3],
            "grouping": {"name": "partition", "k": 2},
            "hyper": {"lr": 2e-5},
        },
        "cost": {"trainings": 7, "seconds": 12.5, "peak_memory_mb": 100.0},
        "provenance": {
            "command": "kinship run",
            "versions": {"numpy": "2"},
            "device": "cpu",
            "threads": 1,
            "precision": "float32",
            "git": None,
            "started": "2026-01-01T00:00:00Z",
        },
    }
    return Record.model_validate(data | changes)


@pytest.fixture
def make_record() -> Callable[..., Record]:
    return build


def build_measured(called: str, S: Any, T: Any, seeds: Sequence[Any] = (), **changes: Any) -> Record:
    """A record of a measure with this similarity and transfer, in languages of its own; the headline is theirs."""
    rows, params = called.partition("["), {}
    if rows[1]:
        params = dict(pair.split("=") for pair in rows[2].rstrip("]").split(","))
    codes = [f"q{chr(97 + place // 26)}{chr(97 + place % 26)}" for place in range(len(T))]
    transfer = {"metric": "macro_f1", "dev": _cells(T), "test": _cells(T)}
    transfer["seeds"] = [{"seed": at, "dev": _cells(one), "test": _cells(one)} for at, one in enumerate(seeds)]
    given: dict[str, Any] = {
        "measure_params": params,
        "languages": codes,
        "groups": None,
        "objective": None,
        "similarity": {"matrix": _cells(S), "coverage": None, "symmetric": False},
        "transfer": transfer,
        "scores": {},
        "intervals": {},
        "correlation": build().correlation.model_dump()  # type: ignore[union-attr]
        | {"centred_per_target_spearman": per_target_spearman(S, T, True)},
        "data": {
            "source": "folder",
            "fingerprint": "0" * 32,
            "train_size": dict.fromkeys(codes, 100),
            "test_size": dict.fromkeys(codes, 50),
        },
    }
    return build(rows[0], **(given | changes))


def _cells(matrix: Any) -> list[list[float | None]]:
    return [[None if cell != cell else cell for cell in row] for row in np.asarray(matrix).tolist()]


@pytest.fixture
def measured() -> Callable[..., Record]:
    return build_measured
