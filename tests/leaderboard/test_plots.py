from __future__ import annotations

import itertools
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from leaderboard.clustering import clustered
from leaderboard.picture import COLUMN, picture
from leaderboard.plots import FIGURES, absent, draw
from leaderboard.records import Record

SVG = "{http://www.w3.org/2000/svg}"


def invented(record, n, seed=0, **parts):
    """A record of ``n`` languages in groups of alike ones, with two views, one language a target only."""
    rng = np.random.default_rng(seed)
    codes = [f"l{place:02d}" for place in range(n)]
    family = np.arange(n) % max(2, n // 4)
    S = (family[:, None] == family[None, :]) + 0.1 * rng.random((n, n))
    T = (0.3 + 0.2 * S + 0.02 * rng.random((n, n))).tolist()
    T[-1] = [None] * n
    groups = [[codes[i] for i in range(n - 1) if family[i] == g] for g in range(max(family) + 1)]
    scores = record.scores.model_dump()
    for kind in ("grouped", "multilingual", "monolingual", "majority"):
        scores[kind]["per_language"] = {code: float(rng.random()) for code in codes[:-1]}
    data = record.model_dump() | {
        "languages": codes,
        "groups": [group for group in groups if group],
        "similarity": {
            "matrix": S.tolist(),
            "symmetric": False,
            "views": {"layer.1": S.tolist(), "head": S.tolist()},
        },
        "transfer": {"metric": "macro_f1", "dev": T, "test": T, "seeds": [{"seed": 1, "dev": T, "test": T}]},
        "scores": scores,
        "data": record.data.model_dump() | {"train_size": {}, "test_size": {}},
    }
    return Record.model_validate(data | parts)


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter(f"{SVG}text") if element.text]


@pytest.fixture(autouse=True)
def _no_word_from_matplotlib():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize(
    ("figure", "n"), [*((one, n) for one in FIGURES for n in (3, 20)), ("heatmaps", 60), ("dendrogram", 60)]
)
def test_every_figure_is_svg_and_names_the_languages(make_record, figure, n):
    record = invented(make_record("gradsim"), n)
    svg = draw(record, figure, "svg")
    found = texts(svg)
    if figure == "scatter":  # of many pairs only some are named
        named = {code for text in found if "→" in text for code in text.split("→")}
        assert named <= set(record.languages)
        assert len(named) >= 3
    else:
        codes = [text.split()[0] for text in found]
        shown = record.languages[:-1] if figure == "gains" else record.languages
        assert set(shown) <= set(codes)
    width = float(ET.fromstring(svg).get("width").removesuffix("pt")) / 72
    if n <= 20 and figure != "views":
        assert 0.8 * COLUMN < width < 1.08 * COLUMN


@pytest.mark.parametrize(
    ("figure", "form"), [*((one, "svg") for one in FIGURES), ("heatmaps", "pdf"), ("scatter", "png")]
)
def test_the_same_bytes_again_and_no_date_in_them(make_record, figure, form):
    record = invented(make_record("gradsim"), 4)
    content = draw(record, figure, form)
    assert content == draw(record, figure, form)
    assert content.startswith({"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}[form])
    for word in (b"Date", b"date>", b"matplotlib.org"):
        assert word not in content


def test_the_user_s_own_style_changes_nothing(make_record):
    import matplotlib

    record = invented(make_record("gradsim"), 5)
    expected = draw(record, "heatmaps", "svg")
    with matplotlib.rc_context({"font.size": 20, "axes.grid": True, "svg.hashsalt": None}):
        assert draw(record, "heatmaps", "svg") == expected
        assert matplotlib.rcParams["font.size"] == 20


def test_heatmaps_views_and_dendrogram_keep_to_one_order(make_record):
    record = invented(make_record("gradsim"), 12)
    drawn = picture(record)
    order = list(drawn.codes)
    for s, source in enumerate(order):
        for t, target in enumerate(order):
            place = record.languages.index(source), record.languages.index(target)
            for matrix, given in (
                (drawn.similarity, record.similarity.matrix),
                (drawn.views["head"], record.similarity.views["head"]),
                (drawn.transfer, record.transfer.test),
            ):
                cell = given[place[0]][place[1]]
                assert matrix[s, t] == cell or (cell is None and np.isnan(matrix[s, t]))
    for figure in ("heatmaps", "dendrogram", "views"):
        codes = [text.split()[0] for text in texts(draw(record, figure, "svg")) if text.split()[0] in order]
        runs = [codes[start : start + 12] for start in range(0, len(codes), 12)]
        assert runs
        assert all(run == order for run in runs)
    family = [record.languages.index(code) % 3 for code in order]
    assert sum(a != b for a, b in itertools.pairwise(family)) == 2  # families stand together


def test_views_go_from_below_to_above_then_along_the_training(make_record):
    record = invented(make_record("gradsim"), 4)
    names = ("head", "last third", "layer.10", "middle third", "layer.2", "first third", "embeddings", "units")
    views = dict.fromkeys(names, record.similarity.matrix)
    record = invented(make_record("a"), 4, similarity=record.similarity.model_dump() | {"views": views})
    expected = ["embeddings", "layer.2", "layer.10", "head", "units", "first third", "middle third", "last third"]
    assert list(picture(record).views) == expected
    found = [text.split("  ")[0] for text in texts(draw(record, "views", "svg"))]
    assert [text for text in found if text in expected] == expected


def test_a_language_is_drawn_in_the_group_that_serves_it(make_record):
    record = invented(make_record("a"), 5)
    groups = [["l00", "l01", "l02"], ["l00", "l03"]]
    served = {"l00": 0, "l01": 0, "l02": 0, "l03": 1}
    record = invented(make_record("a"), 5, groups=groups, served=served)
    found = texts(draw(record, "dendrogram", "svg"))
    assert {"l00  1", "l01  1", "l02  1", "l03  2", "l04"} <= set(found)


def test_branches_have_the_colour_of_a_group_only_where_all_below_are_of_it(make_record):
    from leaderboard.picture import GREY, colour, styled
    from leaderboard.plots import dendrogram

    groups = [[f"l{place:02d}" for place in range(family, 12, 3)] for family in range(3)]
    record = invented(make_record("a"), 12, groups=groups)  # which are the families
    with styled():
        (ax,) = dendrogram(picture(record)).axes
        colours = [line.get_color() for line in ax.lines if len(line.get_xdata()) == 2]
        marks = [line.get_color() for line in ax.lines if len(line.get_xdata()) == 1]
    assert len(colours) == 11 * 3  # joins of two branches and the line between them
    for group in range(3):
        assert colours.count(colour(group)) == 3 * 3 + 1  # its own joins, and the branch that leaves it
        assert marks.count(colour(group)) == 4
    assert colours.count(GREY) == 3


def test_the_gains_are_differences_of_the_scores(make_record):
    record = invented(make_record("a"), 4)
    from leaderboard.picture import styled
    from leaderboard.plots import gains

    with styled():
        (ax,) = gains(picture(record)).axes
        lines = {line.get_label(): line for line in ax.lines}
        labels = [text.get_text() for text in ax.get_yticklabels()]
    scores = record.scores
    for other in ("multilingual", "monolingual"):
        drawn = lines[f"over {other}"].get_xdata()
        base = getattr(scores, other).per_language
        expected = [100 * (scores.grouped.per_language[code] - base[code]) for code in labels[1:]]
        np.testing.assert_allclose(drawn, expected)


def test_names_from_outside_stay_text(make_record):
    record = invented(make_record("a"), 3)
    data = record.model_dump(mode="json")
    text = "<script>$x_1^$&\x00\ud7ff"
    data["measure"] = text
    data["languages"] = [text, "b", "c"]
    data["groups"] = [[text, "b"]]
    data["scores"]["grouped"]["per_language"] = {text: 0.5}
    for kind in ("multilingual", "monolingual", "majority"):
        data["scores"][kind]["per_language"] = {text: 0.25}
    hostile = Record.model_validate(data)
    for figure in FIGURES:
        svg = draw(hostile, figure, "svg")
        assert b"<script" not in svg
        assert any("<script>$x_1^$&" in found for found in texts(svg))


def test_what_a_record_does_not_have_is_said_and_not_drawn(make_record):
    full = invented(make_record("a"), 4)
    nothing = {"matrix": [[None] * 4] * 4, "symmetric": True}
    for changes, figures, reason in (
        ({"skipped": "a: no such package", "similarity": nothing}, list(FIGURES), "no such package"),
        ({"similarity": nothing}, ["heatmaps", "scatter", "dendrogram", "views"], "no similarity"),
        ({"similarity": full.similarity.model_dump() | {"views": None}}, ["views"], "no views"),
        ({"scores": full.scores.model_dump() | {"grouped": None}, "groups": None}, ["gains"], "--no-groups"),
    ):
        record = invented(make_record("a"), 4, **changes)
        for figure in FIGURES:
            why = absent(record, figure)
            if figure in figures:
                assert reason in why
                with pytest.raises(ValueError, match=f"^{figure}: "):
                    draw(record, figure, "svg")
            else:
                assert why is None


@pytest.mark.parametrize("fill", [0.0, -3.5])
def test_a_constant_similarity_and_a_language_without_any(make_record, fill):
    n = 5
    matrix = np.full((n, n), fill)
    matrix[2] = matrix[:, 2] = np.nan
    rows = [[None if np.isnan(cell) else cell for cell in row] for row in matrix]
    record = invented(make_record("a"), n, similarity={"matrix": rows, "symmetric": True}, correlation=None)
    assert picture(record).codes[-1] == "l02"
    for figure in ("heatmaps", "scatter", "dendrogram"):
        assert draw(record, figure, "svg")


@pytest.mark.parametrize("n", [2, 3, 4, 9, 30])
def test_the_order_is_that_of_average_linkage_on_what_groups_go_by(n):
    from scipy.cluster.hierarchy import cophenet, linkage
    from scipy.spatial.distance import squareform

    from benchmark.grouping import affinity

    S = np.random.default_rng(n).normal(size=(n, n))
    found = clustered(S)
    assert sorted(found.order) == list(range(n))
    C = affinity(S)
    pairs = C + C.T
    if n <= 3:  # centring leaves nothing of three languages' pairs
        pairs = S + S.T
    distance = pairs[~np.eye(n, dtype=bool)].max() - pairs
    np.fill_diagonal(distance, 0.0)
    expected = linkage(squareform(distance, checks=False), "average")
    np.testing.assert_allclose(cophenet(found.tree), cophenet(expected), atol=1e-9)


def test_clustering_does_not_depend_on_the_order_of_the_languages():
    rng = np.random.default_rng(0)
    S = rng.normal(size=(9, 9))
    p = rng.permutation(9)
    there, back = clustered(S).order, [int(p[i]) for i in clustered(S[np.ix_(p, p)]).order]
    assert back in (list(there), list(reversed(there)))


def test_clustering_leaves_out_whoever_has_no_similarity():
    S = np.full((4, 4), np.nan)
    assert clustered(S).tree is None
    assert clustered(S).order == (0, 1, 2, 3)
    S[3, 1] = 0.5
    found = clustered(S)
    assert (found.leaves, sorted(found.order[:2]), found.order[2:]) == ((1, 3), [1, 3], (0, 2))


def test_matplotlib_is_not_loaded_before_it_draws():
    code = "import sys, leaderboard.plots, benchmark.commands; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr
