from __future__ import annotations

import json
import random
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.across import across
from leaderboard.page import page_html
from leaderboard.page.clusters import colours, together
from leaderboard.page.data import language_name
from leaderboard.ranking import per_target_spearman
from leaderboard.standing import REFERENCE
from leaderboard.tables import table

HOSTILE = "<script>alert(1)</script><img src=x onerror='document.title=1'>\"&{{data}}</script>"


class Parsed(HTMLParser):
    """Scripts, rows (attributes and texts of their cells), what is strong, and every element's attributes."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.scripts, self.rows, self.elements, self.text, self.strong = [], [], [], [], []
        self.inside = None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append("")
        if tag == "tr":
            self.rows.append((dict(attrs), []))
        if tag in ("td", "th") and self.rows:
            self.rows[-1][1].append("")

    def handle_endtag(self, tag):
        self.inside = None
        if tag == "table":
            self.rows.append(({}, []))  # what follows is in no cell

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts[-1] += data
        else:
            self.text.append(data)
            if self.inside == "strong":
                self.strong.append(data)
            if self.rows and self.rows[-1][1]:
                self.rows[-1][1][-1] += data

    @property
    def data(self):
        return json.loads(self.scripts[0])

    @property
    def heads(self):
        return next(cells for _, cells in self.rows if cells[:1] == ["measure"])

    def row(self, name):
        return next(cells for attributes, cells in self.rows if attributes.get("data-name") == name)


def page_of(*by_table):
    tables = [table(records) for records in by_table]
    return page_html(tables, by_table, across(tables))


def parsed(*by_table):
    return Parsed(page_of(*by_table))


def unpacked(flat, n):
    """A second reading of the packed matrices, by numpy's order of the upper triangle."""
    values = np.array(flat, dtype=float)
    if len(flat) == n * n:
        return values.reshape(n, n)
    full = np.full((n, n), np.nan)
    full[np.triu_indices(n)] = values
    return np.where(np.isnan(full), full.T, full)


def similarity(rng, n, symmetric=False, **more):
    matrix = rng.normal(size=(n, n)) * 10.0 ** rng.integers(-6, 6)
    if symmetric:
        matrix = matrix + matrix.T
    return {"matrix": matrix.tolist(), "symmetric": symmetric} | more


def full_table(make_record):
    """Everything that a record may have, in one table."""
    rng = np.random.default_rng(0)
    views = ["head", "layer.10", "layer.2", "last third", "embeddings", "first third", "middle third"]
    parts = {view: similarity(rng, 5)["matrix"] for view in views}
    yardstick = {"amh": 0.9, "swa": 0.8}
    shares = {"gradsim": 0.25, "overlap": 0.75}
    return [
        make_record("gradsim", 0.6, similarity=similarity(rng, 5, views=parts, yardstick=yardstick)),
        make_record("gradsim", 0.7, measure_params={"blocks": "body"}),
        make_record("combined", 0.5, access="transfer", similarity=similarity(rng, 5, contributions=shares)),
        make_record(
            "covered", 0.4, groups=[["amh", "hau"], ["hau", "swa"]], served={"amh": 0, "hau": 1, "swa": 1}
        ),
        make_record("planted-one", 0.3, recovery={"adjusted_rand": 0.875}),
        make_record("learned", skipped="learned: needs a package", correlation=None, scores={}, groups=None),
        make_record("random", 0.2, access="none"),
    ]


def test_the_same_records_give_the_same_bytes_in_any_order(make_record):
    records = full_table(make_record)
    other = [make_record("overlap", task="other")]
    page = page_of(records, other)
    assert page_of(records[::-1], other) == page
    assert page_of(records[3:] + records[:3], other) == page


def test_one_file_that_fetches_nothing(make_record):
    page = parsed(full_table(make_record))
    assert [tag for tag, _ in page.elements].count("script") == 5
    assert sum("plotly.js v" in script for script in page.scripts) == 1
    addresses = [a[key] for _, a in page.elements for key in ("src", "href", "srcset", "action") if key in a]
    assert {address[:5] for address in addresses} <= {"data:", "#"}
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_text_from_records_stays_text(make_record):
    bad = make_record(
        HOSTILE,
        task=HOSTILE,
        languages=[HOSTILE, "hau", "swa", "tso", "orm"],
        groups=[[HOSTILE, "hau"], ["swa"]],
        scores={},
        data={"source": "folder", "fingerprint": "0" * 32, "train_size": {}, "test_size": {}},
        measure_params={HOSTILE: HOSTILE},
        access=HOSTILE,
    )
    skipped = make_record("learned", task=HOSTILE, skipped=HOSTILE, correlation=None)
    page = parsed([bad, skipped])
    tags = {tag for tag, _ in page.elements}
    assert "img" not in tags
    assert [tag for tag, _ in page.elements].count("script") == 5
    assert not any(key.startswith("on") for _, attributes in page.elements for key in attributes)
    named = [attributes["data-name"] for attributes, _ in page.rows if "data-name" in attributes]
    assert f"{HOSTILE}[{HOSTILE}={HOSTILE}]" in named
    assert page.row("learned")[1] == f"skipped: {HOSTILE}"
    assert page.data["tables"][0]["languages"][0] == [HOSTILE, HOSTILE]
    assert "<" not in page.scripts[0]


def test_data_are_the_records_to_four_digits(make_record):
    rng = np.random.default_rng(1)
    plain, alike = similarity(rng, 5), similarity(rng, 5, symmetric=True)
    plain["matrix"][1][2] = alike["matrix"][3][1] = alike["matrix"][1][3] = None
    records = [make_record("plain", 0.6, similarity=plain), make_record("alike", 0.5, similarity=alike)]
    board = parsed(records).data["tables"][0]
    assert [one["name"] for one in board["measures"]] == ["plain", "alike"]
    assert [len(one["similarity"]) for one in board["measures"]] == [25, 15]
    for one, given_matrix in zip(board["measures"], (plain, alike), strict=True):
        expected = np.array(given_matrix["matrix"], dtype=float)
        np.testing.assert_allclose(unpacked(one["similarity"], 5), expected, rtol=5e-4)
        assert sorted(one["order"]) == list(range(5))
    # A target only has no row of T; one matrix serves both measures.
    assert len(board["transfers"]) == 1
    assert [one["transfer"] for one in board["measures"]] == [0, 0]
    transfer = unpacked(board["transfers"][0], 5)
    np.testing.assert_allclose(transfer, np.array(records[0].transfer.test, dtype=float), rtol=5e-4)
    assert np.isnan(transfer[4]).all()
    assert not np.isnan(transfer[:4]).any()


def test_languages_have_names_where_there_are_any(make_record):
    assert parsed([make_record()]).data["tables"][0]["languages"][:2] == [["amh", "Amharic"], ["hau", "Hausa"]]
    assert language_name("qaa") == "qaa"
    assert language_name("no such code") == "no such code"


def test_parts_of_a_measure(make_record):
    records = full_table(make_record)
    known = {one["name"]: one for one in parsed(records).data["tables"][0]["measures"]}
    views = known["gradsim"]["views"]
    assert [view["name"] for view in views] == [
        *("embeddings", "layer.2", "layer.10", "head"),
        *("first third", "middle third", "last third"),
    ]
    assert [view["along"] for view in views] == [False] * 4 + [True] * 3
    T = np.array(records[0].transfer.test, dtype=float)
    for view in views:
        matrix = np.array(records[0].similarity.views[view["name"]])
        np.testing.assert_allclose(unpacked(view["matrix"], 5), matrix, rtol=5e-4)
        assert view["rho"] == pytest.approx(per_target_spearman(matrix, T, centred=True), rel=5e-4, abs=1e-9)
    assert known["gradsim"]["yardstick"] == {"0": 0.9, "2": 0.8}
    assert known["combined"]["contributions"] == [["overlap", 0.75], ["gradsim", 0.25]]
    assert known["covered"]["served"] == {"0": 0, "1": 1, "2": 1}
    assert known["planted-one"]["recovery"] == 0.875
    assert known["random"]["kind"] == "control"
    assert known["gradsim[blocks=body]"]["family"] == "gradsim"


def test_gains_of_every_language(make_record):
    one = parsed([make_record()]).data["tables"][0]["measures"][0]
    gains = one["gains"]
    assert gains["multilingual"]["each"] == [0.2, 0.1, -0.2, 0, None]  # orm has no score of its own
    assert gains["monolingual"]["each"] == [0.1, 0.1, -0.2, -0.4, None]
    assert gains["multilingual"]["mean"] == 0.1
    assert (gains["multilingual"]["items"], gains["multilingual"]["seeds"]) == ([0.012, 0.188], None)
    assert (gains["monolingual"]["items"], gains["monolingual"]["seeds"]) == (None, None)


def test_cells_of_the_table(make_record):
    page = parsed(full_table(make_record))
    heads = page.heads
    cells = dict(zip(heads, page.row("gradsim"), strict=True))
    assert cells["measure"] == "gradsim"
    assert cells["score"] == "60.0†"
    assert cells["over multi\u00adlingual"] == "+10.0[+1.2, +18.8]"
    assert cells["over mono\u00adlingual"] == "+5.0"
    assert cells["ρ centred"] == "0.00[−0.20, 0.30]"
    assert cells["ρ matrix"] == "0.50p < 0.001"
    assert cells["over random"] == "+8.0beats 88 %"
    assert dict(zip(heads, page.row("planted-one"), strict=True))["recovery"] == "0.88"
    assert dict(zip(heads, page.row("multilingual"), strict=True))["score"] == "50.0†"
    titles = [cells[0] for attributes, cells in page.rows if attributes.get("class") == "kind"]
    assert titles == ["Measures", "Controls", "Baselines"]


def test_skipped_measures_give_their_reason(make_record):
    page = parsed(full_table(make_record))
    assert page.row("learned") == ["learned", "skipped: learned: needs a package"]
    one = next(one for one in page.data["tables"][0]["measures"] if one["name"] == "learned")
    assert one["skipped"] == "learned: needs a package"
    assert "similarity" not in one


def test_samples_have_scores_only(make_record):
    page = parsed([make_record(correlation=None)])
    assert page.heads == ["measure", "score", "sees", "seconds"]
    assert page.row("gradsim")[1] == "60.0†"
    assert "similarity" not in page.data["tables"][0]["measures"][0]
    assert page.data["tables"][0]["transfers"] == []


def test_without_groups(make_record):
    page = parsed([make_record(groups=None, objective=None, scores={}, intervals={})])
    one = page.data["tables"][0]["measures"][0]
    assert (one["groups"], one["colours"]) == ([], [])
    assert one["gains"] == {"multilingual": None, "monolingual": None}
    assert "score" not in page.heads


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_languages(make_record, n):
    codes = ["amh", "hau", "swa"][:n]
    matrix = [[0.1 * (s + 2 * t) for t in range(n)] for s in range(n)]
    record = make_record(
        languages=codes,
        groups=[codes],
        similarity={"matrix": matrix, "symmetric": False},
        transfer={"metric": "macro_f1", "dev": matrix, "test": matrix, "seeds": []},
        scores={},
        data={"source": "folder", "fingerprint": "0" * 32, "train_size": {}, "test_size": {}},
    )
    board = parsed([record]).data["tables"][0]
    assert sorted(board["order"]) == sorted(board["measures"][0]["order"]) == list(range(n))
    assert len(board["measures"][0]["merges"]) == n - 1


def test_a_measure_that_knows_nothing_of_a_language(make_record):
    matrix = np.random.default_rng(2).normal(size=(5, 5))
    matrix[1] = matrix[:, 1] = np.nan
    rows = [[None if cell != cell else cell for cell in row] for row in matrix.tolist()]
    one = parsed([make_record(similarity={"matrix": rows, "symmetric": False})]).data["tables"][0]["measures"][0]
    assert one["order"][-1] == 1
    assert one["leaves"] == [0, 2, 3, 4]
    assert len(one["merges"]) == 3
    heights = [height for _, _, height in one["merges"]]
    assert heights == sorted(heights)
    assert heights[0] >= 0


groupings = st.lists(
    st.lists(st.integers(0, 3), min_size=6, max_size=6).map(
        lambda of: [[place for place in range(6) if of[place] == group] for group in sorted(set(of))]
    ),
    min_size=1,
    max_size=6,
)


@given(groupings)
def test_colours_tell_the_groups_of_one_grouping_apart(given_groupings):
    painted = colours(given_groupings)
    for groups, chosen in zip(given_groupings, painted, strict=True):
        assert len(chosen) == len(set(chosen)) == len(groups)
    assert painted[0] == list(range(len(given_groupings[0])))
    # The same groups in another order wear the same colours.
    twice = colours([given_groupings[0], given_groupings[0][::-1]])
    assert twice[1] == twice[0][::-1]


@given(groupings)
def test_an_order_keeps_together_what_every_grouping_does(given_groupings):
    assert sorted(together(given_groupings, 6)) == list(range(6))
    order = together([given_groupings[0]] * 2, 6)
    for group in given_groupings[0]:
        places = sorted(order.index(place) for place in group)
        assert places == list(range(places[0], places[0] + len(group)))


def test_size_of_a_large_page(make_record):
    rng, shuffled = np.random.default_rng(3), random.Random(3)
    codes = [f"q{chr(97 + place // 26)}{chr(97 + place % 26)}" for place in range(30)]
    blocks = ["embeddings", "head", "layer.0", "layer.1", "first third", "middle third", "last third"]
    records = []
    for place in range(20):
        symmetric = place % 2 == 0
        mixed = shuffled.sample(codes, 30)
        one = similarity(rng, 30, symmetric)
        one["views"] = {block: similarity(rng, 30, symmetric)["matrix"] for block in blocks}
        score = {"metric": "macro_f1", "mean": 0.5, "per_language": {code: rng.random() for code in codes}}
        transfer = {"metric": "macro_f1", "dev": one["matrix"], "test": one["matrix"], "seeds": []}
        records.append(
            make_record(
                f"measure-{place}",
                languages=codes,
                groups=[mixed[start::8] for start in range(8)],
                similarity=one,
                transfer=transfer if not records else records[0].transfer,
                scores={"grouped": score, "multilingual": score, "monolingual": score},
                data={"source": "folder", "fingerprint": "0" * 32, "train_size": {}, "test_size": {}},
            )
        )
    tables = [[record.model_copy(update={"task": task}) for record in records] for task in "abcd"]
    page = page_of(*tables)
    assert len(page.encode()) < 12_000_000
    assert page.count('class="pick"') == 80 + 20  # in four tables and in that across tasks


def test_what_a_measure_knows_beyond_the_obvious(make_record):
    known = make_record().correlation.model_dump() | {"reliability": 0.875}
    beyond = {"coefficient": 0.25, "p": 0.0005, "controls": ["script"], "dropped": {}}
    page = parsed([make_record(correlation=known | {"mrqap": beyond})])
    cells = dict(zip(page.heads, page.row("gradsim"), strict=True))
    assert cells["MRQAP β"] == "0.25p < 0.001"
    assert cells["relia\u00adbility"] == "0.88"
    assert "MRQAP β" not in parsed([make_record()]).rows[0][1]  # nobody knows it


def standing(measured, *without):
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(20, 20))
    seeds = [truth + 0.3 * rng.normal(size=(20, 20)) for _ in range(3)]
    noise = {"good": 0.2, REFERENCE: 1.5, "alike": 1.5, "bad": 30.0, "oracle": 0.01}
    return [
        measured(called, truth + level * rng.normal(size=(20, 20)), np.mean(seeds, axis=0), seeds)
        for called, level in noise.items()
        if called not in without
    ]


def test_ranks_differences_and_shares_of_the_ceiling(measured):
    records = standing(measured)
    rows = {row["name"]: row for row in table(records).rows}
    page = parsed(records)
    cells = {called: dict(zip(page.heads, page.row(called), strict=True)) for called in rows}
    over = "over refer\u00adence"
    difference, p = rows["good"]["difference"], rows["good"]["difference_p_holm"]
    assert cells["good"][over].startswith(f"+{difference:.2f}[+")
    assert cells["good"][over].endswith(f"]p = {p:.3f}")
    assert page.strong == [f"+{difference:.2f}"]
    assert cells["bad"][over].startswith("−")
    assert cells[REFERENCE][over] == "reference"
    assert cells["oracle"][over] == cells["oracle"]["rank"] == "–"
    assert [cells[called]["rank"] for called in ("good", "alike", "bad")] == ["1", "2=", "4"]
    share, ceiling = (
        rows["good"][key] for key in ("centred_per_target_spearman_of_ceiling", "centred_noise_ceiling")
    )
    assert cells["good"]["of ceiling"] == f"{100 * share:.0f} %of {ceiling:.2f}"
    assert "Bold: better than the reference" in "".join(page.text)
    bare = parsed(standing(measured, REFERENCE))
    assert bare.strong == []
    assert over not in bare.heads
    assert f"Nothing is bold: {REFERENCE}" in "".join(bare.text)


def test_columns_stand_under_what_they_are_about(make_record):
    page = parsed(full_table(make_record))
    spans = next(cells for _, cells in page.rows if cells[:1] == [""])
    assert spans == ["", "How well it foretold transfer", "What its groups were worth", "The measure"]
    widths = [int(a["colspan"]) for _, a in page.elements if a.get("scope") == "colgroup"]
    assert sum(widths) == len(page.heads) - 1
    assert page.heads[1 + widths[0]] == "score"
    assert page.heads[1 + widths[0] + widths[1]] == "sees"


def test_the_objective_and_what_came_of_it(make_record):
    gain = {"spearman": 0.25, "draws": 20, "objectives": [0.0] * 20, "scores": [0.0] * 20}
    page = parsed([make_record(objective_gain=gain)])
    assert dict(zip(page.heads, page.row("gradsim"), strict=True))["objec\u00adtive, score"] == "0.2520 draws"
    assert page.data["tables"][0]["measures"][0]["objective_gain"] == [0.25, 20]
    assert parsed([make_record()]).data["tables"][0]["measures"][0]["objective_gain"] is None


def test_across_tasks(make_record):
    known = make_record().correlation.model_dump()
    records = {
        task: [
            make_record(called, task=task, correlation=known | {"centred_per_target_spearman": value})
            for called, value in values.items()
        ]
        for task, values in {
            HOSTILE: {"a": 0.25, HOSTILE: 0.75},
            "other": {"a": -0.5, HOSTILE: 0.0, "c": 1.0},
        }.items()
    }
    page = parsed(*records.values())
    rows = [(attributes, cells) for attributes, cells in page.rows if "data-name" in attributes][-3:]
    assert [cells for _, cells in rows] == [
        [HOSTILE, "1", "1.00", "0.75", "0.00"],
        ["a", "2", "2.00", "0.25", "−0.50"],
        ["c", "–", "incomplete", "–", "1.00"],
    ]
    # Every row of the page knows its place among those that can be downloaded.
    places = [int(attributes["data-row"]) for attributes, _ in page.rows if "data-row" in attributes]
    assert places == list(range(len(page.data["rows"])))
    names = [attributes["data-name"] for attributes, _ in page.rows if "data-row" in attributes]
    assert names == [row[page.data["columns"].index("name")] for row in page.data["rows"]]
    assert "Across" not in "".join(parsed(*list(records.values())[:1]).text)


def test_metrics_are_called_by_their_names(make_record):
    transfer = make_record().transfer.model_dump() | {"metric": "span_f1"}
    assert parsed([make_record(transfer=transfer)]).data["tables"][0]["metric"] == "span F1"
