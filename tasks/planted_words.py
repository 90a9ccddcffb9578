"""The words of the planted languages: the pool that a concept's form comes from, and the forms themselves."""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Setting = Literal["easy", "lexical-trap", "script-trap", "graded"]

FAMILIES = 4
MEMBERS = 3
CLASSES = 4
CUES = 32
NEUTRALS = 80
FROM_POOL = 0.9  # share of a language's forms that are its pool's; the others are its own
GLOBAL = (0.0, 0.3, 0.6, 0.9)  # graded: share of each family's pool that is the global one
SCRIPTS = ("Cyrl", "Grek", "Armn")  # script-trap: of the neutral words of a family's first, second, third language

# Consonants and vowels, as many in each script. Letters that lower-casing, normalisation or the stripping of
# accents change are left out, and those that the vocabularies of small pretrained encoders lack.
_LETTERS = {
    "Latn": ("bdfgklmnprstvz", "aeio"),
    "Cyrl": ("бдфгклмнпрствз", "аеио"),
    "Grek": ("βδφγκλμνπρστχθ", "αειο"),
    "Armn": ("բդթգկլմնպրստվհ", "աեիո"),
}


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """The ``place``-th language of a family, both from 0."""

    family: int
    place: int

    @property
    def code(self) -> str:
        """``qaa qab qac``, ``qba …``: of the range that ISO 639-3 reserves for local use."""
        return f"q{'abcd'[self.family]}{'abc'[self.place]}"

    @property
    def name(self) -> str:
        return f"Planted {'ABCD'[self.family]}{self.place + 1}"


@dataclass(frozen=True, slots=True, order=True)
class Concept:
    """What a word stands for, the same in all languages; ``rank`` orders by frequency, from 1."""

    kind: Literal["cue", "neutral"]
    rank: int

    @property
    def weight(self) -> float:
        """Frequency, up to a factor."""
        return float(self.rank**-0.5)

    @property
    def meaning(self) -> int:
        """The class of a cue. Ranks take turns, so that every class has frequent and rare cues."""
        return (self.rank - 1) % CLASSES

    def __str__(self) -> str:
        return f"{self.kind} {self.rank}"


CUE_CONCEPTS = tuple(Concept("cue", rank) for rank in range(1, CUES + 1))
NEUTRAL_CONCEPTS = tuple(Concept("neutral", rank) for rank in range(1, NEUTRALS + 1))
ALL_MEMBERS = tuple(Member(family, place) for family in range(FAMILIES) for place in range(MEMBERS))


def stream(*key: object) -> random.Random:
    """Random numbers that depend on ``key`` alone. Call only ``random()``: Python promises never to change
    its sequence, and promises nothing of the kind for the other methods."""
    digest = hashlib.sha256("|".join(map(str, key)).encode()).digest()
    return random.Random(int.from_bytes(digest, "big"))


def script(setting: Setting, member: Member, concept: Concept) -> str:
    """The script a language writes a concept in (ISO 15924)."""
    return SCRIPTS[member.place] if setting == "script-trap" and concept.kind == "neutral" else "Latn"


def pool(setting: Setting, seed: int, member: Member, concept: Concept) -> str:
    """Where a language has its form of a concept from: two languages share the form if this is the same."""
    if stream(setting, seed, "private", member.code, concept).random() >= FROM_POOL:
        return f"private {member.code}"
    if setting == "lexical-trap":
        return "global"
    if setting == "script-trap" and concept.kind == "neutral":
        return f"script {script(setting, member, concept)}"
    # Drawn for the family and not for each language: families differ in what they share with the rest alone.
    if setting == "graded" and _share(seed, member.family, concept) < GLOBAL[member.family]:
        return "global"
    return f"family {member.family}"


def _share(seed: int, family: int, concept: Concept) -> float:
    return stream("graded", seed, "global", family, concept).random()


@functools.lru_cache(maxsize=16)
def lexicons(setting: Setting, seed: int) -> Mapping[str, Mapping[Concept, str]]:
    """Each language's form of each concept, by code. No two (pool, concept) have the same form.

    Always of all languages, in a fixed order: a form that is taken is drawn again, and so what a language
    gets must not depend on who asks for what.
    """
    forms: dict[tuple[str, Concept], str] = {}
    taken: set[str] = set()
    found: dict[str, dict[Concept, str]] = {}
    for member in ALL_MEMBERS:
        words = found[member.code] = {}
        for concept in (*CUE_CONCEPTS, *NEUTRAL_CONCEPTS):
            slot = (pool(setting, seed, member, concept), concept)
            if slot not in forms:
                letters = _LETTERS[script(setting, member, concept)]
                forms[slot] = _form(stream(setting, seed, "form", *slot), letters, taken)
                taken.add(forms[slot])
            words[concept] = forms[slot]
    return found


def _form(numbers: random.Random, letters: tuple[str, str], taken: set[str]) -> str:
    """A pseudo-word of two or three open syllables that is not taken."""
    while True:
        syllables = 2 + int(numbers.random() * 2)
        word = "".join(kind[int(numbers.random() * len(kind))] for _ in range(syllables) for kind in letters)
        if word not in taken:
            return word
