"""What a run would find without network: its data, read to the end, and models, opened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from benchmark.errors import UserError
from benchmark.model_folder import ModelMissing, read_json
from benchmark.models import pretrained
from benchmark.prepare import languages_asked, languages_there
from benchmark.progress import say
from tasks.base import SPLITS, Access, Corpus, DataError, Split, Task
from tasks.hub import HubRepository
from tasks.languages import Language
from tasks.sources import expanded, one_line

Failed = dict[tuple[str, Split], str]  # (code, split) → why it could not be fetched
_WHOLE = ("model.safetensors", "pytorch_model.bin")  # what transformers opens, or an index of several files


@dataclass(frozen=True)
class Place:
    """Something that lies in a folder; ``revision``: the commit, where it is from the hub."""

    what: str
    name: str
    where: str
    revision: str | None
    files: int
    bytes: int


@dataclass
class Readiness:
    """What was found. ``counts``: code → split → examples; ``said``: where the data is from."""

    task: str
    cache: str
    source: str | None = None
    said: str = "no data"
    names: dict[str, str] = field(default_factory=dict)
    counts: dict[str, dict[Split, int]] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def problem(self, text: object) -> None:
        line = one_line(text)
        if line not in self.problems:
            self.problems.append(line)

    def json(self) -> dict[str, Any]:
        return asdict(self) | {"ready": not self.problems}


def check_data(found: Readiness, task: Task, asked: tuple[str, ...], data: Path | None, cache: Path) -> None:
    """Fetch the languages' examples as far as they are not there, then read them all without network.

    Raises:
        UserError: a language that the task does not have.
    """
    wanted = languages_asked(task, asked)
    access = Access(data, cache / "downloads", offline=False)
    failed: Failed = {}
    unopened = notice = None
    try:
        corpus = task.open(access)
        notice = corpus.notice
        if corpus.source in ("hub", "files"):
            failed = _fetch(task, corpus, _here(found, task, corpus, wanted, asked))
    except DataError as error:
        unopened = str(error)
    try:
        corpus = task.open(replace(access, offline=True))
    except DataError as error:
        found.problem(unopened or error)
        return
    found.source = corpus.source
    found.said = _said(task, corpus, data)
    if corpus.source == "sample":
        found.problem(notice or corpus.notice or f"{task.name}: only an embedded sample is there")
        return
    if unopened:
        found.notes.append(f"nothing was fetched ({unopened}); what is there is read")
    if corpus.notice:
        found.notes.append(corpus.notice)
    _read(found, task, corpus, _here(found, task, corpus, wanted, asked), failed)
    found.places += _places(task, corpus, access)


def _here(
    found: Readiness, task: Task, corpus: Corpus, wanted: tuple[Language, ...], asked: tuple[str, ...]
) -> tuple[Language, ...]:
    """The languages that a run would take; each that somebody named and the source lacks is a problem."""
    has = corpus.languages()
    if has is None:
        return wanted
    if asked in ((), ("all",)):
        return languages_there(task, wanted, corpus, named=False)
    for language in wanted:
        if language not in has:
            found.problem(f"{task.name}: the data ({corpus.source}) has no {language.name} ({language.code})")
    return tuple(language for language in wanted if language in has)


def _fetch(task: Task, corpus: Corpus, languages: tuple[Language, ...]) -> Failed:
    failed: Failed = {}
    for number, language in enumerate(languages, 1):
        say(f"{task.name}: {language.code} from {corpus.source} ({number} of {len(languages)})")
        for split in SPLITS:
            try:
                corpus.examples(language, split)
            except DataError as error:
                failed[language.code, split] = str(error)
    return failed


def _read(found: Readiness, task: Task, corpus: Corpus, languages: Iterable[Language], failed: Failed) -> None:
    """Every example, one after the other."""
    for language in languages:
        counts = dict.fromkeys(SPLITS, 0)
        for split in SPLITS:
            try:
                counts[split] = sum(1 for _ in corpus.examples(language, split))
            except DataError as error:
                found.problem(failed.get((language.code, split), error))
                continue
            if not counts[split] and not (split == "train" and language in task.targets_only()):
                found.problem(f"{task.name}: no {split} data of {language.name} ({language.code})")
        found.names[language.code] = language.name
        found.counts[language.code] = counts


def _said(task: Task, corpus: Corpus, data: Path | None) -> str:
    if corpus.source == "folder":
        return f"a local folder, {_root(task, data)}: nothing to fetch"
    if corpus.source == "embedded":
        return "comes with the installed packages: nothing to fetch"
    said = {"hub": "from the hub", "files": "its authors' files", "sample": "only a sample"}[corpus.source]
    return said if data is None else f"{said} ({data} holds no {task.name})"


def _root(task: Task, data: Path | None) -> Path:
    """The folder of the data: a person's own task has its own."""
    own = getattr(task, "path", None)
    return expanded(own) if own is not None else (data or Path()) / task.name


def _places(task: Task, corpus: Corpus, access: Access) -> list[Place]:
    from tasks.hub import kept_ref

    if corpus.source == "folder":
        return [place("data", task.name, _root(task, access.data))]
    if corpus.source == "files" and access.cache is not None:
        return [place("data", task.name, access.cache / task.name)]
    repositories = [value for value in vars(corpus).values() if isinstance(value, HubRepository)]
    return [place("data", one.name, kept_ref(one.name) / "snapshots" / one.sha, one.sha) for one in repositories]


def place(what: str, name: str, folder: Path, revision: str | None = None) -> Place:
    """A folder with the number and size of its files."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    return Place(what, name, str(folder.resolve()), revision, len(files), size)


def check_model(found: Readiness, what: str, name: str, sentence: bool = False, words: bool = False) -> None:
    """Fetch a model as far as it is not there, then open its tokenizer and its weights without network.

    ``words``: its tokenizer must say which word a token is of.

    Raises:
        UserError: no name that a model can have.
    """
    unfetched = None
    if not expanded(name).is_dir():
        say(f"{what}: {name}")
        try:
            pretrained(name, offline=False, sentence=sentence)
        except ModelMissing as error:
            unfetched = str(error)
    try:
        model = pretrained(name, offline=True, sentence=sentence)
    except ModelMissing as error:
        found.problem(f"{what}: {unfetched or error}")
        return
    if unfetched:
        found.notes.append(f"nothing was fetched ({unfetched}); what is there is opened")
    for problem in _faults(model.folder, sentence, words):
        found.problem(f"{what}: {name}: {problem}")
    revision = model.folder.name if model.folder.parent.name == "snapshots" else None
    found.places.append(place(what, name, model.folder, revision))


def _faults(folder: Path, sentence: bool, words: bool) -> Iterable[str]:
    from transformers import AutoConfig, AutoTokenizer

    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        AutoConfig.from_pretrained(folder, **local)
    except Exception as error:  # whatever a foreign folder makes the library say
        yield f"the configuration cannot be loaded: {one_line(error)}"
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        if not len(tokenizer("a b")["input_ids"]):
            yield "the tokenizer makes no tokens"
        if words and not tokenizer.is_fast:
            yield "the tokenizer does not say which word a token is of, which tagged tokens need"
    except Exception as error:
        yield f"the tokenizer cannot be loaded: {one_line(error)}"
    try:
        yield from _weights(folder)
        yield from _modules(folder) if sentence else ()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UserError) as error:
        yield f"a list of files cannot be read: {type(error).__name__}: {one_line(error)}"


def _modules(folder: Path) -> Iterable[str]:
    """Of a sentence-transformers model: what stands behind the encoder (to normalise needs no file)."""
    if not (folder / "modules.json").is_file():
        yield "a sentence-transformers model has a modules.json, found none"
        return
    for module in read_json(folder / "modules.json"):
        inside = module["path"]
        if inside and not module["type"].endswith("Normalize") and not (folder / inside / "config.json").is_file():
            yield f"modules.json names {inside}, which has no config.json"


def _weights(folder: Path) -> Iterable[str]:
    """What is wrong with the files of the weights: headers are read, and lengths compared with them."""
    from safetensors import safe_open

    indices = [folder / f"{name}.index.json" for name in _WHOLE]
    if not any(path.is_file() for path in (*indices, *(folder / name for name in _WHOLE))):
        yield f"expected {' or '.join(_WHOLE)}, or an index of several files ({indices[0].name}), found neither"
    for index in indices:
        if index.is_file():
            named = sorted(set(read_json(index)["weight_map"].values()))
            missing = [name for name in named if not (folder / name).is_file()]
            if missing:
                yield f"{index.name} names files that are not there: {', '.join(missing)}"
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "np") as file:
                if not len(list(file.keys())):
                    yield f"{path.name} holds no weights"
        except Exception as error:
            yield f"{path.name} cannot be opened: {one_line(error)}"
    if not any(folder.glob("*.safetensors")):
        import torch

        for path in sorted(folder.glob("pytorch_model*.bin")):
            try:
                torch.load(path, map_location="meta", weights_only=True)
            except UnpicklingError:
                yield f"{path.name} needs more than torch's weights-only loader, and that would run code"
            except Exception as error:
                yield f"{path.name} cannot be opened: {one_line(error)}"
