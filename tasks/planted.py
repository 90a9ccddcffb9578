"""`planted`: synthetic languages in families that are known because they were made. Embedded."""

from __future__ import annotations

import functools
import itertools
import random
import typing
from bisect import bisect_right
from collections.abc import Sequence
from typing import ClassVar

from tasks.base import SPLITS, Access, Corpus, DataError, Example, Source, Split, Task, TaskSpec
from tasks.languages import Language
from tasks.planted_words import (
    ALL_MEMBERS,
    CLASSES,
    CUE_CONCEPTS,
    FAMILIES,
    NEUTRAL_CONCEPTS,
    SCRIPTS,
    Concept,
    Member,
    Setting,
    lexicons,
    stream,
)

LABELS = ("first", "second", "third", "fourth")
LENGTHS = (6, 10)  # words of a sentence, its cue included
NOISE = 0.1  # share of the labels that are wrong
SIZES: dict[Split, int] = {"train": 400, "dev": 200, "test": 200}


class PlantedCorpus(Corpus):
    """The sentences, made when asked for."""

    source: Source = "embedded"

    def __init__(self, setting: Setting, seed: int) -> None:
        self._setting: Setting = setting
        self._seed = seed

    def examples(self, language: Language, split: Split) -> Sequence[Example]:
        """The examples of a language, which its code alone decides (a script not known is no obstacle)."""
        member = {each.code: each for each in ALL_MEMBERS}.get(language.code)
        if member is None:
            allowed = ", ".join(each.code for each in ALL_MEMBERS)
            raise DataError(f"planted has no {language.name}; allowed: {allowed}; found {language.code}")
        begin = sum(SIZES[each] for each in SPLITS[: SPLITS.index(split)])
        return _sentences(self._setting, self._seed, member)[begin : begin + SIZES[split]]


class Planted(Task):
    """Synthetic languages in families known because they were made: a benchmark of measures, not of languages.

    4 families of 3 languages, 4 classes. A sentence has 6 to 10 words in random order; exactly one is a cue,
    whose class is the label, the others are neutral. The class is drawn uniformly, then one of its 8 cues;
    32 cue and 80 neutral concepts have frequencies rank^-0.5 in all languages. A language has its form of a
    concept from a pool with probability .9, else one of its own. Forms are pseudo-words of 2 or 3 syllables,
    each in one pool only, so two languages share exactly the words that were planted; parts of words, within
    a script, are shared by chance. 400 sentences to train, 200 dev, 200 test, all different.

    A tenth of the labels of *every* split is one of the other three: dev, which measures and choices look at,
    and test come from the same annotators as train, as in real data. It costs all systems alike: the best
    reachable score is about .9.

    ``setting``, the pools:

    - ``easy``: each family has its own.
    - ``lexical-trap``: one for all languages, but a family's labels are shifted cyclically (class + family,
      modulo 4): the same words mean something else. Here alone gradients and overlap are forced apart.
    - ``script-trap``: for neutral words one for each script, and the three languages of every family are in
      three scripts (Cyrl, Grek, Armn); for cues the family's. As a family's languages must share its cues
      letter by letter, cues (private ones too) are in Latin letters in all of them, as brand names and
      hashtags are in real text. None of the three scripts is Latin, so cues stand out in all languages alike.
      Open: which similarity serves best here is not claimed.
    - ``graded``: as ``easy``, but a family's pool takes a concept's form from one global pool with
      probability 0, .3, .6, .9 (families A to D). The draw is the family's and independent of the others':
      A's languages share words only among themselves, C's and D's .54 · .81 of their words with each other.

    Two languages with the same pool share .81 of their words. ``seed`` makes other languages of the same kind
    and has nothing to do with the seeds of a run.
    """

    name: ClassVar[str] = "planted"

    def __init__(self, setting: Setting = "easy", seed: int = 0) -> None:
        if setting not in typing.get_args(Setting):
            allowed = ", ".join(typing.get_args(Setting))
            raise ValueError(f"planted: wrong setting; allowed: {allowed}; found {setting!r}")
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise ValueError(f"planted: wrong seed; allowed: a whole number; found {seed!r}")
        self.setting: Setting = setting
        self.seed = seed

    @property
    def spec(self) -> TaskSpec:
        return TaskSpec(
            name=self.name,
            version=1,
            kind="text",
            labels=LABELS,
            metric="macro_f1",
            description=(
                "Tell the class of a sentence's one cue word, in synthetic languages whose families are known "
                "because they were made: a benchmark not of languages but of measures. "
                f"Setting {self.setting!r}, seed {self.seed}."
            ),
            homepage="none (made by the suite itself)",
            licence="MIT",
            citation=f"Kinship, planted languages: version 1, setting {self.setting}, seed {self.seed}",
            families=tuple(
                tuple(each.code for each in ALL_MEMBERS if each.family == family) for family in range(FAMILIES)
            ),
        )

    def languages(self) -> tuple[Language, ...]:
        """Twelve, in the script of their neutral words, which are all but one of a sentence's words."""
        return tuple(
            Language(each.code, SCRIPTS[each.place] if self.setting == "script-trap" else "Latn", each.name)
            for each in ALL_MEMBERS
        )

    def open(self, access: Access) -> PlantedCorpus:
        """Embedded: needs no folder, no cache and no network."""
        return PlantedCorpus(self.setting, self.seed)


class _Weighted:
    """Concepts and their cumulative frequencies."""

    def __init__(self, concepts: Sequence[Concept]) -> None:
        self.concepts = concepts
        self.cumulative = list(itertools.accumulate(each.weight for each in concepts))


def _choose(among: _Weighted, numbers: random.Random) -> Concept:
    return among.concepts[bisect_right(among.cumulative, numbers.random() * among.cumulative[-1])]


_NEUTRAL = _Weighted(NEUTRAL_CONCEPTS)
_OF_CLASS = [_Weighted([each for each in CUE_CONCEPTS if each.meaning == label]) for label in range(CLASSES)]


@functools.lru_cache(maxsize=4 * len(ALL_MEMBERS))
def _sentences(setting: Setting, seed: int, member: Member) -> tuple[Example, ...]:
    """All sentences of a language, no text twice, in the order of the splits."""
    words = lexicons(setting, seed)[member.code]
    numbers = stream(setting, seed, "sentences", member.code)
    shift = member.family if setting == "lexical-trap" else 0
    found: dict[str, int] = {}
    while len(found) < sum(SIZES.values()):
        meaning = int(numbers.random() * CLASSES)
        cue = _choose(_OF_CLASS[meaning], numbers)
        others = LENGTHS[0] - 1 + int(numbers.random() * (LENGTHS[1] - LENGTHS[0] + 1))
        sentence = [words[_choose(_NEUTRAL, numbers)] for _ in range(others)]
        sentence.insert(int(numbers.random() * (others + 1)), words[cue])
        wrong = 1 + int(numbers.random() * (CLASSES - 1)) if numbers.random() < NOISE else 0
        found.setdefault(" ".join(sentence), (meaning + shift + wrong) % CLASSES)
    return tuple(Example(text, label) for text, label in found.items())
