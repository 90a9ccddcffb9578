"""From what is asked to what is run: languages, data, model, and the jobs they make."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchmark.config import AUTO, PRESETS, SCRATCH, Preset, RunConfig
from benchmark.devices import gpu_in_reach
from benchmark.encoding import Encoder
from benchmark.errors import UserError
from benchmark.grouping import default_k
from benchmark.jobs import Hyper
from benchmark.models import Model, build_scratch, pretrained, scratch
from benchmark.registry import create, is_folder, parse
from benchmark.resolve import config_of
from benchmark.samples import stratified, unseen
from benchmark.seeds import derive, digest
from benchmark.setup import Examples, SeedData, Setup
from benchmark.store import Store
from benchmark.strategies import check, chosen
from benchmark.unseen import kept_out, tried_on
from tasks.base import SPLITS, Access, Corpus, DataError, Example, Split, Task, TaskSpec
from tasks.languages import Language, UnknownLanguage, find
from tasks.sources import fingerprint, one_line

LEAST = 3  # languages with training data
POOL = 2000  # dev examples a language that probes draw from
Full = Mapping[tuple[Split, str], Sequence[Example]]  # (split, code) → everything the source has, maybe lazily


def prepare(config: RunConfig) -> Setup:
    """Resolve a run: everything that can be wrong with what was asked is said here. Writes nothing.

    Raises:
        UserError: one line on what was wrong, what is allowed, what was found.
    """
    preset = PRESETS[config.preset]
    task, given = create("tasks", config.task)
    task_name = task.spec.name if is_folder(config.task) else parse(config.task)[0] + _brackets(given)
    strategies = chosen(config.strategies)
    asked, named = languages_asked(task, config.languages), config.languages not in ((), ("all",))
    left_out = kept_out(config, task, asked, named)
    notes: list[str] = []
    try:
        corpus: Corpus = task.open(Access(config.data, config.cache / "downloads", config.offline))
        there = languages_there(task, tuple(one for one in asked if one not in left_out), corpus, named)
        languages = tuple(one for one in there if one not in left_out)
        full = {
            (split, language.code): corpus.examples(language, split) for language in languages for split in SPLITS
        }
        setup = _prepared(config, preset, task, task_name, languages, corpus, full, notes)
        check(strategies, config_of(setup.seeds[0].model))
        limit = config.max_eval if config.max_eval is not None else preset.max_eval
        tried = tried_on(left_out, config.shots, corpus, limit, setup.seeds, setup.store)
        setup = replace(setup, strategies=strategies, unseen=tried)
    except DataError as error:
        raise UserError(str(error)) from error
    _rehearsed(setup)
    return setup


def _rehearsed(setup: Setup) -> None:
    """See that the strategies can begin on the model: what is trained has begun, and a scratch model is a BERT.

    Raises:
        UserError: one cannot.
    """
    model = setup.seeds[0].model
    for one in setup.others if model.name != SCRATCH else ():
        trained = any(setup.store.has(setup.joint(of, strategy=one).key) for of in setup.seeds)
        if trained or one.masks is not None:  # which a model of unknown parts has none of: ``check`` says so
            continue
        from benchmark.training.rehearsal import unsuitable

        if reason := unsuitable(create("strategies", one.name)[0], model.folder, setup.languages):
            raise UserError(f"{one.name}: {reason}")


def _prepared(
    config: RunConfig,
    preset: Preset,
    task: Task,
    task_name: str,
    languages: tuple[Language, ...],
    corpus: Corpus,
    full: Full,
    notes: list[str],
) -> Setup:
    spec = task.spec
    sources = _sources(task, languages, full)
    if corpus.notice:
        notes.append(corpus.notice)
    if config.data is not None and corpus.source not in ("folder", "embedded", "sample"):
        notes.append(f"{config.data} holds no {task.name}: its data comes from {corpus.source}")
    most = config.max_train if config.max_train is not None else preset.most(spec.kind)
    smallest = min(sources, key=lambda code: len(full["train", code]))
    if preset.equal:
        least = len(full["train", smallest])
        if most is None or least < most:
            notes.append(f"every language trains on {least} examples, all that {smallest} has")
            most = least
    limit = config.max_eval if config.max_eval is not None else preset.max_eval

    def held_out(split: Split) -> Examples:
        codes = [language.code for language in languages]
        return {code: stratified(full[split, code], limit, derive(0, split, code)) for code in codes}

    device, precision = _device(config)
    name = config.model or preset.model or spec.paper_model
    hyper = config.hyper(name == SCRATCH, precision)
    seeds = config.seeds if config.seeds is not None else preset.seeds
    k = _k(config, spec, sources)
    if k is not None and not 1 <= k <= len(sources):
        raise UserError(
            f"--groups takes 1 to the number of languages with training data, {len(sources)}, found {k}"
        )
    setup = Setup(
        config=config,
        store=Store(config.cache.resolve()),
        task=task_name,
        spec=spec,
        languages=languages,
        sources=sources,
        source=corpus.source,
        data_fingerprint="",
        dev=held_out("dev"),
        test=held_out("test"),
        k=k,
        draws=config.draws if config.draws is not None else preset.draws,
        device=device,
        precision=precision,
        seeds=(),
        notes=tuple(notes),
    )
    fixed = None if name == SCRATCH else pretrained(name, config.offline)
    pools = _pools(setup, full, seeds)
    prints = {
        (split, code): fingerprint(rows)
        for split, of in (("dev", setup.dev), ("test", setup.test))
        for code, rows in of.items()
    }
    of_seeds = tuple(_seed(setup, seed, fixed, hyper, most, full, pools[seed], prints) for seed in seeds)
    return replace(setup, seeds=of_seeds, data_fingerprint=_fingerprint(setup, of_seeds))


def _fingerprint(setup: Setup, seeds: Sequence[SeedData]) -> str:
    """Of the examples that the run trains on and is scored on, and no others: all may be too many to read."""
    parts = {f"train {of.seed}": (of, "train") for of in seeds} | {one: (seeds[0], one) for one in ("dev", "test")}
    return digest(
        {
            f"{part}/{code}": of.fingerprints[split, code]
            for part, (of, split) in parts.items()
            for code in setup.codes
        }
    )


def _pools(setup: Setup, full: Full, seeds: Sequence[int]) -> dict[int, Examples]:
    """What probes draw from on dev: of each language a sample of what is neither in train nor in test."""
    pools: dict[int, Examples] = {seed: {} for seed in seeds}
    for code in setup.codes:
        clean = unseen(full["dev", code], full["train", code], full["test", code])
        for seed in seeds:
            pools[seed][code] = stratified(clean, POOL, derive(seed, "pool", code))
    return pools


def _seed(
    setup: Setup,
    seed: int,
    fixed: Model | None,
    hyper: Hyper,
    most: int | None,
    full: Full,
    pool: Examples,
    held_out: Mapping[tuple[str, str], str],
) -> SeedData:
    codes = setup.codes
    train = {
        code: stratified(full["train", code], most, derive(seed, "subsample", code))
        if code in setup.sources
        else ()
        for code in codes
    }
    model = fixed or scratch(_texts(train), seed, setup.store)
    encoder = Encoder(setup.store, model.folder, model.digest, hyper.max_length)
    again = {code: stratified(full["train", code], most, derive(seed, "again", code)) for code in setup.sources}
    drawn = {"train": train, "again": again, "pool": pool}
    prints = {(split, code): fingerprint(of[code]) for split, of in drawn.items() for code in of} | dict(held_out)
    keys = {place: encoder.key(one) for place, one in prints.items()}
    return SeedData(seed, model, hyper, train, again, prints, keys, {"dev": pool, "train": train})


def materialise(setup: Setup) -> None:
    """Make what trainings start from, as far as the store lacks it: scratch models, encoded examples."""
    store = Store.at(setup.store.root)
    for of in setup.seeds:
        if of.model.name == SCRATCH:
            build_scratch(of.model, _texts(of.train), of.seed, store)
        encoder = Encoder(store, of.model.folder, of.model.digest, of.hyper.max_length)
        splits = {
            "train": of.train,
            "again": of.again,
            "dev": setup.dev,
            "test": setup.test,
            "pool": of.pools["dev"],
        }
        for (split, code), key in of.keys.items():
            encoder.encode(key, splits[split][code])
        for key, examples in setup.unseen.examples(of.seed) if setup.unseen else ():
            encoder.encode(key, examples)


def _texts(train: Examples) -> list[str]:
    parts = (part for code in sorted(train) for row in train[code] for part in (row.text, row.pair))
    return [part for part in parts if part is not None]


def _k(config: RunConfig, spec: TaskSpec, sources: tuple[str, ...]) -> int | None:
    """The number of groups; of a task whose families are known, theirs. None: each measure's own."""
    if config.groups == AUTO:
        return None
    if config.groups is not None:
        return int(config.groups)
    known = sum(not set(family).isdisjoint(sources) for family in spec.families)
    return known or default_k(len(sources))


def _brackets(params: dict[str, Any]) -> str:
    return f"[{','.join(f'{key}={value}' for key, value in sorted(params.items()))}]" if params else ""


def languages_asked(task: Task, asked: tuple[str, ...]) -> tuple[Language, ...]:
    if not asked:
        return task.default_languages()
    everything = task.languages()
    if asked == ("all",):
        return everything
    try:
        found = [find(code, everything, task.codes()) for code in asked]
    except UnknownLanguage as error:
        raise UserError(f"{task.name}: {error}") from error
    return tuple(dict.fromkeys(found))


def languages_there(task: Task, asked: tuple[Language, ...], corpus: Corpus, named: bool) -> tuple[Language, ...]:
    """Those of the languages that the source has; ``named``: somebody asked for each of them."""
    has = corpus.languages()
    if has is None:
        return asked
    missing = [language.code for language in asked if language not in has]
    if named and missing:
        raise UserError(
            f"{task.name}: the data ({corpus.source}) has {', '.join(one.code for one in has)}, "
            f"found no {', '.join(missing)}"
        )
    there = tuple(language for language in asked if language in has)
    return there if len(there) >= LEAST else has


def _sources(task: Task, languages: tuple[Language, ...], full: Full) -> tuple[str, ...]:
    empty = [language for language in languages if not full["train", language.code]]
    undeclared = [language.code for language in empty if language not in task.targets_only()]
    if undeclared:
        raise UserError(
            f"{task.name}: every language but {', '.join(sorted(map(str, task.targets_only()))) or 'none'} "
            f"must have training data, found none for {', '.join(undeclared)}"
        )
    held_out: tuple[Split, ...] = ("dev", "test")
    for split in held_out:
        without = [language.code for language in languages if not full[split, language.code]]
        if without:
            raise UserError(
                f"{task.name}: every language must have {split} data, found none for {', '.join(without)}"
            )
    sources = tuple(language.code for language in languages if language not in empty)
    if len(sources) < LEAST:
        targets = f"; no training data: {', '.join(map(str, empty))} (targets only)" if empty else ""
        raise UserError(
            f"at least {LEAST} languages with training data are needed, found {len(sources)}: "
            f"{', '.join(sources) or 'none'}{targets}"
        )
    return sources


def _device(config: RunConfig) -> tuple[str, str]:
    device = config.device
    if device == "auto" and not gpu_in_reach():
        device = "cpu"
    if device != "cpu":
        import torch

        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        else:
            try:
                torch.zeros(1, device=device)
            except Exception as error:  # torch raises several kinds for a device it cannot use
                reason = one_line(error)[:150]
                raise UserError(
                    f"--device takes auto, cpu, cuda or what torch can use here, found {device}: {reason}"
                ) from error
    precision = config.precision or ("bf16" if device.startswith("cuda") else "fp32")
    return device, precision


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
