"""`wikiann`: persons, organisations and places in sentences of Wikipedia, in 172 languages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from tasks.base import Access, Corpus, DataError, Example, Source, Split, Task, TaskSpec, tagged
from tasks.codes import wikipedia
from tasks.hub import hub_repository
from tasks.languages import Language, language
from tasks.published import FolderCorpus, PublishedCorpus, index_folder, open_published
from tasks.rows import Rows
from tasks.tagged_file import TaggedFile, repaired
from tasks.tsv import shown

NAME = "wikiann"
TAGS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")  # the hub's class indices, in this order
HUB_NAME, HUB_COMMIT = "unimelb-nlp/wikiann", "f0a3be6dc5564c0cc4150bb660144800a1f539d4"

_DEFAULT = "ara bul deu eng fas fin heb hin hun ind rus spa swa tam tur vie"
_PROBED: tuple[str, Split] = ("ang", "dev")  # among the smallest of the files


class WikiAnn(Task):
    """Named entities: persons, organisations and places in sentences of Wikipedia (silver annotation).

    The balanced splits of Rahimi et al. 2019. Of their 176 Wikipedias, those are left out that are in no
    language of their own (see :data:`tasks.codes.VARIANTS`).
    """

    name: ClassVar[str] = NAME

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(
            name=NAME,
            version=1,
            kind="tagged",
            labels=TAGS,
            metric="span_f1",
            description="Find the names of persons, organisations and places in a sentence.",
            homepage="https://github.com/afshinrahimi/mmner",
            licence="not stated by its authors; the sentences are Wikipedia's (CC BY-SA)",
            citation="Pan et al. 2017, Cross-lingual Name Tagging and Linking for 282 Languages, ACL, "
            "doi:10.18653/v1/P17-1178; splits: Rahimi, Li & Cohn 2019, Massively Multilingual Transfer for NER, "
            "ACL, arXiv:1902.00193",
        )

    def languages(self) -> tuple[Language, ...]:
        return tuple(sorted(wikipedia().values()))

    def default_languages(self) -> tuple[Language, ...]:
        return tuple(language(code) for code in _DEFAULT.split())

    def codes(self) -> dict[str, Language]:
        """Wikipedia's: ``zh-yue``, and ``als`` for Alemannic."""
        return wikipedia()

    def open(self, access: Access) -> Corpus:
        """The user's folder if it has ``wikiann/``, else the hub, else an embedded sample."""
        index = index_folder(access)

        def read(path: Path, split: Split) -> Rows:
            return TaggedFile(path, tags=TAGS, index=index)

        return open_published(
            self,
            access,
            lambda root: FolderCorpus(self, root, read),
            {"the hub": lambda: _Hub(self, access)},
            (language(_PROBED[0]), _PROBED[1]),
        )


class _Hub(PublishedCorpus):
    source: Source = "hub"

    def __init__(self, task: WikiAnn, access: Access) -> None:
        super().__init__(task)
        self._codes = {of: code for code, of in wikipedia().items()}
        self._repository = hub_repository(HUB_NAME, HUB_COMMIT, access.offline)

    def _open(self, language: Language, split: Split) -> Rows:
        return self._repository.parquet([self._file(language, split)], ("tokens", "ner_tags"), _example, None)

    def _where(self, language: Language, split: Split) -> str:
        return f"{self._file(language, split)} of {HUB_NAME}"

    def _file(self, language: Language, split: Split) -> str:
        part = "validation" if split == "dev" else split
        return f"{self._codes[language]}/{part}-00000-of-00001.parquet"


def _example(row: Mapping[str, Any], where: str) -> Example:
    """A sentence; tokens of white space only, which no reader sees, are left out with their tags."""
    tokens, tags = row["tokens"], row["ner_tags"]
    if not isinstance(tokens, list) or not isinstance(tags, list) or len(tokens) != len(tags):
        raise DataError(f"{where}: as many tags as tokens are needed; found another number, or none")
    kept = []
    for token, tag in zip(tokens, tags, strict=True):
        known = tag in TAGS if isinstance(tag, str) else isinstance(tag, int) and 0 <= tag < len(TAGS)
        if not known:
            raise DataError(
                f"{where}: unknown tag; allowed: {', '.join(TAGS)}, or their index; found {shown(tag)}"
            )
        if not isinstance(token, str):
            raise DataError(f"{where}: a token is needed; found {shown(token)}")
        if token.strip():
            kept.append((token, tag if isinstance(tag, str) else TAGS[tag]))
    if not kept:
        raise DataError(f"{where}: a token is needed; found none")
    names = repaired([tag for _, tag in kept])
    return tagged([token for token, _ in kept], [TAGS.index(tag) for tag in names])
