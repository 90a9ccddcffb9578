"""Options that several commands have, and what their text means."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from benchmark.config import AUTO, PRESETS
from benchmark.errors import UserError

MOST = 10**9  # of anything that is counted
LARGEST_SEED = 2**32 - 1

Preset = StrEnum("Preset", list(PRESETS))  # type: ignore[misc]
Grouping = StrEnum("Grouping", ["partition", "agglomerative", "cover"])


class Precision(StrEnum):
    """Of the forward and backward pass; weights are always float32."""

    fp32 = "fp32"
    bf16 = "bf16"


TaskName = Annotated[
    str,
    typer.Option("--task", "-t", help="Task, as afrisenti or cldr-names[classes=3], or yours, as ./my-task."),
]
Languages = Annotated[
    str | None,
    typer.Option(help="Languages, as deu,nld,fra (ISO 639-3, ISO 639-1 or the task's own codes), or all."),
]
Data = Annotated[
    Path | None, typer.Option(help="Folder with DIR/<task>/<language>/{train,dev,test}.tsv; or $KINSHIP_DATA.")
]
PresetName = Annotated[
    Preset,
    typer.Option(
        help="quick: a small model, 2 cores, one seed. standard: more data, 3 seeds. "
        "paper: all data, the papers' kind of model, early stopping on dev."
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(help="scratch, or a Hugging Face encoder by hub id or folder. Default: the preset's."),
]
Groups = Annotated[
    str | None,
    typer.Option(
        help="Number of groups K, or auto: as many as each measure's similarities speak for. "
        "Default: max(2, a quarter of the languages).",
        metavar="K|auto",
    ),
]
GroupingRule = Annotated[
    Grouping,
    typer.Option(
        help="How groups follow from similarities. partition: the best K groups. agglomerative: average "
        "linkage. cover: K groups that may overlap, each language served by its best."
    ),
]
Seed = Annotated[int | None, typer.Option(min=0, max=LARGEST_SEED, help="One seed.")]
Seeds = Annotated[str | None, typer.Option(help="Several seeds, as 0,1,2.")]
Epochs = Annotated[int | None, typer.Option(min=1, max=MOST, help="Passes over the training data.")]
BatchSize = Annotated[int | None, typer.Option(min=1, max=MOST, help="Examples a step.")]
LearningRate = Annotated[
    float | None, typer.Option("--lr", min=0.0, max=1e30, help="Peak learning rate of AdamW.")
]
MaxLength = Annotated[int | None, typer.Option(min=4, max=MOST, help="Tokens a text at most.")]
MaxTrain = Annotated[int | None, typer.Option(min=1, max=MOST, help="Training examples a language at most.")]
MaxEval = Annotated[int | None, typer.Option(min=1, max=MOST, help="Dev and test examples a language at most.")]
Patience = Annotated[
    int | None,
    typer.Option(min=0, max=MOST, help="Stop after so many epochs without a better dev score; 0: never."),
]
PrecisionName = Annotated[
    Precision | None, typer.Option("--precision", help="Default: bf16 on a CUDA device, fp32 elsewhere.")
]
ProbeShare = Annotated[
    float,
    typer.Option(
        min=0.01, max=10.0, help="Time of the gradient probes, about, as a share of the joint training's."
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda (all GPUs), cuda:1, mps.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST,
        help="Trainings side by side. Default: the number of cores, or of GPUs (several small ones fit on one).",
    ),
]
Offline = Annotated[bool, typer.Option("--offline", help="Fetch nothing; use what is there.")]
Cache = Annotated[
    Path | None, typer.Option(help="Folder for trainings and data. Default: $KINSHIP_CACHE or ~/.cache/kinship.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


def list_of(text: str | None) -> tuple[str, ...]:
    """``a,b`` as its parts."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def languages_of(text: str | None) -> tuple[str, ...]:
    """``--languages``; empty where none is given."""
    found = list_of(text)
    if text is not None and not found:
        raise UserError(f"--languages takes codes separated by commas, or all, found {text!r}")
    return found


def seeds_of(seed: int | None, seeds: str | None) -> tuple[int, ...] | None:
    """``--seed`` or ``--seeds``; ``None``: the preset's."""
    if seed is not None and seeds is not None:
        raise UserError("--seed and --seeds exclude each other, found both")
    if seed is not None:
        return (seed,)
    if seeds is None:
        return None
    try:
        found = tuple(int(part) for part in list_of(seeds))
    except ValueError:
        found = ()
    if not found or len(set(found)) != len(found) or min(found) < 0 or max(found) > LARGEST_SEED:
        raise UserError(f"--seeds takes different whole numbers, as in 0,1,2, found {seeds!r}")
    return found


def counts_of(option: str, text: str | None) -> tuple[int, ...]:
    """Whole numbers, as in ``16,64``; empty where none are given."""
    parts = list_of(text)
    if text is not None and (
        not parts or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts)
    ):
        raise UserError(f"{option} takes whole numbers separated by commas, as in 16,64,256, found {text!r}")
    return tuple(int(part) for part in parts)


def groups_of(text: str | None) -> int | str | None:
    """``--groups``; ``None``: the default number."""
    if text is None or text == AUTO:
        return text
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < 1:
        raise UserError(f"--groups takes a whole number from 1, or {AUTO}, found {text!r}")
    return int(text)


def cache_of(given: Path | None) -> Path:
    """``--cache``, or where it is by default."""
    if given is not None:
        return given
    if os.environ.get("KINSHIP_CACHE"):
        return Path(os.environ["KINSHIP_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kinship"


def data_of(given: Path | None) -> Path | None:
    """``--data``, or ``$KINSHIP_DATA``; a folder that is there."""
    if given is None and os.environ.get("KINSHIP_DATA"):
        given = Path(os.environ["KINSHIP_DATA"])
    if given is not None and not given.is_dir():
        raise UserError(f"--data (or $KINSHIP_DATA) takes a folder laid out DIR/<task>/<language>/, found {given}")
    return given
