from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from leaderboard.differences import better, choices, folders, numbers
from leaderboard.merge import merge
from leaderboard.records import Record, path_for, write

CODES = ["a", "b", "c", "d", "e", "f", "g"]


def rows(matrix):
    return [[None if np.isnan(cell) else float(cell) for cell in row] for row in matrix]


def with_matrices(record, S, T, **changes):
    n = len(S)
    data = record.model_dump() | {
        "languages": CODES[:n],
        "groups": [CODES[: n - 2]],
        "similarity": {"matrix": rows(S), "symmetric": False},
        "transfer": {"metric": "macro_f1", "dev": rows(T), "test": rows(T), "seeds": []},
        "scores": {"grouped": {"metric": "macro_f1", "mean": 0.5, "per_language": dict.fromkeys(CODES[:n], 0.5)}},
        "data": record.data.model_dump() | {"train_size": {}, "test_size": {}},
    }
    return Record.model_validate(data | changes)


@pytest.fixture
def pair(make_record):
    rng = np.random.default_rng(3)
    T = rng.random((7, 7))
    T[6] = np.nan  # a target only
    good, bad = T + 0.02 * rng.random((7, 7)), rng.random((7, 7))
    good[6] = 0.0
    return with_matrices(make_record("good"), good, T), with_matrices(make_record("bad"), bad, T), good, bad, T


def off_target(M, t):
    return [M[s, t] for s in range(6) if s != t]


def test_the_numbers_are_those_of_brute_force(pair):
    a, b, good, bad, T = pair
    found = {one.what: one for one in numbers(a, b)}

    def per_target(S):
        return np.mean([spearmanr(off_target(S, t), off_target(T, t)).statistic for t in range(7)])

    def matrix(S):
        cells = [(S[s, t], T[s, t]) for s in range(6) for t in range(7) if s != t]
        return spearmanr(*zip(*cells, strict=True)).statistic

    def regret(S):
        return np.mean(
            [max(off_target(T, t)) - off_target(T, t)[int(np.argmax(off_target(S, t)))] for t in range(7)]
        )

    for what, statistic in (
        ("ρ per target", per_target),
        ("ρ matrix", matrix),
        ("regret@1, lower is better", regret),
    ):
        one = found[what]
        assert one.first == pytest.approx(statistic(good))
        assert one.second == pytest.approx(statistic(bad))
        assert one.difference == pytest.approx(statistic(good) - statistic(bad))
    for what in ("ρ per target", "ρ per target, centred"):
        low, high = found[what].interval
        assert low < found[what].difference < high
        assert 0 < found[what].p < 0.05
    assert found["ρ matrix"].interval is None
    assert found["score of the groups"].difference == 0


def test_a_measure_and_itself_do_not_differ(pair):
    a = pair[0]
    for one in numbers(a, a):
        assert one.difference == 0
        assert one.interval in (None, (0.0, 0.0))
        assert one.p in (None, 1.0)
    assert choices(a, a) == []
    assert better(a, a) == (0, 0, 7)


def test_the_other_way_round_is_the_other_sign(pair):
    a, b = pair[:2]
    for one, other in zip(numbers(a, b), numbers(b, a), strict=True):
        assert one.difference == pytest.approx(-other.difference)
        if one.interval:
            assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))
    assert [one.target for one in choices(a, b)] == [one.target for one in choices(b, a)]


def test_choices_are_the_most_similar_sources(pair):
    a, b, good, bad, T = pair
    found = {one.target: one for one in choices(a, b)}
    for t in range(7):
        sources = [s for s in range(6) if s != t]
        first, second = (max(sources, key=lambda s: S[s, t]) for S in (good, bad))
        if first == second:
            assert CODES[t] not in found
        else:
            one = found[CODES[t]]
            assert (one.first, one.second) == ((CODES[first],), (CODES[second],))
            assert (one.transfer_first, one.transfer_second) == (T[first, t], T[second, t])
    gaps = [abs(one.transfer_first - one.transfer_second) for one in choices(a, b)]
    assert gaps == sorted(gaps, reverse=True)
    assert len(gaps) >= 3


def test_ties_are_chosen_together_and_missing_cells_stand_in_the_middle(make_record):
    T = np.arange(16.0).reshape(4, 4)
    S = np.zeros((4, 4))
    U = np.full((4, 4), np.nan)
    U[0], U[1] = 1.0, -1.0
    first, second = with_matrices(make_record("a"), S, T), with_matrices(make_record("b"), U, T)
    found = {one.target: one for one in choices(first, second)}
    assert found["d"].first == ("a", "b", "c")
    assert found["d"].transfer_first == pytest.approx((T[0, 3] + T[1, 3] + T[2, 3]) / 3)
    assert found["d"].second == ("a",)
    assert found["c"].second == ("a",)
    assert "a" not in found  # one known value of three says nothing: all are tied for both


def test_who_is_better_off(make_record):
    a = make_record("a")
    scores = a.scores.model_dump()
    scores["grouped"]["per_language"] = {"amh": 0.9, "hau": 0.1, "swa": 0.2}
    assert better(a, Record.model_validate(a.model_dump() | {"scores": scores})) == (2, 1, 3)
    scores["grouped"] = None
    assert better(a, Record.model_validate(a.model_dump() | {"scores": scores})) is None


def test_a_sample_has_scores_only(make_record):
    found = numbers(make_record("a"), make_record("b", 0.55, correlation=None))
    assert [one.what for one in found] == ["score of the groups"]
    assert found[0].difference == pytest.approx(0.05)


def put(folder, *records):
    for record in records:
        write(record, folder / path_for(record))
    return merge([folder])


def test_equal_folders_but_for_cost_and_provenance(make_record, tmp_path):
    record = make_record("a")
    other = record.model_dump()
    other["cost"]["seconds"] = 99.0
    other["provenance"]["device"] = "cuda"
    both = put(tmp_path / "a", record), put(tmp_path / "b", Record.model_validate(other))
    assert folders(*both) == []


def test_what_is_only_in_one_folder_is_named(make_record, tmp_path):
    a = put(tmp_path / "a", make_record("x"), make_record("y"), make_record("x", task="t"))
    b = put(tmp_path / "b", make_record("x"), make_record("z"), make_record("x", protocol_id="p2"))
    assert folders(a, b) == [
        "afrisenti, protocol p1: only in the first: y",
        "afrisenti, protocol p1: only in the second: z",
        "afrisenti, protocol p2: only in the second, 1 row",
        "t, protocol p1: only in the first, 1 row",
    ]


def test_numbers_that_differ_are_told_with_the_difference(make_record, tmp_path):
    record = make_record("x")
    other = record.model_dump()
    other["correlation"]["spearman"] = 0.625
    other["correlation"]["qap_p"] = None
    other["similarity"]["matrix"][0][1] += 0.25
    other["similarity"]["matrix"][2][1] -= 0.5
    other["scores"]["grouped"]["per_language"]["amh"] = 0.75
    other["groups"] = [["amh", "swa"], ["hau", "tso"]]
    lines = folders(put(tmp_path / "a", record), put(tmp_path / "b", Record.model_validate(other)))
    said = [line.removeprefix("afrisenti, protocol p1: x: ") for line in lines]
    assert said == [
        "correlation.qap_p: 0.0005 and nothing",
        "correlation.spearman: 0.5 and 0.625 (+0.125)",
        "groups: [['amh', 'tso'], ['hau', 'swa']] and [['amh', 'swa'], ['hau', 'tso']]",
        "scores.grouped.per_language: 1 of 4 values differ, by up to 0.05",
        "similarity.matrix: 2 of 25 values differ, by up to 0.5",
    ]


def test_protocols_of_one_task_are_told_apart(make_record, tmp_path):
    protocol = make_record("x").protocol
    a = put(tmp_path / "a", make_record("x"))
    b = put(
        tmp_path / "b", make_record("x", protocol_id="p2", protocol=protocol | {"model": "m", "seeds": [3, 4]})
    )
    first = folders(a, b)[0]
    assert first == "afrisenti: protocols p1 and p2 differ: model: scratch and m; seeds: [3] and [3, 4]"
