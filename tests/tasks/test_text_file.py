"""Files of texts that stay on disk: the same as if they were read whole, in little memory, and once."""

from __future__ import annotations

import io
import os
import tracemalloc
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import index
from tasks.base import DataError, Example
from tasks.text_file import TextFile
from tasks.tsv import LONGEST, parse_tsv

DATA = Path(os.environ.get("KINSHIP_DATA", "/nowhere"))
LABELS = ("good", "bad")
HEADER = b"tweet\tlabel\n"
BODY = "höre\tbad\n🙂\tgood\na\x1db\u2028c\rd\tbad\n".encode()
EXAMPLES = [Example("höre", 1), Example("🙂", 0), Example("a\x1db\u2028c\rd", 1)]


def make(path: Path, content: bytes = HEADER + BODY) -> Path:
    path.write_bytes(content)
    return path


def opened(path: Path, folder: Path | None = None, **more: Any) -> TextFile:
    return TextFile(path, **{"text": "tweet", "labels": LABELS, "index": folder, **more})


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_every_way_to_read(tmp_path: Path, mark: bytes, end: bytes, last: bool) -> None:
    content = mark + (HEADER + BODY).replace(b"\n", end)
    rows = opened(make(tmp_path / "some.tsv", content if last else content.removesuffix(end)))
    assert len(rows) == 3
    assert rows.labels.tolist() == [1, 0, 1]
    assert rows.labels.dtype == np.int64
    assert list(rows) == list(rows) == EXAMPLES
    assert rows == EXAMPLES
    assert rows.take([0, 2]) == EXAMPLES[::2]
    assert rows.take(np.array([1])) == [rows[1]] == [EXAMPLES[1]]
    assert rows[::-1] == EXAMPLES[::-1]
    assert rows.take([]) == []
    for wrong in (-1, 3):
        with pytest.raises(IndexError):
            rows.take([wrong])


def test_pairs_and_items(tmp_path: Path) -> None:
    path = make(tmp_path / "some.tsv", b'gold\tone\ttwo\nbad\t"a"\t"b"\ngood\tc\td\n')
    names: dict[str, Any] = {"text": "two", "pair": "one", "label": "gold", "item": lambda row: f"#{row}"}
    assert opened(path, **names) == [Example("b", 1, "a", "#0"), Example("d", 0, "c", "#1")]
    assert opened(path, quoted=False, **names)[0] == Example('"b"', 1, '"a"', "#0")


def test_a_header_alone_is_an_empty_split(tmp_path: Path) -> None:
    for content in (HEADER, HEADER.strip(), b"\xef\xbb\xbf" + HEADER):
        for _ in range(2):
            rows = opened(make(tmp_path / "some.tsv", content), tmp_path / "index")
            assert len(rows) == 0
            assert list(rows) == rows.take([]) == []


@pytest.mark.parametrize(
    ("content", "line", "found"),
    [
        (b"", 1, "found an empty file"),
        (b"text\tlabel\n", 1, "found 'text"),
        (HEADER + b"a\tgood\nb\n", 3, "2 tab-separated columns are needed, as in the header; found 1"),
        (HEADER + b"a\tbetter\n", 2, "unknown label; allowed: good, bad; found 'better'"),
        (HEADER + b"\xc2\xa0\tbad\n", 2, "found an empty tweet"),
        (HEADER + b"a\tgood\nb\xff\tbad\n", 3, "UTF-8 is needed; found the byte 0xff"),
        (HEADER + b"a\0\tgood\n", 2, "found a NUL byte"),
        (HEADER.replace(b"\n", b"\r") * 2, 1, "found a CR alone"),
        (HEADER.decode().encode("utf-16"), 1, "byte order mark of UTF-16"),
        (HEADER + b"a" * LONGEST + b"\tgood\n", 2, f"at most {LONGEST} bytes is needed; found a longer one"),
    ],
)
def test_malformed(tmp_path: Path, content: bytes, line: int, found: str) -> None:
    path = make(tmp_path / "some.tsv", content)
    for folder in (None, tmp_path / "index"):
        with pytest.raises(DataError, match=f"some.tsv, line {line}: .*{found}") as caught:
            opened(path, folder)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "index").exists()


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no data file .*some.tsv; .*found none"):
        opened(tmp_path / "some.tsv")
    with pytest.raises(DataError, match=r"cannot read .*; a readable file is needed"):
        opened(tmp_path)


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("arbitrary")
    return (folder / str(number) for number in count())


fields = st.sampled_from([*'ab" \r\x1d\u2028\u00a0é', '""', "good", "bad", "\t", "\n", "\r\n", "\tgood\n"])
files = st.binary(max_size=200) | st.lists(fields, max_size=40).map(lambda parts: "".join(parts).encode())


@given(st.sampled_from([b"", HEADER, b"\xef\xbb\xbf" + HEADER]), files)
def test_arbitrary_files_are_what_they_are_in_memory(names: Iterator[Path], header: bytes, data: bytes) -> None:
    path = make(next(names), header + data)
    expected: list[Example] | str
    found: list[list[Example]] | str
    try:
        expected = parse_tsv(header + data, str(path), "tweet", LABELS)
    except DataError as error:
        expected = str(error)
        assert "\n" not in expected
    try:
        first = opened(path, path.parent / "index")
        second = opened(path, path.parent / "index")
        found = [list(first), first[:], list(second), [second[i] for i in range(len(second))]]
    except DataError as error:
        found = str(error)
    path.unlink()
    assert found == (expected if isinstance(expected, str) else [expected] * 4)


class TestIndex:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path / "index"

    @pytest.fixture
    def scans(self, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        """The files that were read through."""
        done: list[Path] = []
        scan = TextFile._scan

        def noted(self: TextFile, file: Any) -> Iterator[tuple[int, int]]:
            done.append(self.path)
            return scan(self, file)

        monkeypatch.setattr(TextFile, "_scan", noted)
        return done

    def test_read_through_once(self, tmp_path: Path, folder: Path, scans: list[Path]) -> None:
        path = make(tmp_path / "some.tsv")
        assert opened(path, folder) == EXAMPLES
        again = opened(path, folder)
        assert again == EXAMPLES
        assert again.labels.tolist() == [1, 0, 1]
        assert len(scans) == 1
        assert [each.suffix for each in folder.iterdir()] == [".npy"]

    def test_what_it_depends_on(
        self, tmp_path: Path, folder: Path, scans: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = make(tmp_path / "some.tsv", b"tweet\tlabel\tother\nbad\tgood\tgood\n")
        for number, more in enumerate(
            [
                {},
                {"labels": LABELS[::-1]},
                {"label": "other"},
                {"text": "other"},
                {"pair": "other"},
                {"quoted": False},
            ],
            start=1,
        ):
            eager = opened(path, **more)
            for _ in range(2):
                rows = opened(path, folder, **more)
                assert list(rows) == list(eager)
                assert rows.labels.tolist() == eager.labels.tolist()
            assert len(list(folder.iterdir())) == number
        copy = make(tmp_path / "copy.tsv", path.read_bytes())
        os.utime(copy, ns=(path.stat().st_mtime_ns,) * 2)
        opened(copy, folder)
        monkeypatch.chdir(tmp_path)
        del scans[:]
        opened(Path("copy.tsv"), folder)
        assert scans == []

    def test_a_new_version_of_the_file_is_read_again(
        self, tmp_path: Path, folder: Path, scans: list[Path]
    ) -> None:
        path = make(tmp_path / "some.tsv")
        opened(path, folder)
        make(path, HEADER + b"a\tgood\n")
        assert opened(path, folder) == [Example("a", 0)]
        os.utime(make(path, HEADER + b"b\tgood\n"), ns=(0, 0))
        assert opened(path, folder) == [Example("b", 0)]
        os.utime(make(path, HEADER + b"a longer one\tgood\n"), ns=(0, 0))
        assert opened(path, folder) == [Example("a longer one", 0)]
        assert len(scans) == 4

    @pytest.mark.parametrize(
        "damage",
        [
            lambda whole: b"",
            lambda whole: whole[:-1],
            lambda whole: whole[:20],
            lambda whole: b"nonsense" * 20,
            lambda whole: saved([[1.0, 2.0], [0.0, 1.0]]),
            lambda whole: saved([1, 2]),
            lambda whole: saved([[12, 20, 30]]),
            lambda whole: saved([[12, 20, 30], [0, 1, 2]]),
            lambda whole: saved([[12, 20, 30], [0, 1, -1]]),
            lambda whole: saved([[12, 20, 20], [0, 1, 0]]),
            lambda whole: saved([[-1, 20, 30], [0, 1, 0]]),
            lambda whole: saved([[12, 20, 300], [0, 1, 0]]),
            lambda whole: saved(np.array([[{}], [{}]], dtype=object)),
        ],
    )
    def test_a_damaged_one_is_made_again(
        self, tmp_path: Path, folder: Path, scans: list[Path], damage: Any
    ) -> None:
        path = make(tmp_path / "some.tsv")
        opened(path, folder)
        (kept,) = folder.iterdir()
        whole = kept.read_bytes()
        kept.write_bytes(damage(whole))
        assert opened(path, folder) == EXAMPLES
        assert kept.read_bytes() == whole
        assert len(scans) == 2

    def test_nothing_in_it_is_run(self, tmp_path: Path, folder: Path) -> None:
        path = make(tmp_path / "some.tsv")
        opened(path, folder)
        (kept,) = folder.iterdir()
        kept.write_bytes(saved(np.array([[Run(tmp_path / "ran")]], dtype=object)))
        assert opened(path, folder) == EXAMPLES
        assert not (tmp_path / "ran").exists()

    def test_a_folder_that_cannot_be_written_to_is_no_error(self, tmp_path: Path) -> None:
        path = make(tmp_path / "some.tsv")
        for folder in (path, path / "below"):
            assert opened(path, folder) == EXAMPLES


class Run:
    """Makes a file when it is unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> Any:
        return Path.touch, (self.made,)


def saved(content: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(content))
    return file.getvalue()


class TestChanged:
    """A file that is not what it was when it was opened is named, and nothing of it is used."""

    SENTENCE = r"some.tsv has changed since it was opened; .* is needed; found"

    def refused(self, rows: TextFile) -> None:
        for read in (lambda: rows.take([1]), lambda: list(rows), lambda: rows[2]):
            with pytest.raises(DataError, match=self.SENTENCE) as caught:
                read()
            assert "\n" not in str(caught.value)

    def test_before_it_is_read(self, tmp_path: Path) -> None:
        """What is found there then is not what is wrong."""
        path = make(tmp_path / "some.tsv")
        rows = opened(path)
        make(path, b"\xff" * 500)
        self.refused(rows)

    def test_by_size_or_time(self, tmp_path: Path) -> None:
        path = make(tmp_path / "some.tsv")
        rows = opened(path)
        time = path.stat().st_mtime_ns
        for content in (HEADER + BODY + b"x\tgood\n", HEADER, b""):
            os.utime(make(path, content), ns=(time, time))
            self.refused(rows)
        os.utime(make(path), ns=(time, time))
        assert rows == EXAMPLES
        os.utime(path, ns=(time, time + 1))
        self.refused(rows)
        path.unlink()
        with pytest.raises(DataError, match="no data file"):
            rows.take([0])

    def test_by_content(self, tmp_path: Path) -> None:
        """Of the same size, and so soon afterwards that the clock has not moved."""
        path = make(tmp_path / "some.tsv", HEADER + b"ab\tbad\ncd\tgood\n")
        rows = opened(path)
        time = path.stat().st_mtime_ns
        for body in (b"ab\tgood\ncd\tbad\n", b"a\nd\tbad\nc\tgood\n"):
            os.utime(make(path, HEADER + body), ns=(time, time))
            for read in (lambda: rows.take([0]), lambda: list(rows)):
                with pytest.raises(DataError, match=r"some\.tsv"):
                    read()

    @pytest.mark.parametrize("content", [HEADER + BODY + b"x\tgood\n", HEADER + BODY[:20]])
    def test_between_two_of_those_taken(self, tmp_path: Path, content: bytes) -> None:
        path = make(tmp_path / "some.tsv")
        for places in ([0], [0, 2]):
            make(path)
            rows = opened(path, item=lambda row: str(make(path, content)))
            with pytest.raises(DataError, match=self.SENTENCE):
                rows.take(places)

    def test_while_it_is_read(self, tmp_path: Path) -> None:
        path = make(tmp_path / "some.tsv", HEADER + BODY * 10_000)
        rows = iter(opened(path))
        next(rows)
        with open(path, "ab") as file:
            file.write(b"x\tgood\n")
        with pytest.raises(DataError, match=self.SENTENCE):
            list(rows)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.tsv"
    with open(path, "wb") as file:
        file.write(HEADER)
        for i in range(TestLarge.ROWS):
            file.write(b"%d %s\t%s\n" % (i, b"lorem ipsum " * 20, LABELS[i % 2].encode()))
    return path


class TestLarge:
    ROWS = 200_000

    def test_little_memory(self, large: Path) -> None:
        assert large.stat().st_size > 45e6
        tracemalloc.start()
        try:
            rows = opened(large)
            drawn = rows.take(range(0, self.ROWS, self.ROWS // 100))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 20e6
        assert len(rows) == self.ROWS
        assert [each.text.split()[0] for each in drawn] == [str(i) for i in range(0, self.ROWS, 2000)]
        assert [each.label for each in drawn] == rows.labels[::2000].tolist()

    def test_the_second_opening_reads_what_it_needs(
        self, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read: list[int] = []

        class Counting(io.FileIO):
            def readinto(self, buffer: Any) -> int | None:
                read.append(super().readinto(buffer) or 0)
                return read[-1]

            def read(self, size: int | None = -1) -> bytes | None:  # type: ignore[override]
                content = super().read(-1 if size is None else size)
                read.append(len(content or b""))
                return content

        def counting(path: Path, buffering: int = -1) -> Any:
            assert path == large
            raw = Counting(path)
            return raw if buffering == 0 else io.BufferedReader(raw)

        monkeypatch.setattr(index, "opened", counting)
        opened(large, tmp_path / "index")
        assert sum(read) >= large.stat().st_size
        del read[:]
        rows = opened(large, tmp_path / "index")
        assert sum(read) <= io.DEFAULT_BUFFER_SIZE  # the header
        del read[:]
        drawn = rows.take(range(0, self.ROWS, 1000))
        size = sum(len(f"{each.text}\t{LABELS[each.label]}\n") for each in drawn)
        assert sum(read) == size


REAL: dict[str, dict[str, Any]] = {
    "afrisenti": {"text": "tweet", "labels": ("positive", "neutral", "negative")},
    "xnli": {
        "text": "premise",
        "pair": "hypothesis",
        "labels": ("entailment", "neutral", "contradiction"),
        "item": str,
        "quoted": False,
    },
}


@pytest.mark.parametrize("task", REAL)
def test_real_corpora_are_what_they_are_in_memory(task: str, tmp_path: Path) -> None:
    if not (DATA / task).is_dir():
        pytest.skip(f"KINSHIP_DATA names no folder with {task}/")
    paths = sorted((DATA / task).glob("*/test.tsv"))
    assert len(paths) > 10
    for path in paths:
        eager = parse_tsv(path.read_bytes(), str(path), **REAL[task])
        for _ in range(2):
            rows = TextFile(path, index=tmp_path, **REAL[task])
            assert rows.labels.tolist() == [each.label for each in eager]
            assert rows[::50] == eager[::50]
        assert rows == eager
