"""Records that anybody may have written: tables and figures, or one line that says what is wrong."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leaderboard.board import Board, NoRecordsError, collect, rebuild
from leaderboard.differences import better, choices, folders, numbers
from leaderboard.merge import merge
from leaderboard.parsing import DEEPEST
from leaderboard.plots import FIGURES, absent, draw
from leaderboard.records import Record, RecordError, path_for, read

SCRIPT = "<script>alert(1)</script>"
NASTY: list[Any] = [
    *(None, True, 0, -1, 1, 2**63, 10**50, -(10**99), 1e100, -1e100, 1e-300, 5e-324, 0.5, "", "x", "deu", "amh"),
    *(SCRIPT, "=cmd|' /C calc'!A0", "\u202e", "\x00", "a\nb", "\x1b[31m", "../../x", "$\\input{x}$", "%", "|"),
    *("x" * 5000, [], {}, [[]], [None], {"a": 1}, [1, 2], "nan", "1e5", "random", "oracle", "plain", "joint"),
    *("sample", "{{data}}", "[a](javascript:x)", "![a](http://a/b.png)", "\ue000", "\\", "é", "embedded"),
]


def some(count: int) -> settings:
    usual = settings.default.max_examples
    health = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=count if usual <= 100 else usual, suppress_health_check=health)


def good(make_record: Any) -> list[dict[str, Any]]:
    """Records with all that there can be in one."""
    plain = make_record()
    similarity = plain.similarity.model_dump() | {
        "coverage": plain.similarity.matrix,
        "views": {"layer.0": plain.similarity.matrix},
        "yardstick": {"amh": 0.5},
        "contributions": {"a": 0.3},
    }
    gain = {"spearman": 0.5, "draws": 4, "objectives": [1, 2, 3, 4], "scores": [1, 2, 3, 4]}
    beyond = {"coefficient": 0.1, "p": 0.2, "controls": ["a"], "dropped": {"b": "c"}}
    shots = {"eng": {"0": {"scores": [0.1], "mean": 0.1}, "16": {"scores": [0.2], "mean": 0.2}}}
    every = [
        plain,
        make_record("overlap", measure_params={"unit": "subwords"}),
        make_record("joint", strategy="pcgrad", shots=shots, training={"3": {"cosine": {"layer": [0.1]}}}),
        make_record(
            "tag",
            similarity=similarity,
            served={"amh": 0, "tso": 0, "hau": 1, "swa": 1},
            objective_gain=gain,
            recovery={"adjusted_rand": 0.3},
            correlation=plain.correlation.model_dump() | {"mrqap": beyond},
        ),
    ]
    return [one.model_dump(mode="json") for one in every]


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield from places(inner, (*at, key))


def changed(data: st.DataObject, value: dict[str, Any]) -> dict[str, Any]:
    """Something else at one to three places: another value, none, another key, one key more."""
    value = json.loads(json.dumps(value))
    for _ in range(data.draw(st.integers(1, 3))):
        deepest = data.draw(st.sampled_from([2, 2, 3, 9]))
        *way, last = data.draw(st.sampled_from([at for at in places(value) if 0 < len(at) <= deepest]))
        inside: Any = value
        for key in way:
            inside = inside[key]
        what = data.draw(st.sampled_from(["put", "put", "alike", "alike", "drop", "name", "more"]))
        new = data.draw(st.sampled_from(NASTY))
        if what == "alike":  # of the same type, so that it gets further
            alike = [one for one in NASTY if type(one) is type(inside[last])]
            new = data.draw(st.sampled_from(alike or NASTY))
        if what in ("put", "alike") or isinstance(inside, list):
            inside[last] = new
        elif what == "drop":
            del inside[last]
        elif what == "name":
            inside[str(new)] = inside.pop(last)
        else:
            inside[str(new)] = new
    return value


def shown(folder: Path, figures: bool) -> None:
    """All that is made of records."""
    board = collect(folder)
    told = board.plain() + board.markdown() + board.latex()
    assert SCRIPT not in board.markdown() + board.page()
    assert "](" not in board.markdown()
    assert not any(ord(letter) < 32 and letter != "\n" for letter in told)
    json.loads(board.json(), parse_constant=pytest.fail)
    assert not any(cell[:1] in ("=", "@", "\t", "\r") for row in rows_of(board) for cell in row)
    merged = merge([folder])
    for records in merged.tables.values():
        first, *others = records.values()
        for other in others:
            numbers(first, other)
            better(first, other)
            if first.correlation and other.correlation:
                choices(first, other)
        for record in list(records.values())[:1] if figures else ():
            for figure in FIGURES:
                if absent(record, figure) is None:
                    draw(record, figure, "svg")
    folders(merged, merged)


def rows_of(board: Board) -> list[list[str]]:
    return list(csv.reader(io.StringIO(board.csv())))


def told(error: RecordError) -> None:
    assert str(error).isprintable()
    assert len(str(error)) < 1000


def harmless(content: bytes, tmp_path: Path, figures: bool = False) -> None:
    folder = tmp_path / "results"
    path = folder / "task/protocol/bad.json"
    path.write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            read(path)
        except RecordError as error:
            told(error)
            assert any(str(path) in line for line in collect(folder).warnings)
        else:
            shown(folder, figures)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture
def beside(make_record: Any, tmp_path: Path) -> list[dict[str, Any]]:
    """Good records, in a folder, for a bad one to stand with."""
    folder = tmp_path / "results/task/protocol"
    folder.mkdir(parents=True)
    records = good(make_record)
    for place, record in enumerate(records[:2]):
        (folder / f"{place}.json").write_text(json.dumps(record))
    return records


@given(data=st.data())
@some(20)
def test_records_with_other_values(beside: Any, tmp_path: Path, data: st.DataObject) -> None:
    record = changed(data, data.draw(st.sampled_from(beside)))
    harmless(json.dumps(record).encode(), tmp_path, figures=data.draw(st.integers(0, 19)) == 0)


@given(data=st.data())
@some(30)
def test_records_with_broken_bytes(beside: Any, broken: Any, tmp_path: Path, data: st.DataObject) -> None:
    harmless(data.draw(broken(json.dumps(data.draw(st.sampled_from(beside))).encode())), tmp_path)


def test_good_records_are_shown(beside: Any, tmp_path: Path) -> None:
    for record in beside:
        harmless(json.dumps(record).encode(), tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            '"task": "afrisenti", "measure"',
            '"task": "a\\u001b[31m", "measure"',
            "task: expected plain text, found U+001B",
        ),
        (
            '"metric": "macro_f1", "dev"',
            '"metric": "\\u009b", "dev"',
            "transfer: expected plain text, found U+009B",
        ),
        ('"unit": "x"', '"unit": "x\\n"', "measure_params: expected plain text, found U+000A"),
        ('"objective": 0.25', '"objective": 1e101', "numbers: expected finite ones up to 1e+100, found 1e101"),
        ('"objective": 0.25', '"objective": -Infinity', "found -Infinity"),
        ('"objective": 0.25', '"objective": NaN', "found NaN"),
        ('"objective": 0.25', '"objective": 1' + "0" * 5000, "numbers: expected finite ones"),
        ('"objective": 0.25', '"objective": 0.25, "objective": 1', "expected each once, found 'objective' again"),
        ('"model": "scratch"', '"model": "\\ud800"', "protocol: expected plain text, found U+D800"),
        (
            '"model": "scratch"',
            '"model": {"\\ud800": 1}',
            "protocol: expected plain text, found U+D800",
        ),
        ('"model": "scratch"', '"model": ' + "[" * 50 + "]" * 50, f"expected at most {DEEPEST} levels"),
        ('"model": "scratch"', '"model": ' + "[" * 10**5 + "]" * 10**5, "inside each other: found too many"),
        ('"languages": [', '"languages": [' + "1, " * 10**5, "languages.0: Input should be a valid string"),
        (
            '"train_size": {',
            '"train_size": {' + ", ".join(f'"{n}": 1' for n in range(10**5)) + ", ",
            "at most 100000",
        ),
    ],
)
def test_what_is_wrong_is_said(beside: Any, tmp_path: Path, old: str, new: str, said: str) -> None:
    text = json.dumps(beside[0] | {"measure_params": {"unit": "x"}})
    assert text.count(old) == 1
    path = tmp_path / "results/task/protocol/bad.json"
    path.write_text(text.replace(old, new))
    with pytest.raises(RecordError, match=re.escape(said)):
        read(path)


@pytest.mark.usefixtures("no_hang")
@pytest.mark.parametrize(
    "make",
    [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path), lambda path: os.symlink("b.json", path)],
)
def test_what_is_no_file(beside: Any, tmp_path: Path, make: Any) -> None:
    make(tmp_path / "results/task/protocol/b.json")
    board = collect(tmp_path / "results")
    assert len(board.warnings) == 1
    assert "b.json: not readable as JSON" in board.warnings[0]


def test_nothing_else_is_a_record(tmp_path: Path) -> None:
    (tmp_path / "results/task/protocol").mkdir(parents=True)
    (tmp_path / "results/task/protocol/b.json").write_text("[]")
    with pytest.raises(NoRecordsError) as caught:
        collect(tmp_path / "results")
    assert "\n" not in str(caught.value)


@given(
    names=st.fixed_dictionaries(
        {
            key: st.sampled_from(
                ["../x", "/etc/x", "..", ".", "a/b", "a\\b", "~", "\x00", "", "x" * 999, "a\nb", "con"]
            )
            | st.text(max_size=9)
            for key in ("task", "protocol_id", "measure", "strategy")
        }
    )
)
@some(50)
def test_no_name_leads_out_of_the_folder(make_record: Any, names: dict[str, str]) -> None:
    made = make_record(**{key: value for key, value in names.items() if key != "measure"})
    path = path_for(made.model_copy(update={"measure": names["measure"]}))
    assert not path.is_absolute()
    assert len(path.parts) == 3
    assert ".." not in path.parts
    for part in path.parts:
        assert re.fullmatch(r"[A-Za-z0-9._+=,@-]{1,255}", part)


def test_tables_are_written_where_they_belong(make_record: Any, tmp_path: Path) -> None:
    record: Record = make_record("../../gradsim", task="../../task", protocol_id="/p")
    folder = tmp_path / "a/b/results"
    (folder / "t/p").mkdir(parents=True)
    (folder / "t/p/r.json").write_text(record.model_dump_json())
    rebuild(folder)
    assert [one.name for one in tmp_path.iterdir()] == ["a"]
    assert sorted(one.name for one in folder.iterdir() if not one.name.startswith(".")) == [
        "index.html", "leaderboard.csv", "leaderboard.json", "leaderboard.md", "t",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["=1+1", "@SUM(A1)", "+1", "-1+cmd", '=HYPERLINK("http://a")'])
def test_no_name_is_a_formula(make_record: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "t/p").mkdir(parents=True)
    (tmp_path / "t/p/r.json").write_text(make_record(name, objective=-0.5).model_dump_json())
    header, first, *_ = rows_of(collect(tmp_path))
    assert first[header.index("name")] == f"'{name}"
    assert first[header.index("objective")] == "-0.5"


def test_names_in_markdown_are_no_links(make_record: Any, tmp_path: Path) -> None:
    (tmp_path / "t/p").mkdir(parents=True)
    text = make_record("![a](http://a/b.png)", task="[a](javascript:alert\\(1\\))").model_dump_json()
    (tmp_path / "t/p/r.json").write_text(text)
    told = collect(tmp_path).markdown()
    assert "](" not in told
    assert "\\" not in told
    assert "![a]&#40;http://a/b.png)" in told
