"""A measure or a strategy in another process, where strings hash otherwise: what a second run would give."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import UserError
from benchmark.setup import Setup
from benchmark.trial import Trial
from measures import Measure

if TYPE_CHECKING:
    from benchmark.training.strategy import Strategy

UNKNOWN = 3  # exit code: the class cannot be imported there


def afresh(measure: Measure, setup: Setup) -> NDArray[np.float64] | None:
    """The measure's matrix from a new process; ``None`` where its class cannot be imported by name.

    Raises:
        UserError: it fails there.
    """
    said = _elsewhere("answer", (measure, setup))
    return None if said is None else np.load(io.BytesIO(said), allow_pickle=False)


def trained_afresh(strategy: Strategy, steps: int) -> dict[str, str] | None:
    """Fingerprints of a training of so many steps by a strategy in a new process; ``None`` as above.

    Raises:
        UserError: it fails there.
    """
    said = _elsewhere("train", (strategy, steps))
    return None if said is None else json.loads(said)


def _elsewhere(what: str, about: Any) -> bytes | None:
    """What a function of this module writes on stdout in a new process."""
    try:
        asked = pickle.dumps(about)
    except Exception:  # a class made inside a function has no name to be imported by
        return None
    hashing = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    path = os.pathsep.join(part for part in sys.path if part)
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"from benchmark.afresh import {what}; {what}()"],
        input=asked,
        env=os.environ | {"PYTHONHASHSEED": hashing, "PYTHONPATH": path},
        capture_output=True,
        check=False,
    )
    if done.returncode == UNKNOWN:
        return None
    if done.returncode:
        lines = done.stderr.decode("utf8", "replace").strip().splitlines()
        raise UserError(lines[-1] if lines else f"exit code {done.returncode}")
    return done.stdout


def _asked() -> Any:
    try:
        return pickle.loads(sys.stdin.buffer.read())  # of our own making, from the parent alone
    except (ImportError, AttributeError):
        sys.exit(UNKNOWN)


def answer() -> None:
    """The other process's side: a measure and a run on stdin, the matrix on stdout."""
    measure, setup = _asked()
    with contextlib.redirect_stdout(sys.stderr):  # whatever a measure prints
        found = Trial(setup, measure, measure.name).ask()
    if found.error is not None:
        raise found.error
    written = io.BytesIO()  # numpy wants to know its place in a file, which an unbuffered pipe does not have
    np.save(written, found.found.values)
    sys.stdout.buffer.write(written.getvalue())


def train() -> None:
    """The same: a strategy on stdin, what a training ends with on stdout."""
    strategy, steps = _asked()
    from benchmark.check_steps import fingerprints
    from benchmark.training.made_up import STEPS
    from benchmark.training.tryout import Course

    with contextlib.redirect_stdout(sys.stderr):
        seen = Course(steps=STEPS[:steps]).run(strategy)
    if seen.error is not None:
        raise seen.error
    sys.stdout.buffer.write(json.dumps(fingerprints(seen)).encode())
