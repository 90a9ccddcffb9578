"""Checkpoints inside a training: killed and resumed, it ends with the bits that it would have had."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmark.durable import sha256, sync
from benchmark.progress import say
from benchmark.training.checkpoint_codec import decode, encode
from benchmark.training.strategy import Strategy
from tasks.sources import one_line

EVERY = 180.0  # seconds between checkpoints, at least
SHARE = 0.05  # of a training's time that may go into writing them
FORMAT = 1


class Probe(Protocol):
    """Looks at a model along its training; touches neither its RNG nor its mode nor ``.grad``."""

    seconds: float

    def steps(self, total: int) -> frozenset[int]:
        """The steps before which it wants to look, of ``total``."""

    def look(self, model: nn.Module, step: int, lr: float) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        """All that it has seen, and all that the next look depends on."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Unfit(RuntimeError):  # noqa: N818 - reads as a sentence where it is caught
    """A checkpoint that is whole, but not of this training as it is now; what it was loaded into is spoilt."""


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Of torch's generators: what dropout draws next."""
    found = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state(device)
    return found


def set_random_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


@dataclass(frozen=True)
class Live:
    """What moves in a training."""

    model: nn.Module
    optimiser: torch.optim.Optimizer
    strategy: Strategy
    probes: Sequence[Probe]
    device: torch.device

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict()["state"],
            "strategy": self.strategy.state_dict(),
            "random": random_state(self.device),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        groups = self.optimiser.state_dict()["param_groups"]  # follow from the hyper-parameters
        self.optimiser.load_state_dict({"state": state["optimiser"], "param_groups": groups})
        self.strategy.load_state_dict(state["strategy"])
        set_random_state(state["random"], self.device)


class Checkpoints:
    """Those of one training, in a folder of their own; whoever uses them holds the training's lock.

    The last is kept, as one file of safetensors whose name has its step and its sha256, the rest of the state as
    JSON in its metadata. It is written under another name, synced and renamed, so it is whole or absent.

    ``readings``: the keys of what the probes read, in their order: a checkpoint is only of use where it holds what
    all of them have seen. A checkpoint that cannot be written is told of once and harms nothing.
    """

    def __init__(
        self,
        folder: Path,
        label: str = "",
        readings: Sequence[str] = (),
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.label, self.readings = folder, label, list(readings)
        self.every, self.clock = every, clock
        self.last, self.took = clock(), 0.0
        self.told = False

    def due(self) -> bool:
        """Whether it is time for another."""
        return self.clock() - self.last >= max(self.every, self.took / SHARE)

    def save(self, stand: Mapping[str, Any], live: Live) -> None:
        """Keep a checkpoint of a training that stands at ``stand["step"]``; never raises."""
        begun = self.clock()
        try:
            seen = [probe.state_dict() for probe in live.probes]
            self._write(
                stand["step"],
                {
                    "stand": dict(stand),
                    "live": live.state(),
                    "probes": dict(zip(self.readings, seen, strict=True)),
                },
            )
        except Exception as error:  # a full disk; or the state of a strategy that a file cannot hold
            if not self.told:
                say(f"{self.label}: goes on without a checkpoint ({type(error).__name__}: {one_line(error)})")
            self.told = True
        self.last = self.clock()
        self.took = self.last - begun

    def _write(self, step: int, state: dict[str, Any]) -> None:
        form, tensors = encode(state)
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / "checkpoint.tmp"
        try:
            save_file(tensors, temporary, {"format": str(FORMAT), "state": json.dumps(form)})
            sync(temporary)
            name = f"{step:09d}.{sha256(temporary)}.safetensors"
            temporary.replace(self.folder / name)
        finally:
            temporary.unlink(missing_ok=True)
        sync(self.folder)
        for path in self.folder.iterdir():
            if path.name != name:
                path.unlink()

    def load(self, live: Live) -> dict[str, Any] | None:
        """Put the training where the last checkpoint was made, and say where it stands; ``None`` without one.

        One that is no whole checkpoint of the readings asked for is dropped, with a message.

        Raises:
            Unfit: it could not be loaded into the model, the optimiser, the strategy or a probe; it is dropped.
        """
        state = self._read()
        if state is None:
            return None
        try:
            live.load(state["live"])
            for key, probe in zip(self.readings, live.probes, strict=True):
                probe.load_state_dict(state["probes"][key])
            stand: dict[str, Any] = state["stand"]
        except Exception as error:
            self._refuse(f"does not fit ({type(error).__name__}: {one_line(error)})")
            raise Unfit(one_line(error)) from error
        return stand

    def _read(self) -> dict[str, Any] | None:
        found = sorted(self.folder.glob("*.safetensors"))
        if not found:
            return None
        try:
            if sha256(found[-1]) != found[-1].name.split(".")[1]:
                raise ValueError("its checksum is another")
            with safe_open(found[-1], "pt") as file:
                about = file.metadata()
                if about["format"] != str(FORMAT):
                    raise ValueError(f"format {about['format']}, not {FORMAT}")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            state: dict[str, Any] = decode(json.loads(about["state"]), tensors)
            lacking = [key for key in self.readings if key not in state["probes"]]
        except Exception as error:
            self._refuse(f"is corrupt or of another version ({type(error).__name__}: {one_line(error)})")
            return None
        if lacking:
            self._refuse("lacks readings that are asked for now")
            return None
        return state

    def _refuse(self, why: str) -> None:
        say(f"{self.label}: the checkpoint {why}; it is dropped and the training begins anew")
        self.drop()

    def drop(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
