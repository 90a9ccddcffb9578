"""All that can be said of a task's data files: what is wrong, figures of each language, warnings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.data_checks import Counter, differing
from benchmark.data_warnings import Checked, warnings
from benchmark.errors import UserError
from tasks.base import SPLITS, Access, DataError, Example, Split, Task, TaskSpec

if TYPE_CHECKING:
    from tasks.local import Survey

SHOWN = 20  # errors of one file

Take = Callable[[Example | DataError], None]
Read = Callable[[Take], int]  # gives all of a file; says how many of its sentences had tags repaired


@dataclass(frozen=True)
class Report:
    """What was found. ``spec`` is ``None`` where the task itself could not be read."""

    folder: str
    spec: TaskSpec | None
    languages: tuple[Checked, ...]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]

    def json(self) -> dict[str, Any]:
        return {
            "task": self.spec.name if self.spec else None,
            "folder": self.folder,
            "errors": list(self.errors),
            "warnings": list(self.warnings),
            "languages": {one.code: self._language(one) for one in self.languages},
        }

    def _language(self, one: Checked) -> dict[str, Any]:
        assert self.spec is not None
        splits = {}
        for split, figures in one.splits.items():
            labels = dict(zip(self.spec.labels, figures.labels, strict=True))
            splits[split] = asdict(figures) | {"labels": labels, "complete": split not in one.broken}
        return {"name": one.name, "folder": one.folder, "splits": splits}


def check_folder(root: Path) -> Report:
    """Check a folder with ``task.yaml``."""
    from tasks.local import survey
    from tasks.local_declaration import Problems

    try:
        found = survey(root)
    except Problems as error:
        return Report(str(root), None, (), error.problems, ())
    except DataError as error:
        return Report(str(root), None, (), (str(error),), ())
    checks = _Checks(found.declaration.spec, list(found.problems))
    for code, folder in found.folders.items():
        files = {split: found.file(code, split) for split in SPLITS if split in folder.splits}
        readers = {split: partial(_own, found, path, split) for split, path in files.items()}
        checks.language(code, folder.language.name, folder.name, readers, {s: str(p) for s, p in files.items()})
    report = checks.report(str(root))
    if not found.ignored:
        return report
    ignored = f"folders without .tsv files are no languages and were passed over: {', '.join(found.ignored)}"
    return replace(report, warnings=(*report.warnings, ignored))


def _own(found: Survey, path: Path, split: Split, take: Take) -> int:
    """Every line, whatever is wrong before it; then as a run reads the file, which has the last word."""
    from tasks.local_files import every_line, opened

    wrong = 0

    def told(one: Example | DataError) -> None:
        nonlocal wrong
        wrong += isinstance(one, DataError)
        take(one)

    repaired = every_line(found.declaration, path, told)
    if not wrong:
        try:
            opened(found.declaration, path, split)
        except DataError as error:
            take(error)
    return repaired


def check_task(task: Task, data: Path) -> Report:
    """Check a task's data in the user's folder; of a file with errors, the first is told.

    Raises:
        UserError: the folder does not have the task.
    """
    try:
        corpus = task.open(Access(data, None, offline=True))
    except DataError as error:
        raise UserError(str(error)) from error
    if corpus.source != "folder":
        raise UserError(f"validate takes a folder that has {task.name}/<language>/, found none in {data}")
    checks = _Checks(task.spec, [], {one.code for one in task.targets_only()})
    for language in corpus.languages() or task.languages():

        def read(split: Split, take: Take, language: Any = language) -> int:
            try:
                for one in corpus.examples(language, split):
                    take(one)
            except DataError as error:
                take(error)
            return 0

        readers = {split: partial(read, split) for split in SPLITS}
        where = {split: f"{data / task.name}, {language.code}, {split}" for split in SPLITS}
        checks.language(language.code, language.name, language.code, readers, where)
    report = checks.report(str(data / task.name))
    return replace(report, warnings=(*report.warnings, corpus.notice)) if corpus.notice else report


class _Checks:
    """Takes one language after the other, and keeps figures of each."""

    def __init__(self, spec: TaskSpec, errors: list[str], targets_only: set[str] | None = None) -> None:
        self._spec = spec
        self._errors = errors
        self._targets_only = targets_only or set()
        self._languages: list[Checked] = []
        self._reference: dict[Split, tuple[str, list[int]]] = {}  # of a parallel task: a language's labels

    def language(
        self, code: str, name: str, folder: str, readers: Mapping[Split, Read], where: Mapping[Split, str]
    ) -> None:
        counters: dict[Split, Counter] = {}
        repaired: dict[Split, int] = {}
        broken = set()
        for split, read in readers.items():
            train = None if split == "train" else counters.get("train", Counter(len(self._spec.labels)))
            counter = counters[split] = Counter(len(self._spec.labels), train)
            errors: list[str] = []
            repaired[split] = read(partial(_sort, counter, errors))
            if errors:
                broken.add(split)
            elif not counter.sequence and not (split == "train" and code in self._targets_only):
                errors.append(f"{where[split]}: at least 1 example is needed; found none")
            self._errors += errors[:SHOWN]
            if len(errors) > SHOWN:
                self._errors.append(f"{where[split]}: and {len(errors) - SHOWN} more")
        other = self._differing(code, {split: one for split, one in counters.items() if split not in broken})
        figures = {split: counter.figures() for split, counter in counters.items()}
        self._languages.append(Checked(code, name, folder, figures, repaired, frozenset(broken), other))

    def _differing(self, code: str, counters: Mapping[Split, Counter]) -> dict[Split, tuple[str, int]]:
        """Of a parallel task, by split: a language that came before, and how many labels differ from its."""
        if not self._spec.parallel or self._spec.kind == "tagged":
            return {}
        found = {}
        for split, counter in counters.items():
            before, labels = self._reference.setdefault(split, (code, counter.sequence))
            found[split] = before, differing(labels, counter.sequence)
        return found

    def report(self, folder: str) -> Report:
        found = warnings(self._spec, self._languages)
        return Report(folder, self._spec, tuple(self._languages), tuple(self._errors), tuple(found))


def _sort(counter: Counter, errors: list[str], one: Example | DataError) -> None:
    if isinstance(one, DataError):
        errors.append(str(one))
    else:
        counter.add(one)
