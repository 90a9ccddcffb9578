"""What is planted is there, and nothing else is."""

from __future__ import annotations

import typing
import unicodedata
from collections import Counter
from collections.abc import Iterator
from itertools import combinations, product

import numpy as np
import pytest

from tasks import planted
from tasks.base import SPLITS, Access, DataError, Example, TaskSpec
from tasks.languages import Language, language
from tasks.metrics import score
from tasks.planted import LABELS, Planted
from tasks.planted_words import ALL_MEMBERS, Concept, Setting, lexicons
from tasks.sources import fingerprint

SETTINGS: tuple[Setting, ...] = typing.get_args(Setting)
CODES = [f"q{family}{place}" for family in "abcd" for place in "abc"]
GLOBAL = {"a": 0.0, "b": 0.3, "c": 0.6, "d": 0.9}
Data = dict[str, dict[str, list[Example]]]


def made(setting: Setting, seed: int = 0) -> Data:
    task = Planted(setting, seed)
    corpus = task.open(Access(offline=True))
    return {
        each.code: {split: list(corpus.examples(each, split)) for split in SPLITS} for each in task.languages()
    }


@pytest.fixture(scope="module", params=SETTINGS)
def setting(request: pytest.FixtureRequest) -> Setting:
    return typing.cast("Setting", request.param)


@pytest.fixture(scope="module")
def data(setting: Setting) -> Data:
    return made(setting)


def meanings(setting: Setting, code: str) -> dict[str, Concept]:
    """The concept of each form of a language."""
    return {form: concept for concept, form in lexicons(setting, 0)[code].items()}


def cue(text: str, concepts: dict[str, Concept]) -> Concept:
    """The one cue of a sentence."""
    [found] = [concepts[word] for word in text.split() if concepts[word].kind == "cue"]
    return found


def right(setting: Setting, code: str, example: Example) -> int:
    """The label of a sentence but for noise."""
    shift = "abcd".index(code[1]) if setting == "lexical-trap" else 0
    return (cue(example.text, meanings(setting, code)).rank - 1 + shift) % 4


def test_languages(setting: Setting) -> None:
    task = Planted(setting)
    assert [each.code for each in task.languages()] == CODES
    assert task.default_languages() == task.languages() == tuple(sorted(task.languages()))
    assert not task.targets_only()
    names = [each.name for each in task.languages()]
    assert (names[0], names[4], names[-1]) == ("Planted A1", "Planted B2", "Planted D3")
    expected = ["Cyrl", "Grek", "Armn"] * 4 if setting == "script-trap" else ["Latn"] * 12
    assert [each.script for each in task.languages()] == expected
    assert all(language(each.code).code == each.code for each in task.languages())


def test_spec(setting: Setting) -> None:
    spec = Planted(setting, 7).spec
    assert (spec.kind, spec.metric, spec.labels, spec.parallel) == ("text", "macro_f1", LABELS, False)
    assert len(LABELS) == 4
    assert [code for family in spec.families for code in family] == CODES
    assert all(len({code[:2] for code in family}) == 1 and len(family) == 3 for family in spec.families)
    assert repr(setting) in spec.description
    assert "seed 7" in spec.description
    assert TaskSpec.model_validate_json(spec.model_dump_json()) == spec
    assert hash(spec) == hash(Planted(setting, 7).spec)
    assert Planted(setting).open(Access()).source == "embedded"


def test_sizes_and_no_sentence_twice(data: Data) -> None:
    for splits in data.values():
        assert {split: len(rows) for split, rows in splits.items()} == {"train": 400, "dev": 200, "test": 200}
        assert len({row.text for rows in splits.values() for row in rows}) == 800


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sentences of two words, which soon repeat."""
    monkeypatch.setattr(planted, "LENGTHS", (2, 2))
    planted._sentences.cache_clear()
    yield
    planted._sentences.cache_clear()


@pytest.mark.usefixtures("short")
def test_no_sentence_twice_where_they_are_short() -> None:
    test_sizes_and_no_sentence_twice(made("easy"))


def test_a_sentence_has_six_to_ten_words_and_one_cue_anywhere(setting: Setting, data: Data) -> None:
    lengths: Counter[int] = Counter()
    places: Counter[int] = Counter()
    for code, splits in data.items():
        concepts = meanings(setting, code)
        for row in (row for rows in splits.values() for row in rows):
            words = row.text.split(" ")
            lengths[len(words)] += 1
            if len(words) == 6:
                places[words.index(lexicons(setting, 0)[code][cue(row.text, concepts)])] += 1
            assert row.pair is row.item is None
    for counts, kinds in ((lengths, range(6, 11)), (places, range(6))):
        assert set(counts) == set(kinds)
        for kind in kinds:
            assert counts[kind] / counts.total() == pytest.approx(1 / len(kinds), rel=0.15)


def test_the_cue_decides_the_label_but_for_noise(setting: Setting, data: Data) -> None:
    wrong: Counter[int] = Counter()
    for code, splits in data.items():
        for split, rows in splits.items():
            off = Counter((row.label - right(setting, code, row)) % 4 for row in rows)
            assert 0.03 <= 1 - off[0] / len(rows) <= 0.18, (code, split)
            wrong += off
    assert 1 - wrong[0] / wrong.total() == pytest.approx(0.1, abs=0.012)
    for shift in (1, 2, 3):
        assert wrong[shift] / (wrong.total() - wrong[0]) == pytest.approx(1 / 3, abs=0.06)


def test_labels_are_balanced(data: Data) -> None:
    every: Counter[int] = Counter()
    for splits in data.values():
        counts = Counter(row.label for row in splits["train"])
        assert all(0.17 <= counts[label] / 400 <= 0.33 for label in range(4))
        every += Counter(row.label for rows in splits.values() for row in rows)
    assert all(every[label] / every.total() == pytest.approx(0.25, abs=0.02) for label in range(4))


def test_frequencies_are_rank_to_the_minus_one_half(setting: Setting, data: Data) -> None:
    counts: Counter[Concept] = Counter()
    for code, splits in data.items():
        concepts = meanings(setting, code)
        counts.update(concepts[word] for rows in splits.values() for row in rows for word in row.text.split())
    for kind, size in (("cue", 32), ("neutral", 80)):
        found = {concept.rank: counts[concept] for concept in counts if concept.kind == kind}
        assert sorted(found) == list(range(1, size + 1))
        slope = np.polyfit(np.log(sorted(found)), np.log([found[rank] for rank in sorted(found)]), 1)[0]
        assert slope == pytest.approx(-0.5, abs=0.04), kind


def expected_share(setting: Setting, one: str, other: str, kind: str) -> float:
    """Of the concepts of a kind, those for which two languages have the same form, as the docstring says."""
    if setting == "lexical-trap":
        return 0.81
    if setting == "script-trap" and kind == "neutral":
        return 0.81 * (one[2] == other[2])
    if one[1] == other[1]:
        return 0.81
    return 0.81 * GLOBAL[one[1]] * GLOBAL[other[1]] if setting == "graded" else 0.0


def test_languages_share_the_words_that_were_planted(setting: Setting) -> None:
    found: dict[tuple[bool, float], list[float]] = {}
    for seed in range(6):
        lexicon = lexicons(setting, seed)
        for one, other in combinations(CODES, 2):
            shared = set(lexicon[one].values()) & set(lexicon[other].values())
            for kind, size in (("cue", 32), ("neutral", 80)):
                words = [form for concept, form in lexicon[one].items() if concept.kind == kind]
                expected = expected_share(setting, one, other, kind)
                share = len(shared & set(words)) / size
                assert share == pytest.approx(expected, abs=0.33 if expected else 0), (one, other, kind)
                found.setdefault((one[1] == other[1], round(expected, 6)), []).append(share)
    for (_, expected), shares in found.items():
        assert np.mean(shares) == pytest.approx(expected, abs=0.03)


def test_the_texts_have_all_words_of_the_lexicon_and_no_others(setting: Setting, data: Data) -> None:
    for code, splits in data.items():
        seen = {word for row in splits["train"] for word in row.text.split()}
        lexicon = set(lexicons(setting, 0)[code].values())
        assert seen <= lexicon
        assert len(lexicon) == 112
        assert len(seen) >= 110


def test_a_form_stands_for_one_concept_everywhere(setting: Setting) -> None:
    concepts: dict[str, set[Concept]] = {}
    for lexicon in lexicons(setting, 0).values():
        for concept, form in lexicon.items():
            concepts.setdefault(form, set()).add(concept)
    assert all(len(of) == 1 for of in concepts.values())


def test_forms_can_be_pronounced_and_are_in_their_script(setting: Setting) -> None:
    lengths: Counter[int] = Counter()
    names = {"Latn": "LATIN", "Cyrl": "CYRILLIC", "Grek": "GREEK", "Armn": "ARMENIAN"}
    for each in Planted(setting).languages():
        letters: dict[str, set[str]] = {"odd": set(), "even": set()}
        for concept, form in lexicons(setting, 0)[each.code].items():
            own = "LATIN" if concept.kind == "cue" else names[each.script]
            assert all(unicodedata.name(letter).startswith(f"{own} SMALL LETTER ") for letter in form)
            assert unicodedata.normalize("NFKD", form).casefold() == form.lower() == form
            lengths[len(form)] += 1
            letters["odd"] |= set(form[::2])
            letters["even"] |= set(form[1::2])
        assert not letters["odd"] & letters["even"], "consonants and vowels take turns"
    assert set(lengths) == {4, 6}
    assert lengths[4] / lengths.total() == pytest.approx(0.5, abs=0.1)


FINGERPRINTS = {
    "easy": "683303148a769fb4",
    "lexical-trap": "15eb6fd1a8ede29f",
    "script-trap": "0186f4244f9c0bac",
    "graded": "c75cb1b3502fa424",
}


def test_the_data_of_version_1_never_change(setting: Setting, data: Data) -> None:
    """Whatever the machine, the version of Python and its hash seed. Other data are another version."""
    assert Planted(setting).spec.version == 1
    rows = (row for code in CODES for split in SPLITS for row in data[code][split])
    assert fingerprint(rows)[:16] == FINGERPRINTS[setting]


def test_a_language_does_not_depend_on_who_was_asked_before(setting: Setting, data: Data) -> None:
    planted._sentences.cache_clear()
    lexicons.cache_clear()
    corpus = Planted(setting).open(Access())
    for code, split in [("qdc", "test"), ("qab", "dev"), ("qdc", "train")]:
        assert list(corpus.examples(language(code), split)) == data[code][split]  # type: ignore[arg-type]


def test_another_seed_or_setting_makes_other_languages() -> None:
    texts = [
        {row.text for row in made(setting, seed)["qaa"]["train"]} for setting, seed in product(SETTINGS, (0, 1))
    ]
    for one, other in combinations(texts, 2):
        assert not one & other


@pytest.mark.parametrize("code", ["deu", "qad", "qea"])
def test_other_languages_are_refused(code: str) -> None:
    with pytest.raises(DataError, match=rf"planted has no .*; allowed: qaa, .*, qdc; found {code}"):
        Planted().open(Access()).examples(Language(code, "Latn", "other"), "train")


@pytest.mark.parametrize(
    "wrong", [{"setting": "hard"}, {"setting": None}, {"seed": 1.0}, {"seed": "1"}, {"seed": True}]
)
def test_wrong_parameters_are_refused(wrong: dict[str, typing.Any]) -> None:
    with pytest.raises(ValueError, match=r"allowed: .*; found "):
        Planted(**wrong)


def test_parameters_can_be_read_from_the_annotations() -> None:
    hints = typing.get_type_hints(Planted.__init__)
    assert typing.get_args(hints["setting"]) == ("easy", "lexical-trap", "script-trap", "graded")
    assert hints["seed"] is int
    assert [each.code for each in ALL_MEMBERS] == CODES


class Transfer:
    """A bag of words and a logistic regression for each language, scored on every language's test."""

    def __init__(self, setting: Setting, data: Data) -> None:
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        self.gold = {code: [row.label for row in data[code]["test"]] for code in CODES}
        self.said = {}
        texts = [row.text for code in CODES for row in data[code]["test"]]
        for code in CODES:
            model = make_pipeline(CountVectorizer(binary=True), LogisticRegression(C=2))
            model.fit([row.text for row in data[code]["train"]], [row.label for row in data[code]["train"]])
            for target, said in zip(CODES, np.split(model.predict(texts), 12), strict=True):
                self.said[code, target] = said
        self.ceiling = {
            code: score("macro_f1", self.gold[code], [right(setting, code, row) for row in of["test"]], LABELS)
            for code, of in data.items()
        }

    def score(self, source: str, target: str, shift: int = 0) -> float:
        return score("macro_f1", self.gold[target], (self.said[source, target] + shift) % 4, LABELS)

    def mean(self, pairs: list[tuple[str, str]]) -> float:
        return float(np.mean([self.score(*pair) for pair in pairs]))


@pytest.fixture(scope="module")
def transfer(setting: Setting, data: Data) -> Transfer:
    return Transfer(setting, data)


def test_a_language_can_be_learned_from_its_training_sentences(transfer: Transfer) -> None:
    for code in CODES:
        assert 0.8 <= transfer.ceiling[code] <= 0.97
        assert transfer.score(code, code) >= 0.8 * transfer.ceiling[code]


def test_what_was_learned_carries_over_as_planted(setting: Setting, transfer: Transfer) -> None:
    pairs = [(source, target) for source, target in product(CODES, CODES) if source != target]
    family = [(s, t) for s, t in pairs if s[1] == t[1]]
    others = [(s, t) for s, t in pairs if s[1] != t[1]]
    assert min(transfer.score(*pair) for pair in family) > 0.45
    assert transfer.mean(family) > 0.6
    if setting == "lexical-trap":
        assert max(transfer.score(*pair) for pair in others) < 0.2
        for source, target in others:
            shift = "abcd".index(target[1]) - "abcd".index(source[1])
            assert transfer.score(source, target, shift) > 0.45
    elif setting == "graded":
        for source, target in others:
            if "a" in (source[1], target[1]):
                assert transfer.score(source, target) < 0.35
        between = {
            ends: transfer.mean([(s, t) for s, t in others if {s[1], t[1]} == set(ends)])
            for ends in ("ab", "bc", "bd", "cd")
        }
        assert between["ab"] < between["bc"] < between["cd"] < transfer.mean(family)
        assert between["bd"] > between["ab"] + 0.05
    else:  # the script that a pair shares is of no use
        assert max(transfer.score(*pair) for pair in others) < 0.35
