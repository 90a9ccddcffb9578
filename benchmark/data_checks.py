"""What can be counted in a task's data: copies between splits, conflicts, labels, lengths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from tasks.base import Example

MANY_TOKENS = 64  # separated by blanks: what the quick preset reads of a text whose words are a token each
MANY_BYTES = 512  # of UTF-8: the same where blanks say little


@dataclass(frozen=True)
class Figures:
    """Of one language and split.

    ``repeated``: examples whose text stood before in the split. ``conflicting``: texts that the split has
    with several labels. ``in_train``: examples whose text is in train; ``otherwise``: those of them that have
    another label there (``None`` for train itself). ``labels``: how often each occurs, in the task's order; of
    tagged tokens by token. ``long``: examples of more than ``MANY_TOKENS`` tokens or ``MANY_BYTES`` bytes.
    """

    examples: int
    repeated: int
    conflicting: int
    in_train: int | None
    otherwise: int | None
    labels: tuple[int, ...]
    long: int

    @property
    def majority(self) -> float:
        """The share of the commonest label."""
        return max(self.labels, default=0) / (sum(self.labels) or 1)


class Counter:
    """Counts the examples of one split; a digest is all that it keeps of each.

    ``train``: that of the same language's train; ``None`` for train itself.
    """

    def __init__(self, n_labels: int, train: Counter | None = None) -> None:
        self.sequence: list[int] = []  # each example's label, in order
        self._train = train
        self._labels = [0] * n_labels
        self._seen: dict[bytes, bytes] = {}  # text → what is to be predicted of it
        self._also: dict[bytes, set[bytes]] = {}  # text → what else, where it stands with several labels
        self._in_train = self._otherwise = self._long = 0

    def add(self, example: Example) -> None:
        text, targets = _digest(example.text, example.pair or ""), _digest(str(example.targets))
        self.sequence.append(example.label)
        if self._seen.setdefault(text, targets) != targets:
            self._also.setdefault(text, set()).add(targets)
        if self._train is not None and (there := self._train._seen.get(text)) is not None:
            self._in_train += 1
            self._otherwise += targets != there and targets not in self._train._also.get(text, ())
        for target in example.targets:
            self._labels[target] += 1
        words = len(example.tokens) or len(example.text.split()) + len((example.pair or "").split())
        size = len(example.text.encode()) + len((example.pair or "").encode())
        self._long += words > MANY_TOKENS or size > MANY_BYTES

    def figures(self) -> Figures:
        held_out = self._train is not None
        return Figures(
            examples=len(self.sequence),
            repeated=len(self.sequence) - len(self._seen),
            conflicting=len(self._also),
            in_train=self._in_train if held_out else None,
            otherwise=self._otherwise if held_out else None,
            labels=tuple(self._labels),
            long=self._long,
        )


def differing(one: Sequence[int], other: Sequence[int]) -> int:
    """At how many places two languages' labels differ."""
    return sum(a != b for a, b in zip(one, other, strict=False))


def half_width(examples: int) -> float:
    """Of the 95 % interval of an accuracy of one half, in points."""
    return 100 * 1.96 * math.sqrt(0.25 / examples)


def _digest(text: str, pair: str = "") -> bytes:
    # The length tells "ab" and "c" from "a" and "bc".
    return blake2b(f"{len(text)}|{text}{pair}".encode(), digest_size=12).digest()
