"""Few-shot adaptation with everything resolved: what a trained model is tried on, and where that is kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from benchmark.seeds import digest

VERSION = 1  # raised whenever a change of ours changes what comes of an adaptation


@dataclass(frozen=True)
class Shots:
    """A language that a training has not seen: the model is fine-tuned on ``k`` of its examples, then scored.

    ``support`` and ``test``: keys of encoded examples; with ``k`` 0 there is no support, and the model is scored
    as it was trained.
    """

    language: str
    k: int
    support: str
    test: str

    def key(self, training: str) -> str:
        return f"{training}.shots.{digest([VERSION, asdict(self)])[:16]}"
