"""What made a record: versions, device, command."""

from __future__ import annotations

import functools
import subprocess
from importlib import metadata
from pathlib import Path

from benchmark.jobs import NUMERICS

PACKAGES = ("kinship-bench", "torch", "transformers", "tokenizers", "numpy", "scikit-learn", "scipy", "lang2vec")


@functools.cache
def versions() -> dict[str, str]:
    """Installed versions of what shapes the numbers."""
    import platform

    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def numerics() -> str:
    """What must be equal for two trainings to have the same bits on one machine, beside the job."""
    return f"{NUMERICS}/torch-{versions()['torch']}/transformers-{versions()['transformers']}"


def git_commit() -> str | None:
    """The commit of the checkout the packages are run from, with ``+`` if it was changed; else ``None``."""
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return None
    try:
        commit = _git(here, "rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()
