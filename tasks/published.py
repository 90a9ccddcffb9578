"""Corpora that somebody has published: from the user's folder, else from the network, else an embedded sample."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tasks import sources
from tasks.base import Access, Corpus, DataError, Example, Source, Split, Task
from tasks.languages import Language, UnknownLanguage, find
from tasks.phrasebook import sample
from tasks.rows import Rows
from tasks.tsv import listed


class PublishedCorpus(Corpus):
    """A corpus from one of its sources; a language and split is opened when it is first asked for.

    Raises:
        DataError: also where a split has no examples, but for the training data of a language that is declared
            to have none; and where the task is parallel and this language's rows are not those of the others.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._opened: dict[tuple[str, Split], Sequence[Example]] = {}

    def examples(self, language: Language, split: Split) -> Sequence[Example]:
        key = language.code, split
        if key not in self._opened:
            self._opened[key] = self._checked(language, split)
        return self._opened[key]

    @abstractmethod
    def _open(self, language: Language, split: Split) -> Sequence[Example]:
        """The examples of a language of the task."""

    @abstractmethod
    def _where(self, language: Language, split: Split) -> str:
        """What messages call that data."""

    def _checked(self, language: Language, split: Split) -> Sequence[Example]:
        codes = [each.code for each in self._task.languages()]
        if language.code not in codes:
            raise DataError(
                f"{self._task.name} has no {language.name}; allowed: {listed(codes)}; found {language.code}"
            )
        found = self._open(language, split)
        if not len(found) and not self._has_none(language, split):
            raise DataError(f"{self._where(language, split)}: at least 1 example is needed; found none")
        if self._task.spec.parallel:
            self._check_parallel(language, split, found)
        return found

    def _has_none(self, language: Language, split: Split) -> bool:
        return split == "train" and language in self._task.targets_only()

    def _check_parallel(self, language: Language, split: Split, found: Sequence[Example]) -> None:
        """Items are told apart by their row: a row left out in one language would shift all that follow."""
        for (code, of), others in self._opened.items():
            if of != split or not isinstance(others, Rows) or not isinstance(found, Rows):
                continue
            rule = f"{self._where(language, split)}: the same rows as in {code} are needed, in the same order"
            if len(found) != len(others):
                raise DataError(f"{rule}; found {len(found)} rows where {code} has {len(others)}")
            differing = (found.labels != others.labels).nonzero()[0]
            if len(differing):
                raise DataError(f"{rule}; found another label in row {differing[0] + 1}")
            return  # the others have been compared with each other


class FolderCorpus(PublishedCorpus):
    """``DIR/<task>/<language>/<split>.tsv``, where a language may go by any code that names one of the task's.

    ``read``: the examples of a file. ``suffixes``: of the files, the first that is there is taken. Folders that
    name no language of the task are left alone; ``notice`` says so.

    Raises:
        DataError: two folders are of one language, or there is none.
    """

    source: Source = "folder"

    def __init__(
        self, task: Task, root: Path, read: Callable[[Path, Split], Rows], suffixes: Sequence[str] = (".tsv",)
    ) -> None:
        super().__init__(task)
        self._root, self._read, self._suffixes = root, read, suffixes
        self._folders, unknown = _language_folders(task, root)
        if unknown:
            self.notice = f"{root}: ignored {listed(unknown)}"

    def languages(self) -> tuple[Language, ...]:
        return tuple(sorted(self._folders))

    def _open(self, language: Language, split: Split) -> Sequence[Example]:
        if language not in self._folders:
            raise DataError(
                f"{self._root} has no folder of {language.name}; allowed: "
                f"{listed([each.code for each in self.languages()])}; found none of {language.code}"
            )
        path = self._file(language, split)
        if not path.exists() and self._has_none(language, split):
            return ()
        return self._read(path, split)

    def _where(self, language: Language, split: Split) -> str:
        return str(self._file(language, split))

    def _file(self, language: Language, split: Split) -> Path:
        paths = [self._folders[language] / f"{split}{suffix}" for suffix in self._suffixes]
        return next((path for path in paths if path.exists()), paths[0])


def open_published(
    task: Task,
    access: Access,
    folder: Callable[[Path], FolderCorpus],
    network: Mapping[str, Callable[[], PublishedCorpus]],
    probe: tuple[Language, Split],
) -> Corpus:
    """The user's folder if it has the task, else the first of ``network`` that can be reached, else a sample.

    What the user gave is never passed over because something is wrong with it. ``network``: by name;
    ``probe``: small data that shows whether a source can be reached.

    Raises:
        DataError: no source has the corpus, and there is no sample; with what was tried.
    """
    root = sources.folder(access, task.name)
    if root is not None:
        return folder(root)
    tried = [] if access.data is None else [f"folder: no {task.name}/ in {access.data}"]
    for name, source in network.items():
        try:
            corpus = source()
            corpus.examples(*probe)
            return corpus
        except DataError as error:
            tried.append(f"{name}: {error}")
    embedded = sample(task.name, tried)
    if embedded is not None:
        return embedded
    raise DataError(
        f"no data for {task.name}; allowed: a data folder with {task.name}/<language>/<split>.tsv, "
        f"{', '.join(network)}; tried: {' | '.join(tried)}"
    )


def index_folder(access: Access) -> Path | None:
    """Where it is kept at which place of a file its examples begin."""
    return None if access.cache is None else access.cache / "index"


def _language_folders(task: Task, root: Path) -> tuple[dict[Language, Path], list[str]]:
    """The folder of each language, and the names of those that are of none, with the reason."""
    try:
        paths = sorted(each for each in root.iterdir() if each.is_dir() and not each.name.startswith("."))
    except OSError as error:
        raise DataError(
            f"cannot read {root}; a readable folder is needed; found: {sources.one_line(error)}"
        ) from error
    folders: dict[Language, Path] = {}
    unknown = []
    for path in paths:
        try:
            language = find(path.name, task.languages(), task.codes())
        except UnknownLanguage as error:
            reason = str(error).split(" allowed:")[0].removesuffix(";")
            unknown.append(f"{path.name}/ ({reason})")
            continue
        if language in folders:
            raise DataError(
                f"{root}: one folder a language is needed; found {folders[language].name}/ and {path.name}/, "
                f"both {language.name} ({language.code})"
            )
        folders[language] = path
    if not folders:
        raise DataError(
            f"{root}: a folder for each language is needed, named by a code such as {task.languages()[0].code}; "
            f"found {listed(unknown) or 'none'}"
        )
    return folders, unknown
