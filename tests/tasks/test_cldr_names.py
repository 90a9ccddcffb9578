"""The properties that make `cldr-names` a task one can reckon with."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict

import babel
import pytest

from tasks import cldr_locales, cldr_names
from tasks.base import SPLITS, Access, DataError, Example
from tasks.cldr_names import LABELS, CldrNames, by_language, clean_names, locale_of, scan, split_of
from tasks.languages import language

TASK = CldrNames()
TWENTY = "eng swe dan nld fra ita pol ces fin est aze tur zul rus ukr bul kaz hin mar ara"
DEFAULT = TWENTY.split()
Data = dict[str, dict[str, list[Example]]]


@pytest.fixture(scope="module")
def data() -> Data:
    """Every language of the task, every split."""
    corpus = TASK.open(Access(offline=True))
    return {each.code: {split: corpus.examples(each, split) for split in SPLITS} for each in TASK.languages()}


def key(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def test_no_name_is_ambiguous_or_repeated_within_a_language(data: Data) -> None:
    for code, splits in data.items():
        counts = Counter(key(each.text) for split in clean_splits(code) for each in split)
        assert max(counts.values()) == 1, code
        assert sum(map(len, splits.values())) <= len(counts)


def clean_splits(code: str) -> list[list[cldr_names.Name]]:
    locale = locale_of(language(code))
    assert locale is not None
    names = clean_names(locale, 4)
    return [[name for name in names if split_of(name.item) == split] for split in SPLITS]


def test_names_are_names(data: Data) -> None:
    excluded = "ZZ QO XA XB und mul zxx mis root XXX XTS Zxxx Zyyy Zzzz Zinh Zsym Zsye Zmth Qaag"
    for splits in data.values():
        for example in (each for split in splits.values() for each in split):
            kind, code = str(example.item).split(":")
            assert kind == LABELS[example.label]
            assert not any(character.isdigit() for character in example.text)
            assert key(example.text) != key(code)
            assert code not in excluded.split()
            assert "_" not in code


def test_known_names(data: Data) -> None:
    german = {each.item: each for split in data["deu"].values() for each in split}
    everything = {name.item: name.text for split in clean_splits("eng") for name in split}
    assert everything["territory:DE"] == "Germany"
    assert "language:hy" not in everything, '"Armenian" is a language and a script'
    assert "script:Armn" not in everything
    assert all(example.pair is None for example in german.values())


def test_an_entity_is_in_one_split_in_every_language(data: Data) -> None:
    seen = defaultdict(set)
    for splits in data.values():
        for split, examples in splits.items():
            for each in examples:
                seen[each.item].add(split)
    assert all(len(splits) == 1 for splits in seen.values())


def test_half_of_the_entities_are_for_training() -> None:
    entities = {name.item for each in TASK.languages() for name in clean_names(str(locale_of(each)), 4)}
    shares = Counter(split_of(item) for item in entities)
    for split, share in {"train": 0.5, "dev": 0.2, "test": 0.3}.items():
        assert shares[split] / len(entities) == pytest.approx(share, abs=0.03)


def test_classes_are_balanced_in_training(data: Data) -> None:
    for code, splits in data.items():
        counts = Counter(each.label for each in splits["train"])
        assert len(counts) == 4
        assert len(set(counts.values())) == 1, code
        assert set(Counter(each.label for each in splits["test"])) == {0, 1, 2, 3}
        assert set(Counter(each.label for each in splits["dev"])) == {0, 1, 2, 3}


def test_default_languages_have_enough_to_train_on(data: Data) -> None:
    assert min(len(data[code]["train"]) // 4 for code in DEFAULT) >= 40


def test_order_is_by_class_and_code(data: Data) -> None:
    for splits in data.values():
        for examples in splits.values():
            order = [(each.label, str(each.item)) for each in examples]
            assert order == sorted(order)


def test_every_language_has_sixty_names_a_class() -> None:
    for each in TASK.languages():
        locale = locale_of(each)
        assert locale is not None
        assert min(Counter(name.label for name in clean_names(locale, 4)).values()) >= 60


@pytest.mark.parametrize("classes", [3, 4])
def test_the_list_of_locales_is_what_a_scan_finds(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scanned = scan(classes)
    if babel.__version__ == cldr_locales.BABEL:
        assert tuple(cldr_locales.LOCALES[classes].split()) == scanned
    listed = CldrNames(classes).languages()
    monkeypatch.setattr(cldr_locales, "BABEL", "another version")
    cldr_names._locales.cache_clear()
    assert CldrNames(classes).languages() == listed
    cldr_names._locales.cache_clear()


def test_languages() -> None:
    languages = TASK.languages()
    assert list(languages) == sorted(languages)
    assert 80 <= len(languages) <= 95
    assert [each.code for each in TASK.default_languages()] == DEFAULT
    assert set(TASK.default_languages()) <= set(languages)
    assert set(languages) < set(CldrNames(classes=3).languages())
    assert len({each.code for each in languages}) == len(languages)
    assert not TASK.targets_only()


@pytest.mark.parametrize("locale", ["ht", "nb", "nn"])
def test_names_inherited_from_a_parent_are_left_out(locale: str) -> None:
    babel.Locale.parse(locale).territories  # noqa: B018 - merged with its parent, which must not leak in
    clean_names.cache_clear()
    assert len(clean_names(locale, 4)) < 240
    assert language(locale) not in CldrNames(classes=3).languages()
    with pytest.raises(DataError, match=rf"cldr-names has no .* \({language(locale).code}\); allowed: "):
        TASK.open(Access()).examples(language(locale), "train")


def test_locales_that_are_no_language_or_the_same_one() -> None:
    """``root`` is none; of two for one language the first in the alphabet is taken, whatever the order."""
    expected = {language("de"): "de", language("fil"): "fil"}
    assert by_language(["fil", "deu", "root", "de", "xx"]) == expected
    assert by_language(["xx", "de", "root", "deu", "fil"]) == expected


def test_another_script_is_another_language() -> None:
    with pytest.raises(DataError, match="has no Serbian"):
        TASK.open(Access()).examples(language("srp", "Latn"), "train")


def test_spec() -> None:
    assert TASK.spec.labels == LABELS == ("territory", "language", "currency", "script")
    assert CldrNames(classes=3).spec.labels == LABELS[:3]
    assert TASK.spec.parallel
    assert TASK.spec.metric == "macro_f1"
    assert "no evidence for or against any measure" in TASK.spec.description
    assert TASK.open(Access()).source == "embedded"


def test_three_classes_have_no_scripts() -> None:
    corpus = CldrNames(classes=3).open(Access())
    examples = [each for split in SPLITS for each in corpus.examples(language("eng"), split)]
    assert {each.label for each in examples} == {0, 1, 2}
    assert "language:hy" in {each.item for each in examples}, "without scripts, Armenian is a language"


@pytest.mark.parametrize("classes", [2, 5, 0, "4", 4.0, None])
def test_other_numbers_of_classes_are_refused(classes: object) -> None:
    with pytest.raises(ValueError, match="allowed: 3, 4; found "):
        CldrNames(classes=classes)  # type: ignore[arg-type]
