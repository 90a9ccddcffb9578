"""``python -m benchmark``, and the console script ``kinship``."""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path


def main() -> None:
    """The command line; exits with 0, 1 (a training failed), 2 (a mistake of the caller's) or 130."""
    # NumPy's products: here they are small, threads cost more than they save, and their number changes last bits.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    here = Path(__file__).resolve().parent.parent
    # ``python -m`` puts the current folder first: somebody's own tasks.py must not shadow ours.
    sys.path[:] = [path for path in sys.path if path not in ("", str(Path.cwd())) or Path.cwd() == here]
    for stream in (sys.stdout, sys.stderr):  # names of folders may not be text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        from benchmark.cli import command

        code = command(sys.argv[1:])
    except KeyboardInterrupt:  # while all this was still being imported
        print("stopped; the same command goes on where this one was", file=sys.stderr)
        code = 130
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would only disturb the leaving
    # CPython remembers a Ctrl-C inside any exec as unhandled, and would end by that signal, not with our code.
    exec("")
    sys.exit(code)


if __name__ == "__main__":
    main()
