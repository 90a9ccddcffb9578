"""The phrasebook of `udpos`: sentences whose words come from lists, each list of one part of speech.

A frame is a sentence's words in order, each either ``word/TAG`` or a list's name in braces. The name is the tag,
with a word after it where a language needs several lists of one part of speech: ``NOUN-place``.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence

from pydantic import field_validator, model_validator

from tasks.base import tagged
from tasks.phrasebook.book import Candidate, Phrasebook, Text, Words, held_out
from tasks.udpos_conllu import UPOS

SENTENCES = 2500  # drawn for a language, of which the splits take theirs
OPEN = frozenset({"ADJ", "ADV", "NOUN", "NUM", "PROPN", "VERB"})  # a sixth of their words is not in train


class UdposWords(Words):
    """One language: its frames and its lists, any of whose words fits wherever a frame has the list's name."""

    frames: tuple[Text, ...]
    words: dict[str, tuple[Text, ...]]

    @field_validator("words")
    @classmethod
    def _lists(cls, words: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name, forms in words.items():
            if _tag(name) not in UPOS:
                raise ValueError(f"a list's name begins with a tag, one of {', '.join(UPOS)}; {name!r} does not")
            if not forms or len(set(forms)) != len(forms) or any(" " in form for form in forms):
                raise ValueError(f"a list has words, each once and without spaces, but {name} has not")
        return words

    @model_validator(mode="after")
    def _fit(self) -> UdposWords:
        named = set()
        for token in itertools.chain.from_iterable(frame.split() for frame in self.frames):
            form, _, tag = token.rpartition("/")
            if token.startswith("{") and token.endswith("}"):
                named.add(token[1:-1])
            elif not form or tag not in UPOS:
                raise ValueError(f"a frame has word/TAG and names of lists in braces, but {token!r} is neither")
        if named != set(self.words):
            wrong = ", ".join(sorted(named ^ set(self.words)))
            raise ValueError(f"each list is in a frame and each name in a frame is a list, but not {wrong}")
        return self


def candidates(code: str, words: UdposWords) -> Iterator[Candidate]:
    """Sentences drawn at random; those with a word that is held out are not for train."""
    later: set[str] = set()
    for name, forms in words.words.items():
        if _tag(name) in OPEN:
            later |= held_out(forms, "udpos", code, name, share=6)
    for number in range(SENTENCES):
        yield _sentence(words, later, random.Random(f"udpos/{code}/{number}"))


def _sentence(words: UdposWords, later: set[str], numbers: random.Random) -> Candidate:
    tokens: list[str] = []
    tags: list[int] = []
    for token in _one(words.frames, numbers).split():
        if token.startswith("{"):
            tag = _tag(token[1:-1])
            tokens.append(_one([form for form in words.words[token[1:-1]] if form not in tokens], numbers))
        else:
            form, _, tag = token.rpartition("/")
            tokens.append(form)
        tags.append(UPOS.index(tag))
    is_later = not later.isdisjoint(tokens)
    return Candidate(tagged([tokens[0][0].upper() + tokens[0][1:], *tokens[1:]], tags), is_later)


def _one(among: Sequence[str], numbers: random.Random) -> str:
    return among[int(numbers.random() * len(among))]


def _tag(name: str) -> str:
    return name.partition("-")[0]


BOOK = Phrasebook("udpos", "the treebanks of Universal Dependencies", UdposWords, candidates)
