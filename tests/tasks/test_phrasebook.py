"""What all phrasebooks share: files, splits, and the notice. The sentences of each are tested beside it."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.base import SPLITS, Corpus, DataError, Example, Split
from tasks.languages import language
from tasks.phrasebook import book, sample
from tasks.phrasebook.book import SIZES, Candidate, Phrasebook, Text, Words, check_frame, draw, held_out, parse
from tasks.sources import fingerprint

TASKS = tuple(sorted(each.name for each in (Path(book.__file__).parent / "words").iterdir()))


class Plain(Words):
    greetings: tuple[Text, ...]


def made(*candidates: Candidate, task: str = "made") -> Phrasebook[Plain]:
    """A phrasebook of one language, Danish, that yields these."""

    class Made(Phrasebook[Plain]):
        def codes(self) -> tuple[str, ...]:
            return ("dan",)

        def words(self, code: str) -> Plain:
            return Plain(script="Latn", greetings=("hej",))

    return Made(task, "Made", Plain, lambda code, words: candidates)


def splits(phrasebook: Phrasebook[Plain]) -> dict[Split, tuple[Example, ...]]:
    corpus = book.SampleCorpus(phrasebook)
    return {split: corpus.examples(language("dan"), split) for split in SPLITS}


@pytest.fixture(params=TASKS)
def corpus(request: pytest.FixtureRequest) -> Corpus:
    found = sample(request.param)
    assert found is not None
    return found


def test_every_task_of_the_mission_has_a_sample() -> None:
    assert TASKS == ("afrisenti", "udpos", "wikiann", "xnli")


@pytest.mark.parametrize("name", ["planted", "cldr-names", "", ".", "..", "words", "afrisenti/", "../words/xnli"])
def test_other_tasks_have_none(name: str) -> None:
    assert sample(name) is None


def test_notice(corpus: Corpus) -> None:
    task = _task(corpus)
    tried = (f"folder: no {task}/ in /home/me", "files: " + "no answer \n" * 40)
    told = sample(task, tried)
    assert told is not None
    assert told.source == "sample"
    assert told.notice is not None
    assert corpus.notice is not None
    assert told.notice.startswith(
        f"SAMPLE, not the corpus: {task}'s sentences here are generated from a phrasebook"
    )
    assert f"--data DIR with {task}/<language>/<split>.tsv" in told.notice
    assert f"(tried: folder: no {task}/ in /home/me | files: no answer no answer" in told.notice
    assert f"{len(corpus.languages() or ())} languages" in told.notice
    assert len(told.notice.splitlines()) == 1
    assert len(told.notice) < 600
    assert corpus.notice == told.notice[: told.notice.index(" (tried: ")]


def test_languages_are_sorted_and_the_only_ones(corpus: Corpus) -> None:
    languages = corpus.languages()
    assert languages is not None
    codes = [each.code for each in languages]
    assert codes == sorted(set(codes))
    assert len(codes) >= 8
    with pytest.raises(DataError) as caught:
        corpus.examples(language("epo"), "train")
    assert str(caught.value) == (
        f"the sample of {_task(corpus)} has no Esperanto; allowed: {', '.join(codes)}; found epo"
    )


def test_splits_of_every_language(corpus: Corpus) -> None:
    """Big enough to be trained on, of one size, balanced, and without a sentence in two of them."""
    for each in corpus.languages() or ():
        rows = {split: corpus.examples(each, split) for split in SPLITS}
        said = [(row.text, row.pair) for split in SPLITS for row in rows[split]]
        assert len(said) == len(set(said)), each
        for split in SPLITS:
            count = Counter(row.label for row in rows[split])
            assert len(set(count.values())) == 1, (each, split)
            assert SIZES[split] * 0.9 <= len(rows[split]) <= SIZES[split], (each, split)
            assert count.keys() == Counter(row.label for row in rows["train"]).keys()


def test_the_same_whatever_was_asked_before(corpus: Corpus) -> None:
    """In another process, with other hashes of strings, in another order."""
    asked = [(each, split) for each in corpus.languages() or () for split in SPLITS]
    here = [f"{each}/{split} {fingerprint(corpus.examples(each, split))}" for each, split in asked]
    code = (
        "import sys\nfrom tasks.languages import language\nfrom tasks.phrasebook import sample\n"
        "from tasks.sources import fingerprint\n"
        "corpus = sample(sys.argv[1])\n"
        "for each in sys.argv[2:]:\n"
        "    code, split = each.split('/')\n"
        "    print(each, fingerprint(corpus.examples(language(code), split)))"
    )
    mixed = [f"{each}/{split}" for each, split in random.Random(0).sample(asked, len(asked))]
    there = subprocess.run(
        [sys.executable, "-c", code, _task(corpus), *mixed],
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": str(Path(book.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert sorted(there.stdout.splitlines()) == sorted(here)


def test_a_key_decides_the_split_and_the_place() -> None:
    """As in a parallel task, whose items have other words, and the same split, in every language."""

    def items(words: str) -> Iterator[Candidate]:
        return (Candidate(Example(f"{words} {n}", n % 3, item=str(n)), key=str(n // 3)) for n in range(300))

    one, other = splits(made(*items("en"))), splits(made(*items("to")))
    where: dict[int, set[str]] = defaultdict(set)
    for split in SPLITS:
        assert [row.item for row in one[split]] == [row.item for row in other[split]]
        for row in one[split]:
            where[int(row.item or "") // 3].add(split)
    assert {len(each) for each in where.values()} == {1}


def test_held_out_candidates_are_never_in_train() -> None:
    found = splits(made(*(Candidate(Example(f"ord {n}", 0), held_out=n % 2 == 0) for n in range(1500))))
    later = {split: sum(int(row.text[4:]) % 2 == 0 for row in rows) for split, rows in found.items()}
    assert later["train"] == 0
    assert later["dev"] > 50
    assert later["test"] > 100
    assert {split: len(rows) for split, rows in found.items()} == SIZES


def test_labels_are_balanced_by_the_rarest() -> None:
    found = splits(made(*(Candidate(Example(f"ord {n}", int(n % 10 == 0))) for n in range(300))))
    count = {split: Counter(row.label for row in rows) for split, rows in found.items()}
    assert all(0 < each[0] == each[1] < 30 for each in count.values())
    assert sum(each[1] for each in count.values()) == 30


def test_what_comes_twice_is_one_example() -> None:
    found = splits(made(*(Candidate(Example(f"ord {n % 50}", 0), key=str(n)) for n in range(500))))
    assert sorted(row.text for rows in found.values() for row in rows) == sorted(f"ord {n}" for n in range(50))


def test_a_sentence_with_two_meanings_is_refused() -> None:
    with pytest.raises(DataError, match="phrasebook made/dan: a sentence has one meaning; found two for 'hej'"):
        splits(made(Candidate(Example("hej", 0)), Candidate(Example("hej", 1))))


@given(st.permutations(range(40)))
def test_the_order_of_candidates_is_nothing(order: list[int]) -> None:
    rows = [Candidate(Example(f"ord {n}", n % 2), held_out=n % 5 == 0) for n in range(40)]
    assert splits(made(*rows)) == splits(made(*(rows[n] for n in order)))


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_draw_is_a_number_from_0_up_to_1(parts: list[str]) -> None:
    assert 0 <= draw(*parts) < 1
    assert draw(*parts) == draw(*parts)


def test_draw_is_uniform() -> None:
    found = [draw("a", str(n)) for n in range(4000)]
    assert all(350 < count < 450 for count in Counter(int(each * 10) for each in found).values())


def test_draw_tells_parts_apart() -> None:
    assert len({draw("ab", "c"), draw("a", "bc"), draw("abc"), draw("", "abc")}) == 4


def test_held_out_takes_a_share_by_whose_words_they_are() -> None:
    words = [f"ord{n}" for n in range(12)]
    found = held_out(words, "task", "dan", "positive")
    assert len(found) == 3
    assert found < set(words)
    assert found == held_out(words[::-1], "task", "dan", "positive")
    assert len({held_out(words, "task", str(n)) for n in range(20)}) > 10
    assert len(held_out(words, "task", share=2)) == 6


@pytest.mark.parametrize("frame", ["{subject} er", "{subject} {subject} {word}", "{subject} {word} {more}", "er"])
def test_a_frame_has_each_hole_once(frame: str) -> None:
    with pytest.raises(ValueError, match=r"a frame has \{subject\}, \{word\}, each once"):
        check_frame(frame, "subject", "word")


def test_a_good_frame() -> None:
    assert check_frame("{word} er {subject}", "subject", "word") == "{word} er {subject}"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("script = ", "phrasebook some.toml: not TOML: "),
        ('greetings = ["hej"]', "phrasebook some.toml: script: Field required"),
        ('script = "latin"\ngreetings = []', "phrasebook some.toml: script: String should match pattern"),
        ('script = "Latn"\ngreetings = [""]', "phrasebook some.toml: greetings.0: a text has no line break"),
        ('script = "Latn"\ngreetings = ["a  b"]', "single spaces only between its words; found 'a  b'"),
        ('script = "Latn"\ngreetings = ["a\\tb"]', "no tab"),
        ('script = "Latn"\ngreetings = ["a", "e\\u0301"]', "greetings.1: a text is in Unicode's normal form C"),
        ('script = "Latn"\ngreetings = []\nbyes = []', "phrasebook some.toml: byes: Extra inputs are not"),
    ],
)
def test_a_malformed_file_is_named_with_the_place_and_the_rule(content: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        parse(content, Plain, "some.toml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_good_file() -> None:
    assert parse('script = "Latn"\ngreetings = ["god dag", "hej"]', Plain, "x").greetings == ("god dag", "hej")


def _task(corpus: Corpus) -> str:
    assert corpus.notice is not None
    return corpus.notice.split("corpus: ")[1].split("'s ")[0]
