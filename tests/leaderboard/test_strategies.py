from __future__ import annotations

import csv
import io
import json
import random
import re
from statistics import fmean, stdev

import pytest
from scipy.stats import t

from leaderboard.across import across
from leaderboard.board import collect, rebuild, stale
from leaderboard.cells import Bold, parts
from leaderboard.formats import csv_text, json_text, markdown, plain
from leaderboard.latex import latex
from leaderboard.merge import merge
from leaderboard.page import page_html
from leaderboard.records import path_for, write
from leaderboard.rows import COLUMNS
from leaderboard.strategy_cells import strategy_parts
from leaderboard.tables import table

WATCHED = {"0": {"blocks": {"model": {"cosine": 0.1, "conflicts": 0.2, "corrected": 0.5}, "head": {"cosine": 9}}}}
WATCHED["1"] = {"blocks": {"model": {"cosine": 0.3, "conflicts": 0.4, "corrected": None}}}
MASKED = {
    "0": {"kept": {"heads": {"amh": [0.5, 1.0], "hau": [0.0, 0.5]}, "units": {"amh": [0.25], "hau": [0.75]}}}
}
ADAPTED = {"0": {"adaptation": {"before": {"amh": [2.0, None]}, "after": {"amh": [1.0, None]}, "steps": [1, 2]}}}


@pytest.fixture
def trained(make_record):
    """A record of a measure, or of one model of all languages, under a strategy."""

    def make(measure, strategy="plain", score=0.6, over=None, seeds=None, items=None, **changes):
        of = make_record(measure, score)
        scores = of.scores.model_dump()
        if strategy != "plain":
            scores |= {"random": None, "plain": scores["multilingual"] | {"mean": score - (over or 0)}}
        if measure == "joint":
            changes = {"correlation": None, "objective": None, "groups": [["amh", "hau", "swa", "tso"]]} | changes
            scores["random"] = None
        intervals = {"over_plain": {"seeds": seeds, "items": items}}
        return make_record(measure, score, strategy=strategy, scores=scores, intervals=intervals, **changes)

    return make


@pytest.fixture
def board(trained):
    return [
        trained("gradsim"),
        trained("gradsim", "gradvac", 0.625, 0.025, items=(0.01, 0.04)),
        trained("gradsim", "a-worse", 0.5, -0.1, items=(-0.15, -0.05)),
        trained("gradsim", "vague", 0.61, 0.01, items=(-0.01, 0.03)),
        trained("overlap"),
        trained("random", score=0.4),
        trained("joint", score=0.5),
        trained("joint", "gradvac", 0.53, 0.03, items=(-0.2, -0.1), seeds=(0.01, 0.05), training=WATCHED),
    ]


def by_key(made):
    return {part.key: part for part in strategy_parts(made)}


def put(folder, records):
    for record in records:
        write(record, folder / path_for(record))


def test_strategies_are_no_duplicates(board, tmp_path):
    put(tmp_path, board)
    merged = merge([tmp_path])
    (records,) = merged.tables.values()
    assert merged.warnings == []
    assert sorted(records) == [
        *("gradsim", "gradsim@a-worse", "gradsim@gradvac", "gradsim@vague"),
        *("joint", "joint@gradvac", "overlap", "random"),
    ]
    assert all(records[called] in board for called in records)


def test_two_records_of_one_strategy_still_are(trained, tmp_path):
    for folder, score in (("one", 0.6), ("two", 0.7)):
        put(tmp_path / folder, [trained("gradsim", "gradvac", score)])
    (warning,) = merge([tmp_path / "one", tmp_path / "two"]).warnings
    assert warning.startswith("two records of gradsim@gradvac")


def test_tables_of_measures_are_those_of_plain_alone(board):
    alone = [one for one in board if one.strategy == "plain" and one.measure != "joint"]
    made, expected = table(board), table(alone)
    assert expected.strategies == []
    assert parts(made, True) == parts(expected, True)
    assert (made.rows, made.notes, made.caption, made.reading) == (
        *(expected.rows, expected.notes, expected.caption, expected.reading),
    )
    assert not any("scores only" in note for note in made.notes)
    random.Random(0).shuffle(board)
    assert table(board) == made
    others = [[one.model_copy(update={"task": "other"}) for one in of] for of in (board, alone)]
    assert across([made, table(others[0])]) == across([expected, table(others[1])])


def test_plain_first_and_bold_where_the_gain_is_surely_above_zero(board):
    part = by_key(table(board))["trained"]
    assert part.headers == ["strategy", *(f"{of}: {of_what}" for of in ("joint", "gradsim") for of_what in
                            ("score", "over plain"))]  # fmt: skip
    assert part.body == [
        ["plain", "50.0†", "–", "60.0†", "–"],
        ["a-worse", "–", "–", "50.0†", "-10.0 [-15.0, -5.0]"],
        ["gradvac", "53.0†", "+3.0 [+1.0, +5.0]", "62.5†", "+2.5 [+1.0, +4.0]"],
        ["vague", "–", "–", "61.0†", "+1.0 [-1.0, +3.0]"],
    ]
    assert [cell for line in part.body for cell in line if isinstance(cell, Bold)] == part.body[2][2::2]
    assert "over test items or seeds" in part.reading
    assert "same groups trained by plain from the same seeds, paired" in part.reading


def test_many_measures_stand_one_below_the_other(board, trained):
    board += [trained(called, "gradvac", 0.6, 0.0) for called in ("overlap", "random")]
    part = by_key(table(board))["trained"]
    assert part.headers == ["groups by", "strategy", "score", "over plain"]
    shown = [line[:2] for line in part.body]
    assert shown[:3] == [["joint", "plain"], ["joint", "gradvac"], ["gradsim", "plain"]]
    assert shown[-4:] == [["overlap", "plain"], ["overlap", "gradvac"], ["random", "plain"], ["random", "gradvac"]]


def test_plain_is_known_from_those_that_were_compared_with_it(trained):
    made = table([trained("gradsim", "gradvac", 0.6, 0.125), trained("gradsim", "meta", 0.7, 0.225)])
    assert [line[:2] for line in by_key(made)["trained"].body] == [
        ["plain", "47.5†"],
        ["gradvac", "60.0†"],
        ["meta", "70.0†"],
    ]


def test_a_sample_carries_no_gains(trained, make_record):
    data = make_record().data.model_dump() | {"source": "sample"}
    shots = {"orm": {"0": {"scores": [0.2, 0.3], "mean": 0.25}}}
    records = [trained("joint", data=data, shots=shots)]
    records.append(trained("joint", "gradvac", 0.6, 0.1, data=data, shots={"gaz": shots["orm"]}))
    for row in table(records).strategies:
        assert row["gain_over_plain"] is None
    part = by_key(table(records))["trained"]
    assert part.headers == ["strategy", "joint: score"]
    assert "plain" not in part.reading


SHOTS = {
    "plain": {
        "gaz": {0: [0.2, 0.3, 0.25], 16: [0.4, 0.5, 0.45]},
        "ibo": {0: [0.1, 0.2, 0.3], 16: [0.3, 0.3, 0.3]},
    },
    "meta": {"gaz": {0: [0.25, 0.36, 0.30], 16: [0.3, 0.6, 0.5]}, "ibo": {0: [0.15, 0.26, 0.35]}},
}


@pytest.fixture
def unseen(trained):
    def shots(of):
        return {
            code: {str(k): {"scores": scores, "mean": fmean(scores)} for k, scores in by_size.items()}
            for code, by_size in of.items()
        }

    return [trained("gradsim"), *(trained("joint", of, 0.5, shots=shots(SHOTS[of])) for of in SHOTS)]


def test_languages_kept_out(unseen):
    made = table(unseen)
    rows = {(r["unseen"], r["strategy"], r["shots"]): r for r in made.strategies if r["kind"] == "unseen"}
    assert len(rows) == 3 + 4 + 3
    for code in ("gaz", "ibo"):
        own, base = SHOTS["meta"][code][0], SHOTS["plain"][code][0]
        row = rows[code, "meta", 0]
        gains = [a - b for a, b in zip(own, base, strict=True)]
        half = t.ppf(0.975, 2) * stdev(gains) / 3**0.5
        assert row["score"] == pytest.approx(fmean(own))
        assert row["seed_sd"] == pytest.approx(stdev(own))
        assert row["gain_over_plain"] == pytest.approx(fmean(gains))
        assert row["gain_over_plain_seeds_low"] == pytest.approx(fmean(gains) - half)
        assert row["gain_over_plain_seeds_high"] == pytest.approx(fmean(gains) + half)
        assert rows[code, "plain", 0]["gain_over_plain"] is None
    means = [fmean(pair) for pair in zip(*(of[0] for of in SHOTS["meta"].values()), strict=True)]
    assert rows["mean", "meta", 0]["score"] == pytest.approx(fmean(means))
    assert rows["mean", "meta", 0]["seed_sd"] == pytest.approx(stdev(means))
    part = by_key(made)["unseen"]
    assert part.headers == ["language", "strategy", "k = 0", "k = 16"]
    assert part.body == [
        ["mean", "plain", "22.5 ± 6.6", "37.5 ± 2.5"],
        ["mean", "meta", "27.8 ± 6.8", "–"],
        ["gaz", "plain", "25.0 ± 5.0", "45.0 ± 5.0"],
        ["gaz", "meta", "30.3 ± 5.5", "46.7 ± 15.3"],
        ["ibo", "plain", "20.0 ± 10.0", "30.0 ± 0.0"],
        ["ibo", "meta", "25.3 ± 10.0", "–"],
    ]
    bold = [(line[0], line[1]) for line in part.body if any(isinstance(cell, Bold) for cell in line)]
    assert bold == [("mean", "meta"), ("gaz", "meta"), ("ibo", "meta")]
    assert not isinstance(part.body[3][3], Bold)  # better on the whole, not surely


def test_one_seed_and_one_language_have_no_spread_and_no_mean(trained):
    shots = {"gaz": {"0": {"scores": [0.25], "mean": 0.25}, "odd": {"scores": [0.5], "mean": 0.5}}}
    parts = by_key(table([trained("gradsim"), trained("joint", shots=shots)]))
    assert list(parts) == ["unseen"]  # without other strategies there is nothing to compare
    assert parts["unseen"].body == [["gaz", "plain", "25.0"]]
    assert "±" not in parts["unseen"].reading
    assert "Bold" not in parts["unseen"].reading


def test_what_the_strategies_saw(board, trained):
    board += [trained("joint", "subnet", 0.5, training=MASKED), trained("joint", "meta", 0.5, training=ADAPTED)]
    board.append(
        trained("joint", "told", 0.5, training={"0": {"blocks": [1], "kept": "all", "other": True}, "1": 3})
    )
    part = by_key(table(board))["seen"]
    assert part.headers == [
        *("strategy", "cosine", "conflicting pairs", "corrected", "kept heads / units", "inner loss"),
    ]
    assert part.body == [
        ["gradvac", "0.20", "30 %", "50 %", "–", "–"],
        ["meta", "–", "–", "–", "–", "2.00 → 1.00"],
        ["subnet", "–", "–", "–", "50.0 % / 50.0 %", "–"],
    ]
    assert by_key(table(board[:8]))["seen"].headers == ["strategy", "cosine", "conflicting pairs", "corrected"]


def test_every_format_has_them(board, unseen, tmp_path):
    # The later board's records of joint have shots as well.
    made = table([*board[:6], *unseen[1:]])
    titles = ["How the languages are trained", "On languages kept out of training"]
    for text in (plain(made), markdown(made), latex(made)):
        assert [text.count(title) for title in titles] == [1, 1]
    assert "+2.5 [+1.0, +4.0] *" in plain(made)
    assert "A star: better than plain" in plain(made)
    assert "**+2.5 [+1.0, +4.0]**" in markdown(made)
    assert r"\textbf{+2.5 [+1.0, +4.0]}" in latex(made)
    assert re.findall(r"\\label\{tab:afrisenti-p1-(.*)\}", latex(made))[-2:] == ["trained", "unseen"]
    assert not re.search(r"\[U\+", latex(made))
    rows = json.loads(json_text([made]))
    assert rows == [*made.rows, *made.strategies]
    assert {row["kind"] for row in rows} >= {"strategy", "unseen"}
    assert all(tuple(row) == COLUMNS for row in rows)
    read = list(csv.DictReader(io.StringIO(csv_text([made]))))
    assert [row["strategy"] for row in read] == [row["strategy"] for row in rows]
    assert [row["shots"] for row in read[-10:]] == [str(row["shots"]) for row in rows[-10:]]


def test_the_same_bytes_and_checked(board, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    put(one, board)
    put(other, board[::-1])
    assert rebuild(one).warnings == []
    rebuild(other)
    for name in ("leaderboard.md", "leaderboard.csv", "leaderboard.json", "index.html"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    assert stale(one, collect(one)) == []
    (one / path_for(board[1])).unlink()
    assert len(stale(one, collect(one))) == 4


def test_on_the_page_as_text(trained):
    bad = "<script>alert(1)</script>"
    records = [trained("gradsim"), trained("gradsim", bad, 0.7, 0.1, items=(0.05, 0.15))]
    records.append(trained("joint", bad, 0.4, -0.1, items=(-0.15, -0.05)))
    made = table(records)
    page = page_html([made], [records])
    own = page[page.index("<h3>How the languages") : page.index("</section>")]
    assert bad not in page
    assert "&lt;script&gt;" in own
    assert re.findall("<strong>(.*?)</strong>", own) == ["+10.0 [+5.0, +15.0]"]
    assert '<td class="n">−10.0 [−15.0, −5.0]</td>' in own
    assert 'scope="row">plain</th>' in own
    more = re.search(r'data-more="(\d+) (\d+)"', page)
    assert [int(more[1]), int(more[2])] == [len(made.rows), len(made.rows) + len(made.strategies)]
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
    assert len(data["rows"]) == int(more[2])
    assert [one["name"] for one in data["tables"][0]["measures"]] == ["gradsim"]
    assert data["tables"][0]["measures"][0]["strategy"] == "plain"


def test_strategies_by_themselves_break_nothing(trained):
    records = [trained("joint"), trained("joint", "gradvac", 0.6, 0.1)]
    bare = [trained("joint", "gradvac", 0.6, 0.1).model_copy(update={"scores": type(records[0].scores)()})]
    for given in (records, bare):
        made = table(given)
        assert {row["kind"] for row in made.rows} <= {"baseline"}
        assert '"measures":[]' in page_html([made], [given])
        for text in (plain(made), markdown(made), latex(made), csv_text([made])):
            assert "joint" in text or given is bare
        assert across([made]) == []


def test_records_of_another_strategy_alone_are_shown_as_ever(trained):
    made = table([trained("gradsim", "b"), trained("overlap", "b"), trained("overlap", "c")])
    assert [(row["name"], row["strategy"]) for row in made.rows if row["kind"] == "measure"] == [
        ("gradsim", "b"),
        ("overlap", "b"),
    ]
