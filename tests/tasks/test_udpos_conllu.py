"""CoNLL-U: tokens and tags, contractions, and everything that can be wrong in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.base import DataError, Example
from tasks.udpos_conllu import PRECEDENCE, UPOS, ConlluFile, Word, contraction, sentence, word

GERMAN = """# sent_id = 1
# text = Er geht zum Arzt.
1\tEr\ter\tPRON\tPPER\t_\t2\tnsubj\t_\t_
2\tgeht\tgehen\tVERB\tVVFIN\t_\t0\troot\t_\t_
3-4\tzum\t_\t_\t_\t_\t_\t_\t_\t_
3\tzu\tzu\tADP\tAPPR\t_\t5\tcase\t_\t_
4\tdem\tder\tDET\tART\t_\t5\tdet\t_\t_
5\tArzt\tArzt\tNOUN\tNN\t_\t2\tobl\t_\tSpaceAfter=No
5.1\tgeht\tgehen\tVERB\t_\t_\t_\t_\t0:root\t_
6\t.\t.\tPUNCT\t$.\t_\t2\tpunct\t_\t_

"""


def words(*fields: tuple[str, int | None]) -> list[Word]:
    return [Word(f"w{number}", tag, head) for number, (tag, head) in enumerate(fields, start=1)]


def tags(example: Example) -> list[str]:
    return [UPOS[tag] for tag in example.tags]


def test_the_tags_are_the_17_of_universal_dependencies() -> None:
    assert len(UPOS) == 17
    assert sorted(UPOS) == list(UPOS)
    assert sorted(PRECEDENCE) == sorted(UPOS)


class TestContractions:
    def test_the_tag_of_the_word_nearest_to_the_root(self) -> None:
        """Italian "farlo": "far" has the object "lo"; Spanish "dámelo" in three words."""
        farlo = sentence(words(("VERB", 0), ("PRON", 1)), [contraction("1-2", "farlo")])
        assert (farlo.tokens, tags(farlo)) == (("farlo",), ["VERB"])
        inverse = sentence(words(("PRON", 2), ("X", 0)), [contraction("1-2", "w")])
        assert tags(inverse) == ["X"]  # although X comes late in the precedence
        three = sentence(
            words(("VERB", 0), ("PRON", 3), ("NOUN", 1)),
            [
                contraction("2-3", "w"),
            ],
        )
        assert tags(three) == ["VERB", "NOUN"]

    def test_equally_near_to_the_root_by_precedence(self) -> None:
        """German "zum", French "du": preposition and article of one noun."""
        for pair in (("ADP", "DET"), ("DET", "ADP")):
            found = sentence(words((pair[0], 3), (pair[1], 3), ("NOUN", 0)), [contraction("1-2", "zum")])
            assert tags(found) == ["ADP", "NOUN"]

    @pytest.mark.parametrize("heads", [(None, None, None), (2, 3, 1), (9, 9, 9), (0, 0, 0)])
    def test_without_a_usable_tree_by_precedence(self, heads: tuple[int | None, ...]) -> None:
        given = words(*zip(("DET", "NOUN", "ADP"), heads, strict=True))
        assert tags(sentence(given, [contraction("1-3", "w")])) == ["NOUN"]

    def test_far_from_the_root(self) -> None:
        """A chain of six: of its fifth and sixth word, the fifth is nearer, whatever their tags."""
        chain = words(*((tag, at) for at, tag in enumerate(("VERB", "NOUN", "NOUN", "NOUN", "X", "VERB"))))
        assert tags(sentence(chain, [contraction("5-6", "w")])) == ["VERB", "NOUN", "NOUN", "NOUN", "X"]

    @given(st.data())
    def test_against_sets_of_ancestors(self, data: st.DataObject) -> None:
        """XTREME's converter: the word of the span with the fewest ancestors, then the precedence."""
        size = data.draw(st.integers(1, 8))
        order = data.draw(st.permutations(range(1, size + 1)))
        parents = {each: data.draw(st.sampled_from([0, *order[:i]])) for i, each in enumerate(order)}
        kinds = {each: data.draw(st.sampled_from(UPOS)) for each in order}
        first = data.draw(st.integers(1, size))
        last = data.draw(st.integers(first, size))

        def ancestors(each: int) -> set[int]:
            return {parents[each]} | (ancestors(parents[each]) if parents[each] else set())

        fewest = min(len(ancestors(each)) for each in range(first, last + 1))
        nearest = [kinds[each] for each in range(first, last + 1) if len(ancestors(each)) == fewest]
        expected = next(tag for tag in PRECEDENCE if tag in nearest)
        given = [Word(f"w{each}", kinds[each], parents[each]) for each in range(1, size + 1)]
        found = sentence(given, [contraction(f"{first}-{last}", "fused")])
        assert found.tokens == (
            *(f"w{each}" for each in range(1, first)),
            "fused",
            *(f"w{each}" for each in range(last + 1, size + 1)),
        )
        assert tags(found)[first - 1] == expected

    @pytest.mark.parametrize("spans", [["2-4"], ["0-1"], ["2-1"], ["1-2", "2-3"], ["3-3", "1-2"]])
    def test_ranges_that_do_not_fit(self, spans: list[str]) -> None:
        given = words(("ADP", 3), ("DET", 3), ("NOUN", 0))
        with pytest.raises(ValueError, match=r"ranges of the words \d to 3, in their order, are needed; found"):
            sentence(given, [contraction(each, "w") for each in spans])

    @pytest.mark.parametrize("numbers", ["1", "1-", "a-b", "1.1", None, "1-2-3", "-1-2", "²-3"])
    def test_no_range(self, numbers: str | None) -> None:
        with pytest.raises(ValueError, match="a range of words, as 1-2, is needed; found "):
            contraction(numbers, "w")

    def test_words(self) -> None:
        assert word("w", "X", "12") == word("w", "X", 12) == Word("w", "X", 12)
        assert word("w", "X", "_") == word("w", "X", None) == Word("w", "X", None)
        with pytest.raises(ValueError, match="a form is needed; found None"):
            word(None, "X", 0)
        with pytest.raises(ValueError, match="a sentence of at least 1 word is needed"):
            sentence([], [])


class TestFile:
    def write(self, path: Path, content: str | bytes) -> Path:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def test_tokens_and_tags(self, tmp_path: Path) -> None:
        (found,) = ConlluFile(self.write(tmp_path / "f", GERMAN))
        assert found.text == "Er geht zum Arzt ."
        assert found.tokens == ("Er", "geht", "zum", "Arzt", ".")
        assert tags(found) == ["PRON", "VERB", "ADP", "NOUN", "PUNCT"]

    @pytest.mark.parametrize(
        "content",
        [
            GERMAN * 3,
            (GERMAN * 3).replace("\n", "\r\n"),
            "\ufeff" + GERMAN * 3,
            "\n\n" + GERMAN + "\n  \n" + GERMAN * 2 + "\n",
            (GERMAN * 3).rstrip("\n"),
        ],
        ids=["LF", "CRLF", "byte order mark", "more blank lines", "no end of line"],
    )
    def test_line_ends_and_blank_lines(self, tmp_path: Path, content: str) -> None:
        rows = ConlluFile(self.write(tmp_path / "f", content), index=tmp_path / "index")
        assert len(rows) == 3
        assert rows.labels.tolist() == [0, 0, 0]
        again = ConlluFile(tmp_path / "f", index=tmp_path / "index")
        assert list(again) == list(rows) == rows.take([0, 1, 2]) == [rows[1]] * 3
        assert {each.text for each in rows} == {"Er geht zum Arzt ."}

    def test_characters_that_end_no_line(self, tmp_path: Path) -> None:
        (found,) = ConlluFile(self.write(tmp_path / "f", GERMAN.replace("Arzt\tA", "A\x1drz\u2028t\tA")))
        assert found.tokens[3] == "A\x1drz\u2028t"

    def test_spaces_inside_tokens_are_kept(self, tmp_path: Path) -> None:
        (found,) = ConlluFile(self.write(tmp_path / "f", GERMAN.replace("Arzt\tA", "bác sĩ\tA")))
        assert found.tokens[3] == "bác sĩ"

    @pytest.mark.parametrize(
        ("old", "new", "line", "found"),
        [
            ("\tVERB\tVVFIN", "\t_\tVVFIN", 4, "unknown UPOS tag; allowed: ADJ, .*; found '_'"),
            ("\tVERB\tVVFIN", "\tVVFIN\tVERB", 4, "unknown UPOS tag; .*; found 'VVFIN'"),
            ("\tPPER", "", 3, "10 tab-separated columns are needed, as CoNLL-U has; found 9"),
            ("1\tEr\t", "1\t \t", 3, "a form is needed; found ' '"),
            ("3-4\tzum", "3-4\t", 5, "a form is needed; found ''"),
            ("2\tgeht", "3\tgeht", 4, "the word's number, 2, is needed; found '3'"),
            ("2\tgeht", "1.1\tgeht", 5, "a range from word 2 is needed; found 3-4"),
            ("3-4\tzum", "3-9\tzum", 1, "ranges of the words 1 to 6, in their order, are needed; found 3-9"),
            ("3-4\tzum", "4-3\tzum", 5, "a range from word 3 is needed; found 4-3"),
            ("Arzt\tA", "\x00\tA", 8, "found a NUL byte"),
            ("5\tArzt", "\n5\tArzt", 9, "the word's number, 1, is needed; found '5'"),
        ],
    )
    def test_what_is_wrong_is_said_with_the_line(
        self, tmp_path: Path, old: str, new: str, line: int, found: str
    ) -> None:
        assert old in GERMAN
        path = self.write(tmp_path / "de.conllu", GERMAN.replace(old, new))
        with pytest.raises(DataError, match=rf"de\.conllu, line {line}: .*{found}") as caught:
            ConlluFile(path)
        assert "\n" not in str(caught.value)

    def test_lines_are_counted_from_the_files_first(self, tmp_path: Path) -> None:
        lines = (GERMAN * 2).count("\n")
        path = self.write(tmp_path / "f", GERMAN * 2 + GERMAN.replace("\tPRON", "\t_"))
        with pytest.raises(DataError, match=f"line {lines + 3}: unknown UPOS"):
            ConlluFile(path)

    @pytest.mark.parametrize(
        ("content", "found"),
        [
            (b"# a comment\n\n", "line 1: a sentence of at least 1 word is needed"),
            (GERMAN.encode() + b"# the end\n", "line 12: a sentence of at least 1 word is needed"),
            (GERMAN.replace("Arzt\tA", "Ärzt\tA").encode("latin-1"), "line 8: text in UTF-8 is needed"),
            (GERMAN.encode("utf-16"), "line 1: text in UTF-8 is needed; found the byte order mark of UTF-16"),
            (GERMAN.replace("\n", "\r").encode(), "lines that end with LF or CRLF are needed"),
            (b"# c\n" * 10_001, "line 10001: a blank line after each sentence is needed"),
        ],
    )
    def test_other_files(self, tmp_path: Path, content: bytes, found: str) -> None:
        with pytest.raises(DataError, match=found):
            ConlluFile(self.write(tmp_path / "f", content))

    def test_an_empty_file_has_no_sentence(self, tmp_path: Path) -> None:
        assert len(ConlluFile(self.write(tmp_path / "f", b""))) == 0

    def test_a_file_that_changes(self, tmp_path: Path) -> None:
        rows = ConlluFile(self.write(tmp_path / "f", GERMAN * 2))
        self.write(tmp_path / "f", GERMAN)
        with pytest.raises(DataError, match="has changed since it was opened"):
            rows.take([0])
