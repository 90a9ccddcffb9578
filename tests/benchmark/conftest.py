"""A small model folder, encoded examples and a little task, shared by the tests of the trainings."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmark.encoding import Encoder
from benchmark.jobs import Hyper
from benchmark.store import Store
from tasks.base import Example
from tasks.sources import fingerprint

# Labels can be told from the words, so that a training has something to learn.
WORDS = {
    "deu": ("gut schön froh hell", "schlecht traurig dunkel müde", "Haus Weg und Stadt am Wasser"),
    "nld": ("goed mooi blij licht", "slecht droevig donker moe", "huis weg en stad aan water"),
    "rus": ("хорошо светло радость мир", "плохо темно горе", "дом путь и город вода"),
}
HYPER = Hyper(epochs=2, batch_size=8, lr=1e-3, max_length=24, precision="fp32")


def make_examples(code: str, count: int, labels: int = 2, seed: int = 0, parallel: bool = False) -> list[Example]:
    source = random.Random(f"{code}-{seed}")
    rows = []
    for place in range(count):
        label = place % labels
        filling = WORDS[code][2].split() * 2
        words = source.choices(WORDS[code][label % 2].split(), k=2) + source.sample(filling, source.randint(1, 8))
        source.shuffle(words)
        rows.append(Example(f"{' '.join(words)} {place}", label, item=f"item {place}" if parallel else None))
    return rows


@dataclass(frozen=True)
class Tiny:
    """A store with one small model in it."""

    store: Store
    folder: Path
    digest: str
    encoder: Encoder

    def encode(self, rows: Sequence[Example]) -> str:
        key = self.encoder.key(fingerprint(rows))
        self.encoder.encode(key, rows)
        return key


@pytest.fixture(scope="session")
def examples() -> Callable[..., list[Example]]:
    return make_examples


@pytest.fixture(scope="session")
def hyper() -> Hyper:
    return HYPER


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scratch model of some 20 000 parameters, its tokenizer trained on all of WORDS."""
    from benchmark.training import scratch

    folder = tmp_path_factory.mktemp("model")
    texts = [row.text for code in WORDS for row in make_examples(code, 60)]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "HIDDEN": 16,
            "HEADS": 2,
            "FEED_FORWARD": 24,
            "POSITIONS": 64,
        }.items():
            patch.setattr(scratch, name, value)
        scratch.build(folder, texts, seed=0)
    return folder


@pytest.fixture
def tiny(tiny_folder: Path, tmp_path: Path) -> Tiny:
    store = Store.at(tmp_path / "cache")
    return Tiny(store, tiny_folder, "tiny", Encoder(store, tiny_folder, "tiny", HYPER.max_length))


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """Trainings set the number of threads; leave the process as it was."""
    import sys

    if "torch" not in sys.modules:
        yield
        return
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
