"""The phrasebook of `xnli`: pairs of sentences, the same items in every language.

An item is a subject, an action and a place (``teacher.read.garden``); their keys alone decide its premise and
its three hypotheses, so that all languages have the same. No hypothesis can be judged without its premise for
the words in it: what is denied, or said of another action or place, is once entailed and once contradicted, and
``someone`` is once entailed and once neutral. Facts about a subject are neutral whatever the premise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel, ConfigDict, field_validator

from tasks.base import Example
from tasks.phrasebook.book import Candidate, Phrasebook, Text, Words, check_frame, draw, held_out
from tasks.xnli import LABELS

SUBJECTS = ("man", "lawyer", "teacher", "doctor", "student", "soldier", "friend", "brother")
PLACES = (
    *("garden", "forest", "school", "market", "hotel", "hospital"),
    *("church", "train", "museum", "prison", "bank", "beach"),
)
COMPANY = ("friends", "family", "neighbour")
FACTS = (
    *("tired", "happy", "rich", "tall", "ill", "dogs"),
    *("car", "music", "english", "city", "london", "sister"),
)
# Each action, and those that nobody does at the same time.
OPPOSITES = {
    "sleep": ("work", "eat", "sing", "read", "write", "dance", "laugh", "talk", "run", "play"),
    "work": ("sleep", "play"),
    "eat": ("sleep", "sing", "run"),
    "sing": ("sleep", "eat", "laugh", "talk"),
    "read": ("sleep", "dance", "run"),
    "write": ("sleep", "dance", "run"),
    "dance": ("sleep", "read", "write", "wait"),
    "laugh": ("sleep", "sing"),
    "wait": ("dance", "run"),
    "talk": ("sleep", "sing"),
    "run": ("sleep", "eat", "read", "write", "wait"),
    "play": ("sleep", "work"),
}
ACTIONS = tuple(OPPOSITES)

_LATER = {  # for dev and test only
    key for keys in (SUBJECTS, ACTIONS, PLACES, FACTS) for key in held_out(keys, "xnli", " ".join(keys))
}


class Frames(BaseModel):
    """Sentences with places for words; the first three are premises."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    premise: Text
    today: Text
    with_company: Text
    does: Text
    does_not: Text  # its ``{action}`` is one of ``negated``
    located: Text
    absent: Text
    fact: Text

    @field_validator("premise", "today")
    @classmethod
    def _premise(cls, frame: str) -> str:
        return check_frame(frame, "subject", "action", "place")

    @field_validator("with_company")
    @classmethod
    def _with_company(cls, frame: str) -> str:
        return check_frame(frame, "subject", "action", "place", "company")

    @field_validator("does", "does_not")
    @classmethod
    def _does(cls, frame: str) -> str:
        return check_frame(frame, "subject", "action")

    @field_validator("located", "absent")
    @classmethod
    def _located(cls, frame: str) -> str:
        return check_frame(frame, "subject", "place")

    @field_validator("fact")
    @classmethod
    def _fact(cls, frame: str) -> str:
        return check_frame(frame, "subject", "fact")


class XnliWords(Words):
    """One language: its frames, and a phrase for each key; subjects are of one gender and number, so that every
    action and fact goes with every subject."""

    frames: Frames
    someone: Text  # a subject too
    subjects: dict[str, Text]
    actions: dict[str, Text]
    negated: dict[str, Text]
    places: dict[str, Text]
    company: dict[str, Text]
    facts: dict[str, Text]

    @field_validator("subjects", "actions", "negated", "places", "company", "facts")
    @classmethod
    def _complete(cls, phrases: dict[str, str], info: object) -> dict[str, str]:
        wanted = _KEYS[str(getattr(info, "field_name", ""))]
        if set(phrases) != set(wanted) or len(set(phrases.values())) != len(phrases):
            raise ValueError(f"a different phrase for each of {', '.join(wanted)}")
        return phrases


_KEYS: Mapping[str, Sequence[str]] = {
    "subjects": SUBJECTS,
    "actions": ACTIONS,
    "negated": ACTIONS,
    "places": PLACES,
    "company": COMPANY,
    "facts": FACTS,
}


def candidates(code: str, words: XnliWords) -> Iterator[Candidate]:
    """Three pairs for each item, one of each label; alike in all languages but for the words."""
    for subject in SUBJECTS:
        for action in ACTIONS:
            for place in PLACES:
                yield from _Item(words, subject, action, place).candidates()


class _Item:
    def __init__(self, words: XnliWords, subject: str, action: str, place: str) -> None:
        self._words = words
        self._subject, self._action, self._place = subject, action, place
        self._key = f"{subject}.{action}.{place}"
        self._later = not _LATER.isdisjoint((subject, action, place))
        self._form = self._one("form", ("premise", "today", "with_company"))
        self._company = self._one("company", COMPANY)

    def candidates(self) -> Iterator[Candidate]:
        premise = self._premise(self._form, self._company)
        for label, hypothesis in enumerate((self._entailed(), self._neutral(), self._contradicted())):
            example = Example(premise, label, pair=hypothesis, item=f"{self._key}:{LABELS[label]}")
            yield Candidate(example, self._later, key=self._key)

    def _entailed(self) -> str:
        ways = ["does", "does_not", "located", "absent"]
        way = self._one("entailed", [*ways, "premise"] if self._form == "with_company" else ways)
        if way == "premise":
            return self._premise("premise")
        if way == "does":
            return self._does(self._action, self._someone("entailed"))
        if way == "does_not":
            return self._does_not(self._one("not done", OPPOSITES[self._action]))
        return self._where(way, self._place if way == "located" else self._elsewhere("not there"))

    def _contradicted(self) -> str:
        way = self._one("contradicted", ("does", "does_not", "located", "absent"))
        if way == "does":
            return self._does(self._one("done", OPPOSITES[self._action]), self._words.subjects[self._subject])
        if way == "does_not":
            return self._does_not(self._action)
        return self._where(way, self._place if way == "absent" else self._elsewhere("there"))

    def _neutral(self) -> str:
        if self._one("neutral", ("fact", "fact", "with_company")) == "fact":
            fact = self._words.facts[self._one("fact", FACTS)]
            return _sentence(self._words.frames.fact, subject=self._someone("neutral"), fact=fact)
        others = [each for each in COMPANY if self._form != "with_company" or each != self._company]
        return self._premise("with_company", self._one("others", others))

    def _premise(self, form: str, company: str = "") -> str:
        words = self._words
        phrases = {"subject": words.subjects[self._subject], "action": words.actions[self._action]}
        if form == "with_company":
            phrases["company"] = words.company[company]
        return _sentence(getattr(words.frames, form), place=words.places[self._place], **phrases)

    def _does(self, action: str, subject: str) -> str:
        return _sentence(self._words.frames.does, subject=subject, action=self._words.actions[action])

    def _does_not(self, action: str) -> str:
        subject, words = self._words.subjects[self._subject], self._words
        return _sentence(words.frames.does_not, subject=subject, action=words.negated[action])

    def _where(self, way: str, place: str) -> str:
        subject, words = self._words.subjects[self._subject], self._words
        return _sentence(getattr(words.frames, way), subject=subject, place=words.places[place])

    def _someone(self, purpose: str) -> str:
        own = self._words.subjects[self._subject]
        return self._one(f"someone {purpose}", (self._words.someone, own, own))

    def _elsewhere(self, purpose: str) -> str:
        return self._one(purpose, [each for each in PLACES if each != self._place])

    def _one(self, purpose: str, among: Sequence[str]) -> str:
        """One of them, which the item decides; what train must not see is left out where it may be in train."""
        allowed = [each for each in among if self._later or each not in _LATER]
        return allowed[int(draw("xnli", self._key, purpose) * len(allowed))]


def _sentence(frame: str, **phrases: str) -> str:
    text = frame.format(**phrases)
    return text[0].upper() + text[1:]


BOOK = Phrasebook("xnli", "XNLI", XnliWords, candidates)
