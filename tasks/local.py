"""A person's own task, without code: a folder with ``task.yaml`` and ``<language>/{train,dev,test}.tsv``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.base import SPLITS, Access, Corpus, DataError, Example, Source, Split, Task, TaskSpec
from tasks.codes_iso import name_key, names, parse_tag, standard
from tasks.languages import Language, cldr_data, language
from tasks.local_declaration import FILE, Declaration, Problems, declaration
from tasks.local_files import opened
from tasks.local_yaml import LARGEST
from tasks.rows import Rows
from tasks.sources import expanded, one_line
from tasks.sources import opened as file_opened
from tasks.tsv import shown

_LISTED = 12
_COMPARED = 1000


@dataclass(frozen=True)
class Folder:
    """The folder of one language, and which splits it has a file of."""

    language: Language
    name: str
    splits: frozenset[Split]


@dataclass(frozen=True)
class Survey:
    """What a task's folder holds.

    ``folders``: by language code, sorted. ``problems``: one line each. ``ignored``: names of folders
    without data.
    """

    root: Path
    declaration: Declaration
    folders: Mapping[str, Folder]
    problems: tuple[str, ...]
    ignored: tuple[str, ...]

    def file(self, code: str, split: Split) -> Path:
        return self.root / self.folders[code].name / f"{split}.tsv"


def survey(root: Path) -> Survey:
    """Read ``task.yaml`` and look at the folders; of data files only the names.

    Raises:
        DataError: no such folder, or its ``task.yaml`` cannot be read.
        Problems: all that is wrong with ``task.yaml``.
    """
    try:
        if not root.is_dir():
            raise DataError(
                f"a folder with {FILE} is needed; found {'none' if not root.exists() else 'a file'} at {root}"
            )
        return _Surveyor(root, declaration(_read(root), str(root / FILE))).survey()
    except OSError as error:
        raise DataError(f"cannot read {root}; a readable folder is needed; found: {one_line(error)}") from error


class LocalTask(Task):
    """A task of your own: a folder with task.yaml and <language>/{train,dev,test}.tsv."""

    name: str  # type: ignore[misc]  # each folder has its own

    def __init__(self, path: str | Path) -> None:
        """
        Raises:
            DataError: the folder, or its ``task.yaml``, is not as it must be; one line.
        """
        found = survey(expanded(path))
        if found.problems:
            raise Problems(found.problems)
        self.path = str(path)
        self.name = found.declaration.spec.name
        self._survey = found

    @property
    def spec(self) -> TaskSpec:
        return self._survey.declaration.spec

    def languages(self) -> tuple[Language, ...]:
        return tuple(each.language for each in self._survey.folders.values())

    def targets_only(self) -> frozenset[Language]:
        return frozenset(each.language for each in self._survey.folders.values() if "train" not in each.splits)

    def codes(self) -> dict[str, Language]:
        return {each.name: each.language for each in self._survey.folders.values()}

    def open(self, access: Access) -> LocalCorpus:
        """The task's own folder; ``access.data`` is not looked at."""
        return LocalCorpus(self._survey, None if access.cache is None else access.cache / "index")


class LocalCorpus(Corpus):
    """The files of a task's folder, opened when they are first asked for."""

    source: Source = "folder"

    def __init__(self, found: Survey, index: Path | None) -> None:
        self._survey = found
        self._index = index
        self._opened: dict[tuple[str, Split], Rows] = {}

    def examples(self, language: Language, split: Split) -> Sequence[Example]:
        folder = self._survey.folders.get(language.code)
        if folder is None:
            allowed = ", ".join(self._survey.folders)
            raise DataError(
                f"{self._survey.root} has no {language.name}; allowed: {allowed}; found {language.code}"
            )
        if split not in folder.splits:
            return ()
        key = language.code, split
        if key not in self._opened:
            self._opened[key] = opened(self._survey.declaration, self._survey.file(*key), split, self._index)
        return self._opened[key]


def _read(root: Path) -> bytes:
    path = root / FILE
    if wrong := _misplaced(path, root):
        raise DataError(wrong)
    if not path.is_file():
        names = sorted(each.name for each in root.iterdir())
        raise DataError(f"{path}: a task needs this file; found {_listed(names) or 'an empty folder'}")
    with file_opened(path) as file:
        return file.read(LARGEST + 1)


def _misplaced(path: Path, root: Path) -> str | None:
    """Why a path is none of this task's: a link out of its folder."""
    try:
        target = path.resolve()
        inside = target.is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # links in a circle
        return f"{path}: a file or folder inside {root} is needed; found a link that leads nowhere"
    return None if inside else f"{path}: a file or folder inside {root} is needed; found a link to {target}"


class _Surveyor:
    """Goes on after a mistake, so that all of them are told at once."""

    def __init__(self, root: Path, declared: Declaration) -> None:
        self._root = root
        self._declared = declared
        self._problems: list[str] = []

    def survey(self) -> Survey:
        folders: dict[str, Folder] = {}
        ignored = []
        names = sorted(
            each.name for each in self._root.iterdir() if not each.name.startswith(".") and each.is_dir()
        )
        for name in names:
            path = self._root / name
            if wrong := _misplaced(path, self._root):
                self._problems.append(wrong)
                continue
            inside = sorted(each.name for each in path.iterdir())
            if name not in self._declared.languages and not any(one.lower().endswith(".tsv") for one in inside):
                ignored.append(name)
                continue
            splits = self._splits(path, inside)
            found = self._language(name)
            if found is None:
                continue
            if found.code in folders:
                both = f"{folders[found.code].name} and {name}"
                self._problems.append(
                    f"{path}: a language must have one folder; found {both}, both {found.code} ({found.name})"
                )
                continue
            folders[found.code] = Folder(found, name, splits)
        self._unmatched(names)
        if not folders and not self._problems:
            self._problems.append(
                f"{self._root}: folders <language>/ with train.tsv, dev.tsv and test.tsv are needed; "
                f"found {_listed(names) or 'none'}"
            )
        return Survey(
            self._root, self._declared, dict(sorted(folders.items())), tuple(self._problems), tuple(ignored)
        )

    def _splits(self, folder: Path, inside: Sequence[str]) -> frozenset[Split]:
        found: set[Split] = set()
        for split in SPLITS:
            path = folder / f"{split}.tsv"
            if path.name not in inside:
                if split != "train":
                    self._problems.append(
                        f"{path}: every language needs dev.tsv and test.tsv; "
                        f"found {_listed(inside) or 'an empty folder'}"
                    )
            elif wrong := _misplaced(path, self._root):
                self._problems.append(wrong)
            elif not path.is_file():
                self._problems.append(f"{path}: a file is needed; found something else")
            else:
                found.add(split)
        return frozenset(found)

    def _language(self, name: str) -> Language | None:
        code, line = self._declared.languages.get(name, (name, None))
        found = _meant(code)
        if isinstance(found, Language):
            return found
        if line is not None:
            self._problems.append(f"{self._root / FILE}, line {line}: languages, {shown(name)}: {found}")
        else:
            self._problems.append(
                f"{self._root / name}: {found}; or say in {FILE} which language it is, as in languages: "
                f'{{"{name}": swh}} (qaa to qtz are free for a language without a code)'
            )
        return None

    def _unmatched(self, names: Sequence[str]) -> None:
        there = set(names)
        wrong = [(name, line) for name, (_, line) in self._declared.languages.items() if name not in there]
        for name, line in wrong[:_LISTED]:  # to look for what was meant takes time
            close = difflib.get_close_matches(name, names[:_COMPARED], n=1)
            meant = f" (did you mean {close[0]!r}?)" if close else ""
            self._problems.append(
                f"{self._root / FILE}, line {line}: languages: the name of a folder is needed; "
                f"found {shown(name)}{meant}; folders: {_listed(names) or 'none'}"
            )
        if wrong[_LISTED:]:
            more = len(wrong) - _LISTED
            self._problems.append(f"{self._root / FILE}: languages: and {more} more without a folder")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _meant(code: str) -> Language | str:
    """The language of a code or tag, or why there is none."""
    parsed = parse_tag(code)
    meant = standard(parsed[0]) if parsed else ()
    allowed = "allowed: ISO 639-1, ISO 639-3 or BCP 47, as in de, deu, srp-Cyrl"
    if len(meant) > 1:
        return f"the code {shown(code)} was split; allowed: {', '.join(meant)}"
    if parsed is None or not meant:
        named = names().get(name_key(code))
        suggested = f" (did you mean {named}?)" if named else ""
        return f"unknown language {shown(code)}{suggested}; {allowed}"
    script = parsed[1]
    if script is not None and script not in cldr_data("en")["scripts"]:
        return f"unknown script {script} in {shown(code)}; {allowed}"
    return language(meant[0], script)
