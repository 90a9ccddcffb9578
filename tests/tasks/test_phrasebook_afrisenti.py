"""The phrasebook of AfriSenti: well formed, in the right script, and in the words of the real corpus."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.afrisenti import LABELS, AfriSenti
from tasks.base import SPLITS, Example
from tasks.languages import language
from tasks.phrasebook import sample
from tasks.phrasebook.afrisenti import BOOK, SentimentWords, candidates
from tasks.phrasebook.book import held_out

CODES = BOOK.codes()
SCRIPTS = {"Ethi": "ETHIOPIC", "Latn": "LATIN"}
DATA = Path(os.environ.get("KINSHIP_DATA", "/nowhere"))
HOOKS = str.maketrans("ɓɗƙɛɔ", "bdkeo")  # letters that tweets replace and Unicode does not decompose
COVERED = 0.8  # share of the words that the corpus has; .83 in Twi, .89 in Swahili, .92 in Kinyarwanda, else 1
OWN = 0.65  # share that is most frequent in its own corpus; .69 in Pidgin and Twi, elsewhere from .88 up
ELSEWHERE = 0.2  # and most frequent in any one other; at most .14


@pytest.fixture(params=CODES)
def code(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def test_languages() -> None:
    assert " ".join(CODES) == "amh hau ibo kin pcm por swa twi yor"
    corpus = sample("afrisenti")
    assert corpus is not None
    assert corpus.languages() == tuple(each for each in AfriSenti().languages() if each.code in CODES)
    assert not {each.code for each in AfriSenti().targets_only()} & set(CODES)


def test_counts(code: str) -> None:
    words = BOOK.words(code)
    assert [len(words.of(label)) for label in LABELS] == [12, 12, 12]
    assert (len(words.subjects), len(words.frames), len(words.openers)) == (8, 2, 3)


def test_no_word_or_gloss_comes_twice(code: str) -> None:
    """Whatever its case, marks and hooks: a word and its unmarked spelling would be one word in a tweet."""
    words = BOOK.words(code)
    tables = (words.positive, words.neutral, words.negative, words.subjects, words.openers, words.frames)
    said = [_folded(text) for table in tables for text in table]
    assert len(said) == len(set(said))
    glosses = [gloss for table in tables for gloss in table.values()]
    assert [gloss for gloss, count in Counter(glosses).items() if count > 1] in ([], ["truly,"])


def test_texts_are_in_the_script_of_the_language(code: str) -> None:
    script = SCRIPTS[BOOK.words(code).script]
    assert BOOK.words(code).script == language(code).script
    for each in candidates(code, BOOK.words(code)):
        for letter in each.example.text:
            if unicodedata.category(letter)[0] == "L":
                assert unicodedata.name(letter).startswith(f"{script} "), each.example.text
            else:
                assert letter in " .,'፣።" or unicodedata.combining(letter), each.example.text


def test_sentences_begin_with_a_capital_and_have_only_the_capitals_of_names(code: str) -> None:
    words = BOOK.words(code)
    names = {each for text in (*words.subjects, *words.neutral) for each in re.findall(r"\w+", text)}
    for each in candidates(code, words):
        text = each.example.text
        assert text[0] == text[0].upper()
        assert text[-1] in ".።"
        inside = re.findall(r"\w+", text)[1:]
        assert all(word.islower() or word in names or code == "amh" for word in inside), text


def test_a_sentence_has_the_label_of_its_word(code: str) -> None:
    words = BOOK.words(code)
    corpus = sample("afrisenti")
    assert corpus is not None
    for split in SPLITS:
        for row in corpus.examples(language(code), split):
            said = row.text.casefold()
            found = [
                (len(word), label)
                for label in LABELS
                for word in words.of(label)
                if re.search(rf"(?<!\w){re.escape(word.casefold())}(?!\w)", said)
            ]
            assert max(found)[1] == LABELS[row.label], row.text


def test_words_that_train_lacks(code: str) -> None:
    """A quarter of each label's; else a model that knows words by heart would never be wrong."""
    words = BOOK.words(code)
    corpus = sample("afrisenti")
    assert corpus is not None
    for index, label in enumerate(LABELS):
        later = held_out(words.of(label), "afrisenti", code, label)
        assert len(later) == 3
        made = {each.example: each.held_out for each in candidates(code, words)}
        share = {
            split: [made[row] for row in corpus.examples(language(code), split) if row.label == index]
            for split in SPLITS
        }
        assert not any(share["train"])
        assert all(0.2 < sum(share[split]) / len(share[split]) < 0.65 for split in ("dev", "test"))


def test_sentences() -> None:
    """Openers, frames that begin with a word of their own, and names, written as one sentence."""
    words = SentimentWords(
        script="Latn",
        openers={"Ja,": "yes,", "Nej,": "no,", "Jo,": "yes,"},
        frames={"{subject} er {word}.": "{subject} is {word}.", "Man siger {subject} er {word}.": "They say"},
        subjects={each: "" for each in ("Bo", "han", "hun", "Ib", "vi", "de", "I", "du")},
        positive={f"god{n}": "" for n in range(10)},
        neutral={f"ny{n}": "" for n in range(10)},
        negative={f"ond{n}": "" for n in range(10)},
    )
    made = {each.example for each in candidates("dan", words)}
    assert len(made) == 3 * 10 * 8 * 2 * 4
    assert {
        Example("Bo er god0.", 0),
        Example("Han er ny1.", 1),
        Example("Ja, han er ond2.", 2),
        Example("Jo, Bo er god0.", 0),
        Example("Man siger Bo er god0.", 0),
        Example("Nej, man siger han er god0.", 0),
    } <= made


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"positive": {f"ny{n}": "" for n in range(12)}}, "a word has one label; 'ny0' is positive and neutral"),
        ({"negative": {f"ond{n}": "" for n in range(9)}}, "at least 10 items"),
        ({"subjects": {f"s{n}": "" for n in range(7)}}, "at least 8 items"),
        ({"frames": {"{subject} er {word}": ""}}, "at least 2 items"),
        ({"frames": {"{subject} er {word}": "", "{subject} er": ""}}, "a frame has {subject}, {word}, each once"),
        ({"openers": {}}, "at least 3 items"),
    ],
)
def test_what_a_file_must_hold(change: dict[str, dict[str, str]], said: str) -> None:
    good = {
        "script": "Latn",
        "openers": {"a": "", "b": "", "c": ""},
        "frames": {"{subject} er {word}": "", "{word} er {subject}": ""},
        "subjects": {f"s{n}": "" for n in range(8)},
        "positive": {f"god{n}": "" for n in range(10)},
        "neutral": {f"ny{n}": "" for n in range(10)},
        "negative": {f"ond{n}": "" for n in range(10)},
    }
    SentimentWords.model_validate(good)
    with pytest.raises(ValidationError, match=re.escape(said)):
        SentimentWords.model_validate(good | change)


@pytest.fixture(scope="module")
def corpora() -> dict[str, Counter[str]]:
    """How often words occur in each language's tweets, per million."""
    found = {}
    for code in CODES:
        count: Counter[str] = Counter()
        for split in SPLITS:
            text = (DATA / "afrisenti" / code / f"{split}.tsv").read_bytes().decode()
            count.update(_tokens("\n".join(line.rsplit("\t", 1)[0] for line in text.split("\n")[1:])))
        total = sum(count.values())
        found[code] = Counter[str]()
        for word, n in count.items():
            found[code][_folded(word)] += n * 1_000_000 // total
    return found


@pytest.mark.skipif(not (DATA / "afrisenti").is_dir(), reason="KINSHIP_DATA names no folder with afrisenti/")
def test_words_are_those_of_the_corpus(code: str, corpora: dict[str, Counter[str]]) -> None:
    """Most occur in the language's own tweets, and are more frequent there than in those of the others."""
    words = BOOK.words(code)
    content = {_folded(each) for label in LABELS for word in words.of(label) for each in _tokens(word)}
    assert sum(word in corpora[code] for word in content) >= COVERED * len(content)
    known = [word for word in content if any(word in corpora[other] for other in CODES)]
    most = Counter(max(CODES, key=lambda other: corpora[other][word]) for word in known)
    assert most.pop(code) >= OWN * len(content)
    assert max(most.values(), default=0) <= ELSEWHERE * len(content), most
    frame = {
        _folded(each)
        for text in (*words.subjects, *words.openers, *words.frames)
        for each in _tokens(text.replace("{subject}", "").replace("{word}", ""))
    }
    assert all(word in corpora[code] for word in frame)


def _tokens(text: str) -> list[str]:
    return re.findall(r"[\w\u0300-\u036f]+(?:['-][\w\u0300-\u036f]+)*", text.lower().replace("’", "'"))


def _folded(text: str) -> str:
    """Without case, tone marks, dots and hooks, which tweets often lack."""
    letters = unicodedata.normalize("NFD", text.casefold())
    return "".join(each for each in letters if not unicodedata.combining(each)).translate(HOOKS)
