"""What a run is asked for: presets, and every choice that can be made on its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.jobs import Hyper

SCRATCH = "scratch"
SCRATCH_LAYERS = 2
AUTO = "auto"  # as many groups as a measure's own similarities speak for


@dataclass(frozen=True)
class Preset:
    """Defaults that belong together.

    ``equal``: every language trains on the same number of examples, so that similarity is not
    size. ``max_train``/``max_eval``: examples a language at most, ``None`` for all of them; ``max_long``: as
    ``max_train``, of pairs of texts and tagged sentences, which take longer and, tagged, have many labels each.
    ``draws``: random partitions of the same size profile. ``model=None``: the task's own
    ``paper_model``. ``scratch``/``pretrained``: hyper-parameters for either kind of model.
    """

    seeds: tuple[int, ...]
    equal: bool
    max_train: int | None
    max_long: int | None
    max_eval: int | None
    draws: int
    model: str | None
    scratch: Hyper
    pretrained: Hyper

    def most(self, kind: str) -> int | None:
        """Training examples a language at most, of a kind of task."""
        return self.max_train if kind == "text" else self.max_long


_SCRATCH = Hyper(epochs=6, batch_size=16, lr=1e-3, max_length=64, precision="auto")
_PRETRAINED = Hyper(epochs=4, batch_size=16, lr=1e-4, max_length=64, precision="auto")
_PAPER = Hyper(epochs=40, batch_size=8, lr=2e-5, max_length=128, precision="auto", patience=5)

PRESETS = {
    "quick": Preset((0,), True, 600, 300, 400, 3, SCRATCH, _SCRATCH, _PRETRAINED),
    "standard": Preset(
        (0, 1, 2),
        True,
        4000,
        4000,
        None,
        20,
        SCRATCH,
        replace(_SCRATCH, max_length=128),
        replace(_PRETRAINED, lr=5e-5, max_length=128),
    ),
    # The settings of the GradSim authors' next code (a neighbour's, not GradSim's own).
    "paper": Preset((0, 1, 2), False, None, None, None, 20, None, replace(_PAPER, lr=1e-3), _PAPER),
}


@dataclass(frozen=True)
class RunConfig:
    """One ``run`` as it was asked for; ``None`` leaves a choice to the preset."""

    measures: tuple[str, ...]
    task: str
    languages: tuple[str, ...] = ()  # empty: the task's default; ("all",): every one
    preset: str = "quick"
    model: str | None = None
    strategies: tuple[str, ...] = ()  # beside plain, which they are compared with
    seeds: tuple[int, ...] | None = None
    groups: int | str | None = None  # a number, or AUTO
    grouping: str | None = "partition"  # None: stop after the correlations
    draws: int | None = None
    max_train: int | None = None
    max_eval: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    max_length: int | None = None
    precision: str | None = None
    patience: int | None = None
    probe_share: float = 0.25
    unseen: tuple[str, ...] = ()  # languages kept out of training, which joint models are tried on
    shots: tuple[int, ...] = ()  # how many examples of each these are fine-tuned on
    device: str = "auto"
    jobs: int | None = None
    data: Path | None = None
    offline: bool = False
    output: Path = Path("results")
    cache: Path = Path(".cache")
    command: str = ""

    def hyper(self, scratch: bool, precision: str) -> Hyper:
        """The preset's hyper-parameters for this kind of model, with what was set on its own."""
        preset = PRESETS[self.preset]
        given = {
            name: value
            for name in ("epochs", "batch_size", "lr", "max_length", "patience")
            if (value := getattr(self, name)) is not None
        }
        return replace(preset.scratch if scratch else preset.pretrained, precision=precision, **given)
