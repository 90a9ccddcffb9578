"""WikiAnn, from a folder and from the hub. Tests of the real corpus need `KINSHIP_DATA`."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from seqeval.metrics.sequence_labeling import get_entities  # type: ignore[import-untyped]

from tasks.base import SPLITS, Access, DataError, tagged
from tasks.codes import VARIANTS, wikipedia
from tasks.languages import language
from tasks.wikiann import HUB_COMMIT, HUB_NAME, TAGS, WikiAnn

TASK = WikiAnn()
DATA = Path(os.environ.get("KINSHIP_DATA", "/nowhere"))
needs_data = pytest.mark.skipif(
    not (DATA / "wikiann").is_dir(), reason="KINSHIP_DATA names no folder with wikiann/"
)
PROBE = {"tokens": [["Ælfred"]], "ner_tags": [[1]]}


def test_declaration() -> None:
    spec = TASK.spec
    assert (spec.name, spec.version, spec.kind, spec.metric) == ("wikiann", 1, "tagged", "span_f1")
    assert spec.labels == TAGS == ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
    assert len(TASK.languages()) == 172
    assert len(TASK.languages()) + len(VARIANTS) == 176  # the Wikipedias of Rahimi et al. 2019
    assert {"zh-yue", "als", "no", "bat-smg"} <= set(TASK.codes())


@needs_data
class TestRealCorpus:
    def test_every_sentence_and_tag_of_every_language(self, tmp_path: Path) -> None:
        corpus = TASK.open(Access(data=DATA, cache=tmp_path, offline=True))
        assert corpus.source == "folder"
        folders = sorted(each.name for each in (DATA / "wikiann").iterdir())
        assert corpus.languages() == tuple(sorted(wikipedia()[code] for code in folders))
        assert len(folders) == 24
        for code in folders:
            for split in SPLITS:
                lines = (DATA / "wikiann" / code / f"{split}.tsv").read_bytes().decode().split("\n")
                starts = [i for i, each in enumerate(lines) if each and (i == 0 or not lines[i - 1])]
                rows = corpus.examples(wikipedia()[code], split)
                assert len(rows) == len(starts)
                counted = Counter(each.split("\t")[1] for each in lines if each)
                assert set(counted) == set(TAGS)
                if split == "dev" or code == "sw":
                    read = list(rows)
                    assert [each.tokens[0] for each in read] == [lines[i].split("\t")[0] for i in starts]
                    assert Counter(TAGS[tag] for each in read for tag in each.tags) == counted

    def test_spans_are_those_that_seqeval_finds(self) -> None:
        corpus = TASK.open(Access(data=DATA, offline=True))
        for code in ("eng", "swa", "fas"):
            for each in corpus.examples(language(code), "test"):
                tags = [TAGS[tag] for tag in each.tags]
                starts = [(tag[2:], at) for at, tag in enumerate(tags) if tag.startswith("B-")]
                assert starts == [(kind, first) for kind, first, _ in get_entities(tags)]

    def test_known_defects(self) -> None:
        """Sentences of train that dev repeats: left as they are published."""
        corpus = TASK.open(Access(data=DATA, offline=True))
        for code in ("hin", "vie", "por"):
            train = {each.text for each in corpus.examples(language(code), "train")}
            assert sum(each.text in train for each in corpus.examples(language(code), "dev")) > 20


class TestHub:
    def put(self, hub: Any, file: str, columns: dict[str, Any] | None = None) -> None:
        hub.put(HUB_NAME, HUB_COMMIT, file, columns or PROBE)

    def test_fetched_at_the_pinned_commit_when_asked_for(self, loopback_hub: Any, tmp_path: Path) -> None:
        self.put(loopback_hub, "ang/validation-00000-of-00001.parquet")
        corpus = TASK.open(Access(cache=tmp_path))
        assert corpus.source == "hub"
        assert len(loopback_hub.downloads) == 1
        sentences = {"tokens": [["Ho", "Chi", "Minh"], ["x", "y"]], "ner_tags": [[1, 2, 2], [0, 6]]}
        self.put(loopback_hub, "zh-yue/train-00000-of-00001.parquet", sentences)
        expected = [
            tagged(("Ho", "Chi", "Minh"), (1, 2, 2)),
            tagged(("x", "y"), (0, 5)),  # an I-LOC that continues nothing begins a place
        ]
        assert corpus.examples(language("yue"), "train") == expected
        assert all(HUB_COMMIT in each for each in loopback_hub.web.asked)
        asked = len(loopback_hub.web.asked)
        again = TASK.open(Access(cache=tmp_path, offline=True))
        assert again.source == "hub"
        assert again.examples(language("yue"), "train") == expected
        assert len(loopback_hub.web.asked) == asked

    def test_a_folder_as_the_hubs_own_library_keeps_it(self, loopback_hub: Any) -> None:
        for code in ("ang", *TASK.codes()):
            loopback_hub.lay_out(HUB_NAME, HUB_COMMIT, f"{code}/validation-00000-of-00001.parquet", PROBE)
        corpus = TASK.open(Access(offline=True))
        for each in TASK.languages():
            assert corpus.examples(each, "dev") == [tagged(("Ælfred",), (1,))]
        assert loopback_hub.web.asked == []

    def test_the_users_folder_goes_first(self, loopback_hub: Any, tmp_path: Path) -> None:
        self.put(loopback_hub, "ang/validation-00000-of-00001.parquet")
        assert TASK.open(Access(data=tmp_path, cache=tmp_path)).source == "hub"
        path = tmp_path / "wikiann" / "ang" / "dev.tsv"
        path.parent.mkdir(parents=True)
        path.write_text("x\tO\n")
        corpus = TASK.open(Access(data=tmp_path, cache=tmp_path))
        assert corpus.source == "folder"
        assert corpus.examples(language("ang"), "dev") == [tagged(("x",), (0,))]

    @pytest.mark.parametrize(
        ("tokens", "tags", "expected"),
        [
            (["a", " ", "b"], ["B-PER", "I-PER", "I-PER"], tagged(("a", "b"), (1, 2))),
            (["\u00a0", "a"], ["B-LOC", "I-LOC"], tagged(("a",), (5,))),
            ([""], ["O"], "a token is needed; found none"),
            ([], [], "a token is needed; found none"),
            (["a", "b"], ["O"], "as many tags as tokens are needed"),
            (["a"], None, "as many tags as tokens are needed"),
            (["a"], ["B-MISC"], "unknown tag; .*found 'B-MISC'"),
            (["a"], [None], "unknown tag; .*found None"),
            ([None], ["O"], "a token is needed; found None"),
        ],
    )
    def test_odd_rows(self, loopback_hub: Any, tokens: Any, tags: Any, expected: Any) -> None:
        self.put(loopback_hub, "ang/validation-00000-of-00001.parquet")
        rows = {"tokens": [["a"], tokens], "ner_tags": [["O"], tags]}
        self.put(loopback_hub, "sw/test-00000-of-00001.parquet", rows)
        found = TASK.open(Access()).examples(language("swa"), "test")
        if isinstance(expected, str):
            with pytest.raises(DataError, match=f"sw/test-.*unimelb-nlp/wikiann.*, row 1: {expected}"):
                list(found)
        else:
            assert found[1] == expected

    def test_indices_out_of_range(self, loopback_hub: Any) -> None:
        self.put(loopback_hub, "ang/validation-00000-of-00001.parquet", {"tokens": [["a"]], "ner_tags": [[7]]})
        corpus = TASK.open(Access())
        with pytest.raises(DataError, match=r"unknown tag; allowed: O, B-PER, .*; found 7"):
            list(corpus.examples(language("ang"), "dev"))
