"""One result as JSON: the schema (version 1), reading and writing."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from leaderboard.files import alone, replace_text
from leaderboard.parsing import Many, free, parsed

Cell = float | None
Rows = Many[Many[Cell]]  # [source][target], in the order of the record's languages
Interval = tuple[float, float] | None
_LONGEST = 200  # characters of what was found, in a message
PLAIN = "plain"  # the strategy that all others are compared with
JOINT = "joint"  # stands for a measure where one model of all languages is trained; no measure may be called so


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Similarity(_Part):
    """``views``: the same of a part of the evidence, as a block of parameters or a phase of the training.
    ``yardstick``: a language's similarity to itself under another seed, by code. ``contributions``:
    the share of each part of a learned measure."""

    matrix: Rows
    coverage: Rows | None = None
    symmetric: bool
    views: dict[str, Rows] | None = None
    yardstick: dict[str, float] | None = None
    contributions: dict[str, float] | None = None


class SeedTransfer(_Part):
    seed: int
    dev: Rows
    test: Rows


class Transfer(_Part):
    """``dev`` and ``test`` are means over seeds; a row is null for a target without training data."""

    metric: str
    dev: Rows
    test: Rows
    seeds: Many[SeedTransfer]


class Score(_Part):
    """The official metric; ``macro_f1``, mean over languages, where that is another. ``by_seed``: what
    ``per_language`` is the mean of, by code, in the order of the protocol's seeds."""

    metric: str
    mean: float
    per_language: dict[str, float]
    macro_f1: float | None = None
    by_seed: dict[str, Many[float]] | None = None


class RandomScore(_Part):
    """Random partitions of the same size profile; ``percentile`` is the share (0 to 1) of
    them that the grouping beats, ties counted half. ``by_seed``: their mean, as in ``Score``."""

    mean: float
    sd: float
    draws: int
    percentile: float
    by_seed: Many[float] | None = None


class Scores(_Part):
    """``multilingual``: one model of all languages, ``plain``: the same groups, both under the strategy plain."""

    grouped: Score | None = None
    multilingual: Score | None = None
    monolingual: Score | None = None
    majority: Score | None = None
    random: RandomScore | None = None
    plain: Score | None = None


class ObjectiveGain(_Part):
    """Do groups that the measure likes better turn out better? Spearman of ``objectives``, which the measure
    gives to the random partitions, with their ``scores``, in the same order."""

    spearman: float
    draws: int
    objectives: Many[float]
    scores: Many[float]


class GainIntervals(_Part):
    """95 % intervals of a gain of the grouping: over seeds (null with one seed) and over test items."""

    seeds: Interval = None
    items: Interval = None


class Intervals(_Part):
    over_random: GainIntervals = GainIntervals()
    over_multilingual: GainIntervals = GainIntervals()
    over_monolingual: GainIntervals = GainIntervals()
    over_plain: GainIntervals = GainIntervals()


class Beyond(_Part):
    """MRQAP of ``leaderboard.mrqap``: what the measure knows of transfer beyond the controls."""

    coefficient: float | None
    p: float | None
    controls: Many[str]
    dropped: dict[str, str]


class Correlation(_Part):
    """How well the measure foretold transfer. See ``leaderboard.statistics`` for each definition."""

    per_target_spearman: float | None
    per_target_spearman_ci95: Interval
    centred_per_target_spearman: float | None
    centred_per_target_spearman_ci95: Interval
    spearman: float | None
    pearson: float | None
    qap_p: float | None
    ndcg_at_3: float | None
    regret_at_1: float | None
    noise_ceiling: float | None
    reliability: float | None = None  # of S itself, where it comes from probes: odd against even ones
    per_target_qap_p: float | None = None
    centred_per_target_qap_p: float | None = None
    regret_at_3: float | None = None
    mrqap: Beyond | None = None


class Recovery(_Part):
    """Of families that are known because they were made, by a partition into as many groups."""

    adjusted_rand: float | None


class Shot(_Part):
    """Official scores after fine-tuning on some examples of a language, by seed, and their mean."""

    scores: Many[float]
    mean: float


class Data(_Part):
    source: Literal["folder", "hub", "files", "embedded", "sample"]
    fingerprint: str
    train_size: dict[str, int]
    test_size: dict[str, int]


class Cost(_Part):
    """``micro_batch``: examples at a time, at least, where a device had no room for all of a step."""

    trainings: int
    seconds: float
    peak_memory_mb: float
    micro_batch: int | None = None


class Provenance(_Part):
    command: str
    versions: dict[str, str]
    device: str
    threads: int
    precision: str
    git: str | None
    started: str


class Record(_Part):
    schema_version: Literal[1] = 1
    task: str
    measure: str
    measure_params: dict[str, str | int | float]
    access: str  # what information the measure sees: none, text, labels, transfer
    strategy: str
    languages: Many[str]
    groups: Many[Many[str]] | None  # null with --no-groups
    served: dict[str, int] | None = None  # of a cover: the group (place in groups) whose model serves a language
    objective: float | None
    objective_gain: ObjectiveGain | None = None  # null with fewer than 4 random partitions
    recovery: Recovery | None = None
    skipped: str | None = None  # why the measure says nothing here; then all its cells are null
    similarity: Similarity
    transfer: Transfer
    scores: Scores
    intervals: Intervals
    correlation: Correlation | None  # null for embedded samples
    data: Data
    protocol_id: str
    protocol: dict[str, Any]
    cost: Cost
    provenance: Provenance
    training: dict[str, Any] | None = None  # what the strategy tells of the one model of all languages, by seed
    shots: dict[str, dict[str, Shot]] | None = None  # of languages kept out, by number of examples, from 0


class RecordError(Exception):
    """A record that cannot be read or written. The message is one line: which, and what is wrong."""


def path_for(record: Record) -> Path:
    """``task/protocol_id/measure-<8 hex of its parameters>.json``, below the results folder; ``…@strategy.json``
    where that is not plain."""
    params = hashlib.sha256(_text(record.measure_params, 0).encode()).hexdigest()[:8]
    strategy = "" if record.strategy == PLAIN else f"@{_safe(record.strategy)}"
    return Path(_safe(record.task), _safe(record.protocol_id), f"{_safe(record.measure)}-{params}{strategy}.json")


def write(record: Record, path: Path) -> None:
    """Write ``record`` atomically, in one canonical form: fields in the schema's order, free keys
    sorted, a matrix row per line, floats that read back the same.

    RecordError for a value JSON cannot hold (NaN, infinity) or parts that do not fit together.
    """
    replace_text(path, _content(record, path))


def _content(record: Record, path: Path) -> str:
    problem = next(_problems(record), None)
    if problem is not None:
        raise RecordError(f"{path}: {problem}")
    try:
        text = _text(record, 0) + "\n"
        text.encode("utf-8")
    except (TypeError, ValueError) as error:
        raise RecordError(f"{path}: {_line(error)}") from error
    return text


def read(path: Path) -> Record:
    """The record at ``path``. RecordError for anything that is not one of this schema version."""
    try:
        data = parsed(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RecordError(f"{path}: not readable as JSON: {_line(reason)}") from error
    if not isinstance(data, dict) or "schema_version" not in data:
        raise RecordError(f"{path}: not a record: expected an object with schema_version")
    if data["schema_version"] != 1:
        found = _line(data["schema_version"])
        raise RecordError(f"{path}: schema_version: expected 1, found {found}")
    try:
        for name, value in data.items():
            shown = value.get("metric") if name == "transfer" and isinstance(value, dict) else value
            if name not in ("similarity", "provenance"):  # numbers, and what no table says
                free(name, shown)
        record = Record.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise RecordError(f"{path}: {_line(where)}: {_line(first['msg'])}{more}") from error
    except ValueError as error:
        raise RecordError(f"{path}: {_line(error)}") from error
    problem = next(_problems(record), None)
    if problem is not None:
        raise RecordError(f"{path}: {problem}")
    return record


def write_if_changed(record: Record, path: Path) -> bool:
    """:func:`write`, unless that would change nothing but the provenance, or would only lose
    knowledge: of the same protocol, null where the record on disk has a value, otherwise equal
    (cost aside, which is lower when less was done). Whether it was written.
    """
    content = _content(record, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path.parent):  # who reads what is there and replaces it must not be overtaken
        if not _changes(record, json.loads(content), path):
            return False
        replace_text(path, content)
    return True


def _changes(record: Record, after: dict[str, Any], path: Path) -> bool:
    try:
        before = json.loads(_content(read(path), path))
    except RecordError:
        return True  # missing, or of no use to anybody
    if before["protocol_id"] != record.protocol_id:
        return True
    if record.skipped and not before.get("skipped"):
        return False  # a package that is missing today takes nothing away
    for known in (before, after):
        del known["provenance"]
    if before == after:
        return False
    for known in (before, after):
        del known["cost"]
    return before == after or not _adds_nothing(before, after)


def _adds_nothing(old: Any, new: Any) -> bool:
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_adds_nothing(old[key], new[key]) for key in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_adds_nothing, old, new))
    return bool(new is None or old == new)


def _problems(record: Record) -> Iterator[str]:
    """What the types cannot say: matrices fit the languages, and all languages named are known."""
    n, languages = len(record.languages), set(record.languages)
    if len(languages) != n:
        yield "languages: one is listed twice"
    matrices = {
        "similarity.matrix": record.similarity.matrix,
        "similarity.coverage": record.similarity.coverage,
        "transfer.dev": record.transfer.dev,
        "transfer.test": record.transfer.test,
    }
    matrices |= {f"similarity.views[{name}]": view for name, view in (record.similarity.views or {}).items()}
    for one in record.transfer.seeds:
        matrices |= {f"transfer.seeds[{one.seed}].dev": one.dev, f"transfer.seeds[{one.seed}].test": one.test}
    for name, matrix in matrices.items():
        if matrix is not None and [len(row) for row in matrix] != [n] * n:
            yield f"{name}: expected {n} rows of {n} values, one per language"
    named: dict[str, list[str]] = {"data.train_size": [*record.data.train_size]}
    named["data.test_size"] = [*record.data.test_size]
    named["groups"] = [code for group in record.groups or [] for code in group]
    for kind in ("grouped", "multilingual", "monolingual", "majority", "plain"):
        score: Score | None = getattr(record.scores, kind)
        named[f"scores.{kind}"] = [*score.per_language] if score else []
    for name, codes in named.items():
        unknown = sorted(set(codes) - languages)
        if unknown:
            yield f"{name}: {_line(', '.join(unknown))} not among the languages"
    trained_on = sorted(languages & set(record.shots or {}))
    if trained_on:
        yield f"shots: {_line(', '.join(trained_on))} among the languages, expected others"
    groups, served = record.groups or [], record.served
    if served is None:
        if len(set(named["groups"])) != len(named["groups"]):
            yield "groups: a language is in more than one"
    elif any(not 0 <= place < len(groups) or code not in groups[place] for code, place in served.items()):
        yield "served: a language is not in the group that serves it"
    elif set(served) != set(named["groups"]):
        yield "served: expected every language of the groups"


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def _text(value: Any, depth: int) -> str:
    """Canonical JSON, indented by 2; a list of plain values stays on one line."""
    if isinstance(value, BaseModel):
        items = [(name, getattr(value, name)) for name in type(value).model_fields]
    elif isinstance(value, dict):
        items = sorted(value.items())
    elif isinstance(value, (list, tuple)):
        if not any(isinstance(item, (list, tuple, dict, BaseModel)) for item in value):
            return _ENCODER.encode(value)
        return _block("[]", [_text(item, depth + 1) for item in value], depth)
    else:
        return _ENCODER.encode(value)
    for name, _ in items:
        if not isinstance(name, str):
            raise TypeError(f"keys: expected text, found {name!r}")
    lines = [f"{_ENCODER.encode(name)}: {_text(item, depth + 1)}" for name, item in items]
    return _block("{}", lines, depth)


def _block(brackets: str, lines: list[str], depth: int) -> str:
    if not lines:
        return brackets
    inner = "  " * (depth + 1)
    body = f",\n{inner}".join(lines)
    return f"{brackets[0]}\n{inner}{body}\n{'  ' * depth}{brackets[1]}"


def _line(text: object) -> str:
    """On one line, not too long, without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)[: 2 * _LONGEST]).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def _safe(name: str) -> str:
    """A file name that is ``name`` where that is safe, and told apart by a digest where it is not."""
    safe = re.sub(r"[^A-Za-z0-9._+=,-]+", "_", name).strip("._")[:100]
    if safe and safe == name:
        return safe
    return f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("-")
