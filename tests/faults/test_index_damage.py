"""A changed byte or a truncated index is noticed, told, and made again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.text_file import TextFile


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "train.tsv"
    path.write_text("text\tlabel\n" + "".join(f"text number {n}\t{'ab'[n % 2]}\n" for n in range(40)))
    return path


def opened(corpus, folder):
    return list(TextFile(corpus, text="text", labels=("a", "b"), index=folder))


def test_any_byte(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    expected = opened(corpus, folder)
    (kept,) = folder.iterdir()
    whole = kept.read_bytes()

    @settings(max_examples=60)
    @given(st.integers(0, len(whole) - 1), st.integers(1, 255), st.booleans())
    def noticed(place, change, cut):
        damaged = bytearray(whole)
        damaged[place] ^= change
        kept.write_bytes(damaged[:place] if cut else damaged)
        assert opened(corpus, folder) == expected
        assert kept.read_bytes() == whole

    noticed()


def test_it_is_told(corpus, tmp_path, capsys):
    opened(corpus, tmp_path)
    assert capsys.readouterr().err == ""
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])
    opened(corpus, tmp_path)
    assert capsys.readouterr().err == f"cache: the index of {corpus} is corrupt; it is dropped and made again\n"
    opened(corpus, tmp_path)
    assert capsys.readouterr().err == ""
