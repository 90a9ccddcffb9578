"""`udpos`: the part of speech of each word, in one treebank of Universal Dependencies a language."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from tasks.base import Access, Corpus, DataError, Example, Source, Split, Task, TaskSpec
from tasks.codes import treebank
from tasks.hub import hub_repository
from tasks.languages import Language, language
from tasks.published import FolderCorpus, PublishedCorpus, index_folder, open_published
from tasks.rows import Rows
from tasks.tagged_file import TaggedFile
from tasks.tsv import shown
from tasks.udpos_conllu import UPOS, ConlluFile, Range, contraction, sentence, word
from tasks.udpos_treebanks import TREEBANKS

NAME = "udpos"
HUB_NAME, HUB_REVISION = "universal-dependencies/universal_dependencies", "2.17"  # a branch for each release
# The order of class indices, where the hub's files have these and not the tags themselves.
# fmt: off
HUB_CLASSES = (
    "NOUN", "PUNCT", "ADP", "NUM", "SYM", "SCONJ", "ADJ", "PART", "DET",
    "CCONJ", "PROPN", "PRON", "X", "_", "ADV", "INTJ", "VERB", "AUX",
)
# fmt: on

_DEFAULT = "ara bul deu ell eng eus fin hin hun ind ita nld pol rus spa tur vie"
_PROBED: tuple[str, Split] = ("tam", "dev")


class UDPOS(Task):
    """Part-of-speech tags (UPOS), one treebank of Universal Dependencies a language.

    Tokens are words as they are written: a contraction (German "zum") is one token, with the tag of its head,
    as in XTREME. A folder's ``.tsv`` files have tokens already. A folder's ``.conllu`` files and the hub's data
    (release 2.17) have syntactic words ("zu", "dem") and, apart from them, contractions, which are put in their
    place (see :mod:`tasks.udpos_conllu`); empty nodes are no tokens. Forms stay as they are published: spaces
    inside tokens (Vietnamese) and zero-width joiners are kept, which XTREME takes out. XTREME joins all
    treebanks of a language; here it is the one in :mod:`tasks.udpos_treebanks`.
    """

    name: ClassVar[str] = NAME

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(
            name=NAME,
            version=1,
            kind="tagged",
            labels=UPOS,
            metric="accuracy",
            description="Tell the part of speech of each word of a sentence.",
            homepage="https://universaldependencies.org",
            licence="each treebank has its own",
            citation="de Marneffe et al. 2021, Universal Dependencies, Computational Linguistics 47(2), "
            "doi:10.1162/coli_a_00402; Nivre et al. 2020, Universal Dependencies v2: An Evergrowing Multilingual "
            "Treebank Collection, LREC, arXiv:2004.10643",
        )

    def languages(self) -> tuple[Language, ...]:
        return tuple(sorted(self.codes().values()))

    def default_languages(self) -> tuple[Language, ...]:
        return tuple(language(code) for code in _DEFAULT.split())

    def codes(self) -> dict[str, Language]:
        """Of the treebanks: ``en_ewt``."""
        return {code: treebank(code) for code in TREEBANKS}

    def open(self, access: Access) -> Corpus:
        """The user's folder if it has ``udpos/`` (``<split>.tsv``, or ``<split>.conllu``), else the hub,
        else an embedded sample.
        """
        index = index_folder(access)

        def read(path: Path, split: Split) -> Rows:
            if path.suffix == ".conllu":
                return ConlluFile(path, index=index)
            return TaggedFile(path, tags=UPOS, index=index)

        return open_published(
            self,
            access,
            lambda root: FolderCorpus(self, root, read, (".tsv", ".conllu")),
            {"the hub": lambda: _Hub(self, access)},
            (language(_PROBED[0]), _PROBED[1]),
        )


class _Hub(PublishedCorpus):
    source: Source = "hub"

    def __init__(self, task: UDPOS, access: Access) -> None:
        super().__init__(task)
        self._codes = {of: code for code, of in task.codes().items()}
        self._repository = hub_repository(HUB_NAME, HUB_REVISION, access.offline)

    def _open(self, language: Language, split: Split) -> Rows:
        columns = ("tokens", "upos", "head", "mwt")
        return self._repository.parquet([self._file(language, split)], columns, _example, None)

    def _where(self, language: Language, split: Split) -> str:
        return f"{self._file(language, split)} of {HUB_NAME}"

    def _file(self, language: Language, split: Split) -> str:
        return f"parquet/{self._codes[language]}/{split}.parquet"


def _example(row: Mapping[str, Any], where: str) -> Example:
    tokens, tags, heads, parts = (row[each] or [] for each in ("tokens", "upos", "head", "mwt"))
    try:
        if not all(isinstance(each, list) for each in (tokens, tags, heads, parts)):
            raise ValueError("lists of tokens, upos, head and mwt are needed; found something else")
        if not len(tokens) == len(tags) == len(heads):
            raise ValueError(
                f"a tag and a head for each word are needed; found {len(tags)} and {len(heads)} for {len(tokens)}"
            )
        words = [word(form, _tag(tag), head) for form, tag, head in zip(tokens, tags, heads, strict=True)]
        return sentence(words, [_contraction(each) for each in parts])
    except ValueError as error:
        raise DataError(f"{where}: {error}") from None


def _contraction(part: object) -> Range:
    if not isinstance(part, dict) or not {"id", "form"} <= part.keys():
        raise ValueError(f"contractions with id and form are needed; found {shown(part)}")
    return contraction(part["id"], part["form"])


def _tag(tag: object) -> object:
    return HUB_CLASSES[tag] if isinstance(tag, int) and 0 <= tag < len(HUB_CLASSES) else tag
