from __future__ import annotations

import csv
import io
import json
import random

import numpy as np
import pytest

from leaderboard.comparison import paired_difference
from leaderboard.formats import csv_text, json_text, markdown, plain
from leaderboard.latex import latex
from leaderboard.ranking import per_target_spearman
from leaderboard.rows import COLUMNS
from leaderboard.standing import REFERENCE
from leaderboard.statistics import ndcg_chance, noise_ceiling
from leaderboard.tables import CONTROLS, table


def names(table):
    return [row["name"] for row in table.rows]


def line(text, start):
    return next(one for one in text.splitlines() if one.lstrip("| ").startswith(start))


def test_measures_by_score_then_controls_then_baselines(make_record):
    records = [make_record(name, score=0.9) for name in reversed(CONTROLS)]
    records += [make_record("b", 0.7), make_record("c", 0.7), make_record("a", 0.6)]
    records += [make_record("z", 0.8, measure_params={"unit": "words", "k": 3})]
    no_groups = make_record("none", groups=None, objective=None)
    records.append(no_groups.model_copy(update={"scores": type(no_groups.scores)()}))
    expected = ["z[k=3,unit=words]", "b", "c", "a", "none", *CONTROLS]
    expected += ["random partitions", "multilingual", "monolingual", "majority class"]
    random.Random(0).shuffle(records)
    found = table(records)
    assert names(found) == expected
    assert {row["kind"] for row in found.rows[:5]} == {"measure"}
    assert {row["kind"] for row in found.rows[5:11]} == {"control"}
    assert {row["kind"] for row in found.rows[11:]} == {"baseline"}
    random.Random(1).shuffle(records)
    assert table(records) == found


def test_full_precision_in_rows(make_record):
    row = table([make_record(score=0.6123456789)]).rows[0]
    assert tuple(row) == COLUMNS
    assert row["score"] == 0.6123456789
    assert row["gain_over_random"] == 0.6123456789 - 0.52
    assert row["random_percentile"] == 0.875
    assert row["gain_over_multilingual_items_low"] == 0.012
    assert row["gain_over_multilingual_seeds_low"] is None
    assert row["per_target_spearman_ci95_high"] == 1 / 3
    assert row["ndcg_at_3_chance"] == pytest.approx((4 * ndcg_chance(4) + ndcg_chance(5)) / 5)


def test_what_a_reader_sees(make_record):
    text = plain(table([make_record()]))
    row = " ".join(one for one in text.splitlines() if one.startswith("gradsim"))
    for part in (
        "60.0†",
        "+8.0 (88 %)",
        "+10.0 [+1.2, +18.8]",
        "+5.0",
        "0.41 [0.10, 0.33]",
        "0.50 (p < 0.001)",
    ):
        assert part in row
    assert " 0.00 [-0.20, 0.30]" in row
    for part in ("3.4", "text", "7", "12", "0.61"):
        assert part in row
    caption = text.splitlines()[0]
    for part in (
        "afrisenti",
        "folder 0123456789ab ",
        "model scratch",
        "5 languages (1 as targets only: orm)",
        "K = 2 by partition",
        "preset quick",
        "seed 3",
        "scores in weighted F1",
        "transfer in macro F1",
        "NDCG@3 by chance",
    ):
        assert part in caption
    assert "–" in line(text, "multilingual")
    assert "amh tso · hau swa" in text


def test_collapsed_models_are_named(make_record):
    text = plain(table([make_record(), make_record("overlap")]))
    assert line(text, "† no better") == (
        "† no better than the majority class (collapsed): swa, tso (2: gradsim, overlap); tso (1: multilingual)"
    )
    assert "50.0†" in line(text, "multilingual")
    assert "†" not in line(text, "monolingual")
    assert "†" not in line(text, "majority class")
    assert "†" not in line(text, "random partitions")


def test_samples_show_scores_only(make_record):
    records = [make_record("b", 0.9, correlation=None), make_record("a", 0.6, correlation=None)]
    found = table(records)
    assert names(found)[:2] == ["a", "b"]
    row = found.rows[0]
    assert row["score"] == 0.6
    assert row["gain_over_random"] is None
    assert row["qap_p"] is None
    assert "All rows: scores only." in plain(found)
    assert "by chance" not in found.caption
    mixed = table([*records, make_record("c")])
    assert names(mixed)[0] == "c"
    assert "a, b: scores only." in plain(mixed)


def test_random_partitions_of_several_size_profiles_stay_apart(make_record):
    other = make_record("other", groups=[["amh", "tso", "hau"], ["swa"]])
    scores = other.scores.model_copy(update={"random": other.scores.random.model_copy(update={"mean": 0.4})})
    found = table([make_record(), other.model_copy(update={"scores": scores})])
    baselines = {row["name"]: row["score"] for row in found.rows if row["name"].startswith("random p")}
    assert baselines == {"random partitions (3+1)": 0.4, "random partitions (2+2)": 0.52}


def test_a_protocol_without_the_usual_keys(make_record):
    for protocol in ({}, {"seeds": 4, "grouping": None}, {"grouping": "partition", "k": 3, "seeds": []}):
        text = plain(table([make_record(protocol=protocol)]))
        assert "model –" in text
    bare = make_record(protocol={}, groups=None, objective=None)
    bare = bare.model_copy(update={"scores": type(bare.scores)()})
    assert "no groups" in plain(table([bare]))
    assert "K = –" not in plain(table([bare]))


def test_one_protocol_only(make_record):
    with pytest.raises(ValueError, match="2 protocols"):
        table([make_record(), make_record(protocol_id="p2")])
    with pytest.raises(ValueError, match="0 protocols"):
        table([])


NASTY = "a|b<script>`x`\n\x1b[31m&" + "y" * 300


def test_names_from_outside_break_no_table(make_record):
    found = table([make_record(NASTY, task=NASTY), make_record(task=NASTY)])
    text = markdown(found)
    assert "<" not in text
    assert "\x1b" not in text
    assert "\x1b" not in plain(found)
    for block in text.split("\n\n"):
        assert len({one.count("|") for one in block.splitlines() if one.startswith("|")}) < 2
    # Whole: heading, caption, a row of foresight, worth, cost and groups, and a note.
    assert len([one for one in text.splitlines() if "y" * 300 in one]) == 7
    assert len([one for one in plain(found).splitlines() if "y" * 300 in one]) == 5


def test_csv_and_json(make_record):
    tables = [table([make_record(NASTY), make_record()]), table([make_record(protocol_id="p2")])]
    rows = list(csv.DictReader(io.StringIO(csv_text(tables))))
    assert len(rows) == 2 + 4 + 1 + 4
    assert tuple(rows[0]) == COLUMNS
    assert float(rows[0]["per_target_spearman_ci95_high"]) == 1 / 3
    assert rows[0]["noise_ceiling"] == ""
    assert rows[0]["groups"] == "amh tso; hau swa"
    assert {row["name"] for row in rows} >= {NASTY}
    data = json.loads(json_text(tables))
    assert [row["name"] for row in data] == [row["name"] for row in rows]
    assert data[0]["groups"] == [["amh", "tso"], ["hau", "swa"]]
    assert data[0]["score"] == float(rows[0]["score"])


def test_a_skipped_measure_is_shown_with_its_reason(make_record):
    n = len(make_record().languages)
    nothing = {"matrix": [[None] * n] * n, "symmetric": True}
    reason = "typology: is not installed"
    skipped = make_record(
        "typology", groups=None, objective=None, correlation=None, similarity=nothing, skipped=reason
    )
    skipped = skipped.model_copy(update={"scores": type(skipped.scores)()})
    found = table([skipped, make_record("gradsim"), make_record("overlap", score=0.1)])
    assert names(found)[:3] == ["gradsim", "overlap", "typology"]  # last of the measures
    assert found.rows[2]["skipped"] == reason
    assert f"Skipped: {reason}" in found.notes
    assert not any("sample" in note for note in found.notes)  # it is none
    assert line(plain(found), "typology").split()[1] == "–"


def test_columns_that_only_some_tables_have(make_record):
    matrix = [[1.0 if s == t else 0.25 for t in range(5)] for s in range(5)]
    compared = {"matrix": matrix, "symmetric": True, "yardstick": {"amh": 0.5, "hau": 0.75}}
    found = table([make_record("fisher", similarity=compared), make_record(recovery={"adjusted_rand": -0.001})])
    second, first = (row for row in found.rows if row["kind"] == "measure")
    assert (first["yardstick"], first["mean_similarity"]) == (0.625, 0.25)
    assert second["recovery_adjusted_rand"] == -0.001
    shown = markdown(found)
    assert "0.25 / 0.62" in line(shown, "fisher")
    assert line(shown, "gradsim").split("|")[-3].strip() == "0.00"  # recovery, and no minus sign
    assert "recovery" in shown
    assert "alike / same" in shown
    plainly = markdown(table([make_record()]))
    assert "recovery" not in plainly
    assert "alike" not in plainly


def test_the_parts_of_a_learned_measure_are_told_largest_first(make_record):
    learned = {**make_record().similarity.model_dump(), "contributions": {"a": 0.25, "b": 0.7, "c": 0.05}}
    assert (
        "combined is made of: b 70 %, a 25 %, c 5 %" in table([make_record("combined", similarity=learned)]).notes
    )


def test_many_size_profiles_make_one_row(make_record):
    splits = [[1, 3], [2, 2], [1, 1, 2], [1, 1, 1, 1]]
    codes = ["amh", "hau", "swa", "tso"]
    records = []
    for place, sizes in enumerate(splits):
        ends = [sum(sizes[: at + 1]) for at in range(len(sizes))]
        groups = [codes[end - size : end] for end, size in zip(ends, sizes, strict=True)]
        scores = make_record().scores
        drawn = scores.random.model_copy(update={"mean": 0.1 * place})
        record = make_record(f"m{place}", groups=groups)
        records.append(record.model_copy(update={"scores": scores.model_copy(update={"random": drawn})}))
    assert [name for name in names(table(records[:3])) if "random" in name] == [
        "random partitions (3+1)",
        "random partitions (2+2)",
        "random partitions (2+1+1)",
    ]
    (row,) = (row for row in table(records).rows if "random" in row["name"])
    assert row["name"] == "random groups (mean of 4 size profiles)"
    assert row["score"] == pytest.approx(0.15)
    assert row["metric"] == "weighted_f1"


def test_a_cover_is_told_as_such(make_record):
    groups = [["amh", "hau"], ["hau", "swa", "tso"]]
    cover = make_record(groups=groups, served={"amh": 0, "hau": 0, "swa": 1, "tso": 1})
    found = table([cover])
    assert "random covers" in names(found)
    served = next(csv.DictReader(io.StringIO(csv_text([found]))))["served"]
    assert served == "amh:0 hau:0 swa:1 tso:1"


def test_what_a_measure_knows_beyond_the_obvious_stands_in_its_row(make_record):
    known = make_record().correlation.model_dump()
    beyond = {"coefficient": 0.25, "p": 0.03, "controls": ["script"], "dropped": {"sizes": "constant"}}
    more = {"mrqap": beyond, "per_target_qap_p": 0.02, "centred_per_target_qap_p": 0.04, "regret_at_3": 0.01}
    row = table([make_record(correlation=known | more)]).rows[0]
    assert (row["mrqap_coefficient"], row["mrqap_p"]) == (0.25, 0.03)
    assert (row["per_target_qap_p"], row["centred_per_target_qap_p"], row["regret_at_3"]) == (0.02, 0.04, 0.01)
    assert table([make_record()]).rows[0]["mrqap_p"] is None


def compared(measured, *without, seeds=3):
    """One that is better than the reference, one that is worse, one that is neither, and two controls."""
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(20, 20))
    runs = [truth + 0.3 * rng.normal(size=(20, 20)) for _ in range(seeds)]
    T = np.mean(runs, axis=0)
    noise = {"good": 0.2, REFERENCE: 1.5, "alike": 1.5, "bad": 30.0, "random": 30.0, "oracle": 0.01}
    S = {called: truth + level * rng.normal(size=(20, 20)) for called, level in noise.items()}
    records = [measured(called, one, T, runs) for called, one in S.items() if called not in without]
    return table(records), S, T, runs


def test_measures_stand_against_the_reference_and_controls_do_not(measured):
    found, S, T, _ = compared(measured)
    rows = {row["name"]: row for row in found.rows}
    for called in ("good", "alike", "bad"):
        expected = paired_difference(S[called], S[REFERENCE], T, draws=2000)
        own = [rows[called][f"difference{part}"] for part in ("", "_low", "_high", "_p")]
        assert tuple(own) == expected
        assert rows[called]["difference_from"] == REFERENCE
        assert rows[called]["difference_p_holm"] >= expected.p
    assert rows["good"]["difference_p_holm"] == pytest.approx(3 * rows["good"]["difference_p"])
    for called in (REFERENCE, "random", "oracle"):
        assert rows[called]["difference"] is None
        assert rows[called]["difference_from"] is None
    assert [rows[called]["rank"] for called in ("random", "oracle")] == [None, None]
    assert [row["name"] for row in found.rows] == ["good", *names(found)[1:3], "bad", "random", "oracle"]
    assert [row["rank"] for row in found.rows[:4]] == [1, 2, 2, 4]
    assert [row["rank_shared_by"] for row in found.rows[:4]] == [1, 2, 2, 1]


def cell(text, row, header):
    """Of the first Markdown table that has both."""
    block = next(one for one in text.split("\n\n") if header in one.splitlines()[0] and f"| {row} " in one)
    heads, _, *lines = [[part.strip() for part in one.split("|")[1:-1]] for one in block.splitlines()]
    return next(line for line in lines if line[0] == row)[heads.index(header)]


def test_bold_is_better_than_the_reference_beyond_the_interval(measured):
    found, *_ = compared(measured)
    rows = {row["name"]: row for row in found.rows}
    assert rows["good"]["difference_low"] > 0 > rows["bad"]["difference_high"]
    assert rows["alike"]["difference_low"] < 0 < rows["alike"]["difference_high"]
    text = markdown(found)
    good = cell(text, "good", "over reference")
    assert good.startswith(f"**{rows['good']['difference']:+.2f} [")
    assert good.endswith(f"(p = {rows['good']['difference_p_holm']:.3f})**")
    for called in ("alike", "bad"):
        assert "*" not in cell(text, called, "over reference")
    assert cell(text, REFERENCE, "over reference") == "reference"
    assert cell(text, "oracle", "over reference") == cell(text, "oracle", "rank") == "–"
    assert [cell(text, called, "rank") for called in ("good", "alike", "bad")] == ["1", "2=", "4"]
    assert text.count("**") == 2
    # The same elsewhere: a star in a terminal, \\textbf in LaTeX.
    assert plain(found).count(" *\n") + plain(found).count(" * ") == 1
    assert "A star: better than the reference" in plain(found)
    assert latex(found).count(r"\textbf{") == 1
    assert rf"\textbf{{+{rows['good']['difference']:.2f} [" in latex(found)
    for made in (text, latex(found)):
        assert made.count("Bold: better than the reference, and the interval excludes zero") == 1


def test_without_the_reference_nothing_is_bold_and_it_is_said_why(measured):
    found, *_ = compared(measured, REFERENCE)
    rows = {row["name"]: row for row in found.rows}
    assert rows["good"]["difference"] is None
    assert rows["good"]["rank"] == 1
    assert "Nothing is bold" in found.reading
    for made in (markdown(found), latex(found)):
        assert "**" not in made
        assert "textbf" not in made
        assert "Nothing is bold" in made
    assert "Nothing has a star" in plain(found)


def test_no_name_can_make_itself_bold(measured):
    _, S, T, _ = compared(measured)
    sly = table([measured("\ue000sly\ue001**", S["bad"], T), measured("other", S["alike"], T)])
    assert "textbf" not in latex(sly)
    assert "**" not in markdown(sly)


def test_correlations_as_a_share_of_the_ceiling(measured):
    found, S, T, runs = compared(measured)
    row = next(row for row in found.rows if row["name"] == "good")
    assert row["centred_noise_ceiling"] == pytest.approx(noise_ceiling(runs, centred=True), abs=1e-6)
    own = per_target_spearman(S["good"], T, True)
    assert row["centred_per_target_spearman_of_ceiling"] == pytest.approx(own / row["centred_noise_ceiling"])
    assert row["noise_ceiling"] is None  # as the record has it
    assert row["per_target_spearman_of_ceiling"] is None
    alone = compared(measured, seeds=1)[0].rows[0]
    assert (alone["centred_noise_ceiling"], alone["centred_per_target_spearman_of_ceiling"]) == (None, None)


def test_raw_correlations_are_shares_of_the_raw_ceiling(make_record):
    known = make_record().correlation.model_dump() | {"noise_ceiling": 0.5}
    row = table([make_record(correlation=known)]).rows[0]
    shares = [row[f"{key}_of_ceiling"] for key in ("per_target_spearman", "spearman", "pearson")]
    assert shares == [0.82, 1.0, 0.9]
    assert row["centred_per_target_spearman_of_ceiling"] is None  # one seed


def test_the_objective_against_what_came_of_it(make_record):
    gain = {"spearman": 0.345, "draws": 20, "objectives": [0.0] * 20, "scores": [0.0] * 20}
    found = table([make_record("a", objective_gain=gain), make_record("b")])
    rows = {row["name"]: row for row in found.rows}
    assert [rows["a"][f"objective_gain_{key}"] for key in ("spearman", "draws")] == [0.345, 20]
    assert rows["b"]["objective_gain_spearman"] is None
    text = markdown(found)
    assert cell(text, "a", "ρ(objective, score)") in ("0.34", "0.35")
    assert cell(text, "b", "ρ(objective, score)") == "–"
    assert any("random partitions" in note and "objective" in note for note in found.notes)
    assert "objective" not in markdown(table([make_record("b")]))


def test_spans_are_scored_in_words_of_readers(make_record):
    scores = make_record().scores.model_dump()
    scores["grouped"]["metric"] = scores["majority"]["metric"] = "span_f1"
    transfer = make_record().transfer.model_dump() | {"metric": "span_f1"}
    found = table([make_record(scores=scores, transfer=transfer)])
    assert "scores in span F1 · transfer in span F1" in found.caption
    assert found.rows[0]["metric"] == "span_f1"


def test_the_order_is_by_rank_then_by_the_headline(measured):
    found, *_ = compared(measured)
    told = [row["centred_per_target_spearman"] for row in found.rows[:4]]
    assert told == sorted(told, reverse=True)


def test_model_preset_and_strategy_stand_in_every_row(make_record):
    for row in table([make_record(), make_record("random")]).rows:
        assert (row["model"], row["preset"], row["strategy"]) == ("scratch", "quick", "plain")
    assert table([make_record(protocol={})]).rows[0]["model"] is None


def test_tables_without_groups_show_what_there_is(measured):
    text = markdown(compared(measured)[0])
    assert "### What the grouping" not in text  # no baselines in these records either
    assert text.index("### How well") < text.index("### What each measure sees")


def test_records_with_other_seeds_have_ceilings_of_their_own(measured):
    rng = np.random.default_rng(2)
    T = rng.normal(size=(9, 9))
    runs = {
        called: [T + level * rng.normal(size=(9, 9)) for _ in range(2)] for called, level in (("a", 0.2), ("b", 1))
    }
    rows = table([measured(called, T, T, seeds) for called, seeds in runs.items()]).rows
    found = {row["name"]: row["centred_noise_ceiling"] for row in rows if row["kind"] == "measure"}
    expected = {called: noise_ceiling(seeds, centred=True) for called, seeds in runs.items()}
    assert found == pytest.approx(expected, abs=1e-6)
    assert found["a"] > found["b"] + 0.1
