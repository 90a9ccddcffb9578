"""``python -m benchmark``, and the console script ``kinship``."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """The command line; exits with 0, 1 (a training failed), 2 (a mistake of the caller's) or 130."""
    here = Path(__file__).resolve().parent.parent
    # ``python -m`` puts the current folder first: somebody's own tasks.py must not shadow ours.
    sys.path[:] = [path for path in sys.path if path not in ("", str(Path.cwd())) or Path.cwd() == here]
    from benchmark.cli import command

    sys.exit(command(sys.argv[1:]))


if __name__ == "__main__":
    main()
