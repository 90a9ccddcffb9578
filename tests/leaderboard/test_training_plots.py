"""Figures of what strategies told, from records that tell known things."""

from __future__ import annotations

import itertools
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from scipy.stats import spearmanr

from leaderboard.picture import COLUMN, styled
from leaderboard.plots import absent, draw, figures
from leaderboard.records import Record
from leaderboard.training_plots import FIGURES, agreement, along, called, cosines, masks, together, trainings

SVG = "{http://www.w3.org/2000/svg}"
BLOCKS = ("embeddings", "positions", "layer.0", "layer.1", "head", "model")


def codes_of(n):
    return [f"l{place:02d}" for place in range(n)]


def told(rng, n, parts=20, masked=False, shift=0.0):
    """Languages of a family agree; the codes are told in another order than the record's."""
    family = np.arange(n) % max(2, n // 4)
    cosines = (family[:, None] == family[None, :]) + 0.1 * rng.random((n, n)) + shift
    cosines = (cosines + cosines.T) / 4
    np.fill_diagonal(cosines, 1.0)
    blocks = {
        block: {
            "cosine_along": (rng.random(parts) + shift).tolist(),
            "conflicts_along": [None, *rng.random(parts - 1).tolist()],
            "cosines": cosines[::-1, ::-1].tolist(),
        }
        for block in BLOCKS
    }
    found = {"languages": codes_of(n)[::-1], "blocks": blocks}
    if masked:
        overlaps = {kind: (0.2 + 0.5 * np.abs(cosines))[::-1, ::-1].tolist() for kind in ("heads", "units")}
        again = {
            kind: {"between": 0.25, "itself": 0.5, "chance": 0.125,
                   "by_language": {code: 0.01 * place for place, code in enumerate(codes_of(n))}}
            for kind in ("heads", "units")
        }  # fmt: skip
        found |= {"overlap": {"languages": codes_of(n)[::-1], **overlaps}, "again": again}
    return found


STRATEGIES = (
    "plain", "pcgrad", "gradvac", "gradvac[beta=0.5]", "watched", "subnet-static", "subnet-static[watch=true]"
)  # fmt: skip


@pytest.fixture
def joint(make_record):
    def make(n, seeds=1, strategies=STRATEGIES, **changes):
        rng = np.random.default_rng(n)
        base = make_record("joint")
        codes, nothing = codes_of(n), [[None] * n] * n
        scores = base.scores.model_dump()
        for kind in ("grouped", "multilingual", "monolingual", "majority"):
            by_seed = {code: rng.random(seeds).tolist() for code in codes}
            means = {code: float(np.mean(values)) for code, values in by_seed.items()}
            scores[kind] |= {"per_language": means, "by_seed": by_seed}
        records = []
        for strategy in strategies:
            masked, seen = "subnet" in strategy, strategy not in ("plain", "subnet-static")
            training = {str(seed): told(rng, n, masked=masked) for seed in range(seeds)}
            for one in training.values():
                if not seen:
                    del one["blocks"], one["languages"]
            each = [{"seed": seed, "dev": nothing, "test": nothing} for seed in range(seeds)]
            data = base.model_dump() | {
                "strategy": strategy,
                "languages": codes,
                "groups": [codes],
                "similarity": {"matrix": nothing, "symmetric": True},
                "transfer": {"metric": "macro_f1", "dev": nothing, "test": nothing, "seeds": each},
                "scores": scores,
                "correlation": None,
                "data": base.data.model_dump() | {"train_size": {}, "test_size": {}},
                "training": None if strategy == "plain" else training,
            }
            records.append(Record.model_validate(data | changes))
        return records

    return make


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter(f"{SVG}text") if element.text]


@pytest.fixture(autouse=True)
def _no_word_from_matplotlib():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize(("n", "seeds"), [(2, 1), (4, 1), (8, 5), (20, 5)])
def test_every_figure_is_drawn_and_names_what_it_shows(joint, n, seeds):
    records = joint(n, seeds)
    of = trainings(records)
    for figure in FIGURES:
        svg = draw(records[0], figure, "svg", of)
        found = texts(svg)
        assert any("scratch" in text and f"{n} languages" in text for text in found)
        if figure in ("cosines", "masks"):
            assert set(of.codes) <= set(found)
        if figure in ("along", "agreement"):
            width = float(ET.fromstring(svg).get("width").removesuffix("pt")) / 72
            assert width < 1.08 * COLUMN
        if figure == "along":
            assert {"watched", "pcgrad", "gradvac", "gradvac[beta=0.5]", "subnet-static", "layer.0"} <= set(found)
            assert any("range over seeds" in text for text in found) == (seeds > 1)


@pytest.mark.parametrize(
    ("figure", "form"), [*((one, "svg") for one in FIGURES), ("along", "pdf"), ("masks", "png")]
)
def test_the_same_records_give_the_same_bytes_in_any_order(joint, figure, form):
    records = joint(4, 2)
    assert draw(records[0], figure, form, trainings(records)) == draw(
        records[0], figure, form, trainings(records[::-1])
    )


def test_lines_are_means_over_seeds_and_bands_their_range(joint):
    records = joint(4, 3)
    with styled():
        axes = along(trainings(records)).axes
    titles = ["whole model", "embeddings", "positions", "layer.0", "layer.1", "head"]  # from below to above
    assert [ax.get_title(loc="left") for ax in axes] == 2 * titles
    names = dict(zip(titles, ("model", *titles[1:]), strict=True))
    for place, (ax, (what, scale)) in enumerate(
        zip(axes, [*[("cosine_along", 1)] * 6, *[("conflicts_along", 100)] * 6], strict=True)
    ):
        lines = {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}
        assert list(lines) == ["watched", "gradvac", "gradvac[beta=0.5]", "pcgrad", "subnet-static"]
        for record in records:
            if record.strategy in ("plain", "subnet-static"):
                continue  # which saw nothing
            seen = [one["blocks"][names[titles[place % 6]]][what] for one in record.training.values()]
            seen = scale * np.array(seen, dtype=np.float64)
            line = lines[called(record.strategy)]
            np.testing.assert_allclose(line.get_ydata(), seen.mean(axis=0))
            np.testing.assert_allclose(line.get_xdata(), 2.5 + 5 * np.arange(20))
        bands = [band.get_paths()[0].vertices[:, 1] for band in ax.collections]
        assert len(bands) == 5
        first = next(record for record in records if record.strategy == "watched")
        seen = scale * np.array([one["blocks"][names[titles[place % 6]]][what] for one in first.training.values()],
                                dtype=np.float64)  # fmt: skip
        assert bands[0].min() == pytest.approx(np.nanmin(seen))
        assert bands[0].max() == pytest.approx(np.nanmax(seen))


def meshes(ax):
    return [mesh for mesh in ax.collections if hasattr(mesh, "get_coordinates")]


def test_cells_are_means_of_what_the_seeds_told_in_one_order_of_all_figures(joint):
    records = joint(8, 2)
    of = trainings(records)
    by_name = {record.strategy: record for record in records}
    with styled():
        seen, shared = cosines(of).axes, masks(of).axes
    panels = {ax.get_title(loc="left").split("  ")[0]: ax for ax in seen[:-1]}
    assert list(panels) == ["watched", "gradvac", "gradvac[beta=0.5]", "pcgrad", "subnet-static"]

    def expected(of_seed, codes):
        square = np.mean([np.array(rows) for rows in of_seed], axis=0)
        at = [codes.index(code) for code in of.codes]
        return square[np.ix_(at, at)]

    off = ~np.eye(8, dtype=bool)
    for name, strategy in (("watched", "watched"), ("subnet-static", "subnet-static[watch=true]")):
        ax, training = panels[name], by_name[strategy].training.values()
        square = expected([one["blocks"]["model"]["cosines"] for one in training], codes_of(8)[::-1])
        np.testing.assert_allclose(meshes(ax)[0].get_array()[off], square[off])
        assert ax.get_title(loc="left").endswith(f"({square[off].mean():.2f})")
    assert [label.get_text() for label in panels["watched"].get_yticklabels()] == list(of.codes)
    assert [label.get_text() for label in panels["subnet-static"].get_xticklabels()] == list(of.codes)
    assert len(shared) == 2 + 1  # heads, units and the scale: the one watched has the same subnetworks
    for ax, kind in zip(shared[:2], ("heads", "units"), strict=True):
        training = by_name["subnet-static"].training.values()
        square = expected([one["overlap"][kind] for one in training], codes_of(8)[::-1])
        np.testing.assert_allclose(meshes(ax)[0].get_array()[off], square[off])
        own = [0.01 * codes_of(8).index(code) for code in of.codes]
        np.testing.assert_allclose(meshes(ax)[-1].get_array().ravel(), own)
        assert ax.get_title(loc="left") == f"subnet-static: {kind}\nbetween 0.25, itself 0.50, chance 0.12"
        assert meshes(ax)[0].get_clim() == meshes(ax)[-1].get_clim()
    family = [int(code[1:]) % 2 for code in of.codes]
    assert sum(a != b for a, b in itertools.pairwise(family)) == 1  # families stand together


def test_points_are_gains_over_mean_cosines_with_the_others(joint):
    records = joint(8, 3)
    of = trainings(records)
    record = next(one for one in records if one.strategy == "watched")
    with styled():
        (ax,) = agreement(of).axes
    points = ax.collections[-1].get_offsets()
    squares = np.mean([one["blocks"]["model"]["cosines"] for one in record.training.values()], axis=0)[::-1, ::-1]
    both, alone = record.scores.multilingual.per_language, record.scores.monolingual.per_language
    x, y = [], []
    for code in of.codes:
        place = codes_of(8).index(code)
        x.append(np.delete(squares[place], place).mean())
        y.append(100 * (both[code] - alone[code]))
    np.testing.assert_allclose(points, np.column_stack([x, y]))
    assert f"ρ {spearmanr(x, y).statistic:.2f} over languages" in ax.get_title(loc="left")
    assert {text.get_text() for text in ax.texts} <= set(of.codes)
    heights = [line[:, 1] for line in ax.collections[1].get_segments()]
    gains = 100 * (np.array(record.scores.multilingual.by_seed[of.codes[0]])
                   - record.scores.monolingual.by_seed[of.codes[0]])  # fmt: skip
    assert sorted(heights[0]) == pytest.approx([gains.min(), gains.max()])


def test_joint_models_of_tables_that_differ_in_groups_alone_are_taken_together(joint):
    with_groups = joint(3, strategies=("plain", "pcgrad"))
    grouping = with_groups[0].protocol["grouping"]
    without = [
        record.model_copy(update={"protocol": record.protocol | {"grouping": None}, "protocol_id": "p2"})
        for record in joint(3, strategies=("plain", "watched"))
    ]
    other = [
        record.model_copy(update={"protocol": record.protocol | {"preset": "standard"}, "protocol_id": "p3"})
        for record in joint(3, strategies=("gradvac",))
    ]
    tables = {
        ("afrisenti", id): {f"joint@{record.strategy}": record for record in records}
        for id, records in (("p1", with_groups), ("p2", without), ("p3", other))
    }
    tables["afrisenti", "p1"]["gradsim"] = with_groups[0].model_copy(update={"measure": "gradsim"})
    found = together(tables, ("afrisenti", "p2"))
    assert [record.strategy for record in found] == ["plain", "watched", "pcgrad"]
    assert found[0].protocol["grouping"] is None
    assert together(tables, ("afrisenti", "p1"))[0].protocol["grouping"] == grouping
    assert [record.strategy for record in together(tables, ("afrisenti", "p3"))] == ["gradvac"]


def test_what_was_not_told_is_said_and_not_drawn(joint, make_record):
    def why(figure, *strategies):
        records = joint(4, strategies=strategies)
        return absent(records[0], figure, trainings(records))

    assert all("subnet-static" in why("masks", *some) for some in (("plain",), ("watched", "pcgrad")))
    assert "watched" in why("along", "plain", "subnet-static")
    assert "watched" in why("cosines", "plain")
    assert "--strategy watched" in why("agreement", "pcgrad", "subnet-static[watch=true]")
    assert why("along", "plain", "pcgrad") is why("masks", "subnet-static") is why("agreement", "watched") is None
    records = joint(4)
    assert figures(records[0]) == ["gains", *FIGURES]
    assert figures(make_record("gradsim")) == ["heatmaps", "scatter", "dendrogram", "gains", "views"]
    for figure in FIGURES:
        assert "plot joint" in absent(make_record("gradsim"), figure)
        with pytest.raises(ValueError, match=f"^{figure}: it is of models of all languages"):
            draw(make_record("gradsim"), figure, "svg")
    alone = records[4].model_copy(update={"scores": records[4].scores.model_copy(update={"monolingual": None})})
    assert "models of one language" in absent(alone, "agreement", trainings([alone]))
    with pytest.raises(ValueError, match="found none"):
        trainings([make_record("gradsim")])


@pytest.mark.parametrize(
    "training",
    [
        {"0": {"blocks": {"model": {"cosines": "many", "cosine_along": {}}}, "languages": []}},
        {"0": {"blocks": [1, 2], "overlap": {"languages": ["x"], "units": [[1.0]], "heads": 3}}},
        {"0": {"blocks": {"model": {"cosines": [[1.0, 0.5]], "cosine_along": [None]}}, "languages": ["l00"]}},
        {"0": "nothing", "1": None, "2": [1]},
    ],
)
def test_strategies_may_tell_anything(joint, training):
    records = joint(3, strategies=("plain", "twin"))
    records[1] = records[1].model_copy(update={"training": training})
    of = trainings(records)
    assert of.codes == tuple(codes_of(3))
    assert all(absent(records[0], figure, of) for figure in FIGURES)


def test_a_strategy_is_called_by_what_it_changes():
    assert called("subnet-static[watch=true]") == "subnet-static"
    assert called("subnet-static[tolerance=0.9,watch=true]") == "subnet-static[tolerance=0.9]"
    assert called("gradvac[beta=0.5]") == "gradvac[beta=0.5]"
    assert called("plain") == "plain"
