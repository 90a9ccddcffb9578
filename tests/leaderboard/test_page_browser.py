"""The page in a headless Chromium, opened from the disk."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
import subprocess
from urllib.parse import unquote

import numpy as np
import pytest

from leaderboard.across import across
from leaderboard.formats import csv_text, json_text
from leaderboard.page import page_html
from leaderboard.tables import table

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = "<b>b</b><script>alert(1)</script><img src=x onerror='document.title=1'>\"&{{data}}</script>"

PROBE = """<script>
addEventListener("load", () => setTimeout(() => {
  const result = { errors: window.__errors };
  try { PROBE_BODY } catch (error) { result.errors.push(String(error)); }
  const out = document.createElement("output");
  out.id = "probe";
  out.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(result))));
  document.body.append(out);
}, 1500));
</script></body>"""
CATCH = '<head><script>window.__errors = []; addEventListener("error", (e) => __errors.push(e.message));</script>'
NAMES = """
  const shown = (board) => [...board.querySelectorAll("tr[data-name]")]
    .filter((row) => !row.hidden && !row.closest("tbody").hidden && !board.hidden).map((row) => row.dataset.name);
  const names = () => [...document.querySelectorAll(".board")].flatMap(shown);
"""


def page_of(*by_table):
    tables = [table(records) for records in by_table]
    return page_html(tables, by_table, across(tables))


def similarity(seed, **more):
    matrix = np.random.default_rng(seed).normal(size=(5, 5)).tolist()
    return {"matrix": matrix, "symmetric": False} | more


def measures(make_record):
    parts = {view: similarity(1)["matrix"] for view in ("embeddings", "head", "first third", "last third")}
    own = similarity(2, views=parts, yardstick={"amh": 0.9, "swa": 0.8})
    return [
        make_record("gradsim", 0.6, similarity=own),
        make_record("gradsim", 0.7, measure_params={"blocks": "body"}),
        make_record("combined", 0.5, access="transfer", similarity=similarity(3, contributions={"overlap": 1.0})),
        make_record(
            "covered", 0.4, groups=[["amh", "hau"], ["hau", "swa"]], served={"amh": 0, "hau": 1, "swa": 1}
        ),
        make_record("learned", skipped="learned: needs a package", correlation=None, scores={}, groups=None),
        make_record("random", 0.2, access="none"),
    ]


def in_browser(tmp_path, page, address="", body="", width=1280):
    """What a probe inside the page, opened from the disk, found out once the scripts had run."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    path = tmp_path / "index.html"
    probe = PROBE.replace("PROBE_BODY", NAMES + body)
    path.write_text(page.replace("<head>", CATCH, 1).replace("</body>", probe), encoding="utf-8")
    command = [
        *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *(f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},7000", "--virtual-time-budget=8000"),
        *("--enable-logging=stderr", "--v=0", "--dump-dom", f"{path.as_uri()}{address}"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    found = re.search(r'<output id="probe">([^<]*)</output>', done.stdout)
    assert found, "the probe did not run"
    result = json.loads(base64.b64decode(found[1]))
    assert result["errors"] == []
    return result


def test_figures_are_drawn(make_record, tmp_path):
    body = """
      const plots = [...document.querySelectorAll(".plot")];
      result.drawn = plots.filter((p) => p.querySelector(".main-svg")).map((p) => p.id);
      result.asked = plots.length;
      result.captions = [...document.querySelectorAll("figcaption")].map((c) => c.textContent);
      result.picture = document.querySelectorAll('[data-title*="PNG" i], [data-title*="plot as" i]').length;
      result.names = names();
      result.points = document.querySelectorAll("#plot-scatter .point").length;
      result.labels = document.querySelector("#plot-similarity").textContent;
    """
    result = in_browser(tmp_path, page_of(measures(make_record)), "#measure=gradsim", body)
    expected = [
        "similarity",
        "transfer",
        "scatter",
        "dendrogram",
        "gains",
        "yardstick",
        "parts",
        "training",
        "map",
    ]
    assert result["drawn"] == [f"plot-{name}" for name in expected]
    assert result["asked"] == result["picture"] == len(expected)
    for caption in result["captions"]:
        assert "data folder 0123456789ab · model scratch · seed 3 · n = " in caption
    assert result["points"] == 16
    assert "n = 16 ordered pairs" in result["captions"][2]  # 4 sources, 4 targets each
    assert "Amharic" in result["labels"]
    assert result["names"][:2] == ["gradsim[blocks=body]", "gradsim"]


def test_sorting_filters_and_downloads(make_record, tmp_path):
    records = measures(make_record)
    other = [make_record("overlap", 0.1, task="other", measure_params={"unit": 'a,"b"'})]
    body = """
      const head = document.querySelector('th[data-column="score"]');
      const state = () => [names(), head.getAttribute("aria-sort"), location.hash];
      const downloads = () => [...document.querySelectorAll(".downloads a")].map((a) => a.href);
      result.first = state();
      result.files = downloads();
      result.count = document.querySelector(".count").textContent;
      head.querySelector("button").click(); result.turned = state();
      head.querySelector("button").click(); result.third = state();
      document.querySelector("form.filters button[type=reset]").click(); result.reset = state();
      result.all = downloads();
      document.querySelector('tr[data-name="combined"] .pick').click();
      result.picked = [location.hash, document.querySelector(".choice [name=measure]").value,
        document.querySelectorAll("tr.chosen").length, !!document.querySelector("#plot-contributions")];
      const text = document.querySelector("[name=q]");
      text.value = "OVERL"; text.dispatchEvent(new Event("input", { bubbles: true }));
      result.typed = names();
    """
    address = "#task=afrisenti&family=gradsim&sort=score&dir=asc"
    result = in_browser(tmp_path, page_of(records, other), address, body)
    baselines = [row["name"] for row in table(records).rows if row["kind"] == "baseline"]
    up, down = ["gradsim", "gradsim[blocks=body]"], ["gradsim[blocks=body]", "gradsim"]
    assert [result["first"][0][:2], *result["first"][1:]] == [up, "ascending", address]
    assert sorted(result["first"][0][2:]) == sorted(baselines)
    assert result["count"] == "2 of 7 rows; baselines stay"
    # Ascending is this column's second way: one click more is the order of the table, another its first way.
    assert result["turned"] == [[*down, *baselines], "none", "#task=afrisenti&family=gradsim"]
    assert [result["third"][0][:2], *result["third"][1:]] == [
        *(down, "descending", "#task=afrisenti&family=gradsim&sort=score&dir=desc"),
    ]
    boards = [table(records), table(other)]
    (beyond,) = across(boards)
    assert len(result["reset"][0]) == sum(len(one.rows) for one in (*boards, beyond))
    assert result["picked"] == ["#table=afrisenti%2Fp1&measure=combined", "combined", 1, True]
    assert [name for name in result["typed"] if name not in baselines] == ['overlap[unit=a,"b"]'] * 2  # and across
    # What is downloaded is what the board writes.
    texts = [unquote(href.split(",", 1)[1]) for href in result["all"]]
    assert json.loads(texts[1]) == json.loads(json_text(boards, [beyond]))
    ours, theirs = (list(csv.DictReader(io.StringIO(text))) for text in (texts[0], csv_text(boards, [beyond])))
    assert len(ours) == len(theirs)
    for own, known in zip(ours, theirs, strict=True):
        for key, cell in known.items():
            same = own[key] == cell or float(own[key]) == float(cell)
            assert same, key
    shown = [row["name"] for row in json.loads(unquote(result["files"][1].split(",", 1)[1]))]
    assert shown == ["gradsim[blocks=body]", "gradsim", *baselines]


def test_hostile_text_in_a_browser(make_record, tmp_path):
    record = make_record(
        HOSTILE,
        task=HOSTILE,
        languages=[HOSTILE, "hau", "swa", "tso", "orm"],
        groups=[[HOSTILE, "hau"], ["swa"]],
        similarity=similarity(4, views={HOSTILE: [[0.5] * 5] * 5}, contributions={HOSTILE: 1}),
        scores={},
        data={"source": "folder", "fingerprint": "0" * 32, "train_size": {}, "test_size": {}},
    )
    body = """
      result.images = document.querySelectorAll("img").length;
      result.title = document.title;
      result.label = document.querySelector("#plot-map .ytick text").textContent;
      result.scripts = document.querySelectorAll("main script").length;
      result.drawn = [...document.querySelectorAll(".plot")].every((p) => p.querySelector(".main-svg"));
    """
    result = in_browser(tmp_path, page_of([record]), "", body)
    assert (result["images"], result["scripts"], result["drawn"]) == (0, 0, True)
    assert result["title"].startswith("Kinship")
    assert result["label"] == HOSTILE[:39] + "…"


def test_without_figures_in_a_browser(make_record, tmp_path):
    """Samples, groupless and skipped records: what there is is shown, and nothing breaks."""
    boards = [
        [make_record("sample", correlation=None)],
        [make_record("bare", task="bare", groups=None, objective=None, scores={}, intervals={})],
        [make_record("learned", task="none", skipped="no package", correlation=None, scores={}, groups=None)],
    ]
    body = """
      const plots = () => [...document.querySelectorAll(".plot")].map((p) => p.id.slice(5));
      const facts = () => document.querySelector(".facts").textContent;
      const choose = (table) => { const s = document.querySelector(".choice [name=table]");
        s.value = table; s.dispatchEvent(new Event("input", { bubbles: true })); return [plots(), facts()]; };
      result.sample = [plots(), facts()];
      result.bare = choose("bare/p1");
      result.skipped = choose("none/p1");
      result.width = innerWidth;
      result.needed = document.documentElement.scrollWidth;
    """
    result = in_browser(tmp_path, page_of(*boards), "", body, width=390)
    assert result["sample"][0] == ["map"]
    assert "scores only" in result["sample"][1]
    assert result["bare"][0] == ["similarity", "transfer", "scatter", "dendrogram"]
    assert "No groups" in result["bare"][1]
    assert result["skipped"] == [[], result["skipped"][1]]
    assert "Skipped: no package" in result["skipped"][1]
    assert result["needed"] <= result["width"] <= 500  # the table scrolls, the page does not


def test_models_and_tables_across_tasks_in_a_browser(make_record, tmp_path):
    known = make_record().correlation.model_dump()

    def one(called, task, value, model):
        protocol = make_record().protocol | {"model": model}
        own = known | {"centred_per_target_spearman": value}
        return make_record(called, task=task, correlation=own, protocol=protocol, protocol_id=model)

    boards = [[one("a", task, 0.1, model), one("b", task, 0.2, model)] for task in "xy" for model in ("m1", "m2")]
    boards[0].append(one("c", "x", 0.3, "m1"))
    body = """
      const title = (board) => board.querySelector("h2").textContent;
      const sections = () => [...document.querySelectorAll(".board")].filter((b) => !b.hidden).map(title);
      const across = document.querySelectorAll(".across")[0];
      const set = (key, value) => {
        const select = document.querySelector(`.filters [name=${key}]`);
        select.value = value;
        select.dispatchEvent(new Event("input", { bubbles: true }));
      };
      result.all = sections();
      const mean = across.querySelector('th[data-column="mean-rank"] button');
      result.first = shown(across);
      mean.click(); result.ascending = shown(across); mean.click(); result.descending = shown(across);
      set("model", "m2"); result.model = [sections(), location.hash];
      set("task", "x"); result.task = sections();
      document.querySelector("form.filters button[type=reset]").click();
      result.rows = document.querySelector(".count").textContent;
      across.querySelector('tr[data-name="c"] .pick').click();
      result.picked = ["table", "measure"].map((key) => document.querySelector(`.choice [name=${key}]`).value);
      const spans = [...document.querySelectorAll('.board thead th[scope="colgroup"]')];
      result.spans = spans.some((th) => th.getBoundingClientRect().height > 0);
    """
    result = in_browser(tmp_path, page_of(*boards), "", body)
    assert result["all"] == ["x", "x", "y", "y", "Across tasks: m1", "Across tasks: m2"]
    assert result["first"] == result["ascending"] == ["b", "a", "c"]
    assert result["descending"] == ["a", "b", "c"]  # what has no rank stays last
    assert result["model"][0] == ["x", "y", "Across tasks: m2"]
    assert "model=m2" in result["model"][1]
    assert result["task"] == ["x"]
    assert result["rows"] == "9 rows"
    assert result["picked"] == ["x/m1", "c"]
    assert result["spans"]


def test_strategies_in_a_browser(make_record, tmp_path):
    """They are downloaded with the board beneath which they stand, and shown where there is no measure."""
    scores = make_record().scores.model_dump()
    scores["plain"] = scores["multilingual"]
    others = [make_record(called, strategy="gradvac", scores=scores) for called in ("gradsim", "joint")]
    boards = [[make_record("gradsim"), *others], [others[1].model_copy(update={"task": "alone"})]]
    body = """
      const download = () => document.querySelectorAll(".downloads a")[1].href;
      const figures = () => !document.getElementById("figures").hidden;
      const task = document.querySelector(".filters [name=task]");
      const choose = (value) => { task.value = value; task.dispatchEvent(new Event("input", { bubbles: true })); };
      result.all = [download(), figures()];
      choose("alone"); result.alone = [download(), figures()];
      choose("afrisenti"); result.one = [download(), figures()];
      result.tables = document.querySelectorAll(".board:not([hidden]) .simple table").length;
    """
    result = in_browser(tmp_path, page_of(*boards), "", body)
    tables = [table(records) for records in boards]
    for key, shown, figures in (("all", tables, True), ("alone", tables[1:], False), ("one", tables[:1], True)):
        href, visible = result[key]
        assert json.loads(unquote(href.split(",", 1)[1])) == json.loads(json_text(shown, []))
        assert visible is figures
    assert result["tables"] == 1
