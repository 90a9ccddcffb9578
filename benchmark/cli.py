"""The command line: run, list, show, check, and those of :mod:`benchmark.commands`."""

from __future__ import annotations

import itertools
import os
import shlex
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.commands import compare, leaderboard, plot
from benchmark.config import AUTO, PRESETS, RunConfig
from benchmark.errors import UserError

# typer carries its own click: its errors are found by class, not by module.
ClickError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
INTERRUPTED = 130  # what typer makes of Ctrl-C

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Which languages should be trained together? Group languages by a similarity measure, train one "
    "model per group, and see what the grouping was worth and how well the measure foretold transfer.",
)
Preset = StrEnum("Preset", list(PRESETS))  # type: ignore[misc]


Grouping = StrEnum("Grouping", ["partition", "agglomerative", "cover"])


class Precision(StrEnum):
    """Of the forward and backward pass; weights are always float32."""

    fp32 = "fp32"
    bf16 = "bf16"


class Listed(StrEnum):
    """What ``list`` can list."""

    measures = "measures"
    tasks = "tasks"


def command(arguments: Sequence[str]) -> int:
    """Run a command; the exit code. Every mistake of the caller's is one line on stderr and 2."""
    debug = "--debug" in arguments
    try:
        code: Any = app(args=list(arguments), prog_name="python -m benchmark", standalone_mode=False)
    except typer.Abort:
        return _stopped()
    except ClickError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())  # type: ignore[attr-defined]
            return 0
        text = " ".join(str(error.format_message()).split()).rstrip(".")  # type: ignore[attr-defined]
        return _wrong(f"{text}{_found(error, arguments)} (see --help)")
    except UserError as error:
        if debug:
            raise
        return _wrong(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, a folder that has become read-only
        if debug:
            raise
        return _wrong(f"{error.strerror or type(error).__name__}: {error.filename or 'no file named'}")
    return _stopped() if code == INTERRUPTED else int(code or 0)


def _found(error: Exception, arguments: Sequence[str]) -> str:
    """What was given to the option that an error is about, which typer does not say."""
    options = getattr(getattr(error, "param", None), "opts", [])
    for option, value in itertools.pairwise(arguments):
        if option in options:
            return f", found {value!r}"
    return ""


def _wrong(text: str) -> int:
    print(f"error: {' '.join(text.split())}", file=sys.stderr)
    return 2


def _stopped() -> int:
    print("stopped; the same command goes on where this one was", file=sys.stderr)
    return INTERRUPTED


def _list_of(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _seeds(seed: int | None, seeds: str | None) -> tuple[int, ...] | None:
    if seed is not None and seeds is not None:
        raise UserError("--seed and --seeds exclude each other, found both")
    if seed is not None:
        return (seed,)
    if seeds is None:
        return None
    try:
        found = tuple(int(part) for part in _list_of(seeds))
    except ValueError:
        found = ()
    if not found or len(set(found)) != len(found) or min(found) < 0:
        raise UserError(f"--seeds takes different whole numbers, as in 0,1,2, found {seeds!r}")
    return found


def _groups(text: str | None) -> int | str | None:
    if text is None or text == AUTO:
        return text
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UserError(f"--groups takes a whole number from 1, or {AUTO}, found {text!r}")
    return int(text)


def _cache(given: Path | None) -> Path:
    if given is not None:
        return given
    if os.environ.get("KINSHIP_CACHE"):
        return Path(os.environ["KINSHIP_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kinship"


def _data(given: Path | None) -> Path | None:
    if given is None and os.environ.get("KINSHIP_DATA"):
        given = Path(os.environ["KINSHIP_DATA"])
    if given is not None and not given.is_dir():
        raise UserError(f"--data (or $KINSHIP_DATA) takes a folder laid out DIR/<task>/<language>/, found {given}")
    return given


@app.command()
def run(
    measure: Annotated[
        list[str],
        typer.Option(
            "--measure",
            "-m",
            help="Measure, as gradsim or overlap[unit=chars,n=2]; may be repeated; all for every one.",
        ),
    ],
    task: Annotated[str, typer.Option("--task", "-t", help="Task, as afrisenti or cldr-names[classes=3].")],
    languages: Annotated[
        str | None,
        typer.Option(help="Languages, as deu,nld,fra (ISO 639-3, ISO 639-1 or the task's own codes), or all."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with DIR/<task>/<language>/{train,dev,test}.tsv; or $KINSHIP_DATA."),
    ] = None,
    preset: Annotated[
        Preset,
        typer.Option(
            help="quick: a small model, 2 cores, one seed. standard: more data, 3 seeds. "
            "paper: all data, the papers' kind of model, early stopping on dev."
        ),
    ] = Preset["quick"],
    model: Annotated[
        str | None,
        typer.Option(help="scratch, or a Hugging Face encoder by hub id or folder. Default: the preset's."),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(
            help="Number of groups K, or auto: as many as each measure's similarities speak for. "
            "Default: max(2, a quarter of the languages).",
            metavar="K|auto",
        ),
    ] = None,
    grouping: Annotated[
        Grouping,
        typer.Option(
            help="How groups follow from similarities. partition: the best K groups. agglomerative: average "
            "linkage. cover: K groups that may overlap, each language served by its best."
        ),
    ] = Grouping["partition"],
    no_groups: Annotated[
        bool, typer.Option("--no-groups", help="Stop after the correlations with transfer: train no groups.")
    ] = False,
    strategy: Annotated[str, typer.Option(help="How the languages' gradients become one step.")] = "plain",
    seed: Annotated[int | None, typer.Option(min=0, help="One seed.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Several seeds, as 0,1,2.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the training data.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Examples a step.")] = None,
    lr: Annotated[float | None, typer.Option(min=0.0, help="Peak learning rate of AdamW.")] = None,
    max_length: Annotated[int | None, typer.Option(min=4, help="Tokens a text at most.")] = None,
    max_train: Annotated[int | None, typer.Option(min=1, help="Training examples a language at most.")] = None,
    max_eval: Annotated[int | None, typer.Option(min=1, help="Dev and test examples a language at most.")] = None,
    patience: Annotated[
        int | None,
        typer.Option(min=0, help="Stop after so many epochs without a better dev score; 0: never."),
    ] = None,
    precision: Annotated[
        Precision | None, typer.Option(help="Default: bf16 on a CUDA device, fp32 elsewhere.")
    ] = None,
    draws: Annotated[int | None, typer.Option(min=0, help="Random partitions to compare with.")] = None,
    probe_share: Annotated[
        float,
        typer.Option(
            min=0.01, max=10.0, help="Time of the gradient probes, about, as a share of the joint training's."
        ),
    ] = RunConfig.probe_share,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Trainings side by side. Default: the number of cores; 1 on a GPU."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Fetch nothing; use what is there.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for records and leaderboard.")] = Path("results"),
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder for trainings and data. Default: $KINSHIP_CACHE or ~/.cache/kinship."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be trained, and stop.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the records as JSON on stdout, nothing else.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> int:
    """Group languages by a measure, train, and write the leaderboard.

    \b
    Examples:
      python -m benchmark run --measure gradsim --task cldr-names
      python -m benchmark run -m gradsim -m "overlap[unit=chars]" -t afrisenti --data ./data
      python -m benchmark run -m all -t cldr-names --languages deu,nld,swe,fra,ita,ron --no-groups

    A run that was stopped goes on where it was when the same command is given again.
    """
    config = RunConfig(
        measures=tuple(measure),
        task=task,
        languages=_list_of(languages),
        preset=str(preset.value),
        model=model,
        strategy=strategy,
        seeds=_seeds(seed, seeds),
        groups=_groups(groups),
        grouping=None if no_groups else grouping.value,
        draws=draws,
        max_train=max_train,
        max_eval=max_eval,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        max_length=max_length,
        precision=precision.value if precision else None,
        patience=patience,
        probe_share=probe_share,
        device=device,
        jobs=jobs,
        data=_data(data),
        offline=offline,
        output=output,
        cache=_cache(cache),
        command=shlex.join(["python", "-m", "benchmark", *sys.argv[1:]]),
    )
    if languages is not None and not config.languages:
        raise UserError(f"--languages takes codes separated by commas, or all, found {languages!r}")
    from benchmark.report import print_plan, print_result

    if dry_run:
        print_plan(config)
        return 0
    return print_result(config, as_json)


@app.command("list")
def list_(
    what: Annotated[
        Listed | None, typer.Argument(help="measures or tasks; both if not given.", show_default=False)
    ] = None,
) -> None:
    """List the measures and tasks that can be run, plugins too.

    \b
    Examples:
      python -m benchmark list
      python -m benchmark list measures
    """
    from benchmark.report import print_list

    print_list([what.value] if what else ["measures", "tasks"])


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A measure or a task, as gradsim or cldr-names.", metavar="NAME")],
) -> None:
    """Show what a measure or task is: description, parameters, languages, source.

    \b
    Examples:
      python -m benchmark show gradsim
      python -m benchmark show afrisenti
    """
    from benchmark.report import print_one

    print_one(name)


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="A measure, as gradsim or overlap[unit=chars].", metavar="NAME")],
) -> int:
    """Try a measure, a plugin's too, on a small run, and say in words what it does not keep.

    Shape, finiteness, symmetry as declared, the same answer whatever the order of the languages and
    however often it is asked, missing evidence, time. Exit code 1 where something failed.

    \b
    Examples:
      python -m benchmark check gradsim
      python -m benchmark check "overlap[unit=chars]"
    """
    from benchmark.report import print_check

    return print_check(name)


for _command in (leaderboard, plot, compare):
    app.command()(_command)
