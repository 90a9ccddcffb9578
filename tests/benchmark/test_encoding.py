"""Examples as token ids: nothing lost, nothing special counted, a key for every content."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from benchmark.encoding import Encoder, half
from benchmark.errors import UserError
from benchmark.training.batches import Encoded
from tasks.base import Example
from tasks.sources import fingerprint

TEXTS = [
    "gut und schön",
    "хорошо, мир!",
    "  zwei  Leerzeichen ",
    "emoji 👍🏽 and ZWJ 👩‍🚀",
    "हिन्दी की भाषा",
    "مُحَمَّدٌ",
    "naïve cafe\u0301",
    "x",
    "line\nbreak\tand tab",
]


@pytest.fixture
def tokenizer(tiny):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny.folder)


def opened(tiny, rows, encoder=None):
    encoder = encoder or tiny.encoder
    encoder.encode(key := encoder.key(fingerprint(rows)), rows)
    return Encoded.open(tiny.store.path(key))


def row(data, place):
    return data.ids[data.offsets[place] : data.offsets[place + 1]].tolist()


def test_ids_decode_to_the_text(tiny, tokenizer):
    """Byte-level: every text comes back, up to composition (NFC) and the blank in front."""
    rows = [Example(text, place % 2) for place, text in enumerate(TEXTS)]
    data = opened(tiny, rows, replace(tiny.encoder, max_length=500, _tokenizer=None))
    assert len(data) == len(TEXTS)
    lower = tokenizer.backend_tokenizer.normalizer.normalize_str("A") == "a"
    for place, text in enumerate(TEXTS):
        ids = row(data, place)
        assert ids[0] == tokenizer.cls_token_id
        assert ids[-1] == tokenizer.sep_token_id
        assert tokenizer.unk_token_id not in ids
        expected = text.replace("e\u0301", "é")
        decoded = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert decoded.strip() == (expected.lower() if lower else expected).strip()
        assert data.lengths[place] == len(ids)
    assert data.labels.tolist() == [row.label for row in rows]
    assert data.halves.tolist() == [half(row) for row in rows]
    assert data.types is None
    assert data.pad == tokenizer.pad_token_id
    assert (data.ids.dtype, data.offsets.dtype, data.labels.dtype) == (np.int32, np.int64, np.int64)


def test_long_texts_are_cut(tiny, tokenizer):
    text = "gut und schön " * 50
    data = opened(tiny, [Example(text, 0)])
    assert data.lengths.tolist() == [24]
    ids = row(data, 0)
    assert ids[-1] == tokenizer.sep_token_id
    assert ids[:-1] == tokenizer(text)["input_ids"][:23]


def test_pairs_keep_both_texts_and_their_types(tiny, tokenizer):
    rows = [Example("gut schön", 0, pair="дом и путь"), Example("Haus", 1, pair="Stadt am Wasser")]
    data = opened(tiny, rows)
    for place, example in enumerate(rows):
        ids, types = row(data, place), data.types[data.offsets[place] : data.offsets[place + 1]].tolist()
        first = tokenizer(example.text)["input_ids"]
        second = tokenizer(example.pair)["input_ids"][1:]
        assert ids == first + second
        assert types == [0] * len(first) + [1] * len(second)
    assert data.types.dtype == np.int8


def test_long_pairs_lose_of_the_longer_text(tiny):
    data = opened(tiny, [Example("gut", 0, pair="дом и путь " * 20)])
    assert data.lengths.tolist() == [24]
    assert set(data.types.tolist()) == {0, 1}


def test_no_examples(tiny):
    data = opened(tiny, [])
    assert len(data) == 0
    assert data.ids.shape == (0,)
    assert data.offsets.tolist() == [0]
    assert tiny.encoder.counts(tiny.encoder.key(fingerprint([]))) == Counter()


def test_counts_leave_special_tokens_out(tiny, tokenizer):
    rows = [Example(text, 0) for text in ("gut gut schön", "gut", "mir [MASK] [PAD] [CLS]")]
    counts = tiny.encoder.counts(tiny.encode(rows))
    expected = Counter(
        i
        for row in rows
        for i in tokenizer(row.text, truncation=True, max_length=24)["input_ids"]
        if i not in tokenizer.all_special_ids
    )
    assert counts == expected
    assert all(type(key) is int and type(value) is int for key, value in counts.items())


ROWS = [Example("gut", 0), Example("schlecht", 1)]


@pytest.mark.parametrize(
    "rows",
    [
        ROWS[:1],
        ROWS[::-1],
        [Example("gut!", 0), ROWS[1]],
        [Example("gut", 1), ROWS[1]],
        [Example("gut", 0, pair="x"), ROWS[1]],
        [Example("gut", 0, item="x"), ROWS[1]],
        [],
    ],
)
def test_key_follows_the_content(tiny, rows):
    def key(rows):
        return tiny.encoder.key(fingerprint(rows))

    assert key(ROWS) == key([replace(row) for row in ROWS])
    assert key(rows) != key(ROWS)


def test_key_follows_model_and_length_and_not_the_folder(tiny, tmp_path):
    key = tiny.encoder.key("f")
    assert replace(tiny.encoder, model_digest="other").key("f") != key
    assert replace(tiny.encoder, max_length=25).key("f") != key
    assert replace(tiny.encoder, folder=tmp_path).key("f") == key


def test_encoding_is_made_once(tiny):
    key = tiny.encode(ROWS)
    before = tiny.store.path(key).stat().st_mtime_ns
    Encoder(tiny.store, tiny.store.root / "no such model", "tiny", 24).encode(key, ROWS)  # nothing is loaded
    assert tiny.store.path(key).stat().st_mtime_ns == before


def test_a_folder_without_tokenizer(tiny, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"^the tokenizer of .*empty cannot be loaded: ") as raised:
        Encoder(tiny.store, tmp_path / "empty", "none", 24).encode("new", [Example("new", 0)])
    assert "\n" not in str(raised.value)
    assert not tiny.store.keys("new")


def test_halves_follow_the_item_in_every_language():
    rows = {code: [Example(f"{code} {place}", 0, item=f"item {place}") for place in range(200)] for code in "ab"}
    halves = {code: [half(row) for row in rows[code]] for code in rows}
    assert halves["a"] == halves["b"]
    assert 70 < sum(halves["a"]) < 130
    assert [half(Example(row.text, 1)) for row in rows["a"]] == [half(Example(row.text, 0)) for row in rows["a"]]
    assert [half(Example(row.text, 0)) for row in rows["a"]] != halves["a"]
