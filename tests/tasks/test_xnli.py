"""XNLI, from a folder and from the hub. Tests of the real corpus need `KINSHIP_DATA`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tasks.base import SPLITS, Access, Corpus, DataError, Example
from tasks.languages import language
from tasks.xnli import HUB_COMMIT, HUB_NAME, LABELS, XNLI

TASK = XNLI()
DATA = Path(os.environ.get("KINSHIP_DATA", "/nowhere"))
needs_data = pytest.mark.skipif(not (DATA / "xnli").is_dir(), reason="KINSHIP_DATA names no folder with xnli/")
HEADER = "premise\thypothesis\tlabel\tgenre\n"
PROBE = {"premise": ["p"], "hypothesis": ["h"], "label": [1]}


def test_declaration() -> None:
    spec = TASK.spec
    assert (spec.name, spec.version, spec.kind, spec.metric) == ("xnli", 1, "text-pair", "accuracy")
    assert spec.parallel
    assert spec.labels == LABELS == ("entailment", "neutral", "contradiction")
    assert " ".join(each.code for each in TASK.languages()) == (
        "ara bul deu ell eng fra hin rus spa swa tha tur urd vie zho"
    )
    assert TASK.default_languages() == TASK.languages()


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return TASK.open(Access(data=DATA, offline=True))


@needs_data
class TestRealCorpus:
    def test_every_row_is_the_same_item_in_every_language(self, corpus: Corpus) -> None:
        assert corpus.source == "folder"
        for split, size in (("train", 2250), ("dev", 240), ("test", 5010)):
            lines = (DATA / "xnli" / "en" / f"{split}.tsv").read_bytes().decode().split("\n")[1:-1]
            labels = [LABELS.index(each.split("\t")[2]) for each in lines]
            assert len(labels) == size
            for each in TASK.languages():
                rows = corpus.examples(each, split)  # type: ignore[arg-type]
                assert rows.labels.tolist() == labels  # type: ignore[attr-defined]
                assert [row.item for row in rows[::97]] == [f"{split}-{row}" for row in range(0, size, 97)]

    def test_texts(self, corpus: Corpus) -> None:
        for code, each in TASK.codes().items():
            lines = (DATA / "xnli" / code / "dev.tsv").read_bytes().decode().split("\n")[1:-1]
            read = [(row.text, row.pair) for row in corpus.examples(each, "dev")]
            assert read == [tuple(line.split("\t")[:2]) for line in lines]

    def test_a_separator_inside_a_sentence_ends_no_line(self, corpus: Corpus) -> None:
        """U+001D, which str.splitlines() would take for the end of a line."""
        rows = corpus.examples(language("ell"), "test")
        holding = [row for row in rows if "\x1d" in row.text or "\x1d" in (row.pair or "")]
        raw = (DATA / "xnli" / "el" / "test.tsv").read_bytes()
        assert len(holding) == sum(b"\x1d" in line for line in raw.split(b"\n")) > 0
        assert sum(row.text.count("\x1d") + str(row.pair).count("\x1d") for row in holding) == raw.count(b"\x1d")


class TestFolder:
    def lay_out(self, root: Path, **files: str) -> Corpus:
        for code, rows in files.items():
            for split in SPLITS:
                path = root / "xnli" / code / f"{split}.tsv"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(HEADER + rows)
        return TASK.open(Access(data=root, offline=True))

    def test_examples(self, tmp_path: Path) -> None:
        corpus = self.lay_out(tmp_path, en="a\tb\tneutral\tx\nc\td\tentailment\tx\n")
        assert corpus.examples(language("eng"), "dev") == [
            Example("a", 1, pair="b", item="dev-0"),
            Example("c", 0, pair="d", item="dev-1"),
        ]

    def test_a_row_left_out_in_one_language(self, tmp_path: Path) -> None:
        """Every row after it would be taken for another pair."""
        two = "a\tb\tneutral\tx\nc\td\tentailment\tx\n"
        corpus = self.lay_out(tmp_path, en=two, sw=two.split("\n")[0] + "\n", tr=two)
        corpus.examples(language("eng"), "train")
        corpus.examples(language("tur"), "train")
        with pytest.raises(DataError, match=r"sw.train\.tsv: the same rows .*found 1 rows where eng has 2"):
            corpus.examples(language("swa"), "train")
        # Only where it is asked for.
        corpus.examples(language("swa"), "dev")
        with pytest.raises(DataError, match=r"en.dev\.tsv: the same rows as in swa .*found 2 "):
            corpus.examples(language("eng"), "dev")

    def test_rows_in_another_order(self, tmp_path: Path) -> None:
        rows = ["a\tb\tneutral\tx\n", "c\td\tentailment\tx\n", "e\tf\tneutral\tx\n"]
        corpus = self.lay_out(tmp_path, en="".join(rows), sw=rows[0] + rows[2] + rows[1])
        corpus.examples(language("eng"), "test")
        with pytest.raises(DataError, match=r"sw.test\.tsv: the same rows .*found another label in row 2"):
            corpus.examples(language("swa"), "test")

    @pytest.mark.parametrize(
        ("rows", "found"),
        [
            (
                "a\tb\tmaybe\tx\n",
                "line 2: unknown label; allowed: entailment, neutral, .*; found 'maybe'",
            ),
            ("a\t \tneutral\tx\n", "line 2: a text is needed; found an empty hypothesis"),
            ("a\tb\tneutral\n", "line 2: 4 tab-separated columns are needed"),
        ],
    )
    def test_malformed_rows(self, tmp_path: Path, rows: str, found: str) -> None:
        with pytest.raises(DataError, match=found):
            self.lay_out(tmp_path, en=rows).examples(language("eng"), "train")


class TestHub:
    def put(self, hub: Any, file: str, columns: dict[str, Any] | None = None) -> None:
        hub.put(HUB_NAME, HUB_COMMIT, f"{file}-00000-of-00001.parquet", columns or PROBE)

    def test_examples(self, loopback_hub: Any, tmp_path: Path) -> None:
        self.put(loopback_hub, "sw/validation")
        corpus = TASK.open(Access(cache=tmp_path))
        assert corpus.source == "hub"
        pairs = {"premise": ["a", "", "c"], "hypothesis": ["x", "y", "z"], "label": [2, 0, 1]}
        for code in ("zh", "de"):
            self.put(loopback_hub, f"{code}/train", pairs)
        expected = [
            Example("a", 2, pair="x", item="train-0"),
            Example("", 0, pair="y", item="train-1"),  # a translation that was published empty
            Example("c", 1, pair="z", item="train-2"),
        ]
        for code in ("zho", "deu"):
            rows = corpus.examples(language(code), "train")
            assert rows == expected
            assert rows[1:] == expected[1:]
            assert rows[-1] == expected[2]
        asked = len(loopback_hub.web.asked)
        again = TASK.open(Access(cache=tmp_path, offline=True))
        assert again.examples(language("zho"), "train") == expected
        assert len(loopback_hub.web.asked) == asked
        assert all(HUB_COMMIT in each for each in loopback_hub.web.asked)

    def test_every_language_has_its_file(self, loopback_hub: Any) -> None:
        codes = "ar bg de el en es fr hi ru sw th tr ur vi zh"
        for code in codes.split():
            loopback_hub.lay_out(HUB_NAME, HUB_COMMIT, f"{code}/validation-00000-of-00001.parquet", PROBE)
        corpus = TASK.open(Access(offline=True))
        for each in TASK.languages():
            assert corpus.examples(each, "dev") == [Example("p", 1, pair="h", item="dev-0")]

    @pytest.mark.parametrize(
        ("column", "value", "found"),
        [
            ("premise", None, "a premise and a hypothesis are needed; found None and 'h'"),
            ("label", 3, "unknown label; allowed: the index of entailment, .*; found 3"),
        ],
    )
    def test_malformed_rows(self, loopback_hub: Any, column: str, value: Any, found: str) -> None:
        self.put(loopback_hub, "sw/validation")
        self.put(loopback_hub, "en/test", {**PROBE, column: [value]})
        with pytest.raises(DataError, match=f"en/test-.*of facebook/xnli.*, row 0: {found}"):
            list(TASK.open(Access()).examples(language("eng"), "test"))

    def test_other_rows_than_in_another_language(self, loopback_hub: Any) -> None:
        self.put(loopback_hub, "sw/validation")
        self.put(loopback_hub, "en/validation", {each: value * 2 for each, value in PROBE.items()})
        with pytest.raises(DataError, match=r"en/validation-.* of facebook/xnli: the same rows as in swa"):
            TASK.open(Access()).examples(language("eng"), "dev")
