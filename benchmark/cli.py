"""The command line: run, list, show and check here, the other commands from their modules."""

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

from benchmark import cache_commands, options
from benchmark.commands import compare, leaderboard, plot
from benchmark.config import RunConfig
from benchmark.doctor import doctor
from benchmark.errors import UserError
from benchmark.ready import prepare
from benchmark.recommend import recommend
from benchmark.validate import validate

# typer carries its own click: its errors are found by class, not by module.
ClickError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
LONGEST = 2000  # characters of an error
INTERRUPTED = 130  # what typer makes of Ctrl-C

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Which languages should be trained together? Group languages by a similarity measure, train one "
    "model per group, and see what the grouping was worth and how well the measure foretold transfer.",
)


class Listed(StrEnum):
    """What ``list`` can list."""

    measures = "measures"
    tasks = "tasks"
    strategies = "strategies"


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
    from tasks.sources import one_line

    # File names and the messages of libraries may hold anything.
    print(f"error: {one_line(text)[:LONGEST]}", file=sys.stderr)
    return 2


def _stopped() -> int:
    print("stopped; the same command goes on where this one was", file=sys.stderr)
    return INTERRUPTED


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
    task: options.TaskName,
    languages: options.Languages = None,
    data: options.Data = None,
    preset: options.PresetName = options.Preset["quick"],
    model: options.ModelName = None,
    groups: options.Groups = None,
    grouping: options.GroupingRule = options.Grouping["partition"],
    no_groups: Annotated[
        bool, typer.Option("--no-groups", help="Stop after the correlations with transfer: train no groups.")
    ] = False,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            help="How the languages' gradients become one step, as gradvac or gradvac[beta=0.5]; may be repeated. "
            "plain is always there: the others are compared with it."
        ),
    ] = None,
    unseen: Annotated[
        str | None,
        typer.Option(
            help="Languages kept out of training, as swa,hau, on which the joint model of each strategy is tried."
        ),
    ] = None,
    shots: Annotated[
        str | None,
        typer.Option(help="Examples of each unseen language that it is fine-tuned on first, as 16,64,256."),
    ] = None,
    seed: options.Seed = None,
    seeds: options.Seeds = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    lr: options.LearningRate = None,
    max_length: options.MaxLength = None,
    max_train: options.MaxTrain = None,
    max_eval: options.MaxEval = None,
    patience: options.Patience = None,
    precision: options.PrecisionName = None,
    draws: Annotated[int | None, typer.Option(min=0, help="Random partitions to compare with.")] = None,
    probe_share: options.ProbeShare = RunConfig.probe_share,
    device: options.Device = "auto",
    jobs: options.Jobs = None,
    offline: options.Offline = False,
    output: Annotated[Path, typer.Option(help="Folder for records and leaderboard.")] = Path("results"),
    cache: options.Cache = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be trained, and stop.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the records as JSON on stdout, nothing else.")
    ] = False,
    debug: options.Debug = False,
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
        languages=options.languages_of(languages),
        preset=str(preset.value),
        model=model,
        strategies=tuple(strategy or ()),
        unseen=options.list_of(unseen),
        shots=options.counts_of("--shots", shots),
        seeds=options.seeds_of(seed, seeds),
        groups=options.groups_of(groups),
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
        data=options.data_of(data),
        offline=offline,
        output=output,
        cache=options.cache_of(cache),
        command=shlex.join(["python", "-m", "benchmark", *sys.argv[1:]]),
    )
    from benchmark.report import print_plan, print_result

    if dry_run:
        print_plan(config)
        return 0
    return print_result(config, as_json)


@app.command("list")
def list_(
    what: Annotated[
        Listed | None, typer.Argument(help="measures, tasks or strategies; all if not given.", show_default=False)
    ] = None,
) -> None:
    """List the measures, tasks and training strategies that can be run, plugins too.

    \b
    Examples:
      python -m benchmark list
      python -m benchmark list measures
    """
    from benchmark.report import print_list

    print_list([what.value] if what else [*Listed])


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(help="A measure, task or strategy, as gradsim, cldr-names or plain.", metavar="NAME")
    ],
) -> None:
    """Show what a measure, task or strategy is: description, parameters, languages, source.

    \b
    Examples:
      python -m benchmark show gradsim
      python -m benchmark show afrisenti
    """
    from benchmark.report import print_one

    print_one(name)


@app.command()
def check(
    name: Annotated[
        str,
        typer.Argument(
            help="A measure or strategy, as gradsim, overlap[unit=chars] or gradvac[beta=0.5].", metavar="NAME"
        ),
    ],
) -> int:
    """Try a measure or a strategy, a plugin's too, on a small run, and say in words what it does not keep.

    Of a measure: shape, finiteness, symmetry as declared, the same answer whatever the order of the languages
    and however often it is asked, missing evidence, time. Of a strategy: gradients, the same training again and
    in another order, resumed from its state, masks, hooks. Exit code 1 where something failed.

    \b
    Examples:
      python -m benchmark check gradsim
      python -m benchmark check "overlap[unit=chars]"
      python -m benchmark check "gradvac[beta=0.5]"
    """
    from benchmark.report import print_check

    return print_check(name)


for _command in (recommend, prepare, validate, leaderboard, plot, compare, doctor):
    app.command()(_command)
app.add_typer(cache_commands.commands, name="cache")
