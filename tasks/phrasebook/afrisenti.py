"""AfriSenti's phrasebook: in nine of its languages, somebody is said to be good, neither, or bad."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from tasks.afrisenti import LABELS
from tasks.base import Example
from tasks.phrasebook.book import Candidate, Phrasebook, Text, Words, check_frame, held_out

# What is said in the language, and in English.
Glossed = dict[Text, str]
Predicates = Annotated[Glossed, Field(min_length=10)]


class SentimentWords(Words):
    """A sentence is an opener or none, and a frame with a subject and a predicate; any of them go together."""

    openers: Glossed = Field(min_length=3)
    frames: Glossed = Field(min_length=2)
    subjects: Glossed = Field(min_length=8)
    positive: Predicates
    neutral: Predicates
    negative: Predicates

    @field_validator("frames")
    @classmethod
    def _holes(cls, frames: Glossed) -> Glossed:
        return {check_frame(frame, "subject", "word"): gloss for frame, gloss in frames.items()}

    @model_validator(mode="after")
    def _one_meaning(self) -> SentimentWords:
        for one, other in itertools.combinations(LABELS, 2):
            both = sorted({*self.of(one)} & {*self.of(other)})
            if both:
                raise ValueError(f"a word has one label; {both[0]!r} is {one} and {other}")
        return self

    def of(self, label: str) -> tuple[str, ...]:
        """The predicates of a label."""
        return tuple(getattr(self, label))


def candidates(code: str, words: SentimentWords) -> Iterator[Candidate]:
    """Every sentence; a quarter of each label's predicates is not in train."""
    for index, label in enumerate(LABELS):
        unseen = held_out(words.of(label), "afrisenti", code, label)
        for word, subject, frame, opener in itertools.product(
            words.of(label), words.subjects, words.frames, ("", *words.openers)
        ):
            said = frame.format(subject=subject, word=word)
            if opener:
                # A frame's own capital, if it has one, is that of a sentence's beginning.
                said = f"{opener} {said if frame.startswith('{') else said[0].lower() + said[1:]}"
            yield Candidate(Example(said[0].upper() + said[1:], index), held_out=word in unseen)


BOOK = Phrasebook("afrisenti", "AfriSenti", SentimentWords, candidates)
