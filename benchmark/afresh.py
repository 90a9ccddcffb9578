"""A measure asked in another process, where strings hash otherwise: what a second run would give."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import subprocess
import sys

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import UserError
from benchmark.setup import Setup
from benchmark.trial import Trial
from measures import Measure

UNKNOWN = 3  # exit code: the class cannot be imported there


def afresh(measure: Measure, setup: Setup) -> NDArray[np.float64] | None:
    """The measure's matrix from a new process; ``None`` where its class cannot be imported by name.

    Raises:
        UserError: it fails there.
    """
    try:
        asked = pickle.dumps((measure, setup))
    except Exception:  # a class made inside a function has no name to be imported by
        return None
    hashing = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    path = os.pathsep.join(part for part in sys.path if part)
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from benchmark.afresh import answer; answer()"],
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
    found: NDArray[np.float64] = np.load(io.BytesIO(done.stdout), allow_pickle=False)
    return found


def answer() -> None:
    """The other process's side: what is asked on stdin, the matrix on stdout."""
    given = sys.stdin.buffer.read()
    try:
        measure, setup = pickle.loads(given)  # of our own making, from the parent alone
    except (ImportError, AttributeError):
        sys.exit(UNKNOWN)
    with contextlib.redirect_stdout(sys.stderr):  # whatever a measure prints
        found = Trial(setup, measure, measure.name).ask()
    if found.error is not None:
        raise found.error
    written = io.BytesIO()  # numpy wants to know its place in a file, which an unbuffered pipe does not have
    np.save(written, found.found.values)
    sys.stdout.buffer.write(written.getvalue())
